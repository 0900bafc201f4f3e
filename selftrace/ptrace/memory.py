"""A tracee's memory, by /proc/PID/mem: any length, to the page's edge, also where it is read-only."""

from __future__ import annotations

import os

from selftrace.errors import SelftraceError

PAGE = 4096


class MemoryFault(SelftraceError):
    """An address that is not mapped, or that cannot be read or written."""

    def __init__(self, verb: str, address: int, size: int) -> None:
        self.address, self.size = address, size
        super().__init__(f"cannot {verb} {size} bytes at {address:#x}: not mapped, or not for {verb[:4]}ing")


class Memory:
    """The memory of one process. The descriptor holds the address space itself: it outlives the thread it was opened by.

    tracee.memory[0x1000:0x1010] reads and writes slices of bytes; tracee.memory[0x1000] is one byte. The program's own
    bytes are seen and written: breakpoints do not show, except in `raw`.
    """

    def __init__(self, pid: int) -> None:
        self._file = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        self.patches: dict[int, bytes] = {}

    def patch(self, address: int, byte: bytes) -> None:
        """Lays a byte over the program's. Raises MemoryFault."""
        if address not in self.patches:
            original = self.read(address, 1)
            self.raw_write(address, byte)
            self.patches[address] = original

    def lift(self, address: int) -> None:
        """Takes it away again."""
        original = self.patches.pop(address, None)
        if original is not None:
            self.raw_write(address, original)

    def close(self) -> None:
        """May be called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def read_some(self, address: int, size: int) -> bytes:
        """As much of it as can be read from its beginning on; empty if nothing can."""
        data = self.raw(address, size)
        for at, original in self.patches.items():
            if address <= at < address + len(data):
                data = data[: at - address] + original + data[at - address + 1 :]
        return data

    def raw(self, address: int, size: int) -> bytes:
        """The same with the breakpoints that are in it."""
        parts: list[bytes] = []
        while size > 0 and 0 <= address < 2**63:
            try:
                part = os.pread(self._file, size, address)
            except OSError:
                break
            if not part:
                break
            parts.append(part)
            address, size = address + len(part), size - len(part)
        return b"".join(parts)

    def read(self, address: int, size: int) -> bytes:
        """Exactly `size` bytes. Raises MemoryFault."""
        data = self.read_some(address, size)
        if len(data) != size:
            raise MemoryFault("read", address, size)
        return data

    def write(self, address: int, data: bytes) -> None:
        """Writes all of it, into read-only pages too (which become private copies). Raises MemoryFault."""
        covered = [at for at in self.patches if address <= at < address + len(data)]
        raw = bytearray(data)
        for at in covered:
            raw[at - address : at - address + 1] = self.raw(at, 1)
        self.raw_write(address, bytes(raw))
        for at in covered:
            self.patches[at] = data[at - address : at - address + 1]

    def raw_write(self, address: int, data: bytes) -> None:
        """Writes over breakpoints as over anything else. Raises MemoryFault."""
        done = 0
        while done < len(data):
            try:
                done += os.pwrite(self._file, data[done:], address + done)
            except (OSError, OverflowError):
                raise MemoryFault("write", address + done, len(data) - done) from None

    def word(self, address: int, size: int = 8, *, signed: bool = False) -> int:
        """An integer of `size` bytes, little-endian. Raises MemoryFault."""
        return int.from_bytes(self.read(address, size), "little", signed=signed)

    def set_word(self, address: int, value: int, size: int = 8) -> None:
        """Writes an integer; what does not fit is cut off. Raises MemoryFault."""
        self.write(address, (value & ((1 << size * 8) - 1)).to_bytes(size, "little"))

    def string(self, address: int, limit: int = 4096) -> bytes:
        """The C string there, without its terminator, of at most `limit` bytes. It is read page by page, so that nothing
        behind its end is touched; where mapped memory ends first, so does the string. Raises MemoryFault if there is none."""
        found = b""
        while len(found) < limit:
            at = address + len(found)
            piece = self.read_some(at, min(PAGE - at % PAGE, limit - len(found)))
            if not piece:
                if not found:
                    raise MemoryFault("read", address, 1)
                break
            head, terminator, _ = piece.partition(b"\0")
            found += head
            if terminator:
                break
        return found

    def __getitem__(self, where: int | slice) -> bytes:
        if isinstance(where, slice):
            return self.read(where.start, where.stop - where.start)
        return self.read(where, 1)

    def __setitem__(self, where: int | slice, data: bytes) -> None:
        self.write(where.start if isinstance(where, slice) else where, data)
