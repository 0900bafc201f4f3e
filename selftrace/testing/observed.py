"""The `syscalls` fixture: what a test did."""

from __future__ import annotations

import os

from selftrace.inprocess.tracing import tracing
from selftrace.policy.patterns import compile_pattern, matches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from selftrace.events.event import TraceEvent
    from selftrace.inprocess.tracing import LiveTrace

_OPENS = ("open", "openat", "openat2", "creat")
_LOCAL = ("AF_UNIX", "AF_LOCAL", "AF_UNSPEC")
_AT_FDCWD = -100
_MOST_SHOWN = 10


class Syscalls:
    """The calls of the test's own thread, and of those that it starts, from the test's first line on."""

    def __init__(self) -> None:
        self._tracing = tracing(threads="current", links=True, string_limit=256)
        self._trace: LiveTrace | None = None

    def __enter__(self) -> Syscalls:
        self._trace = self._tracing.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._tracing.__exit__(kind, error, traceback)

    @property
    def trace(self) -> LiveTrace:
        """All events. Raises RuntimeError before the test's first line."""
        if self._trace is None:
            raise RuntimeError("the test has not begun: fixtures are not traced")
        return self._trace

    def count(self, *names: str) -> int:
        """How many calls of these names or groups; without a name, all."""
        return self.trace.count(*names)

    def calls(self, *names: str) -> tuple[TraceEvent, ...]:
        """The calls of these names or groups, by time."""
        return self.trace.calls(*names)

    def paths(self, *names: str) -> tuple[str, ...]:
        """The paths that these calls were given, each once."""
        with self.trace._engine.aside():
            return tuple(dict.fromkeys(path for event in self.calls(*names) for path in _given(event)))

    def assert_no_network(self) -> None:
        """No socket but local ones was made, connected, bound or sent from to an address."""
        with self.trace._engine.aside():
            found = [event for event in self.calls("socket", "connect", "bind", "sendto") if _goes_out(event)]
            assert not found, _listed("the test used the network", found)

    def assert_opens_only(self, *patterns: str) -> None:
        """What was opened matches one of the patterns, by its path as given or resolved. Opens that failed do not count."""
        with self.trace._engine.aside():
            allowed = [compiled for pattern in patterns for compiled in compile_pattern(pattern)]
            found = []
            for event in self.calls(*_OPENS):
                result = event.result
                if result is None or result < 0:
                    continue
                path = _absolute(event)
                if not any(matches(one, os.fsencode(way)) for one in allowed for way in (path, os.path.realpath(path))):
                    found.append(event)
            assert not found, _listed(f"the test opened more than {', '.join(patterns)}", found)

    def __repr__(self) -> str:
        return repr(self._trace) if self._trace is not None else "<Syscalls: the test has not begun>"


def _given(event: TraceEvent) -> tuple[str, ...]:
    """Without what its descriptors stand for, which is captured too."""
    paths = event.paths
    return paths[: len(paths) - sum(number >= 0 for number in event.descriptors)]


def _goes_out(event: TraceEvent) -> bool:
    values: list[Any] = list(event.args.values())
    if event.name == "socket":
        return bool(values) and str(values[0]) not in _LOCAL
    address = next((value for value in values[1:] if isinstance(value, (bytes, dict))), None)
    if isinstance(address, bytes):
        return int.from_bytes(address[:2], "little") > 1
    return isinstance(address, dict) and str(address.get("sa_family", "AF_UNIX")) not in _LOCAL


def _absolute(event: TraceEvent) -> str:
    path = event.path or ""
    base = os.getcwd()
    first = next(iter(event.args.values()), None)
    if event.name in ("openat", "openat2") and isinstance(first, int) and first != _AT_FDCWD:
        base = event.descriptors.get(first, base)
    return os.path.normpath(os.path.join(base, path))


def _listed(what: str, events: list[TraceEvent]) -> str:
    lines = [f"  {event!r}" for event in events[:_MOST_SHOWN]]
    if len(events) > _MOST_SHOWN:
        lines.append(f"  and {len(events) - _MOST_SHOWN} more")
    return "\n".join([f"{what}:", *lines])
