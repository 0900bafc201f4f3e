"""Frames made by hand, and the text that the formatter makes of them."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

from selftrace._native import ffi, lib

from selftrace.calls import _x86_64 as calls

HEADER = ffi.sizeof("struct st_event")
TID = 100
MASK = (1 << 64) - 1


def chunk(address: int, data: bytes, kind: int = 0) -> bytes:
    """What was in memory at `address`."""
    return struct.pack("<QII", address & MASK, len(data), kind) + data + bytes(-len(data) % 8)


def link(fd: int, path: str) -> bytes:
    """What a descriptor stands for."""
    return chunk(fd, path.encode(), kind=lib.ST_CHUNK_FD)


def frame(kind: int, sysno: int, body: bytes = b"", *, tid: int = TID, pid: int = TID, time_ns: int = 0, flags: int = 0) -> bytes:
    """One frame."""
    head = struct.pack("<QIIQiiHHi", lib.ST_EVENT_STAMP, HEADER + len(body), 0, time_ns, pid, tid, kind, flags, sysno)
    return head + body


def number(name: str) -> int:
    return int(calls.CALLS[name][0])


def entry(name: str, *args: int, memory: Iterable[bytes] = (), site: int = 0x401000, **head: Any) -> bytes:
    """A call is entered."""
    six = [a & MASK for a in (*args, *(0,) * (6 - len(args)))]
    return frame(lib.ST_EVENT_ENTRY, number(name), struct.pack("<7Q", *six, site) + b"".join(memory), **head)


def leave(name: str, result: int, memory: Iterable[bytes] = (), **head: Any) -> bytes:
    """A call returns."""
    return frame(lib.ST_EVENT_EXIT, number(name), struct.pack("<q", result) + b"".join(memory), **head)


def text(*frames: bytes, finish: bool = False, **options: Any) -> str:
    """The lines of some frames. Options are fields of st_lines_options; `abbrev=False` is -v."""
    given = ffi.new("struct st_lines_options *")
    lib.st_lines_defaults(given)
    given.column = options.pop("column", 0)
    if not options.pop("abbrev", True):
        for i in range(lib.ST_TRACE_BITS):
            given.abbrev[i] = 0
    for name, value in options.items():
        setattr(given, name, value)
    lines = lib.st_lines_new(given)
    try:
        data = b"".join(frames)
        lib.st_lines_feed(lines, ffi.from_buffer(data), len(data))
        if finish:
            lib.st_lines_finish(lines, 0)
        tid, size = ffi.new("int32_t *"), ffi.new("uint64_t *")
        at = lib.st_lines_text(lines, tid, size)
        return "" if at == ffi.NULL else bytes(ffi.buffer(at, size[0])).decode()
    finally:
        lib.st_lines_free(lines)


def line(
    name: str, args: tuple[int, ...], result: int, memory: Iterable[bytes] = (), after: Iterable[bytes] = (), **options: Any
) -> str:
    """One call's line, without its end."""
    return text(entry(name, *args, memory=memory), leave(name, result, after), **options).removesuffix("\n")
