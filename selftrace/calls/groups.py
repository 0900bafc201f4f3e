"""Groups of calls: systemd's @groups, from its own list, and strace's %classes, by what a call works on."""

from __future__ import annotations

from selftrace.calls.table import Call, Table

_CLASSES: dict[str, str] = {
    "%process": "clone clone3 execve execveat exit exit_group fork vfork wait4 waitid kill tkill tgkill pidfd_send_signal"
    " rt_sigqueueinfo rt_tgsigqueueinfo",
    "%memory": "brk get_mempolicy madvise map_shadow_stack mbind migrate_pages mincore mlock mlock2 mlockall mmap move_pages"
    " mprotect mremap mseal msync munlock munlockall munmap pkey_mprotect process_madvise remap_file_pages"
    " set_mempolicy set_mempolicy_home_node shmat shmdt",
    "%signal": "kill pause pidfd_send_signal rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn"
    " rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sigaltstack signalfd signalfd4 tgkill tkill",
    "%ipc": "msgctl msgget msgrcv msgsnd semctl semget semop semtimedop shmat shmctl shmdt shmget",
    "%network": "accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg"
    " sendmsg sendto setsockopt shutdown socket socketpair",
    "%clock": "adjtimex clock_adjtime clock_getres clock_gettime clock_settime gettimeofday settimeofday time",
    "%creds": "capget capset getegid geteuid getgid getgroups getresgid getresuid getuid setfsgid setfsuid setgid setgroups"
    " setregid setresgid setresuid setreuid setuid prctl",
    "%stat": "stat",
    "%lstat": "lstat",
    "%fstat": "fstat newfstatat statx",
    "%%stat": "stat lstat fstat newfstatat statx",
    "%statfs": "statfs",
    "%fstatfs": "fstatfs",
    "%%statfs": "statfs fstatfs ustat",
    "%pure": "getegid geteuid getgid getpgrp getpid getppid gettid getuid",
}
_FILE_EXTRA = frozenset({"getcwd", "symlink", "symlinkat", "fanotify_mark", "pivot_root", "execve", "execveat", "statmount"})
_DESC_EXTRA = frozenset({"mmap", "dup", "dup2", "dup3", "pipe", "pipe2", "eventfd", "eventfd2", "signalfd4", "memfd_create"})


def _takes(call: Call, *roles: str) -> bool:
    return any(arg.role in roles for arg in call.args)


def _members(name: str, table: Table) -> list[str]:
    if name.startswith("@"):
        return table.groups[name].split()
    if name == "%file":
        return [c.name for c in table.by_name.values() if _takes(c, "path") or c.name in _FILE_EXTRA]
    if name == "%desc":
        return [c.name for c in table.by_name.values() if _takes(c, "fd", "dirfd") or c.name in _DESC_EXTRA]
    return [word for word in _CLASSES[name].split() if word in table.by_name]


def group_names(table: Table) -> tuple[str, ...]:
    """All names that `expand_group` knows."""
    return tuple(sorted([*table.groups, *_CLASSES, "%file", "%desc"]))


def expand_group(name: str, table: Table) -> tuple[str, ...]:
    """The calls of a group, other groups in it expanded; sorted. Raises KeyError for an unknown name."""
    found: set[str] = set()
    waiting = [name]
    seen = set()
    while waiting:
        group = waiting.pop()
        if group in seen:
            continue
        seen.add(group)
        for member in _members(group, table):
            if member.startswith("@"):
                waiting.append(member)
            else:
                found.add(member)
    return tuple(sorted(found))
