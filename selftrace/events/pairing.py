"""From frames to events: the entry and the exit of a call become one, by thread. Holds one frame for each thread in a call."""

from __future__ import annotations

from selftrace.errors import TraceFileError
from selftrace.events import frames
from selftrace.events.event import Home, TraceEvent
from selftrace.events.values import Values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from selftrace.events.capture import Metadata
    from selftrace.events.event import Kind

_KINDS: dict[int, Kind] = {
    frames.SIGNAL: "signal",
    frames.EXEC: "exec",
    frames.TASK: "fork",
    frames.END: "exit",
    frames.LOST: "lost",
}
_HEAD = frames.HEAD.unpack_from


class Pairing:
    """Turns frames into events, in the order in which calls end; one that never does comes when its thread is over, or out of
    `unfinished`. Only what is needed of a frame is looked at."""

    def __init__(self, metadata: Metadata) -> None:
        """Raises TraceFileError for an architecture without tables."""
        try:
            values = Values(metadata.arch, metadata.string_limit)
        except (ImportError, ValueError):
            raise TraceFileError(f'a capture of the architecture "{metadata.arch}", which selftrace has no tables for') from None
        known = metadata.realtime_ns and metadata.monotonic_ns
        self.home = Home(values, metadata.realtime_ns - metadata.monotonic_ns if known else 0)
        self.lost = 0
        """Frames that are missing, as the capture says."""
        self._open: dict[int, tuple[bytes, int, int, int, int, int | None]] = {}
        """tid → frame of the entry, its time, pid, sysno, flags; when the call, an exec, gave its process another program."""

    def feed(self, source: Iterable[bytes]) -> Iterator[TraceEvent]:
        """The events that the frames complete."""
        opened = self._open
        for frame in source:
            _, _, _, time_ns, pid, tid, kind, flags, sysno = _HEAD(frame)
            if flags & frames.UNSHOWN:
                continue
            if kind == frames.ENTRY:
                if tid in opened:
                    yield self._unfinished(tid)
                opened[tid] = (frame, time_ns, pid, sysno, flags, None)
                if flags & frames.NO_RETURN:
                    yield self._unfinished(tid)
            elif kind == frames.EXIT:
                entry = opened.pop(tid, None)
                if flags & frames.CANCELLED:
                    continue
                if entry is not None and entry[3] == sysno:
                    flags |= entry[4]
                    yield TraceEvent("call", self.home, entry[1], pid, tid, sysno, flags, entry[0], frame, time_ns)
                    continue
                if entry is not None:
                    opened[tid] = entry
                    yield self._unfinished(tid)
                yield TraceEvent("call", self.home, time_ns, pid, tid, sysno, flags, None, frame, time_ns)
            else:
                yield from self._other(kind, frame, time_ns, pid, tid, sysno, flags)

    def _other(self, kind: int, frame: bytes, time_ns: int, pid: int, tid: int, sysno: int, flags: int) -> Iterator[TraceEvent]:
        if kind == frames.CLOCK:
            self._clock(frame, time_ns)
            return
        if kind not in _KINDS:
            return
        if kind == frames.EXEC:
            yield from self._exec(time_ns, pid, sysno)
        elif kind == frames.END:
            over = [other for other, entry in self._open.items() if entry[2] == pid] if flags & frames.GROUP else [tid]
            for other in over:
                if other in self._open:
                    yield self._unfinished(other)
        elif kind == frames.LOST:
            self.lost += max(sysno, 0)
        yield TraceEvent(_KINDS[kind], self.home, time_ns, pid, tid, sysno, flags, frame)

    def _exec(self, time_ns: int, pid: int, former_tid: int) -> Iterator[TraceEvent]:
        """The thread that called exec is the first one now, and the others are gone."""
        for tid in [tid for tid, entry in self._open.items() if entry[2] == pid and tid != former_tid]:
            yield self._unfinished(tid)
        entry = self._open.pop(former_tid, None)
        if entry is not None:
            self._open[pid] = (*entry[:5], time_ns)

    def _unfinished(self, tid: int) -> TraceEvent:
        frame, time_ns, pid, sysno, flags, end_ns = self._open.pop(tid)
        return TraceEvent("call", self.home, time_ns, pid, tid, sysno, flags, frame, None, end_ns)

    def _clock(self, frame: bytes, time_ns: int) -> None:
        for _, _, data in frames.chunks(frame, frames.CLOCK):
            if len(data) == 8:
                self.home = Home(self.home.values, int.from_bytes(data, "little") - time_ns)

    def unfinished(self) -> list[TraceEvent]:
        """The calls that threads are in, by their beginning; they stay open."""
        held = dict(self._open)
        found = sorted((self._unfinished(tid) for tid in held), key=lambda event: event.time_ns)
        self._open.update(held)
        return found

    def events(self, source: Iterable[bytes]) -> Iterator[TraceEvent]:
        """All events of a source that ends."""
        yield from self.feed(source)
        yield from self.unfinished()
