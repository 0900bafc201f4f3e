"""Which file lies where, by made-up events, and what is found in a stack by it."""

from __future__ import annotations

import ctypes
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from selftrace._native import ffi, lib
from trace_frames import TID, chunk, entry, frame, leave, link, text

from selftrace.events.stacks import NativeFrame, NativeStacks

pytestmark = pytest.mark.skipif(lib.st_stacks_missing() != ffi.NULL, reason="libdw is not installed (Debian: libdw1)")
SIZE = 0x400000
AT, ELSEWHERE = 0x7F0000000000, 0x7E0000000000
EXECUTABLE, FIXED_PRIVATE = 5, 0x12


def _libc() -> tuple[str, int]:
    """The C library's file, and where in it getppid begins."""
    address = ctypes.cast(ctypes.CDLL(None).getppid, ctypes.c_void_p).value or 0
    lines = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines() if "/" in line]
    mapped = [(*(int(at, 16) for at in words[0].split("-")), words[5]) for words in lines]
    path = next(path for low, high, path in mapped if low <= address < high)
    return path, address - min(low for low, _, other in mapped if other == path)


LIBC, GETPPID = _libc()


def registers(rip: int, rsp: int = 0x1000) -> bytes:
    words = [0] * lib.ST_STACK_REGISTERS
    words[-1], words[-2] = rip, rsp
    return chunk(rsp, struct.pack(f"<{len(words)}Q", *words), kind=lib.ST_CHUNK_REGISTERS)


def stack(*words: int, rsp: int = 0x1000) -> bytes:
    return chunk(rsp, struct.pack(f"<{len(words)}Q", *words), kind=lib.ST_CHUNK_STACK)


def call(rip: int, *words: int, pid: int = TID) -> bytes:
    return entry("getppid", memory=[registers(rip), stack(*words)], pid=pid, tid=pid)


def execed(at: int = AT, path: str = LIBC, pid: int = TID) -> bytes:
    made = chunk(at, struct.pack("<Q", at + SIZE) + path.encode(), kind=lib.ST_CHUNK_OBJECT)
    return frame(lib.ST_EVENT_EXEC, pid, made, pid=pid, tid=pid)


def mapped(at: int, size: int = SIZE, path: str = LIBC, pid: int = TID) -> list[bytes]:
    head = {"pid": pid, "tid": pid}
    return [entry("mmap", at, size, EXECUTABLE, FIXED_PRIVATE, 3, 0, memory=[link(3, path)], **head), leave("mmap", at, **head)]


@pytest.fixture
def stacks() -> Iterator[NativeStacks]:
    found = NativeStacks()
    yield found
    found.close()


def feed(stacks: NativeStacks, *frames: bytes) -> None:
    for one in frames:
        stacks.feed(one)


def found(stacks: NativeStacks, base: int = AT, pid: int = TID) -> list[str | None]:
    """What is known of a call in getppid that returns to itself."""
    return [one.object for one in stacks.of(call(base + GETPPID + 7, base + GETPPID + 1, 0, pid=pid))]


def test_what_the_loader_has_mapped(stacks: NativeStacks) -> None:
    feed(stacks, execed())
    first, second = stacks.of(call(AT + GETPPID + 7, AT + GETPPID + 1, 0))[:2]
    assert first.symbol is not None
    assert "getppid" in first.symbol
    assert (first.object, first.offset, first.address, first.pc) == (LIBC, 7, GETPPID + 7, AT + GETPPID + 7)
    assert (second.object, second.address) == (LIBC, GETPPID)  # the instruction before, as of any call


def test_nothing_is_known(stacks: NativeStacks) -> None:
    assert stacks.of(call(0x1234, 0)) == (NativeFrame(0x1234),)
    assert stacks.of(entry("getppid")) == ()
    assert stacks.of(None) == ()


def test_mmap_munmap_mremap(stacks: NativeStacks) -> None:
    feed(stacks, *mapped(AT))
    assert found(stacks)[:2] == [LIBC, LIBC]
    feed(stacks, entry("munmap", AT, SIZE), leave("munmap", -22))
    assert found(stacks)[0] == LIBC  # it failed
    feed(stacks, entry("mremap", AT, SIZE, SIZE, 3, ELSEWHERE), leave("mremap", ELSEWHERE))
    assert set(found(stacks)) == {None}
    assert found(stacks, ELSEWHERE)[0] == LIBC
    feed(stacks, entry("munmap", ELSEWHERE, SIZE), leave("munmap", 0))
    assert found(stacks, ELSEWHERE) == [None]


def test_a_hole_and_something_else_in_it(stacks: NativeStacks) -> None:
    page = AT + (GETPPID & ~4095)
    feed(stacks, *mapped(AT), entry("munmap", page, 4096), leave("munmap", 0))
    assert set(found(stacks)) == {None}
    assert [one.object for one in stacks.of(call(page - 8, 0))] == [LIBC]
    assert [one.object for one in stacks.of(call(page + 4096, 0))] == [LIBC]
    feed(stacks, entry("mmap", page, 4096, EXECUTABLE, 0x32, -1 & 0xFFFFFFFF, 0), leave("mmap", page))
    assert set(found(stacks)) == {None}


def test_children_have_what_their_parents_had(stacks: NativeStacks) -> None:
    feed(stacks, execed(), frame(lib.ST_EVENT_TASK, TID, pid=TID, tid=TID + 1))  # a thread
    feed(stacks, frame(lib.ST_EVENT_TASK, TID + 1, pid=TID + 5, tid=TID + 5))  # which forks
    assert found(stacks, pid=TID + 5)[0] == LIBC
    feed(stacks, execed(ELSEWHERE, pid=TID + 5))
    assert found(stacks, pid=TID + 5) == [None]
    assert found(stacks, ELSEWHERE, pid=TID + 5)[0] == LIBC
    assert found(stacks)[0] == LIBC
    feed(stacks, frame(lib.ST_EVENT_END, 0, pid=TID, tid=TID))
    assert found(stacks)[0] == LIBC  # its threads may go on


@pytest.mark.parametrize("path", ["/nonexistent", "/etc/passwd", "/dev/null", "/usr"])
def test_a_file_that_is_no_library(stacks: NativeStacks, path: str) -> None:
    feed(stacks, execed(path=path))
    assert stacks.of(call(AT + 64, 0))[0].object in (path, None)


def test_below_a_signal_handler_it_goes_on(stacks: NativeStacks) -> None:
    ours = lib.ST_BLOB_BASE + 0x1234
    words = [0] * 17
    words[-1], words[-2] = AT + GETPPID + 3, 0x9000
    feed(stacks, execed())
    seen = stacks.of(call(AT + GETPPID + 7, ours, *[0] * 5, *words, *[0] * 8))
    assert [one.offset for one in seen] == [7, 3]


def test_frames_that_are_damaged_or_lie(stacks: NativeStacks) -> None:
    chance = random.Random(1)
    good = [
        *mapped(AT),
        execed(),
        call(AT + GETPPID + 7, AT + GETPPID, 0),
        entry("mremap", AT, 1, 1),
        leave("mremap", -(1 << 63)),
    ]
    for _ in range(2000):
        one = bytearray(chance.choice(good))
        for _ in range(chance.randrange(4)):
            one[chance.randrange(ffi.sizeof("struct st_event"), len(one))] = chance.randrange(256)
        cut = bytes(one[: len(one) - chance.choice((0, 0, 8, 24))])
        stacks.feed(cut)
        stacks.of(cut)


def test_a_python_stack_as_lines() -> None:
    lines = chunk(0, b"/a:b/c.py:12:inner\n<string>:1:<module>\nnonsense\n", kind=lib.ST_CHUNK_PYTHON)
    shown = text(entry("getppid", memory=[lines]), leave("getppid", 1))
    assert shown == "getppid() = 1\n > /a:b/c.py:12 (inner)\n > <string>:1 (<module>)\n"


def test_an_event_that_is_only_there_for_stacks_is_not_shown() -> None:
    hidden = [entry("getppid", flags=lib.ST_EVENT_UNSHOWN), leave("getppid", 1, flags=lib.ST_EVENT_UNSHOWN)]
    assert text(*hidden, entry("getpid"), leave("getpid", 2)) == "getpid() = 2\n"
