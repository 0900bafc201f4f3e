"""How values, structures and flags are shown: each as strace 7.2 shows it."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from selftrace._native import lib
from trace_frames import chunk, frame, line, link, text

A, B, C, D = 0x1000, 0x2000, 0x3000, 0x4000
AT_FDCWD = -100

STAT = (
    struct.pack("<QQQIIIIQQQQ", 0xFE00, 7, 1, 0o100644, 1, 2, 0, 0, 36531, 4096, 72)
    + struct.pack("<6Q", 0, 0, 0, 5, 0, 0)
    + bytes(24)
)
DEVICE = struct.pack("<QQQIIIIQQQQ", 5, 7, 1, 0o020666, 0, 0, 0, 0x103, 0, 4096, 0) + bytes(72)
SIGACTION = struct.pack("<4Q", 0x400000, 0x14000000, 0x401000, 1 << 16)
INET = struct.pack("<H", 2) + struct.pack(">H", 443) + bytes([127, 0, 0, 1]) + bytes(8)
IOVECS = struct.pack("<4Q", C, 3, D, 5)
MSGHDR = struct.pack("<QIIQQQQII", 0, 0, 0, B, 1, C, 20, 0, 0)
RIGHTS = struct.pack("<Qiii", 20, 1, 1, 3) + bytes(4)
TERMIOS2 = struct.pack("<4IB19s2I", 0, 0xFF00, 0x20 | 0x1000 | 13 << 16, 0x100, 3, bytes(range(19)), 9600, 12345)
TERMIOS = struct.pack("<4I", 0o400, 5, 0o277, 0o105073) + bytes(20)
CLONE_ARGS = struct.pack("<11Q", 0x3D0F00, 0, 0x7000, 0x7000, 0, 0x8000, 0x9000, 0xA000, 0, 0, 0)


CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    # strings
    (
        'openat(AT_FDCWD, "/etc/hosts", O_RDONLY|O_CLOEXEC) = 3',
        ("openat", (AT_FDCWD, A, 0x80000, 0), 3, [chunk(A, b"/etc/hosts\0")]),
        {},
    ),
    ('open("x", O_RDWR|O_CREAT|O_SYNC, 0600) = 3', ("open", (A, 0x101042, 0o600), 3, [chunk(A, b"x\0")]), {}),
    ("open(0x1000, O_WRONLY) = -1 EFAULT (Bad address)", ("open", (A, 1, 0), -14, [chunk(A, b"no end")]), {}),
    ("open(NULL, O_WRONLY) = -1 EFAULT (Bad address)", ("open", (0, 1, 0), -14), {}),
    (r'write(1, "a\"\\\n\0011\1x\377", 9) = 9', ("write", (1, A, 9), 9, [chunk(A, b'a"\\\n\x011\x01x\xff')]), {}),
    (r'write(1, "a\nb"..., 40) = 40', ("write", (1, A, 40), 40, [chunk(A, b"a\nbc")]), {"string_limit": 3}),
    (r'write(1, "\x61\xff", 2) = 2', ("write", (1, A, 2), 2, [chunk(A, b"a\xff")]), {"hex_strings": 2}),
    (r'write(1, "a\xff", 2) = 2', ("write", (1, A, 2), 2, [chunk(A, b"a\xff")]), {"hex_strings": 1}),
    ('read(0, "", 10) = 0', ("read", (0, A, 10), 0), {}),
    ("read(0, 0x1000, 10) = -1 EAGAIN (Resource temporarily unavailable)", ("read", (0, A, 10), -11), {}),
    ("read(0, 0x1000, 10) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)", ("read", (0, A, 10), -512), {}),
    ('readlink("/a", "b", 9) = 1', ("readlink", (A, B, 9), 1, [chunk(A, b"/a\0")], [chunk(B, b"b")]), {}),
    (
        'execve("/x", ["x", "y"], 0x3000 /* 1 var */) = 0',
        (
            "execve",
            (A, B, C),
            0,
            [
                chunk(A, b"/x\0"),
                chunk(B, struct.pack("<3Q", D, D + 8, 0)),
                chunk(C, struct.pack("<2Q", D, 0)),
                chunk(D, b"x\0"),
                chunk(D + 8, b"y\0"),
            ],
        ),
        {},
    ),
    # flags and values
    (
        "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000",
        ("mmap", (0, 4096, 3, 0x22, -1, 0), 0x7F0000000000),
        {},
    ),
    (
        "mmap(NULL, 4096, PROT_NONE, 0x4 /* MAP_??? */, -1, 0) = -1 EINVAL (Invalid argument)",
        ("mmap", (0, 4096, 0, 4, -1, 0), -22),
        {},
    ),
    ("lseek(3, -1, SEEK_END) = 9", ("lseek", (3, -1, 2), 9), {}),
    ("lseek(3, 0, 0x9 /* SEEK_??? */) = -1 EINVAL (Invalid argument)", ("lseek", (3, 0, 9), -22), {}),
    ("lseek(3, 0, 0x2 /* SEEK_END */) = 9", ("lseek", (3, 0, 2), 9), {"names": 2}),
    ("lseek(3, 0, 0x2) = 9", ("lseek", (3, 0, 2), 9), {"names": 1}),
    ("access(NULL, F_OK) = -1 EFAULT (Bad address)", ("access", (0, 0), -14), {}),
    ("umask(022) = 002", ("umask", (0o22,), 2), {}),
    ("brk(NULL) = 0x5000", ("brk", (0,), 0x5000), {}),
    ("fcntl(3, F_GETFL) = 0x8002 (flags O_RDWR|O_LARGEFILE)", ("fcntl", (3, 3, 0), 0x8002), {}),
    ("fcntl(3, F_SETFD, FD_CLOEXEC) = 0", ("fcntl", (3, 2, 1), 0), {}),
    (
        "fcntl(3, F_SETLK, {l_type=F_WRLCK, l_whence=SEEK_SET, l_start=0, l_len=9}) = 0",
        ("fcntl", (3, 6, A), 0, [chunk(A, struct.pack("<hh4xqqi4x", 1, 0, 0, 9, 0))]),
        {},
    ),
    ("kill(7, SIGRT_1) = 0", ("kill", (7, 33), 0), {}),
    (
        "futex(0x1000, FUTEX_WAIT_PRIVATE, 2, NULL) = -1 EAGAIN (Resource temporarily unavailable)",
        ("futex", (A, 128, 2, 0), -11),
        {},
    ),
    (
        "futex(0x1000, FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME, 0, NULL, FUTEX_BITSET_MATCH_ANY) = 0",
        ("futex", (A, 0x189, 0, 0, 0, 0xFFFFFFFF), 0),
        {},
    ),
    ("socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, 0) = 4", ("socket", (1, 0o2004001, 0), 4), {}),
    ("socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDP) = 4", ("socket", (10, 2, 17), 4), {}),
    ("prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) = 0", ("prctl", (38, 1, 0, 0, 0), 0), {}),
    ('prctl(PR_SET_NAME, "worker") = 0', ("prctl", (15, A), 0, [chunk(A, b"worker\0" + bytes(9))]), {}),
    ("ptrace(PTRACE_CONT, 7, NULL, SIGUSR1) = 0", ("ptrace", (7, 7, 0, 10), 0), {}),
    ("ptrace(PTRACE_CONT, 7, SIG_0) = 0", ("ptrace", (7, 7, 0, 0), 0), {"stap": 1}),
    # structures
    ('stat("x", {st_mode=S_IFREG|0644, st_size=36531, ...}) = 0', ("stat", (A, B), 0, [chunk(A, b"x\0")], [chunk(B, STAT)]), {}),
    ("fstat(1, {st_mode=S_IFCHR|0666, st_rdev=makedev(0x1, 0x3), ...}) = 0", ("fstat", (1, B), 0, [], [chunk(B, DEVICE)]), {}),
    ("fstat(1, 0x2000) = -1 EBADF (Bad file descriptor)", ("fstat", (1, B), -9), {}),
    ("nanosleep({tv_sec=1, tv_nsec=5}, NULL) = 0", ("nanosleep", (A, 0), 0, [chunk(A, struct.pack("<qq", 1, 5))]), {}),
    (
        "nanosleep({tv_sec=1, tv_nsec=5}, {tv_sec=0, tv_nsec=7}) = ? ERESTART_RESTARTBLOCK (Interrupted by signal)",
        ("nanosleep", (A, B), -516, [chunk(A, struct.pack("<qq", 1, 5))], [chunk(B, struct.pack("<qq", 0, 7))]),
        {},
    ),
    (
        "rt_sigaction(SIGINT, {sa_handler=0x400000, sa_mask=[CHLD], sa_flags=SA_RESTORER|SA_RESTART, sa_restorer=0x401000}, NULL, 8) = 0",
        ("rt_sigaction", (2, A, 0, 8), 0, [chunk(A, SIGACTION)]),
        {},
    ),
    (
        "rt_sigprocmask(SIG_BLOCK, ~[RTMIN RT_1], [], 8) = 0",
        ("rt_sigprocmask", (0, A, B, 8), 0, [chunk(A, struct.pack("<Q", ((1 << 64) - 1) ^ (3 << 31)))], [chunk(B, bytes(8))]),
        {},
    ),
    (
        'connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("127.0.0.1")}, 16) = 0',
        ("connect", (3, A, 16), 0, [chunk(A, INET)]),
        {},
    ),
    ('bind(3, {sa_family=AF_UNIX, sun_path=@"x\\0"}, 5) = 0', ("bind", (3, A, 5), 0, [chunk(A, b"\1\0\0x\0")]), {}),
    (
        'accept(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("127.0.0.1")}, [28 => 16]) = 4',
        ("accept", (3, A, B), 4, [chunk(B, struct.pack("<i", 28))], [chunk(A, INET), chunk(B, struct.pack("<i", 16))]),
        {},
    ),
    (
        'writev(1, [{iov_base="abc", iov_len=3}, {iov_base="defgh", iov_len=5}], 2) = 8',
        ("writev", (1, A, 2), 8, [chunk(A, IOVECS), chunk(C, b"abc"), chunk(D, b"defgh")]),
        {},
    ),
    (
        'readv(1, [{iov_base="abc", iov_len=3}, {iov_base="d", iov_len=5}], 2) = 4',
        ("readv", (1, A, 2), 4, [], [chunk(A, IOVECS), chunk(C, b"abc"), chunk(D, b"d")]),
        {},
    ),
    (
        'sendmsg(3, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="abc", iov_len=3}], msg_iovlen=1, '
        "msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[3]}], msg_controllen=20, msg_flags=0}, MSG_NOSIGNAL) = 3",
        (
            "sendmsg",
            (3, A, 0x4000),
            3,
            [chunk(A, MSGHDR), chunk(B, struct.pack("<2Q", D, 3)), chunk(C, RIGHTS), chunk(D, b"abc")],
        ),
        {},
    ),
    (
        "poll([{fd=0, events=POLLIN}], 1, -1) = 1 ([{fd=0, revents=POLLIN|POLLHUP}])",
        ("poll", (A, 1, -1), 1, [chunk(A, struct.pack("<ihh", 0, 1, 0))], [chunk(A, struct.pack("<ihh", 0, 1, 0x11))]),
        {},
    ),
    ("poll([{fd=0, events=POLLIN}], 1, 5) = 0 (Timeout)", ("poll", (A, 1, 5), 0, [chunk(A, struct.pack("<ihh", 0, 1, 0))]), {}),
    (
        "select(4, [0 3], NULL, NULL, {tv_sec=1, tv_usec=0}) = 1 (in [3], left {tv_sec=0, tv_usec=9})",
        (
            "select",
            (4, A, 0, 0, B),
            1,
            [chunk(A, struct.pack("<Q", 9)), chunk(B, struct.pack("<qq", 1, 0))],
            [chunk(A, struct.pack("<Q", 8)), chunk(B, struct.pack("<qq", 0, 9))],
        ),
        {},
    ),
    (
        "epoll_ctl(3, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLET, data=0x4}) = 0",
        ("epoll_ctl", (3, 1, 4, A), 0, [chunk(A, struct.pack("<IQ", 0x80000001, 4))]),
        {},
    ),
    (
        "epoll_wait(3, [{events=EPOLLIN, data=0x4}], 8, -1) = 1",
        ("epoll_wait", (3, A, 8, -1), 1, [], [chunk(A, struct.pack("<IQ", 1, 4))]),
        {},
    ),
    (
        "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 7",
        ("wait4", (-1, A, 0, 0), 7, [], [chunk(A, struct.pack("<i", 0x300))]),
        {},
    ),
    (
        "wait4(-1, [{WIFSTOPPED(s) && WSTOPSIG(s) == SIGTRAP}|PTRACE_EVENT_FORK<<16], __WALL, NULL) = 7",
        ("wait4", (-1, A, 0x40000000, 0), 7, [], [chunk(A, struct.pack("<i", 0x1057F))]),
        {},
    ),
    (
        "wait4(-1, [{WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV && WCOREDUMP(s)}], 0, NULL) = 7",
        ("wait4", (-1, A, 0, 0), 7, [], [chunk(A, struct.pack("<i", 0x8B))]),
        {},
    ),
    (
        "wait4(-1, [WSTOPSIG=SIGTRAP | PTRACE_EVENT_FORK << 8], 0, NULL) = 7",
        ("wait4", (-1, A, 0, 0), 7, [], [chunk(A, struct.pack("<i", 0x1057F))]),
        {"stap": 1},
    ),
    (
        "wait4(-1, [WSTOPSIG=TRACESYSGOOD], 0, NULL) = 7",
        ("wait4", (-1, A, 0, 0), 7, [], [chunk(A, struct.pack("<i", 0x857F))]),
        {"stap": 1},
    ),
    (
        "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7000) = 8",
        ("clone", (0x1200011, 0, 0, 0x7000, 0), 8),
        {},
    ),
    (
        "clone3({flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM|CLONE_SETTLS|CLONE_PARENT_SETTID|CLONE_CHILD_CLEARTID, "
        "child_tid=0x7000, parent_tid=0x7000, exit_signal=0, stack=0x8000, stack_size=0x9000, tls=0xa000} => {parent_tid=[8]}, 88) = 8",
        ("clone3", (A, 88), 8, [chunk(A, CLONE_ARGS)], [chunk(0x7000, struct.pack("<i", 8))]),
        {},
    ),
    (
        "ioctl(0, TCGETS, {c_iflag=ICRNL, c_oflag=NL0|CR0|TAB0|BS0|VT0|FF0|OPOST|ONLCR, c_cflag=B38400|CS8|CREAD, "
        "c_lflag=ISIG|ICANON|ECHO|ECHOE|ECHOK|IEXTEN|ECHOCTL|ECHOKE, ...}) = 0",
        ("ioctl", (0, 0x5401, A), 0, [], [chunk(A, TERMIOS)]),
        {},
    ),
    (
        "ioctl(0, TCGETS2, {c_iflag=, c_oflag=NL1|CR3|XTABS|BS1|VT1|FF1|, c_cflag=BOTHER|B9600<<IBSHIFT|CS7|, "
        "c_lflag=TOSTOP, c_line=N_PPP, c_cc=[[VINTR]=0, [VQUIT]=0x1, [VERASE]=0x2, [VKILL]=0x3, [VEOF]=0x4, [VTIME]=0x5, "
        "[VMIN]=0x6, [VSWTC]=0x7, [VSTART]=0x8, [VSTOP]=0x9, [VSUSP]=0xa, [VEOL]=0xb, [VREPRINT]=0xc, [VDISCARD]=0xd, "
        "[VWERASE]=0xe, [VLNEXT]=0xf, [VEOL2]=0x10, [17]=0x11, [18]=0x12], c_ispeed=9600, c_ospeed=12345}) = 0",
        ("ioctl", (0, 0x802C542A, A), 0, [], [chunk(A, TERMIOS2)]),
        {"abbrev": False},
    ),
    (
        "ioctl(0, TCSETSF2, {c_iflag=, c_oflag=NL1|CR3|XTABS|BS1|VT1|FF1|, c_cflag=BOTHER|B9600<<IBSHIFT|CS7|, c_lflag=TOSTOP, ...}) = 0",
        ("ioctl", (0, 0x402C542D, A), 0, [chunk(A, TERMIOS2)]),
        {},
    ),
    (
        "ioctl(0, TCSETA, {c_iflag=BRKINT, c_oflag=NL0|CR0|TAB0|BS0|VT0|FF0|OPOST, c_cflag=B0|CS8|, c_lflag=, ...}) = 0",
        ("ioctl", (0, 0x5406, A), 0, [chunk(A, struct.pack("<4HB9s", 2, 1, 0x30, 0, 0, b""))]),
        {},
    ),
    (
        "ioctl(1, TIOCGWINSZ, {ws_row=24, ws_col=80, ws_xpixel=0, ws_ypixel=0}) = 0",
        ("ioctl", (1, 0x5413, A), 0, [], [chunk(A, struct.pack("<4H", 24, 80, 0, 0))]),
        {},
    ),
    (
        "ioctl(1, _IOC(_IOC_READ, 0xde, 0xad, 0x8), 0x1000) = -1 ENOTTY (Inappropriate ioctl for device)",
        ("ioctl", (1, 0x8008DEAD, A), -25),
        {},
    ),
    (
        "prlimit64(0, RLIMIT_NOFILE, NULL, {rlim_cur=1024, rlim_max=RLIM64_INFINITY}) = 0",
        ("prlimit64", (0, 7, 0, A), 0, [], [chunk(A, struct.pack("<2Q", 1024, (1 << 64) - 1))]),
        {},
    ),
    (
        "prlimit64(0, RLIMIT_STACK, NULL, {rlim_cur=8192*1024, rlim_max=8192*1024}) = 0",
        ("prlimit64", (0, 3, 0, A), 0, [], [chunk(A, struct.pack("<2Q", 8 << 20, 8 << 20))]),
        {},
    ),
    (
        "getdents64(3, 0x1000 /* 1 entries */, 32768) = 24",
        ("getdents64", (3, A, 32768), 24, [], [chunk(A, struct.pack("<QqHB5s", 7, 1, 24, 8, b"a\0"))]),
        {},
    ),
    (
        'getdents64(3, [{d_ino=7, d_off=1, d_reclen=24, d_type=DT_REG, d_name="a"}], 32768) = 24',
        ("getdents64", (3, A, 32768), 24, [], [chunk(A, struct.pack("<QqHB5s", 7, 1, 24, 8, b"a\0"))]),
        {"abbrev": False},
    ),
    ("pipe2([3, 4], O_CLOEXEC) = 0", ("pipe2", (A, 0x80000), 0, [], [chunk(A, struct.pack("<2i", 3, 4))]), {}),
    (
        'openat2(AT_FDCWD, "x", {flags=O_RDONLY, resolve=RESOLVE_BENEATH}, 24) = 3',
        ("openat2", (AT_FDCWD, A, B, 24), 3, [chunk(A, b"x\0"), chunk(B, struct.pack("<3Q", 0, 0, 8))]),
        {},
    ),
    # descriptors
    ("close(3</etc/hosts>) = 0", ("close", (3,), 0, [link(3, "/etc/hosts")]), {"decode": 1}),
    (
        'openat(AT_FDCWD</home>, "x", O_RDONLY) = 3</home/a\\76b>',
        ("openat", (AT_FDCWD, A, 0, 0), 3, [chunk(A, b"x\0"), link(-100, "/home")], [link(3, "/home/a>b")]),
        {"decode": 1},
    ),
    ("fsync(3</dev/null<char 1:3>>) = 0", ("fsync", (3,), 0, [link(3, "/dev/null")]), {"decode": 7}),
    ("fsync(3) = 0", ("fsync", (3,), 0, [link(3, "/etc/hosts")]), {"decode": 4}),
]


@pytest.mark.parametrize(("expected", "call", "options"), CASES, ids=[f"{i}-{c[1][0]}" for i, c in enumerate(CASES)])
def test_a_call_is_shown_as_strace_shows_it(expected: str, call: tuple[Any, ...], options: dict[str, Any]) -> None:
    assert line(*call, **options) == expected


def test_an_unknown_call_is_six_numbers() -> None:
    body = struct.pack("<7Q", 1, 2, 3, 4, 5, 6, 0)
    shown = text(frame(lib.ST_EVENT_ENTRY, 500, body), frame(lib.ST_EVENT_EXIT, 500, struct.pack("<q", -38)))
    assert shown == "syscall_0x1f4(0x1, 0x2, 0x3, 0x4, 0x5, 0x6) = -1 ENOSYS (Function not implemented)\n"
