"""`with selftrace.tracing("openat,%network") as trace:` — what the program does, from inside."""

from __future__ import annotations

import os
import time

from selftrace.calls import table
from selftrace.events import frames
from selftrace.events.capture import Metadata
from selftrace.events.trace import Trace
from selftrace.inprocess.engine import engine
from selftrace.inprocess.plan import Share
from selftrace.inprocess.wrapping import Wrapping
from selftrace.policy.api import Policy
from selftrace.trace.sets import call_set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType
    from typing import Literal

    from selftrace.events.counts import Counts
    from selftrace.events.event import TraceEvent

_HEAD = frames.HEAD.unpack_from


class LiveTrace(Trace):
    """The `Trace` of a `tracing`: it can be asked while the tracing goes on, and asking is not seen."""

    def __init__(self, share: Share) -> None:
        super().__init__((), Metadata(monotonic_ns=time.monotonic_ns(), realtime_ns=time.time_ns(), pid=os.getpid()))
        self._share = share
        self._engine = engine()
        self._tids = {share.tid}

    def _wanted(self, batches: Iterable[tuple[bytes, bool]]) -> Iterator[bytes]:
        """The frames of our threads and calls. A thread belongs to us if the one that started it does."""
        everybody, calls = self._share.threads == "all", self._share.calls
        self._tids.add(self._share.tid)
        for batch, child in batches:
            at, end = 0, len(batch)
            while at < end:
                _, size, _, _, _, tid, kind, _, sysno = _HEAD(batch, at)
                if kind == frames.TASK and sysno in self._tids:
                    self._tids.add(tid)
                ours = everybody or child or tid in self._tids
                if ours and (kind not in (frames.ENTRY, frames.EXIT) or sysno in calls):
                    yield batch[at : at + size]
                at += size

    def _refresh(self) -> None:
        self._engine.collect()
        batches = self._share.taken()
        if batches:
            self.extend(self._wanted(batches))

    @property
    def events(self) -> tuple[TraceEvent, ...]:
        """All events so far, by time; calls that did not return (yet) have no result."""
        with self._engine.aside():
            self._refresh()
            return super().events

    @property
    def lost(self) -> int:
        """Events that did not fit into `limit_bytes`."""
        with self._engine.aside():
            self._refresh()
            return super().lost + self._share.lost

    @property
    def untraced_threads(self) -> tuple[str, ...]:
        """Threads that could not be reached, because they block signal 33: "tid (name)"."""
        return self._share.untraced

    def calls(self, *names: str) -> tuple[TraceEvent, ...]:
        """The calls of these names, by time; groups such as "%network" count as names; without a name, all calls."""
        with self._engine.aside():
            return super().calls(*names)

    def paths(self, *names: str) -> tuple[str, ...]:
        """The paths that calls were given, each once, in the order of their first use; names as for `calls`."""
        with self._engine.aside():
            return super().paths(*names)

    def counts(self) -> Counts:
        """How often, how long and with how many errors each call was made."""
        with self._engine.aside():
            return super().counts()

    def __repr__(self) -> str:
        with self._engine.aside():
            return super().__repr__()

    def _repr_html_(self) -> str:
        with self._engine.aside():
            return super()._repr_html_()


def calls_of(filter: str | Policy | None) -> frozenset[int]:
    """The numbers of a filter's calls. Raises ValueError that names the nearest."""
    if filter is None or isinstance(filter, Policy):
        return frozenset(table().by_number)
    return call_set(filter, table())


class tracing(Wrapping):  # noqa: N801
    """Traces the program's own calls while the `with` block, or the decorated function, runs.

        with selftrace.tracing("openat,%network") as trace:
            work()
        print(trace.count("openat"), trace.paths())

    filter: calls as strace's -e names them; None: all; a Policy: all calls, and its rules are in force (in this process
    they are advisory: native code can get around them).
    threads: "current" is the calling thread and those that it starts, "all" those that run already too. Orders to running
    threads interrupt what they wait in, as any signal with a handler under SA_RESTART does.
    limit_bytes: of events; what comes later is dropped and counted in `trace.lost`.
    string_limit: bytes captured of a string or buffer. links: the paths of descriptors too.

    children: programs started by subprocess, and by multiprocessing's "spawn", are traced too, through the loader. Forked
    children run untraced, as without it. May be nested, and used from several threads at once.
    Raises ValueError for a filter, UnsupportedError where the kernel lacks Syscall User Dispatch (Linux 5.11), and, on
    entering, OSError.
    """

    def __init__(
        self,
        filter: str | Policy | None = None,
        *,
        threads: Literal["all", "current"] = "all",
        limit_bytes: int = 64 << 20,
        string_limit: int = 32,
        links: bool = False,
        children: bool = False,
    ) -> None:
        if threads not in ("all", "current"):
            raise ValueError(f'threads is "all" or "current", not "{threads}"')
        self._engine = engine()
        self._calls = calls_of(filter)
        self._policy = filter if isinstance(filter, Policy) else None
        self._threads: Literal["all", "current"] = threads
        self._children = children
        self._limit_bytes, self._string_limit, self._links = limit_bytes, string_limit, links
        self._active: list[Share] = []

    def _share(self) -> Share:
        return Share(
            self._calls,
            policy=self._policy,
            links=self._links,
            string_limit=self._string_limit,
            limit_bytes=self._limit_bytes,
            children=self._children,
        )

    def __enter__(self) -> LiveTrace:
        watch = self._engine.watch
        before = watch(False)
        try:
            share = self._share()
            trace = LiveTrace(share)
            self._engine.begin(share, self._threads)
            self._active.append(share)
        except BaseException:
            watch(before)
            raise
        watch(before)
        return trace

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        before = self._engine.watch(False)
        share = self._active.pop()
        try:
            self._engine.end(share)
        except BaseException:
            self._engine.end(share)
            raise
        finally:
            self._engine.watch(before)


__all__: Sequence[str] = ("LiveTrace", "calls_of", "tracing")
