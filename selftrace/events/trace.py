"""A whole trace in memory, for programs, notebooks and tests."""

from __future__ import annotations

from selftrace.calls import expand_group, group_names, nearest
from selftrace.events.capture import Capture, Metadata
from selftrace.events.counts import Counts
from selftrace.events.pairing import Pairing

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from selftrace.events.event import TraceEvent


class Trace:
    """What a program did: an iterable of `TraceEvent`, by time.

    metadata: of the capture or of whoever traced. remark: what is to be said of a capture that is not whole; empty if it is.
    """

    def __init__(self, frames: Iterable[bytes] = (), metadata: Metadata | None = None) -> None:
        """frames: whole frames as native/selftrace.h has them, times in ns: a Capture, or what a ring gives."""
        self.metadata = metadata or Metadata()
        self.remark = ""
        self._pairing = Pairing(self.metadata)
        self._done: list[TraceEvent] = []
        self._sorted: tuple[TraceEvent, ...] | None = None
        self.extend(frames)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """The trace in a capture file. Raises OSError, and TraceFileError if it is no capture or of a newer version; one
        that ends early or is damaged is read up to there, and `remark` says so."""
        with Capture(path) as capture:
            trace = cls(capture, capture.metadata)
            trace.remark = capture.remark
        return trace

    def extend(self, frames: Iterable[bytes]) -> None:
        """Adds what came later."""
        self._done += self._pairing.feed(frames)
        self._sorted = None

    @property
    def events(self) -> tuple[TraceEvent, ...]:
        """All events by time, a call when it began; calls that did not return (yet) have no result."""
        if self._sorted is None:
            everything = [*self._done, *self._pairing.unfinished()]
            self._sorted = tuple(sorted(everything, key=lambda event: event.time_ns))
        return self._sorted

    @property
    def lost(self) -> int:
        """Events that are missing because nobody read them in time."""
        return self._pairing.lost

    def _numbers(self, names: tuple[str, ...]) -> frozenset[int]:
        table = self._pairing.home.values.table
        found: set[str] = set()
        for name in names:
            if name in table.by_name:
                found.add(name)
            elif name in group_names(table):
                found |= set(expand_group(name, table))
            else:
                raise ValueError(f'unknown call "{name}"{nearest(name, [*table.by_name, *group_names(table)])}')
        return frozenset(table.by_name[name].sysno for name in found if name in table.by_name)

    def calls(self, *names: str) -> tuple[TraceEvent, ...]:
        """The calls of these names, by time; groups such as "@file-system" and "%network" count as names; without a name,
        all calls. Raises ValueError for an unknown name."""
        if not names:
            return tuple([event for event in self.events if event.kind == "call"])
        wanted = self._numbers(names)
        return tuple([event for event in self.events if event.kind == "call" and event.sysno in wanted])

    def count(self, *names: str) -> int:
        """How many calls; names as for `calls`."""
        return len(self.calls(*names))

    def paths(self, *names: str) -> tuple[str, ...]:
        """The paths that calls were given, each once, in the order of their first use; names as for `calls`."""
        return tuple(dict.fromkeys(path for event in self.calls(*names) for path in event.paths))

    def counts(self) -> Counts:
        """How often, how long and with how many errors each call was made."""
        counts = Counts()
        for event in self.events:
            counts.add(event)
        return counts

    def __iter__(self) -> Iterator[TraceEvent]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        calls = self.count()
        return f"<Trace: {calls} call{'s' if calls != 1 else ''}, {len(self) - calls} other events, {self.lost} lost>"

    def _repr_html_(self) -> str:
        """The calls by name, for notebooks."""
        from html import escape

        counts = self.counts()
        rows = sorted(counts, key=lambda count: -count.total_ns)
        cells = [(c.name, str(c.calls), str(c.errors or ""), f"{c.total_ns / 1e6:.3f}") for c in [*rows, counts.total()]]
        lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in cells]
        head = "".join(f"<th>{word}</th>" for word in ("call", "calls", "errors", "ms"))
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<table><caption>{escape(repr(self)[1:-1])}</caption><tr>{head}</tr>{body}</table>"
