"""Counting calls, as strace -c does: how many, how many failed, how long they took. Bounded memory, whatever comes."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from selftrace.events.event import TraceEvent

_FINE = 4
"""Bits of a duration that are kept besides its highest: percentiles are exact to 1/16."""


class Count:
    """Calls of one name that returned. Times in ns, of calls whose beginning is known."""

    __slots__ = ("buckets", "calls", "errors", "longest_ns", "name", "shortest_ns", "sysno", "timed", "total_ns")

    def __init__(self, name: str, sysno: int) -> None:
        self.name = name
        self.sysno = sysno
        self.calls = self.errors = self.timed = self.total_ns = self.longest_ns = 0
        self.shortest_ns = 0
        self.buckets: dict[int, int] = {}

    def add(self, duration_ns: int | None, failed: bool) -> None:
        """Counts one call."""
        self.calls += 1
        self.errors += failed
        if duration_ns is None:
            return
        if duration_ns < self.shortest_ns or not self.timed:
            self.shortest_ns = duration_ns
        if duration_ns > self.longest_ns:
            self.longest_ns = duration_ns
        self.timed += 1
        self.total_ns += duration_ns
        shift = duration_ns.bit_length() - 1 - _FINE
        bucket = duration_ns if shift <= 0 else (shift << _FINE) + (duration_ns >> shift)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def merge(self, other: Count) -> None:
        """Adds what another has counted."""
        if other.timed:
            self.shortest_ns = min(self.shortest_ns, other.shortest_ns) if self.timed else other.shortest_ns
            self.longest_ns = max(self.longest_ns, other.longest_ns)
        self.calls += other.calls
        self.errors += other.errors
        self.timed += other.timed
        self.total_ns += other.total_ns
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    def percentile_ns(self, percent: float) -> int:
        """The duration that `percent` of the calls did not exceed, to a sixteenth; 0 if none is known."""
        wanted, seen = self.timed * percent / 100, 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return min(max(_middle(bucket), self.shortest_ns), self.longest_ns)
        return self.longest_ns

    def histogram(self) -> Iterator[tuple[int, int]]:
        """(n, calls that took at least 2**n and less than 2**(n+1) ns), by n; all below 2 ns are in 0."""
        powers: dict[int, int] = {}
        for bucket, count in self.buckets.items():
            power = max(_middle(bucket).bit_length() - 1, 0)
            powers[power] = powers.get(power, 0) + count
        yield from sorted(powers.items())


def _middle(bucket: int) -> int:
    """A duration of the bucket."""
    if bucket < 2 << _FINE:
        return bucket
    shift = (bucket >> _FINE) - 1
    return ((bucket & (1 << _FINE) - 1 | 1 << _FINE) << shift) + (1 << shift >> 1)


class Counts:
    """Counts by call."""

    def __init__(self, counts: dict[int, Count] | None = None) -> None:
        """counts: by number, what has been counted already."""
        self._counts: dict[int, Count] = counts or {}

    def add(self, event: TraceEvent) -> None:
        """Counts a call that returned; other events and calls that did not are passed over, as strace does."""
        if event.kind != "call":
            return
        result = event.result
        if result is None:
            return
        count = self._counts.get(event.sysno)
        if count is None:
            count = self._counts[event.sysno] = Count(event.name, event.sysno)
        count.add(event.duration_ns, -4096 < result < 0)

    def __iter__(self) -> Iterator[Count]:
        """By number of the call."""
        yield from [self._counts[sysno] for sysno in sorted(self._counts)]

    def total(self) -> Count:
        """All together, called "total"."""
        found = Count("total", -1)
        for count in self:
            found.merge(count)
        return found
