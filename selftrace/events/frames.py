"""Frames of trace events as bytes: `struct st_event` of native/selftrace.h and what follows it.

A frame is 40 bytes of head, 56 more for an entry or 8 for an exit, then chunks: what was in the program's memory. All
little-endian. Needs no native part; with it, whole blocks of frames are checked in C.
"""

from __future__ import annotations

from struct import Struct, unpack_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

STAMP = 0x746E657665747321
"""What a frame begins with in a capture file."""
LONGEST = 16384
ENTRY, EXIT, SIGNAL, EXEC, TASK, END, CLOCK, LOST = range(1, 9)
INJECTED, DELAYED, RESTART, NO_RETURN, CUT, REFUSED, CANCELLED, GROUP = 1, 2, 4, 8, 16, 32, 64, 128
SIGNALLED, POKED, SUCCESS = 512, 1024, 2048
UNSHOWN = 256
MEMORY, FD_LINK, REGISTERS, PYTHON = range(4)

HEAD = Struct("<QIIQiiHHi")
"""stamp, size, checksum, time in ns, pid, tid, kind, flags, sysno."""
ENTRY_BODY = Struct("<6QQ")
ARGS = Struct("<6Q")
EXIT_BODY = Struct("<q")
_CHUNK = Struct("<QII")
_SIZES = {ENTRY: HEAD.size + ENTRY_BODY.size, EXIT: HEAD.size + EXIT_BODY.size}
_MASK32, _MASK64 = (1 << 32) - 1, (1 << 64) - 1


def body_end(kind: int) -> int:
    """Where the chunks of a frame begin: the least that a frame of this kind is long."""
    return _SIZES.get(kind, HEAD.size)


def checksum(frame: bytes) -> int:
    """The checksum of a frame whose checksum field is 0: native/trace/frame.h says how."""
    total: int = sum(unpack_from(f"<{len(frame) // 8 - 1}Q", frame, 8)) & _MASK64
    return (total + (total >> 32)) & _MASK32


def make_frame(
    kind: int,
    time_ns: int,
    pid: int,
    tid: int,
    sysno: int,
    *,
    flags: int = 0,
    args: Sequence[int] = (),
    site: int = 0,
    result: int = 0,
    chunks: Iterable[tuple[int, int, bytes]] = (),
) -> bytes:
    """A frame. args and site: of an entry; result: of an exit; chunks: (address, kind, bytes).

    Raises ValueError if it is too long for a frame.
    """
    parts = [HEAD.pack(STAMP, 0, 0, time_ns, pid, tid, kind, flags, sysno)]
    if kind == ENTRY:
        parts.append(ENTRY_BODY.pack(*[value & _MASK64 for value in (*args, *[0] * (6 - len(args)))], site))
    elif kind == EXIT:
        parts.append(EXIT_BODY.pack(result))
    for address, chunk_kind, data in chunks:
        parts += [_CHUNK.pack(address & _MASK64, len(data), chunk_kind), data, bytes(-len(data) % 8)]
    frame = b"".join(parts)
    if len(frame) > LONGEST:
        raise ValueError(f"a frame of {len(frame)} bytes: at most {LONGEST} are possible")
    frame = frame[:8] + len(frame).to_bytes(4, "little") + frame[12:]
    return frame[:12] + checksum(frame).to_bytes(4, "little") + frame[16:]


def chunks(frame: bytes, kind: int) -> Iterator[tuple[int, int, bytes]]:
    """(address, kind, bytes) of each chunk in a frame of this kind; ends where they make no sense."""
    at, end = body_end(kind), len(frame)
    while at + _CHUNK.size <= end:
        address, size, chunk_kind = _CHUNK.unpack_from(frame, at)
        at += _CHUNK.size
        if at + size > end:
            return
        yield address, chunk_kind, frame[at : at + size]
        at += size + (-size & 7)


def _native() -> tuple[Any, Any] | None:
    try:
        from selftrace._native import ffi, lib
    except ImportError:
        return None
    return (ffi, lib) if hasattr(lib, "st_frames_whole") else None


def _find_in_python(block: bytes) -> tuple[list[int], int, bool]:
    offsets: list[int] = []
    at, size = 0, len(block)
    while size - at >= 16:
        stamp, length, total = unpack_from("<QII", block, at)
        if stamp != STAMP or length % 8 or not HEAD.size <= length <= LONGEST:
            return offsets, at, True
        if size - at < length:
            break
        frame = block[at : at + length]
        kind = int.from_bytes(frame[32:34], "little")
        if length < body_end(kind) or checksum(frame[:12] + bytes(4) + frame[16:]) != total:
            return offsets, at, True
        offsets.append(at)
        at += length
    return offsets, at, False


class Finder:
    """Finds the whole frames at the start of a block: calling it gives (where each begins, where the last ends, whether
    what follows there is no frame)."""

    def __init__(self, *, native: bool = True) -> None:
        self._found = _native() if native else None
        self._room = 0
        self._offsets: Any = None

    def __call__(self, block: bytes) -> tuple[list[int], int, bool]:
        if self._found is None:
            return _find_in_python(block)
        ffi, lib = self._found
        room = len(block) // HEAD.size + 1
        if room > self._room:
            self._offsets, self._room = ffi.new("uint32_t[]", room), room
        count, corrupt = ffi.new("uint32_t *", room), ffi.new("int32_t *")
        end = lib.st_frames_whole(ffi.from_buffer(block), len(block), self._offsets, count, corrupt)
        return ffi.unpack(self._offsets, count[0]), int(end), bool(corrupt[0])
