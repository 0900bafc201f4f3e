"""Who has a memory file of ours mapped."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def mapping(inode: int, pids: Iterable[int] | None = None) -> list[int]:
    """Processes (not ourselves) that map the ring with this inode. pids: those to look at, None: all that can be seen."""
    found = []
    for pid in pids if pids is not None else [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        if pid == os.getpid():
            continue
        try:
            with open(f"/proc/{pid}/maps", "rb") as file:
                lines = [line.split() for line in file if b"/memfd:selftrace-ring" in line]
        except OSError:
            continue
        if any(int(line[4]) == inode for line in lines):
            found.append(pid)
    return found
