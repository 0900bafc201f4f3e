"""What is captured of each call: the table of operations that the interposer and the ptrace loop run."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import NamedTuple

STRINGS, MSGHDR, MMSGHDR = 10, 8, 9  # enum st_capture_kind
ALL_STRINGS = 4096


class Operation(NamedTuple):
    """struct st_capture."""

    kind: int
    arg: int
    length: int
    when: int
    size: int


class Table(NamedTuple):
    """Operations of all calls one after the other, and of each call where they begin and how many there are."""

    operations: list[Operation]
    spans: dict[int, tuple[int, int]]


def _adapted(operation: Operation, *, links: bool, verbose: bool) -> Operation:
    if verbose and operation.kind == STRINGS:
        return operation._replace(size=ALL_STRINGS)
    if links and operation.kind in (MSGHDR, MMSGHDR):
        return operation._replace(size=1)
    return operation


def captures(arch: str = "x86_64", *, links: bool = False, verbose: Iterable[int] = ()) -> dict[int, tuple[Operation, ...]]:
    """sysno → its operations.

    links: what descriptors stand for as well, for -y, -e decode-fds and -P: a look into /proc for each.
    verbose: calls whose environment is shown in full (-v, -e abbrev=!execve).
    """
    in_full, found = frozenset(verbose), {}
    for sysno, (_, plain, descriptors) in import_module(f"selftrace.calls._decode_{arch}").CALLS.items():
        own = (Operation(*c) for c in (*plain, *(descriptors if links else ())))
        found[sysno] = tuple(_adapted(o, links=links, verbose=sysno in in_full) for o in own)
    return found


def operations(*, links: bool = False, verbose: Iterable[int] = ()) -> Table:
    """The same as one table, for the ptrace loop."""
    found: list[Operation] = []
    spans = {}
    for sysno, own in captures(links=links, verbose=verbose).items():
        spans[sysno] = (len(found), len(own))
        found += own
    return Table(found, spans)
