"""Taking a running process with all its threads, without a signal that it could see."""

from __future__ import annotations

import errno
import os

from selftrace.kernel import attaching
from selftrace.ptrace import mended


def seize(pid: int) -> list[int]:
    """Seizes every thread of a process; returns their numbers. They run on until they are told to stop.

    Raises AttachError that says why not and what to do; nothing is attached then.
    """
    attaching.check(pid)
    taken: list[int] = []
    try:
        while True:
            new = [int(tid) for tid in os.listdir(f"/proc/{pid}/task") if int(tid) not in taken]
            if not [tid for tid in new if _seize(pid, tid, taken)]:
                return taken
    except FileNotFoundError:
        raise attaching.refused(pid, errno.ESRCH) from None


def _seize(pid: int, tid: int, taken: list[int]) -> bool:
    """False for a thread that has ended, or that came to us as the child of one that we have."""
    try:
        mended.request(mended.SEIZE, tid, 0, mended.OPTIONS)
    except mended.Gone:
        if tid == pid:
            raise attaching.refused(pid, errno.ESRCH) from None
        return False
    except OSError as error:
        if taken:
            return False
        raise attaching.refused(pid, error.errno or errno.EPERM) from None
    taken.append(tid)
    return True
