"""Calls that stand for one another: a libc, or the next version of it, may choose any of a family."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FAMILIES = tuple(
    tuple(line.split())
    for line in """
read pread64 readv preadv preadv2
write pwrite64 writev pwritev pwritev2
open openat openat2 creat
close close_range
stat lstat fstat newfstatat statx
statfs fstatfs
access faccessat faccessat2
readlink readlinkat
getdents getdents64
lseek
getcwd chdir fchdir
mkdir mkdirat
rmdir unlink unlinkat
rename renameat renameat2
link linkat
symlink symlinkat
mknod mknodat
chmod fchmod fchmodat fchmodat2
chown fchown lchown fchownat
utime utimes futimesat utimensat
truncate ftruncate fallocate
fsync fdatasync sync_file_range syncfs sync
fadvise64 readahead
copy_file_range sendfile splice tee vmsplice
getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr
flock
fcntl
ioctl
dup dup2 dup3
pipe pipe2
poll ppoll select pselect6
epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
eventfd eventfd2
signalfd signalfd4
timerfd_create timerfd_settime timerfd_gettime
inotify_init inotify_init1 inotify_add_watch inotify_rm_watch
memfd_create
mmap munmap mprotect mremap brk madvise
msync mincore mlock mlock2 munlock
arch_prctl set_tid_address set_robust_list get_robust_list rseq
prctl
clone clone3 fork vfork
execve execveat
wait4 waitid
getpid getppid gettid getpgrp getpgid getsid
setpgid setsid
getuid geteuid getgid getegid getresuid getresgid getgroups
setuid setgid setreuid setregid setresuid setresgid setgroups
umask
kill tkill tgkill
rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigtimedwait sigaltstack pause
alarm setitimer getitimer timer_create timer_settime timer_gettime timer_getoverrun timer_delete
nanosleep clock_nanosleep
time gettimeofday clock_gettime clock_getres
times getrusage
getrlimit prlimit64
setrlimit
uname
sysinfo
getcpu sched_getaffinity
sched_yield
getpriority setpriority sched_getparam sched_getscheduler
getrandom
membarrier
socket
socketpair
connect
bind
listen
accept accept4
getsockname getpeername getsockopt setsockopt shutdown
sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg
shmget shmat shmdt shmctl
""".strip().splitlines()
)
UNNEEDED = frozenset("restart_syscall exit exit_group futex rt_sigreturn uprobe uretprobe clone3".split())
"""Never refused, or refused quietly because libc does without."""
MEMORY = next(family for family in FAMILIES if family[0] == "mmap")
OWN = tuple(
    "clock_gettime close close_range execveat faccessat2 fcntl fstat getcwd getpid getrandom gettid kill mmap mprotect munmap"
    " nanosleep newfstatat openat prctl pread64 readlink rt_sigaction rt_sigprocmask sched_yield sigaltstack tgkill tkill"
    " write writev".split()
)
"""What the interposer itself asks the kernel for, in the program's place and under its filter; and what a program says by
that something is wrong."""
_ADDRESSED = frozenset("connect bind listen accept".split())
"""First of the families that are good for nothing without an address."""


def closed(calls: Iterable[str], *, addresses: bool) -> list[tuple[str, ...]]:
    """The families of what was called: first what every program needs, and the interposer; last calls of no family.

    addresses: whether some are granted; without, what needs one is refused before it is made.
    """
    seen = set(calls) - UNNEEDED
    found = [family for family in FAMILIES if not seen.isdisjoint(family) and (addresses or family[0] not in _ADDRESSED)]
    known = {name for family in FAMILIES for name in family}
    listed = {name for family in found for name in family}
    base = tuple(name for name in dict.fromkeys((*MEMORY, *OWN)) if name in MEMORY or name not in listed)
    return [base, *(family for family in found if family != MEMORY), *((name,) for name in sorted(seen - known))]
