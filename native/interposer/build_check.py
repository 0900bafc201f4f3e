"""Build step: no admitted return PC in the gate but those of the intended `syscall` instructions.

Usage: build_check.py BLOB. The filter admits PCs with low four bits 2, so bytes 0f 05 at a multiple of 16
anywhere in the gate are a way in. Each must be one that x86_64.S put there.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

GATE_LOW, GATE_HIGH = 0x7E900000F000, 0x7E9000122000
SITES, BLOCKS = 4096, 4096
CALLS = 3  # st_gate_call, the sigreturn, st_enter_handler
PER_BLOCK = 6  # exit, post, trace, clone, the child's sigaltstack, leave


def segments(image: bytes) -> list[tuple[int, bytes]]:
    """(address, bytes) of each PT_LOAD of a 64-bit ELF."""
    offset, count = struct.unpack_from("<Q", image, 32)[0], struct.unpack_from("<H", image, 56)[0]
    found = []
    for i in range(count):
        kind, _, start, address, _, size = struct.unpack_from("<IIQQQQ", image, offset + 56 * i)
        if kind == 1:
            found.append((address, image[start : start + size]))
    return found


def main() -> int:
    """0 if the gate is as intended."""
    image = Path(sys.argv[1]).read_bytes()
    admitted = 0
    for address, data in segments(image):
        for at in range(max(address, GATE_LOW), min(address + len(data), GATE_HIGH), 16):
            admitted += data[at - address : at - address + 2] == b"\x0f\x05"
    expected = SITES + CALLS + PER_BLOCK * BLOCKS
    if admitted != expected:
        print(f"build_check: {admitted} admitted syscall instructions, {expected} expected", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
