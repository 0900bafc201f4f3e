"""Why a process cannot be attached to, and what can be done about it."""

from __future__ import annotations

import os
import pwd

_KTHREAD = 0x00200000  # PF_KTHREAD, include/linux/sched.h
_ELF32 = 1
_YAMA = "/proc/sys/kernel/yama/ptrace_scope"
_SCOPES = {
    1: (
        "only a process's own ancestors may attach",
        "start it under selftrace trace, attach as root, or sysctl kernel.yama.ptrace_scope=0",
    ),
    2: ("only CAP_SYS_PTRACE may attach", "attach as root, or sysctl kernel.yama.ptrace_scope=0"),
    3: ("nobody may attach until the next boot", "start the program under selftrace trace without --backend ptrace"),
}


def status_of(pid: int) -> dict[str, str]:
    """The fields of /proc/PID/status; empty: there is no such process."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    except OSError:
        return {}


def name_of(pid: int) -> str:
    """A process's short name; "?" if it is gone."""
    return status_of(pid).get("Name", "?")


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _threads(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


def _number(path: str) -> int:
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def _is_kernel_thread(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return bool(int(file.read().rpartition(")")[2].split()[6]) & _KTHREAD)
    except (OSError, IndexError, ValueError):
        return False


def is_32_bit(pid: int) -> bool:
    """Whether it executes a program for 32-bit processors."""
    try:
        with open(f"/proc/{pid}/exe", "rb") as file:
            head = file.read(5)
    except OSError:
        return False
    return head[:4] == b"\x7fELF" and head[4] == _ELF32


def beforehand(pid: int) -> str:
    """What speaks against attaching, as far as it can be seen without trying; empty: nothing."""
    status = status_of(pid)
    if not status:
        return "there is no such process"
    if int(status.get("Tgid", "0")) == os.getpid():
        return "that is selftrace itself"
    if status.get("State", "").startswith(("Z", "X")) and _threads(pid) < 2:
        return f"it is a zombie: it has ended, and its parent, {status['PPid']}, has not asked for its status"
    if _is_kernel_thread(pid):
        return "it is a thread of the kernel, which makes no system calls"
    tracer = int(status.get("TracerPid", "0"))
    if tracer:
        return (
            f"it is traced already, by {tracer} ({name_of(tracer)}): end that first, or start the program under selftrace trace"
        )
    if is_32_bit(pid):
        return "it is a 32-bit program; only 64-bit ones can be traced"
    return ""


def _own_uids() -> set[int]:
    return {os.getuid(), os.geteuid()}


def afterwards(pid: int, error: OSError) -> str:
    """Why the kernel refused."""
    before = beforehand(pid)
    if before:
        return before
    if error.errno not in (1, 13):  # EPERM, EACCES
        return str(error.strerror)
    uids = {int(word) for word in status_of(pid).get("Uid", "0").split()}
    if os.geteuid() and not uids <= _own_uids():
        owner = _user(max(uids))
        return f"it belongs to {owner}: attach as {owner} or as root"
    try:
        dumpable = os.stat(f"/proc/{pid}/status").st_uid in uids  # the directory itself is always the user's
    except OSError:
        return "there is no such process"
    if os.geteuid() and not dumpable:
        return "it is not dumpable (it was set-id, or called prctl(PR_SET_DUMPABLE, 0)): attach as root"
    scope = _number(_YAMA)
    if scope in _SCOPES:
        what, remedy = _SCOPES[scope]
        return f"kernel.yama.ptrace_scope is {scope}: {what}; {remedy}"
    return "the kernel does not permit it: it has capabilities that we have not, or a security module forbids it; attach as root"
