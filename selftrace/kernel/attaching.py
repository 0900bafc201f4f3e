"""Why a process cannot be attached to, and what to do: shared by everything that uses ptrace."""

from __future__ import annotations

import errno
import os

from selftrace.errors import SelftraceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_YAMA = "/proc/sys/kernel/yama/ptrace_scope"


class AttachError(SelftraceError):
    """A process that cannot be attached to. pid: which; the text says why and what to do."""

    def __init__(self, pid: int, reason: str, remedy: str = "") -> None:
        self.pid, self.reason, self.remedy = pid, reason, remedy
        super().__init__(f"cannot attach to {pid}: {reason}" + (f"; {remedy}" if remedy else ""))


def status_of(pid: int) -> Mapping[str, str]:
    """The fields of /proc/PID/status; empty for a process that is not there."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    except OSError:
        return {}


def name_of(pid: int) -> str:
    """A process in words: 4711 (nginx)."""
    name = status_of(pid).get("Name", "")
    return f"{pid} ({name})" if name else str(pid)


def elf_class_of(pid: int) -> int:
    """32 or 64: the kind of program that it runs; 0 where that cannot be read."""
    try:
        with open(f"/proc/{pid}/exe", "rb") as file:
            head = file.read(5)
    except OSError:
        return 0
    return {1: 32, 2: 64}.get(head[4], 0) if head[:4] == b"\x7fELF" and len(head) == 5 else 0


def check(pid: int) -> None:
    """What can be known before it is tried. Raises AttachError."""
    status = status_of(pid)
    if pid <= 0 or not status:
        raise AttachError(pid, "there is no such process", "ps -e lists those that there are")
    if pid == os.getpid() or int(status["Tgid"]) == os.getpid():
        raise AttachError(pid, "a process cannot attach to itself", "selftrace.tracing() traces the own process")
    if status["Tgid"] != str(pid):
        raise AttachError(
            pid, f"it is a thread of {name_of(int(status['Tgid']))}", f"attach to {status['Tgid']}, which takes all of them"
        )
    if status.get("State", "").startswith(("Z", "X")):
        raise AttachError(pid, f"{name_of(pid)} has ended, its parent {status['PPid']} has not yet waited for it")
    if "VmSize" not in status:
        raise AttachError(pid, f"{name_of(pid)} is a thread of the kernel")
    if elf_class_of(pid) == 32:
        raise AttachError(pid, f"{name_of(pid)} is a 32-bit program", "gdb can debug it")
    if status.get("TracerPid", "0") != "0":
        raise AttachError(pid, *_traced(int(status["TracerPid"])))


def refused(pid: int, number: int) -> AttachError:
    """What the errno of a PTRACE_SEIZE or PTRACE_ATTACH means for this process."""
    status = status_of(pid)
    if number == errno.ESRCH or not status:
        return AttachError(pid, "it has just ended")
    if number != errno.EPERM:
        return AttachError(pid, os.strerror(number))
    if status.get("TracerPid", "0") != "0":
        return AttachError(pid, *_traced(int(status["TracerPid"])))
    return AttachError(pid, *_forbidden(status, f"/proc/{pid}"))


def _traced(tracer: int) -> tuple[str, str]:
    return (
        f"it is traced already, by {name_of(tracer)}",
        "a process has one tracer: end that one, or start the program under selftrace trace, which needs no ptrace",
    )


def _forbidden(status: Mapping[str, str], directory: str) -> tuple[str, str]:
    user = status["Uid"].split()[0]
    if int(user) != os.geteuid():
        return f"it belongs to user {user}, you are {os.geteuid()}", "run selftrace as that user or as root"
    try:
        if os.stat(directory).st_uid != int(user):
            return "it is not dumpable (prctl PR_SET_DUMPABLE, or a set-user-ID program)", "run selftrace as root"
    except OSError:
        pass
    scope = _yama()
    if scope == 3:
        return "yama's ptrace_scope is 3: no process may be traced until the next boot", ""
    if scope == 2:
        return "yama's ptrace_scope is 2: only root may trace", "run selftrace as root, or sysctl kernel.yama.ptrace_scope=0"
    if scope == 1:
        return (
            "yama's ptrace_scope is 1: only descendants may be traced",
            "run selftrace as root, sysctl kernel.yama.ptrace_scope=0, or start the program under selftrace debug",
        )
    if int(status.get("CapPrm", "0"), 16) & ~int(status_of(os.getpid())["CapEff"], 16):
        return "it has capabilities that you have not", "docker run --cap-add SYS_PTRACE, or run selftrace as the host's root"
    return "a security module or a container's seccomp profile forbids ptrace", "docker run --cap-add SYS_PTRACE allows it"


def _yama() -> int:
    try:
        with open(_YAMA, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0
