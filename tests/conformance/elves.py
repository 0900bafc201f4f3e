"""ELF files made by hand, for what no linker writes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

PT_NULL, PT_LOAD, PT_INTERP = 0, 1, 3
ET_EXEC, ET_DYN = 2, 3
EXIT_7 = b"\xbf\x07\x00\x00\x00\xb8\xe7\x00\x00\x00\x0f\x05"
"""mov edi, 7; mov eax, exit_group; syscall"""


@dataclass
class Segment:
    """A program header; `data` lies in the file, at an offset that fits the address."""

    kind: int = PT_LOAD
    address: int = 0
    data: bytes = b""
    memory: int | None = None
    file_size: int | None = None
    flags: int = 7
    align: int = 4096


def elf(
    segments: list[Segment], *, kind: int = ET_EXEC, entry: int = 0, machine: int = 62, bits: int = 2, phentsize: int = 56
) -> bytes:
    """The file of these segments."""
    body = bytearray(64 + 56 * len(segments))
    headers = b""
    for s in segments:
        offset = len(body)
        if s.kind == PT_LOAD and s.data:
            offset += (s.address - offset) % 4096
            body += bytes(offset - len(body))
        body += s.data
        size = len(s.data) if s.file_size is None else s.file_size
        headers += struct.pack(
            "<IIQQQQQQ", s.kind, s.flags, offset, s.address, s.address, size, size if s.memory is None else s.memory, s.align
        )
    ident = b"\x7fELF" + bytes([bits, 1, 1, 0]) + bytes(8)
    body[:64] = ident + struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, entry, 64, 0, 0, 64, phentsize, len(segments), 64, 0, 0)
    body[64 : 64 + len(headers)] = headers
    return bytes(body)


def exits(address: int = 0x400000, more: list[Segment] | None = None, **options: int) -> bytes:
    """A program at `address` whose exit status is 7."""
    return elf([Segment(address=address, data=EXIT_7), *(more or [])], entry=address, **options)
