"""Which calls are to be seen."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from selftrace.calls import Table
    from selftrace.trace.options import TraceOptions

_NUMBERS = 512
"""Numbers of calls that tables cover."""


def unknown_calls(of: Table) -> frozenset[int]:
    """Numbers that nobody knows: always shown."""
    return frozenset(range(_NUMBERS)) - frozenset(of.by_number)


def shown_calls(options: TraceOptions, of: Table) -> frozenset[int]:
    """The calls that are to be seen; with -P or --fd only those that have a path or descriptor."""
    calls = frozenset(of.by_number) if options.calls is None else options.calls
    if options.paths or options.fds is not None:
        calls = frozenset(n for n in calls if any(a.role in ("path", "fd", "dirfd") for a in of.by_number[n].args))
    return calls
