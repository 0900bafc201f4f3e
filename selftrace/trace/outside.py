"""From what is to be seen to what a ptrace supervisor looks at: the counterpart of model.py."""

from __future__ import annotations

import os

from selftrace.backends.ptrace import ALWAYS, CallFault, Watch
from selftrace.calls import flag_value, table
from selftrace.calls.capture import captures
from selftrace.errors import UnsupportedError
from selftrace.policy import patterns, transfers
from selftrace.policy.model import When
from selftrace.trace.faultrules import in_force
from selftrace.trace.faults import Fault
from selftrace.trace.model import DUMPED, check_faults
from selftrace.trace.shown import mapping_calls, shown_calls, stack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from selftrace.backends.ptrace import Condition
    from selftrace.calls import Call, Table
    from selftrace.trace.options import TraceOptions

_SCOPES = ("thread", "process", "tree")
"""enum st_count_by."""
_AT_FDCWD = -100


def _argument(call: Call, *roles: str) -> int:
    """The first argument with such a role; -1: none has it."""
    return next((at for at, arg in enumerate(call.args) if arg.role in roles), -1)


def _conditions(one: Fault, call: Call) -> tuple[Condition, ...] | None:
    """None: the call has no such argument."""
    found: list[Condition] = []
    for condition in one.args:
        at = next((at for at, arg in enumerate(call.args) if arg.name == condition.argument), None)
        if at is None:
            return None
        arg = call.args[at]
        found.append((at, arg.width, condition.operator, flag_value(condition.value, arg.flags) & (1 << 8 * arg.width) - 1))
    if one.fd is not None:
        at = _argument(call, "fd", "dirfd")
        if at < 0:
            return None
        found.append((at, 4, "eq", one.fd & 0xFFFFFFFF))
    return tuple(found)


def _pokes(pokes: Sequence[tuple[int, bytes]]) -> bytes:
    """As struct st_rule's content has them."""
    return b"".join(bytes((at,)) + len(data).to_bytes(2, "little") + data for at, data in pokes)


def _moved(one: Fault, call: Call) -> dict[str, Any] | None:
    """What short= and data= need. None: the call moves no bytes. Raises UnsupportedError for iovecs."""
    if not one.short and one.data is None:
        return {}
    where = transfers.transfer(call.name, reads=one.data is not None)
    if where is None:
        return None
    if where.vector != "buffer":
        raise UnsupportedError(
            f"{one.text}: --backend ptrace has no short= or data= of {call.name}", "leave out --backend ptrace"
        )
    return {"buffer": where.buffer, "count": where.count, "most": one.short, "data": one.data}


def _part(one: Fault, call: Call, of: Table) -> CallFault | None:
    """The fault in one call; None: the call lacks an argument that it is about."""
    conditions, moved = _conditions(one, call), _moved(one, call)
    path, fd = (_argument(call, *roles) if one.path else -1 for roles in (("path",), ("fd", "dirfd")))
    lacks = any(at >= len(call.args) for at, _ in (*one.poke_enter, *one.poke_exit)) or (one.path and path < 0 and fd < 0)
    if conditions is None or moved is None or lacks:
        return None
    when = one.when or When(first=0)
    return CallFault(
        sysno=call.sysno,
        signal=one.signal,
        instead=of.by_name[one.syscall].sysno if one.syscall and one.answers else -1,
        answers=one.answers,
        success=one.retval is not None,
        result=-one.error if one.error else one.retval or 0,
        poke_enter=_pokes(one.poke_enter),
        poke_exit=_pokes(one.poke_exit),
        delay_enter_us=one.delay_enter_us,
        delay_exit_us=one.delay_exit_us,
        first=when.first,
        last=ALWAYS if when.last is None else when.last,
        step=when.step,
        chance=0 if when.chance >= 1 else max(1, round(when.chance * (1 << 32))),
        seed=when.seed,
        count_by=_SCOPES.index(one.count_by),
        conditions=conditions,
        path_argument=path,
        dirfd_argument=_argument(call, "dirfd") if path >= 0 else -1,
        path_fd_argument=fd if path < 0 else -1,
        **moved,
    )


def _faults(options: TraceOptions) -> tuple[list[CallFault], list[Fault]]:
    """The parts of all faults by call, and the fault that each is of."""
    of = table()
    within = shown_calls(options, of) & frozenset(of.by_number)
    found: list[tuple[CallFault, Fault]] = []
    for one, calls in in_force(options.faults):
        parts = (_part(one, of.by_number[sysno], of) for sysno in calls & within)
        found += [(part, one) for part in parts if part is not None]
    found.sort(key=lambda pair: pair[0].sysno)  # stable: the order among a call's own stays
    return [part for part, _ in found], [one for _, one in found]


class _Paths:
    """Whether faults with path= are about what a call names."""

    def __init__(self, faults: list[Fault]) -> None:
        self._patterns = [patterns.compile_pattern(one.path) if one.path else [] for one in faults]

    def __call__(self, index: int, tid: int, dirfd: int, path: bytes | None) -> bool:
        try:
            names = self._names(tid, dirfd, path)
        except OSError:
            return False
        return any(patterns.matches(pattern, name) for pattern in self._patterns[index] for name in names)

    def _names(self, tid: int, dirfd: int, path: bytes | None) -> set[bytes]:
        """The object that is named, with its last link followed and not."""
        base = b"/proc/%d/cwd" % tid if dirfd == _AT_FDCWD else b"/proc/%d/fd/%d" % (tid, dirfd)
        if path is None:
            return {os.readlink(base)}
        whole = path if path.startswith(b"/") else os.path.join(os.readlink(base), path)
        directory, name = os.path.split(whole.rstrip(b"/") or b"/")
        return {os.path.realpath(whole), os.path.join(os.path.realpath(directory), name)}


def make_watch(options: TraceOptions, *, cpu_time: bool = False) -> Watch:
    """What the supervisor of such a trace looks at.

    Raises ValueError for a fault that could never fire, UnsupportedError for what only the in-process tracer can do.
    """
    of = table()
    if stack(options) == "python":
        raise UnsupportedError("--backend ptrace has no Python stacks", "use -k, or leave out --backend ptrace")
    check_faults(options, of)
    links = bool(options.decode_fds or options.paths or options.fds is not None)
    in_full = () if options.abbrev is None else frozenset(of.by_number) - options.abbrev
    mapping = mapping_calls(options, of)
    ops = captures(links=links, verbose=in_full)
    linked = captures(links=True) if mapping else {}
    dumped = DUMPED if options.read_fds or options.write_fds else 0
    parts, faults = _faults(options)
    return Watch(
        shown=shown_calls(options, of) | mapping,
        captures={**ops, **{sysno: linked[sysno] for sysno in mapping}},
        string_limit=max(options.string_limit, dumped),
        follow=options.follow,
        seccomp=options.seccomp,
        stack=bool(stack(options)),
        cpu_time=cpu_time,
        vdso=options.vdso,
        pinned=options.pinned,
        lockstep=bool(options.decode_fds - {"path"} or options.decode_pids),
        faults=tuple(parts),
        path_matches=_Paths(faults) if any(one.path for one in faults) else None,
    )
