"""What is captured of each call: the table of operations that the interposer and the ptrace loop run."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import NamedTuple

from selftrace.calls.table import table

STRINGS, MSGHDR, MMSGHDR, COMM = 10, 8, 9, 19  # enum st_capture_kind
_ENTRY, _EXIT, _SELF, _RESULT = 1, 2, 254, 255
_RETURN_A_TASK = frozenset(
    (
        "fork",
        "vfork",
        "clone",
        "clone3",
        "getpid",
        "getppid",
        "gettid",
        "set_tid_address",
        "wait4",
        "getpgrp",
        "getpgid",
        "getsid",
    )
)
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


def _named(sysno: int, arch: str) -> tuple[Operation, ...]:
    """Names of the task that makes the call, and of those that it names or returns."""
    call = table(arch).by_number[sysno]
    tasks = [at for at, arg in enumerate(call.args) if arg.role == "pid"]
    result = [Operation(COMM, _RESULT, 0, _EXIT, 0)] if call.name in _RETURN_A_TASK else []
    if call.name == "waitid":  # whom it has waited for: si_pid, if it is there still
        result = [Operation(COMM, 1, 0, _EXIT, 0)]
    return (Operation(COMM, _SELF, 0, _ENTRY, 0), *(Operation(COMM, at, 0, _ENTRY, 0) for at in tasks), *result)


def captures(
    arch: str = "x86_64", *, links: bool = False, names: bool = False, verbose: Iterable[int] = ()
) -> dict[int, tuple[Operation, ...]]:
    """sysno → its operations.

    links: what descriptors stand for as well, for -y, -e decode-fds and -P: a look into /proc for each.
    names: those of tasks too, for -Y. verbose: calls whose environment is shown in full (-v, -e abbrev=!execve).
    """
    in_full, found = frozenset(verbose), {}
    for sysno, (_, plain, descriptors) in import_module(f"selftrace.calls._decode_{arch}").CALLS.items():
        own = (Operation(*c) for c in (*plain, *(descriptors if links else ())))
        found[sysno] = tuple(_adapted(o, links=links, verbose=sysno in in_full) for o in own)
        if names and sysno in table(arch).by_number:
            found[sysno] += _named(sysno, arch)
    return found


def operations(*, links: bool = False, verbose: Iterable[int] = ()) -> Table:
    """The same as one table, for the ptrace loop."""
    found: list[Operation] = []
    spans = {}
    for sysno, own in captures(links=links, verbose=verbose).items():
        spans[sysno] = (len(found), len(own))
        found += own
    return Table(found, spans)
