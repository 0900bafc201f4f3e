"""Runs inside a run: makes each exec of a list in a child, and prints as JSON how it ended. Standard library only."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import signal
import stat
import sys
from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
EXECVE, EXECVEAT = 59, 322
FDCWD = -100
EMPTY_PATH, NOFOLLOW = 0x1000, 0x100
BAD = 0x10
Words = "list[bytes | int] | int | None"


def words(values: list[bytes | int] | int | None) -> ctypes.c_void_p:
    """A NULL-terminated array; a number is a pointer as it is."""
    if values is None or isinstance(values, int):
        return ctypes.c_void_p(values)
    array = (ctypes.c_void_p * (len(values) + 1))()
    for n, value in enumerate(values):
        array[n] = value if isinstance(value, int) else ctypes.cast(ctypes.c_char_p(value), ctypes.c_void_p).value
    KEEP.append((array, values))
    return ctypes.cast(array, ctypes.c_void_p)


KEEP: list[object] = []


def execve(path: bytes | int, argv: list[bytes | int] | int | None = None, envp: list[bytes | int] | int | None = None) -> int:
    """The call itself; returns its errno."""
    pointer = ctypes.c_char_p(path) if isinstance(path, bytes) else ctypes.c_void_p(path)
    LIBC.syscall(
        EXECVE, pointer, words([b"name", b"one", b"two"] if argv is None else argv), words([b"A=b"] if envp is None else envp)
    )
    return ctypes.get_errno()


def execveat(fd: int, path: bytes, flags: int, argv: list[bytes | int] | None = None) -> int:
    LIBC.syscall(EXECVEAT, fd, ctypes.c_char_p(path), words(argv or [b"name", b"one"]), words([b"A=b"]), flags)
    return ctypes.get_errno()


def descriptors() -> list[tuple[str, str]]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append((name, os.readlink(f"/proc/self/fd/{name}")))
        except OSError:
            pass  # the listing's own
    return sorted(found)


def mappings() -> list[bytes]:
    """Without the heap: Python's own grows as it likes."""
    fd = os.open("/proc/self/maps", os.O_RDONLY)
    text = b""
    while piece := os.read(fd, 65536):
        text += piece
    os.close(fd)
    return [line for line in text.splitlines() if b"[heap]" not in line]


def refused(do: Callable[[], int]) -> str:
    """Makes an exec that fails, some times, and says whether the last left anything."""
    errors, fds, maps = [], [], []
    for _ in range(4):
        errors.append(do())
        KEEP.clear()
        fds.append(descriptors())
        maps.append(mappings())
    left = [name for name, seen in (("descriptors", fds), ("mappings", maps)) if seen[2] != seen[3]]
    return f"errno {' '.join(map(str, sorted(set(errors))))}" + "".join(f", {name} are left" for name in left)


def attempt(do: Callable[[], int]) -> list[object]:
    """How it ended: wait status, and what was printed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.closerange(3, 1000)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            text = refused(do)
        except BaseException as error:  # what went wrong is the outcome
            text = f"{type(error).__name__}: {error}"
        os.write(1, text.encode())
        os._exit(0)
    os.close(writing)
    output = b""
    while piece := os.read(reading, 65536):
        output += piece
    os.close(reading)
    status = os.waitpid(pid, 0)[1]
    if os.path.exists("written"):
        with open("written", "rb") as more:
            output += more.read()
        os.unlink("written")
    return [os.waitstatus_to_exitcode(status), output.decode("utf-8", "backslashreplace")]


def opened(path: str, flags: int = os.O_RDONLY, *, kept: bool = True) -> int:
    fd = os.open(path, flags)
    os.set_inheritable(fd, kept)
    return fd


def copied(path: bytes) -> bytes:
    with open("shown", "rb") as source, open(path, "wb") as target:
        target.write(source.read())
        os.fchmod(target.fileno(), 0o755)
    return b"./" + path


def deleted() -> int:
    copied(b"gone")
    fd = opened("gone")
    os.unlink("gone")
    return fd


def closing(fd: int, path: bytes, flags: int, *argv: bytes) -> int:
    """An exec that may be expected to fail: the descriptor is closed again."""
    try:
        return execveat(fd, path, flags, list(argv) or None)
    finally:
        os.close(fd)


def in_memory(name: str, flags: int = 0) -> int:
    fd = os.memfd_create("kept", flags)
    with open(name, "rb") as source:
        os.write(fd, source.read())
    return fd


def written() -> int:
    """A program that is open for writing."""
    fd = os.open("busy", os.O_WRONLY)
    try:
        return execve(b"./busy")
    finally:
        os.close(fd)


def with_signals(
    *, ignored: tuple[int, ...] = (), blocked: tuple[int, ...] = (), sent: tuple[int, ...] = (), handled: tuple[int, ...] = ()
) -> int:
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    for number in handled:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    for number in sent:
        os.kill(os.getpid(), number)
    return execve(b"./shown")


def without(*closed: int) -> int:
    for fd in closed:
        os.close(fd)
    return execve(b"./shown", [b"shown", b"--to", b"written"])


def then(*steps: object) -> int:
    """The last of them; the others for what they do."""
    return int(steps[-1])  # type: ignore[call-overload]


def limited(which: int, soft: int, path: bytes) -> int:
    resource.setrlimit(which, (soft, resource.getrlimit(which)[1]))
    return execve(path)


def few() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def special() -> dict[str, Callable[[], int]]:
    """Calls that are more than a path."""
    cases: dict[str, Callable[[], int]] = {
        "bad path": lambda: execve(BAD),
        "null path": lambda: execve(0),
        "bad argv": lambda: execve(b"./shown", BAD),
        "bad string in argv": lambda: execve(b"./shown", [b"x", BAD]),
        "bad envp": lambda: execve(b"./shown", None, BAD),
        "bad string in envp": lambda: execve(b"./shown", None, [BAD]),
        "bad argv of what is missing": lambda: execve(b"./missing", BAD),
        "null argv": lambda: execve(b"./shown", 0),
        "null argv of a script": lambda: execve(b"./script", 0),
        "empty argv": lambda: execve(b"./shown", []),
        "null envp": lambda: execve(b"./shown", None, 0),
        "empty words": lambda: execve(b"./shown", [b"", b"", b"x"], [b"", b"B"]),
        "argv[0] of its own": lambda: execve(b"./shown", [b"-login shell"]),
        "absolute": lambda: execve(os.path.realpath("shown").encode()),
        "through a link": lambda: execve(b"./link"),
        "through the path's dots": lambda: execve(b"./directory/../shown"),
        "a long string": lambda: execve(b"./shown", [b"x" * 131072]),
        "the longest string": lambda: execve(b"./shown", [b"x" * 131071]),
        "too much": lambda: execve(b"./shown", [b"x" * 100000] * 40),
        "much": lambda: execve(b"./shown", [b"x" * 100000] * 15),
        "many": lambda: execve(b"./shown", [b"x"] * 50000),
        "far too many": lambda: execve(b"./shown", [b""] * 1200000),
        "too long a path": lambda: execve(b"/" + b"x/" * 3000),
        "too long a name": lambda: execve(b"./" + b"x" * 300),
        "no path": lambda: execve(b""),
        "by descriptor": lambda: closing(opened("shown"), b"", EMPTY_PATH),
        "by descriptor that closes": lambda: closing(opened("shown", kept=False), b"", EMPTY_PATH),
        "by a path's descriptor": lambda: closing(opened("shown", os.O_PATH), b"", EMPTY_PATH),
        "by a directory": lambda: closing(opened("directory"), b"../shown", 0),
        "by a directory that closes": lambda: closing(opened("directory", kept=False), b"../shown", 0),
        "script by descriptor": lambda: closing(opened("script"), b"", EMPTY_PATH),
        "script by descriptor that closes": lambda: closing(opened("script", kept=False), b"", EMPTY_PATH),
        "script by a directory": lambda: closing(opened("."), b"script", 0),
        "script by a directory that closes": lambda: closing(opened(".", kept=False), b"script", 0),
        "script by the directory that closes, whole path": lambda: closing(
            opened(".", kept=False), os.path.realpath("script").encode(), 0
        ),
        "descriptor without the flag": lambda: closing(opened("shown"), b"", 0),
        "descriptor of a directory": lambda: closing(opened("."), b"", EMPTY_PATH),
        "bad descriptor": lambda: execveat(77, b"", EMPTY_PATH),
        "bad directory": lambda: execveat(77, b"shown", 0),
        "no directory": lambda: closing(opened("shown"), b"shown", 0),
        "the working directory": lambda: execveat(FDCWD, b"", EMPTY_PATH),
        "bad flags": lambda: execveat(FDCWD, b"./shown", 0x800000),
        "link not followed": lambda: execveat(FDCWD, b"./link", NOFOLLOW),
        "no link": lambda: execveat(FDCWD, b"./shown", NOFOLLOW),
        "deleted": lambda: closing(deleted(), b"", EMPTY_PATH),
        "in memory": lambda: closing(in_memory("shown"), b"", EMPTY_PATH),
        "in memory, closes": lambda: closing(in_memory("shown", os.MFD_CLOEXEC), b"", EMPTY_PATH),
        "deleted, starts itself": lambda: closing(deleted(), b"", EMPTY_PATH, b"x", b"--again"),
        "in memory, starts itself": lambda: closing(in_memory("shown"), b"", EMPTY_PATH, b"x", b"--again"),
        "starts itself": lambda: execve(b"./shown", [b"x", b"--again"]),
        "moved while it runs": lambda: execve(copied(b"here"), [b"x", b"--move", b"here", b"there"]),
        "script in memory": lambda: closing(in_memory("script"), b"", EMPTY_PATH),
        "being written": written,
        "ignored signals": lambda: with_signals(ignored=(1, 2, 13, 7, 11, 31, 40), handled=(10, 12)),
        "blocked signals": lambda: with_signals(blocked=(1, 2, 7, 11, 31, 64)),
        "pending signals": lambda: with_signals(blocked=(10, 31, 35), sent=(10, 31, 35)),
        "all blocked": lambda: with_signals(blocked=tuple(signal.valid_signals())),
        "umask": lambda: then(os.umask(0o137), execve(b"./shown")),
        "directory": lambda: then(os.chdir("directory"), execve(b"../shown")),
        "no descriptors": lambda: without(0, 1, 2),
        "no input": lambda: without(0),
        "kept and closed": lambda: then(os.dup2(0, 5), os.dup2(0, 9, False), os.dup2(0, 40), execve(b"./shown")),
        "not moved": lambda: then(LIBC.personality(0x40000), execve(b"./shown")),
        "not moved, fixed": lambda: then(LIBC.personality(0x40000), execve(b"./shown-fixed")),
        "unlimited stack": lambda: limited(resource.RLIMIT_STACK, resource.getrlimit(resource.RLIMIT_STACK)[1], b"./shown"),
        "small stack": lambda: limited(resource.RLIMIT_STACK, 256 << 10, b"./shown"),
        "little address space": lambda: limited(resource.RLIMIT_AS, 200 << 20, b"./shown"),
        "little data": lambda: limited(resource.RLIMIT_DATA, 20 << 20, b"./shown"),
        "few descriptors": lambda: limited(resource.RLIMIT_NOFILE, 64, b"./shown"),
        "few descriptors, starts itself": lambda: then(few(), execve(b"./shown", [b"x", b"--again"])),
        "ld.so by name": lambda: execve(LDSO.encode(), [b"ld.so", os.path.realpath("shown").encode()]),
        "from a thread": in_thread,
        "after vfork in other threads": crowded,
    }
    return cases


LDSO = "/lib64/ld-linux-x86-64.so.2"


def in_thread() -> int:
    import threading

    thread = threading.Thread(target=execve, args=(b"./shown",))
    thread.start()
    thread.join()
    return -1


def crowded() -> int:
    """Seven threads that do other things while this one execs."""
    import threading

    for _ in range(7):
        threading.Thread(target=lambda: [os.stat(".") for _ in range(1 << 30)], daemon=True).start()
    return execve(b"./shown")


def plain(path: str) -> Callable[[], int]:
    return lambda: execve(os.fsencode(path))


def main() -> None:
    with open("files.json") as listed:
        cases = {name: plain(path) for name, path in json.load(listed).items()}
    cases |= special()
    chosen = sys.argv[1:] or list(cases)
    os.umask(0o022)
    if not os.path.exists("fifo"):
        os.mkfifo("fifo")
    results = {}
    for name in chosen:
        results[name] = attempt(cases[name])
    assert stat.S_ISFIFO(os.stat("fifo").st_mode)
    assert fcntl.fcntl(1, fcntl.F_GETFD) >= 0
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
