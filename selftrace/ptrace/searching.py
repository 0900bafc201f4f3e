"""Looking for bytes in all of a process's memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from selftrace.ptrace.maps import Mapping
from selftrace.ptrace.memory import Memory

_PIECE = 1 << 20
_LEFT_OUT = ("[vvar]", "[vsyscall]")


def search(memory: Memory, maps: Iterable[Mapping], data: bytes) -> list[int]:
    """Every address at which `data` is, overlapping ones too. Raises ValueError for nothing to look for."""
    if not data:
        raise ValueError("nothing to search for")
    return [
        address for one in maps if one.permissions[0] == "r" and one.path not in _LEFT_OUT for address in _in(memory, one, data)
    ]


def _in(memory: Memory, mapping: Mapping, data: bytes) -> Iterator[int]:
    start = mapping.start
    while start < mapping.end:
        piece = memory.read_some(start, min(_PIECE + len(data) - 1, mapping.end - start))
        at = piece.find(data)
        while 0 <= at < _PIECE:
            yield start + at
            at = piece.find(data, at + 1)
        start += _PIECE
