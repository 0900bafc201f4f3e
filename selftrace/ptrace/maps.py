"""What is mapped where in a process: /proc/PID/maps."""

from __future__ import annotations

import os

from selftrace.record import record


@record
class Mapping:
    """One line of /proc/PID/maps. start: first byte; end: one behind the last; offset: of `start` in the file, in bytes."""

    start: int
    end: int
    permissions: str
    offset: int
    inode: int
    path: str

    def __contains__(self, address: int) -> bool:
        return self.start <= address < self.end

    def __str__(self) -> str:
        return f"{self.start:#x}-{self.end:#x} {self.permissions} {self.offset:#x} {self.path}".rstrip()


def mappings(pid: int) -> list[Mapping]:
    """All of them, by address. Raises OSError. Empty for a process that is ending."""
    found = []
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            span, permissions, offset, _, inode, *path = line.rstrip("\n").split(maxsplit=5)
            start, _, end = span.partition("-")
            name = path[0] if path else ""
            found.append(Mapping(int(start, 16), int(end, 16), permissions, int(offset, 16), int(inode), name))
    return found


def mapping_at(maps: list[Mapping], address: int) -> Mapping | None:
    """The mapping that holds the address."""
    return next((one for one in maps if address in one), None)


def auxiliary(pid: int) -> dict[int, int]:
    """The auxiliary vector: AT_ENTRY is 9, AT_BASE 7, AT_SYSINFO_EHDR 33. Raises OSError."""
    with open(f"/proc/{pid}/auxv", "rb") as file:
        raw = file.read()
    words = [int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw) - 7, 8)]
    return dict(zip(words[::2], words[1::2], strict=False))


def file_of(pid: int, mapping: Mapping) -> str:
    """A path by which the mapped file can be opened, also when it was replaced, deleted or lies in another mount namespace."""
    linked = f"/proc/{pid}/map_files/{mapping.start:x}-{mapping.end:x}"
    if os.path.exists(mapping.path) and os.stat(mapping.path).st_ino == mapping.inode:
        return mapping.path
    return linked
