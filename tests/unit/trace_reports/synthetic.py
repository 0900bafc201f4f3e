"""Traces made up for the tests: a small program's, and as many random calls as wanted."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

from selftrace.calls import errno_value, table
from selftrace.events import frames
from selftrace.events.capture import CaptureWriter, Metadata

START_NS = 5_000_000_000
REALTIME_NS = 1_700_000_000_000_000_000
METADATA = Metadata("0.1.0", "x86_64", ("sh", "-c", "make all"), START_NS, REALTIME_NS, 32, 100)
AT_FDCWD = -100
TEXT, BUFFER, OTHER = 0x7F0000001000, 0x7F0000002000, 0x7F0000003000


def sysno(name: str) -> int:
    return table().by_name[name].sysno


def memory(address: int, data: bytes) -> tuple[int, int, bytes]:
    return address, frames.MEMORY, data


class Program:
    """Makes frames as a program would: each call advances the clock."""

    def __init__(self, pid: int = 100) -> None:
        self.pid = pid
        self.now = START_NS
        self.frames: list[bytes] = []

    def enter(self, name: str, *args: int, tid: int = 0, chunks: tuple = (), flags: int = 0) -> None:
        number = sysno(name) if not name.isdigit() else int(name)
        self.frames.append(
            frames.make_frame(frames.ENTRY, self.now, self.pid, tid or self.pid, number, args=args, chunks=chunks, flags=flags)
        )

    def leave(self, name: str, result: int | str, *, tid: int = 0, after: int = 1000, chunks: tuple = (), flags: int = 0) -> None:
        self.now += after
        number = sysno(name) if not name.isdigit() else int(name)
        value = -errno_value(result) if isinstance(result, str) else result
        self.frames.append(
            frames.make_frame(frames.EXIT, self.now, self.pid, tid or self.pid, number, result=value, chunks=chunks, flags=flags)
        )
        self.now += 100

    def call(
        self, name: str, *args: int, result: int | str = 0, after: int = 1000, into: tuple = (), out: tuple = (), flags: int = 0
    ) -> None:
        self.enter(name, *args, chunks=into)
        self.leave(name, result, after=after, chunks=out, flags=flags)

    def other(self, kind: int, number: int, *, tid: int = 0, chunks: tuple = ()) -> None:
        self.frames.append(frames.make_frame(kind, self.now, self.pid, tid or self.pid, number, chunks=chunks))
        self.now += 100


def small() -> list[bytes]:
    """One of everything."""
    p = Program()
    p.call("openat", AT_FDCWD, TEXT, 0o2000000, 0, result=3, into=(memory(TEXT, b"/etc/hosts\0"),))
    p.call("read", 3, BUFFER, 4096, result=5, after=2000, out=(memory(BUFFER, b"hello"), (3, frames.FD_LINK, b"/etc/hosts")))
    p.call("openat", AT_FDCWD, TEXT, 0o101, 0o644, result="ENOENT", into=(memory(TEXT, b"/no/\xff\0"),))
    address = struct.pack("=H", 2) + struct.pack(">H", 80) + bytes([127, 0, 0, 1]) + bytes(8)
    p.call("connect", 4, OTHER, 16, result="ECONNREFUSED", into=(memory(OTHER, address),), flags=frames.INJECTED)
    p.call("lseek", 3, -1, 0, result="EINVAL")
    p.call("999", 1, 2, 3, 4, 5, 6, result="ENOSYS")
    p.other(frames.TASK, 100, tid=101)
    p.enter("futex", OTHER, 128, 1, 0, tid=101)
    p.other(frames.SIGNAL, 17, chunks=(memory(0, struct.pack("<iiiiiIi", 17, 0, 1, 0, 102, 1000, 3) + bytes(100)),))
    p.other(frames.LOST, 7)
    p.call("write", 1, BUFFER, 3, result=3, into=(memory(BUFFER, b"\xff\x00a"),))
    p.enter(
        "execve",
        TEXT,
        BUFFER,
        0,
        chunks=(memory(TEXT, b"/bin/true\0"), memory(BUFFER, struct.pack("<QQ", OTHER, 0)), memory(OTHER, b"true\0")),
    )
    p.other(frames.EXEC, 100)
    p.enter("exit_group", 3, flags=frames.NO_RETURN)
    p.other(frames.END, 3 << 8)
    return p.frames


def many(count: int, seed: int = 1) -> Iterator[bytes]:
    """Frames of `count` calls by a few processes and threads."""
    chance = random.Random(seed)
    who = [(100 + n - n % 3, 100 + n) for n in range(9)]
    clock = {tid: START_NS + n * 40_000 for n, (_, tid) in enumerate(who)}
    names = ["openat", "read", "close", "newfstatat", "mmap", "write", "futex", "connect", "getppid", "epoll_wait"]
    numbers = [sysno(name) for name in names]
    weights = [20, 25, 15, 15, 6, 10, 4, 1, 3, 1]
    paths = [b"/usr/lib/python3/dist-packages/module%d.py\0" % n for n in range(200)] + [b"/etc/ld.so.cache\0", b"/dev/null\0"]
    for pick in chance.choices(range(len(names)), weights, k=count):
        pid, tid = chance.choice(who)
        name = names[pick]
        into = (memory(TEXT, chance.choice(paths)),) if name in ("openat", "newfstatat") else ()
        result = {"openat": 3, "read": 832, "write": 17, "mmap": 0x7F3300000000}.get(name, 0)
        if name in ("openat", "newfstatat") and chance.random() < 0.2:
            result = -2
        args = (3, BUFFER, 4096) if name in ("read", "write") else (AT_FDCWD, TEXT, 0o2000000) if into else (3, 0, 0)
        out = (memory(BUFFER, b"the first thirty-two bytes of it"),) if name == "read" else ()
        begin = clock[tid] + int(chance.expovariate(1 / 8000))
        end = begin + int(chance.expovariate(1 / (900_000 if name in ("futex", "epoll_wait") else 3000))) + 200
        clock[tid] = end
        yield frames.make_frame(frames.ENTRY, begin, pid, tid, numbers[pick], args=args, chunks=into)
        yield frames.make_frame(frames.EXIT, end, pid, tid, numbers[pick], result=result, chunks=out)


def write(path: Path, source: object, metadata: Metadata = METADATA) -> Path:
    with CaptureWriter(path, metadata) as writer:
        for frame in source:  # type: ignore[attr-defined]
            writer.add(frame)
    return path
