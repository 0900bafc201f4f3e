"""Taking a running process with all its threads, without a signal that it could see."""

from __future__ import annotations

import errno
import os

from selftrace.backends import refusals
from selftrace.errors import SelftraceError
from selftrace.ptrace import mended


class AttachError(SelftraceError):
    """A process that cannot be attached to. pid: which; the text says why, and what can be done."""

    def __init__(self, pid: int, reason: str) -> None:
        self.pid, self.reason = pid, reason
        super().__init__(f"cannot attach to {pid}: {reason}")


def seize(pid: int) -> list[int]:
    """Seizes every thread of a process; returns their numbers. They run on until they are told to stop.

    Raises AttachError; nothing is attached then.
    """
    _check(pid)
    taken: list[int] = []
    try:
        while True:
            new = [int(tid) for tid in os.listdir(f"/proc/{pid}/task") if int(tid) not in taken]
            if not [tid for tid in new if _seize(pid, tid, taken)]:
                return taken
    except FileNotFoundError:
        raise AttachError(pid, "it has just ended") from None


def _check(pid: int) -> None:
    reason = refusals.beforehand(pid)
    if reason:
        raise AttachError(pid, reason)
    leader = int(refusals.status_of(pid)["Tgid"])
    if leader != pid:
        raise AttachError(pid, f"it is a thread of {name_of(leader)}; attach to {leader}, which takes all of them")


def _seize(pid: int, tid: int, taken: list[int]) -> bool:
    """False for a thread that has ended, or that came to us as the child of one that we have."""
    try:
        mended.request(mended.SEIZE, tid, 0, mended.OPTIONS)
    except mended.Gone:
        if tid == pid:
            raise AttachError(pid, "it has just ended") from None
        return False
    except OSError as error:
        if taken or refusals.status_of(tid).get("State", "").startswith("Z"):  # a first thread that has ended before the others
            return False
        raise AttachError(pid, refusals.afterwards(pid, OSError(error.errno, os.strerror(error.errno or errno.EPERM)))) from None
    taken.append(tid)
    return True


def name_of(pid: int) -> str:
    """A process in words: 4711 (nginx)."""
    return f"{pid} ({refusals.name_of(pid)})"
