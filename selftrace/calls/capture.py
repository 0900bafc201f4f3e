"""What is captured of each call: the table of operations that the interposer and the ptrace loop run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from selftrace.calls import _decode_x86_64 as table

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


def operations(*, links: bool = False, verbose: Iterable[int] = ()) -> Table:
    """The table for one trace.

    links: what descriptors stand for as well, for -y, -e decode-fds and -P.
    verbose: calls whose environment is shown in full (-v, -e abbrev=!execve).
    """
    in_full = frozenset(verbose)
    found: list[Operation] = []
    spans = {}
    for sysno, (_, captures, descriptors) in table.CALLS.items():
        own = [Operation(*c) for c in (*captures, *(descriptors if links else ()))]
        spans[sysno] = (len(found), len(own))
        found += [_adapted(o, links=links, verbose=sysno in in_full) for o in own]
    return Table(found, spans)
