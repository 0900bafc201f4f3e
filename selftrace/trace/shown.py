"""Which calls are to be seen, and what of their stacks."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from selftrace.calls import Table
    from selftrace.trace.options import TraceOptions

_MAPPING = ("mmap", "munmap", "mremap")
"""These say which file lies where: stacks cannot be unwound without them."""
_LISTS = ("poll", "ppoll", "select", "pselect6")
"""These have their descriptors in memory."""
_NUMBERS = 512
"""Numbers of calls that tables cover."""


def unknown_calls(of: Table) -> frozenset[int]:
    """Numbers that nobody knows: always shown."""
    return frozenset(range(_NUMBERS)) - frozenset(of.by_number)


def shown_calls(options: TraceOptions, of: Table) -> frozenset[int]:
    """The calls that are to be seen; with -P or --fd only those that have a path or descriptor, and with
    arg.NAME those that have such an argument."""
    calls = frozenset(of.by_number) if options.calls is None else options.calls
    if options.paths or options.fds is not None:
        in_memory = {of.by_name[name].sysno for name in _LISTS}
        named = {n for n in calls if any(a.role in ("path", "fd", "dirfd") for a in of.by_number[n].args)}
        calls = frozenset(named | calls & in_memory)
    for condition in options.arguments:
        calls = frozenset(n for n in calls if any(a.name == condition.argument for a in of.by_number[n].args))
    return calls


def stack(options: TraceOptions) -> Literal["", "native", "python"]:
    """What is captured of stacks; nothing where calls are only counted."""
    if options.summary == "only":
        return ""
    return "native" if options.stack_trace == "native" else "python" if options.stack_trace == "python" else ""


def mapping_calls(options: TraceOptions, of: Table) -> frozenset[int]:
    """The calls that are seen for the sake of stacks, shown or not."""
    return frozenset(of.by_name[name].sysno for name in _MAPPING) if stack(options) == "native" else frozenset()
