"""The reader's end of the trace events: see native/trace/drain.c."""

from __future__ import annotations

import os

from selftrace.errors import SelftraceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from selftrace.events.ring import Ring
    from selftrace.events.select import Selection

_ROOM = 1 << 20
_CLOCK = "/sys/devices/system/clocksource/clocksource0/current_clocksource"


def counter_is_clock() -> bool:
    """Whether the kernel itself takes the time from the time-stamp counter: then it is the same on all processors."""
    try:
        with open(_CLOCK) as file:
            return file.read().strip() == "tsc"
    except OSError:
        return False


class Drain:
    """Reads frames out of a ring. The thread that makes it is its reader: when it ends, writers no longer wait."""

    def __init__(self, ring: Ring, *, block: bool, cpu_time: bool = False) -> None:
        """block: writers wait for room. cpu_time: times are of each thread's processor time. Raises OSError."""
        from selftrace._native import ffi, lib

        self._ffi, self._lib = ffi, lib
        self._header = ring.header
        clock = lib.ST_TIME_COUNTER if counter_is_clock() else lib.ST_TIME_CLOCK
        self._header.trace_clock = lib.ST_TIME_CPU if cpu_time else clock
        self._header.trace_block = block
        self._out = ffi.new("uint64_t[]", _ROOM // 8)
        self._bytes = ffi.cast("uint8_t *", self._out)
        self._view = memoryview(ffi.buffer(self._out)).cast("B")
        self.selection: Selection | None = None
        """What leaves calls out; None: all are handed on."""
        self._tasks = ffi.gc(lib.st_tasks_new(), lib.st_tasks_free)
        self._drain = lib.st_drain_new(self._header)
        if self._drain == ffi.NULL:
            raise SelftraceError(f"the event ring cannot be read: {os.strerror(ffi.errno)}")

    def read(self) -> memoryview:
        """Whole frames, at most 1 MiB of them; empty: there are none now. Valid until the next call."""
        size = self._lib.st_drain_read(self._drain, self._bytes, _ROOM // 2)
        self._lib.st_tasks_feed(self._tasks, self._bytes, size)
        if self.selection is not None:
            size = self.selection.keep(self._bytes, size, _ROOM)
        return self._view[:size]

    def dead(self, first: int, status: int, *, last: bool = False) -> memoryview:
        """The ends of tasks that were killed, as frames, once all that they wrote has been read: call it when that is so.

        first: our child; status: its wait status, -1: not known. last: nobody is left to write.
        """
        size = self._lib.st_tasks_dead(self._tasks, first, status, last, self._bytes, _ROOM)
        return self._view[:size]

    @property
    def pending(self) -> bool:
        """Whether something was begun that has not been read."""
        return bool(self._header.trace_reserved != self._header.trace_consumed)

    @property
    def lost(self) -> int:
        """Frames that did not fit, or were never finished."""
        return int(self._lib.st_drain_lost(self._drain)) if self._drain is not None else 0

    def close(self) -> None:
        """Writers wait no more."""
        if self._drain is not None:
            self._lib.st_drain_free(self._drain)
            self._drain = None
