"""`with selftrace.inject("write", error="ENOSPC", when="2+"):` — calls that fail as if the kernel had failed them."""

from __future__ import annotations

from selftrace.calls import table
from selftrace.events import frames
from selftrace.inprocess.engine import engine
from selftrace.inprocess.plan import Share
from selftrace.inprocess.tracing import LiveTrace
from selftrace.inprocess.wrapping import Wrapping
from selftrace.policy.patterns import compile_pattern, matches
from selftrace.record import record
from selftrace.trace.faults import acts, fault, parse_inject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Literal

    from selftrace.events.event import TraceEvent
    from selftrace.trace.faults import Fault

_ACTED = frames.INJECTED | frames.DELAYED | frames.SIGNALLED | frames.POKED


@record
class Miss:
    """A call that the fault names, and that was made as ever. why: what of the fault did not fit."""

    event: TraceEvent
    why: str

    def __str__(self) -> str:
        return f"{self.event!r}: {self.why}"


def make_fault(calls: str, values: dict[str, Any]) -> Fault:
    """Of strace's string form, or of calls and keywords. Raises ValueError."""
    if ":" in calls:
        if values:
            raise ValueError(f'"{calls}" says it all: no keywords beside it')
        return parse_inject(calls)
    acts(values)
    return fault(calls, values)


def _why(one: Fault, event: TraceEvent, nth: int) -> str:
    if one.path:
        patterns = compile_pattern(one.path)
        paths = event.paths
        if not any(matches(pattern, path.encode("utf-8", "surrogateescape")) for path in paths for pattern in patterns):
            return f'its path is not "{one.path}"'
    if one.fd is not None and one.fd not in [value for value in event.args.values() if isinstance(value, int)]:
        return f"its descriptor is not {one.fd}"
    if one.when is not None:
        return f"it is number {nth}, the fault is for {_when_text(one)}"
    return "another fault came first, or its path was another once resolved"


def _when_text(one: Fault) -> str:
    when = one.when
    if when is None:
        return "every call"
    text = str(when.first)
    if when.last is not None and when.last != when.first:
        text += f"..{when.last}"
    if when.last is None and when.step:
        text += f"+{when.step if when.step > 1 else ''}"
    drawn = f", {when.chance:g} of them (seed {when.seed})" if when.chance < 1 else ""
    return f"when={text}{drawn}"


class inject(Wrapping):  # noqa: N801
    """Makes calls fail, or be late, or bring a signal, while the `with` block or the decorated function runs.

        with selftrace.inject("openat", error="ENOSPC", when="5+", path="/data/**") as fault:
            work()
        print(fault.fired, [str(miss) for miss in fault.near])

    calls: as strace's -e names them, or its whole form, "openat:error=ENOSPC:when=5+".
    Keywords: error, retval, signal, syscall, delay_enter, delay_exit, poke_enter, poke_exit, short, data, when, prob, seed,
    path, fd, arg, count_by, as in the manual's table.
    threads: "current" is the calling thread and those that it starts, "all" those that run already too.
    children: programs started by subprocess, and by multiprocessing's "spawn", too, through the loader.

    Other calls of these threads cost what they always do, once their call sites have been patched (sites.py); until then,
    and from sites that cannot be, about a microsecond more. Several may be active: of two for the same call the inner one
    comes first. Raises ValueError for an expression that makes no sense,
    UnsupportedError where the kernel lacks Syscall User Dispatch, and, on entering, OSError.
    """

    def __init__(
        self, calls: str, *, threads: Literal["all", "current"] = "current", children: bool = False, **values: Any
    ) -> None:
        self._engine = engine()
        self._fault = make_fault(calls, values)
        if not self._fault.calls:
            raise ValueError(f'"{calls}" names no call')
        self._threads: Literal["all", "current"] = threads
        self._children = children
        self._active: list[tuple[Share, LiveTrace]] = []
        self._last: tuple[Share, LiveTrace] | None = None

    @property
    def text(self) -> str:
        """The fault in strace's words."""
        return self._fault.text

    @property
    def fired(self) -> int:
        """How many calls it has acted on, of the last time it was entered."""
        if self._last is None:
            return 0
        with self._engine.aside():
            return self._engine.fired(self._last[0])

    @property
    def calls(self) -> tuple[TraceEvent, ...]:
        """The calls that it names, acted on or not."""
        return self._last[1].calls() if self._last is not None else ()

    @property
    def near(self) -> tuple[Miss, ...]:
        """The calls that it names and did not act on, and why."""
        found: list[Miss] = []
        counted: dict[tuple[int, int], int] = {}
        with self._engine.aside():
            for event in self.calls:
                key = (event.tid, event.sysno)
                counted[key] = counted.get(key, 0) + 1
                if not event.flags & _ACTED:
                    found.append(Miss(event, _why(self._fault, event, counted[key])))
        return tuple(found)

    def __enter__(self) -> inject:
        watch = self._engine.watch
        before = watch(False)
        try:
            share = Share(self._fault.calls, faults=(self._fault,), links=bool(self._fault.path), children=self._children)
            entered = (share, LiveTrace(share))
            self._engine.begin(share, self._threads)
            self._active.append(entered)
            self._last = entered
        except BaseException:
            watch(before)
            raise
        watch(before)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        before = self._engine.watch(False)
        share, _ = self._active.pop()
        try:
            self._engine.end(share)
        except BaseException:
            self._engine.end(share)
            raise
        finally:
            self._engine.watch(before)

    def __repr__(self) -> str:
        names = ",".join(sorted(table().by_number[number].name for number in list(self._fault.calls)[:4]))
        return f"<inject {self.text or names}: fired {self.fired}>"
