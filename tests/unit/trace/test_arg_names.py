"""-N: each argument with its name, the one that policies and --json know it by; nothing else on the line changes."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence

import pytest
from selftrace._native import ffi, lib
from trace_frames import MASK, chunk, entry, frame, leave, line, text

from selftrace.calls import table
from selftrace.calls._decode_x86_64 import CALLS, SETS

A, B, C, D = 0x1000, 0x2000, 0x3000, 0x4000
PAIR = struct.pack("<2i", 3, 4)
EVERY = ffi.new(f"uint64_t[{lib.ST_TRACE_BITS}]", [MASK] * lib.ST_TRACE_BITS)
Spec = tuple[str, tuple[int, ...], int, Sequence[bytes], Sequence[bytes]]

LINES: list[tuple[str, Spec]] = [
    (
        'openat(dfd=AT_FDCWD, filename="/x", flags=O_RDONLY|O_CLOEXEC) = 3',
        ("openat", (-100, A, 0x80000, 0), 3, [chunk(A, b"/x\0")], []),
    ),
    ('open(filename="x", flags=O_RDWR|O_CREAT, mode=0600) = 3', ("open", (A, 0o102, 0o600), 3, [chunk(A, b"x\0")], [])),
    ("getpid() = 100", ("getpid", (), 100, [], [])),
    ('read(fd=0, buf="x", count=9) = 1', ("read", (0, A, 9), 1, [], [chunk(A, b"x")])),
    ("pipe(fildes=[3, 4]) = 0", ("pipe", (A,), 0, [], [chunk(A, PAIR)])),
    ("nanosleep(rqtp=0x1000, rmtp=NULL) = 0", ("nanosleep", (A, 0), 0, [], [])),
    # what lies between is left out, and does not move the names
    ("futex(uaddr=0x1000, op=FUTEX_WAKE_BITSET, val=1, val3=0x2) = 0", ("futex", (A, 10, 1, B, C, 2), 0, [], [])),
    ("futex(uaddr=0x1000, op=FUTEX_LOCK_PI, utime=NULL) = 0", ("futex", (A, 6, 1, 0, C, 2), 0, [], [])),
    ("futex(uaddr=0x1000, op=FUTEX_REQUEUE, val=1, utime=2, uaddr2=0x3000) = 0", ("futex", (A, 3, 1, 2, C, 2), 0, [], [])),
    (
        "preadv2(fd=3, vec=NULL, vlen=0, pos_l=5, flags=RWF_HIPRI) = 0",
        ("preadv2", (3, 0, 0, 5, 0, 1), 0, [], []),
    ),
    # decided by another argument
    ("fcntl(fd=3, cmd=F_GETFD) = 0", ("fcntl", (3, 1, 0), 0, [], [])),
    ("fcntl(fd=3, cmd=F_SETFD, arg=FD_CLOEXEC) = 0", ("fcntl", (3, 2, 1), 0, [], [])),
    ("fcntl(fd=3, cmd=F_GETLK, arg=NULL) = 0", ("fcntl", (3, 5, 0), 0, [], [])),
    ("ioctl(fd=0, cmd=FIOCLEX) = 0", ("ioctl", (0, 0x5451, 0), 0, [], [])),
    ("ioctl(fd=0, cmd=FIONREAD, arg=[7]) = 0", ("ioctl", (0, 0x541B, A), 0, [], [chunk(A, struct.pack("<i", 7))])),
    ("prctl(option=PR_GET_DUMPABLE) = 1 (SUID_DUMP_USER)", ("prctl", (3, 0, 0, 0, 0), 1, [], [])),
    ('prctl(option=PR_GET_NAME, arg2="me") = 0', ("prctl", (16, A), 0, [], [chunk(A, b"me".ljust(16, b"\0"))])),
    (
        "prctl(option=PR_SET_NO_NEW_PRIVS, arg2=1, arg3=0, arg4=0, arg5=0x1) = 0",
        ("prctl", (38, 1, 0, 0, 1), 0, [], []),
    ),
    ("semctl(semid=1, semnum=2, cmd=IPC_STAT, arg=NULL) = 0", ("semctl", (1, 2, 2, 0), 0, [], [])),
    (
        "getsockopt(fd=3, level=SOL_SOCKET, optname=SO_ERROR, optval=[0], optlen=[4]) = 0",
        ("getsockopt", (3, 1, 4, A, B), 0, [chunk(B, PAIR[4:])], [chunk(A, bytes(4)), chunk(B, PAIR[4:])]),
    ),
    (
        "accept4(fd=3, upeer_sockaddr=NULL, upeer_addrlen=NULL, flags=SOCK_CLOEXEC) = 4",
        ("accept4", (3, 0, 0, 0x80000), 4, [], []),
    ),
    (
        "socketpair(family=AF_UNIX, type=SOCK_STREAM, protocol=0, usockvec=[3, 4]) = 0",
        ("socketpair", (1, 1, 0, A), 0, [], [chunk(A, PAIR)]),
    ),
    # as strace: a clone's own words, with and without -N; the mask that no argument holds; what goes on
    ("clone(child_stack=NULL, flags=SIGCHLD) = 7", ("clone", (17, 0, 0, 0, 0), 7, [], [])),
    ("rt_sigreturn(sigmask={mask=[]}) = 0", ("rt_sigreturn", (), 0, [], [])),
    ("restart_syscall(<... resuming interrupted system call ...>) = 0", ("restart_syscall", (), 0, [], [])),
    # the table has no names for this one
    (
        "epoll_ctl_old(arg1=1, arg2=2, arg3=3, arg4=NULL) = -1 ENOSYS (Function not implemented)",
        ("epoll_ctl_old", (1, 2, 3, 0), -38, [], []),
    ),
]


@pytest.mark.parametrize(("shown", "spec"), LINES, ids=[f"{i}-{spec[0]}" for i, (_, spec) in enumerate(LINES)])
def test_names(shown: str, spec: Spec) -> None:
    assert line(*spec, arg_names=1) == shown
    if spec[0] not in ("clone", "rt_sigreturn"):
        assert "=" not in line(*spec).rpartition(" = ")[0], "without -N there is no name"


def test_raw_arguments_and_unknown_calls_are_counted() -> None:
    assert line("openat", (-100, A, 0, 0), 3, arg_names=1, raw=EVERY) == (
        "openat(arg1=0xffffffffffffff9c, arg2=0x1000, arg3=0, arg4=0) = 0x3"
    )
    unknown = frame(lib.ST_EVENT_ENTRY, 999, struct.pack("<7Q", 1, 2, 3, 4, 5, 6, 0))
    after = frame(lib.ST_EVENT_EXIT, 999, struct.pack("<q", -38))
    assert text(unknown, after, arg_names=1) == (
        "syscall_0x3e7(arg1=0x1, arg2=0x2, arg3=0x3, arg4=0x4, arg5=0x5, arg6=0x6) = -1 ENOSYS (Function not implemented)\n"
    )


def test_a_name_stands_where_its_argument_is_shown() -> None:
    """On entry the comma is there, and the name comes with the value: strace's lines that end early have no name without one."""
    frames = [entry("read", 0, A, 9), entry("close", 3, tid=200), leave("close", 0, tid=200), leave("read", 1, [chunk(A, b"x")])]
    assert text(*frames, arg_names=1) == (
        'read(fd=0,  <unfinished ...>\nclose(fd=3) = 0\n<... read resumed>buf="x", count=9) = 1\n'
    )
    assert text(entry("nanosleep", A, 0), finish=True, arg_names=1) == "nanosleep(rqtp=0x1000 <unfinished ...>\n"
    assert text(entry("wait4", 7, A, 0, 0), frame(lib.ST_EVENT_END, 9), arg_names=1).splitlines()[0] == (
        "wait4(upid=7,  <unfinished ...>) = ?"
    )


def test_systemtaps_form_of_ptrace() -> None:
    """It names two of its arguments itself."""
    assert line("ptrace", (12, 7, 0, A), 0, stap=1, arg_names=1) == "ptrace(request=PTRACE_GETREGS, pid=7, data=0x1000) = 0"
    assert line("ptrace", (7, 7, 0, 0), 0, stap=1, arg_names=1) == "ptrace(request=PTRACE_CONT, pid=7, data=SIG_0) = 0"


# ---- all calls -----------------------------------------------------------------------------------------------------------

# Arguments that decide what the others are and are no named values of the table's.
DECIDING: dict[str, dict[int, Sequence[int]]] = {
    "futex": {1: range(16)},
    "ptrace": {0: [*range(34), *range(0x4200, 0x4212)]},
    "ioctl": {1: [0x5401, 0x5402, 0x5409, 0x540A, 0x540B, 0x5413, 0x5414, 0x541B, 0x5421, 0x5451, 0x1234]},
    "syslog": {0: range(12)},
    "sysfs": {0: range(5)},
    "shmctl": {1: range(20)},
    "msgctl": {1: range(20)},
    "semctl": {2: range(22)},
    "clone": {0: [17, 0x1000, 0x80000, 0x100000, 0x1380000, 0x1381011]},
    "socket": {0: [2, 10, 16, 17, 31]},
    "socketpair": {0: [2, 10, 16, 17, 31]},
    "setsockopt": {1: [0, 1, 6, 17, 41, 255, 263, 270]},
    "getsockopt": {1: [0, 1, 6, 17, 41, 255, 263, 270]},
    "mount": {3: [0, 0x20, 0x1000, 0xC0ED0000, 0xC0ED0001]},
    "mknod": {1: [0o20644, 0o60644, 0o100644]},
    "mknodat": {2: [0o20644, 0o60644, 0o100644]},
    "modify_ldt": {0: [0, 1, 0x11]},
    "mq_open": {1: [0, 0o100]},
    "io_submit": {1: [0, 1, -1]},
    "kexec_load": {1: [0, 1, 20]},
    "setgroups": {0: [0, 1, 70000]},
}


def value_of(i: int) -> int:
    """Such that it can be told from the others by its 16, 32 and 64 bits, in any base."""
    return 0x101111 * (i + 1)


def deciding(name: str, words: list[str]) -> Iterator[tuple[int, int]]:
    """Which argument, and a value for it."""
    for i, word in enumerate(words):
        known = SETS.get(word.lstrip("<>@").split(":")[0])
        if known:
            yield from ((i, value) for value in known[1].values())
    for i, values in DECIDING.get(name, {}).items():
        yield from ((i, value & MASK) for value in values)


def arguments() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Calls, with arguments that have their printers go all their ways."""
    for sysno, (words, _, _) in CALLS.items():
        name = table().by_number[sysno].name
        plain = [value_of(i) for i in range(6)]
        yield name, (0,) * 6
        yield name, tuple(plain)
        for i, value in deciding(name, words.split()):
            yield name, (*plain[:i], value, *plain[i + 1 :])


def frames() -> Iterator[Spec]:
    """The same with nothing to be read, with zeros; succeeding, and not."""
    for name, args in arguments():
        zeros = [chunk(address, bytes(512)) for address in args if address > 0x1000]
        for memory in ([], zeros):
            for result in (0, 8, -14):
                yield name, args, result, memory, memory


def split(shown: str) -> tuple[str, list[str], str]:
    """Before the arguments, the arguments, behind them: commas in brackets, strings and comments separate nothing."""
    start = shown.index("(") + 1
    found, depth, at = [""], 0, start
    while at < len(shown):
        token = re.compile(r'"(?:\\.|[^"\\])*"|/\*.*?\*/|<\.\.\..*\.\.\.>|, |.', re.DOTALL).match(shown, at)
        assert token
        word, at = token[0], token.end()
        if word == ")" and not depth:
            return shown[:start], found if found != [""] else [], shown[at - 1 :]
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(word, 0)
        if word == ", " and not depth:
            found.append("")
        else:
            found[-1] += word
    raise AssertionError(f"no end: {shown}")


NAME = re.compile(r"([A-Za-z_]\w*)=")


def names_of(name: str) -> list[str]:
    """Of a call's arguments; those that the table has none for are counted."""
    return [arg.name for arg in table().by_name[name].args] or [f"arg{i + 1}" for i in range(6)]


def test_nothing_but_names_is_added() -> None:
    """Each argument has one, of the call's own, in the call's order; without them the line is what it is without -N."""
    seen: set[str] = set()
    for spec in frames():
        plain, named = line(*spec), line(*spec, arg_names=1)
        if spec[0] == "clone":
            assert named == plain
            continue
        before, found, behind = split(named)
        if spec[0] in ("rt_sigreturn", "restart_syscall"):
            continue
        matches = [NAME.match(argument) for argument in found]
        assert all(matches), named
        order = [names_of(spec[0]).index(match[1]) for match in matches if match]
        assert order == sorted(set(order)), named
        bare = [argument[match.end() :] for argument, match in zip(found, matches, strict=True) if match]
        assert before + ", ".join(bare) + behind == plain
        assert not any(NAME.match(argument) for argument in split(plain)[1]), plain
        seen.add(spec[0])
    assert len(seen) == len(CALLS) - 3


def number(shown: str) -> int | None:
    """A number in C's form."""
    if not re.fullmatch(r"-?(0|0x[0-9a-f]+|0[0-7]+|[1-9]\d*)", shown):
        return None
    return int(shown, 8) if re.fullmatch(r"0\d+", shown) else int(shown, 0)


# Arguments that are no one number even with -X raw.
COMPOSED = {
    ("fanotify_init", 0),
    ("futex_wait", 3),
    ("futex_wake", 3),
    ("ioprio_set", 2),
    ("kexec_load", 3),
    ("msgget", 1),
    ("personality", 0),
    ("quotactl", 0),
    ("quotactl_fd", 1),
    ("semget", 2),
    ("shmget", 2),
    ("socket", 1),
    ("socketpair", 1),
    ("swapon", 1),
}


def test_each_name_is_its_values() -> None:
    """Numbers are arguments' own values, which differ: each stands behind the name of its place."""
    told: set[tuple[str, int]] = set()
    untold: set[tuple[str, int]] = set()
    for name, args in arguments():
        if name in ("clone", "rt_sigreturn", "restart_syscall"):
            continue
        shown = line(name, args, -14, arg_names=1, names=lib.ST_NAMES_RAW)
        for argument in split(shown)[1]:
            label, _, value = argument.partition("=")
            given = number(value)
            at = names_of(name).index(label)
            if given is None or not given:
                untold.add((name, at))
                continue
            same = {i for i in range(6) if given == args[i] & 0xFFFF or (given ^ args[i]) & 0xFFFFFFFF == 0}
            assert at in same, shown
            if len(same) == 1:
                told.add((name, at))
    assert untold - told == COMPOSED
