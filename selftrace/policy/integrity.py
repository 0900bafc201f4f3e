"""Gate 1: what the interposer needs, whatever the policy says. Not configurable."""

from __future__ import annotations

from selftrace.calls import Table
from selftrace.policy.plan import Condition, Decision, FilterRule
from selftrace.record import replace

NEVER_DENIED = ("restart_syscall", "exit", "exit_group", "futex", "rt_sigreturn", "uprobe", "uretprobe")
"""Calls without which no thread gets on, or ends; and two that the kernel lets past every filter (they are its own
breakpoints' way back, and do nothing elsewhere)."""
TO_TRACER = ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "exit", "exit_group")
"""By these a process tells its tracer where it is: PTRACE_TRACEME is made when one of them comes (exec.c, st_trace_me)."""
NEVER_SEEN = ("uprobe", "uretprobe")
"""The kernel lets them past every filter."""
_TRAPPED = (
    "rt_sigprocmask rt_sigaction sigaltstack rt_sigsuspend rt_sigtimedwait rt_sigpending signalfd signalfd4"
    " clone clone3 fork vfork execve execveat seccomp rt_sigreturn".split()
)
_KEPT = Condition(0, 4, "between", 1000, 1004)
"""ST_KEPT_BLOB to ST_KEPT_PROGRAM of native/selftrace.h: what a run that starts programs keeps open for them."""
_ON_KEPT = ("close", "fstat", "newfstatat", "fcntl", "dup", "dup2", "dup3")
_HOSTING = ("close_range", "readlink", "readlinkat")
_MASK_ARGUMENT = {"ppoll": 3, "pselect6": 5, "epoll_pwait": 4, "epoll_pwait2": 4}
_MEMORY = {"munmap": (0, 1), "mprotect": (0, 1), "pkey_mprotect": (0, 1), "madvise": (0, 1), "remap_file_pages": (0, 1)}
_BLOB_HIGH = 0x7E90
_MAP_FIXED = 0x10
_MREMAP_FIXED = 2
_PRCTL = (22, 35, 59)  # PR_SET_SECCOMP, PR_SET_MM, PR_SET_SYSCALL_USER_DISPATCH
_ENOSYS = 38


def _reaching(address: int, length: int) -> list[tuple[Condition, ...]]:
    """Ranges that lie in the blob's 4 GiB, in the one before it, or are longer than 4 GiB: C looks exactly."""
    near = Condition(address, 8, "between", (_BLOB_HIGH - 1) << 32, (_BLOB_HIGH + 1 << 32) - 1)
    long = Condition(length, 8, "ge", 1 << 32)
    below = Condition(address, 8, "lt", (_BLOB_HIGH + 1) << 32)
    return [(near,), (long, below)]


def trapped(table: Table, *, hosts: bool) -> list[tuple[int, tuple[Condition, ...]]]:
    """(number, conditions) of calls that must reach the interposer. hosts: programs may be started."""
    found: list[tuple[int, tuple[Condition, ...]]] = []

    def add(name: str, *conditions: Condition) -> None:
        if name in table.by_name:
            found.append((table.by_name[name].sysno, conditions))

    for name in _TRAPPED:
        add(name)
    for name, argument in _MASK_ARGUMENT.items():
        add(name, Condition(argument, 8, "ne", 0))
    for name, (address, length) in _MEMORY.items():
        for conditions in _reaching(address, length):
            add(name, *conditions)
    for conditions in _reaching(0, 1):
        add("mmap", Condition(3, 4, "any", _MAP_FIXED), *conditions)
        add("mremap", *conditions)
    for conditions in _reaching(4, 2):
        add("mremap", Condition(3, 4, "any", _MREMAP_FIXED), *conditions)
    add("prctl", Condition(0, 4, "in", values=_PRCTL))
    if hosts:
        for name in _HOSTING:
            add(name)
        for name in _ON_KEPT:
            add(name, _KEPT)
        add("ptrace", Condition(0, 4, "eq", 0))  # PTRACE_TRACEME: made when the loader's child is there to be seen
        for name in ("dup2", "dup3"):
            add(name, replace(_KEPT, arg=1))
    return found


def filters(table: Table) -> list[tuple[int, tuple[Condition, ...]]]:
    """What a supervisor outside must see whatever the policy says: a filter that lets calls past it."""
    condition = Condition(0, 4, "in", values=_PRCTL)
    return [(table.by_name["seccomp"].sysno, ()), (table.by_name["prctl"].sysno, (condition,))]


def first_rules(table: Table) -> list[FilterRule]:
    """Before everything else: what is never denied, and what no policy can allow."""
    free = tuple(table.by_name[name].sysno for name in NEVER_DENIED if name != "rt_sigreturn" and name in table.by_name)
    rings = tuple(table.by_name[n].sysno for n in ("io_uring_setup", "io_uring_enter", "io_uring_register") if n in table.by_name)
    return [
        FilterRule(free, (), Decision("allow")),
        FilterRule((table.by_name["rt_sigreturn"].sysno,), (), Decision("trap")),
        FilterRule(rings, (), Decision("deny", _ENOSYS, 0)),
    ]
