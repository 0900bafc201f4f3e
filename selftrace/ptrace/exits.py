"""However this program ends, what it traces is let go first: at exit, and by SIGTERM and SIGHUP.

Only kill -9 cannot be answered. Then started programs end with us (PTRACE_O_EXITKILL) unless they are to be let go.
"""

from __future__ import annotations

import atexit
import signal
import threading
from types import FrameType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from selftrace.ptrace.tracee import Tracee

_open: set[Tracee] = set()
_ours: list[int] = []


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def opened(tracee: Tracee) -> None:
    """From now on it is taken care of. A handler that the program has installed for these signals is left alone."""
    if not _open:
        atexit.register(_close_all)
    _open.add(tracee)
    if _ours or threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)
            _ours.append(number)


def closed(tracee: Tracee) -> None:
    """It is no longer ours. The last one restores what was."""
    _open.discard(tracee)
    if _open:
        return
    atexit.unregister(_close_all)
    if threading.current_thread() is threading.main_thread():
        while _ours:
            number = _ours.pop()
            if signal.getsignal(number) is _end:
                signal.signal(number, signal.SIG_DFL)


def _close_all() -> None:
    for tracee in list(_open):
        tracee.close()
