"""The reader's end of the trace events: see native/trace/drain.c."""

from __future__ import annotations

import os

from selftrace.errors import SelftraceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from selftrace.events.ring import Ring

_ROOM = 1 << 20
_CLOCK = "/sys/devices/system/clocksource/clocksource0/current_clocksource"


def _counter_is_clock() -> bool:
    """Whether the kernel itself takes the time from the time-stamp counter: then it is the same on all processors."""
    try:
        with open(_CLOCK) as file:
            return file.read().strip() == "tsc"
    except OSError:
        return False


class Drain:
    """Reads frames out of a ring. The thread that makes it is its reader: when it ends, writers no longer wait."""

    def __init__(self, ring: Ring, *, block: bool) -> None:
        """block: writers wait for room. Raises OSError."""
        from selftrace._native import ffi, lib

        self._ffi, self._lib = ffi, lib
        self._header = ring.header
        self._header.trace_tsc = _counter_is_clock()
        self._header.trace_block = block
        self._out = ffi.new("uint64_t[]", _ROOM // 8)
        self._view = memoryview(ffi.buffer(self._out)).cast("B")
        self._drain = lib.st_drain_new(self._header)
        if self._drain == ffi.NULL:
            raise SelftraceError(f"the event ring cannot be read: {os.strerror(ffi.errno)}")

    def read(self) -> memoryview:
        """Whole frames, at most 1 MiB of them; empty: there are none now. Valid until the next call."""
        size = self._lib.st_drain_read(self._drain, self._ffi.cast("uint8_t *", self._out), _ROOM)
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
