"""One table for the interposer out of what several tracers and faults want."""

from __future__ import annotations

import os
import threading
from functools import lru_cache

from selftrace.calls import table
from selftrace.errors import UnsupportedError
from selftrace.policy.compile import compile as compile_plan
from selftrace.policy.encode import encode
from selftrace.policy.model import Default, PolicyModel, Tracing
from selftrace.record import replace
from selftrace.trace.faultrules import actions_of, rules_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from selftrace.inprocess.children import Children
    from selftrace.policy.api import Policy
    from selftrace.policy.plan import Capture, NativeRule, PathUse, Plan
    from selftrace.policy.terms import Context
    from selftrace.trace.faults import Fault

_PATH, _FD, _ENTRY = 2, 11, 1
"""ST_CAPTURE_PATH, ST_CAPTURE_FD, ST_CAPTURE_ENTRY of native/selftrace.h."""


class Share:
    """What one tracer or fault wants, and what it has got so far."""

    def __init__(
        self,
        calls: frozenset[int],
        *,
        faults: tuple[Fault, ...] = (),
        policy: Policy | None = None,
        links: bool = False,
        string_limit: int = 32,
        limit_bytes: int = 64 << 20,
        children: bool = False,
    ) -> None:
        """calls: those whose events it wants. links: with the paths of their descriptors. children: of programs too."""
        self.calls, self.faults, self.policy, self.links = calls, faults, policy, links
        self.string_limit, self.limit_bytes = string_limit, limit_bytes
        self.children: Children | None = None
        if children:
            from selftrace.inprocess.children import Children

            self.children = Children(self._captures(), faults, string_limit)
        self.active = False
        self.scope = -1
        self.tid = 0
        self.threads: Literal["all", "current"] = "current"
        self.counters: tuple[int, ...] = ()
        self.fired = 0
        self.lost = 0
        """Frames that did not fit."""
        self.stuck = 0
        """Threads that could not be taken off dispatch."""
        self.untraced: tuple[str, ...] = ()
        """Threads that could not be reached, as "tid (name)"."""
        self._batches: list[tuple[bytes, bool]] = []
        self._size = 0
        self._lock = threading.Lock()

    def _captures(self) -> dict[int, tuple[Capture, ...]]:
        ops = _captures(self.links)
        return {sysno: ops.get(sysno, ()) for sysno in sorted(self.calls)}

    def take(self, batch: bytes, *, child: bool = False) -> None:
        """More frames, of all threads, or of children. What is beyond the limit is dropped and counted."""
        if self._size + len(batch) > self.limit_bytes:
            self.lost += _frames_in(batch)
            return
        self._size += len(batch)
        self._batches.append((batch, child))

    def taken(self) -> list[tuple[bytes, bool]]:
        """What has come since the last time; True: of children."""
        with self._lock:
            batches, self._batches = self._batches, []
        return batches

    def counters_needed(self) -> int:
        """How many rules of it count."""
        return sum(1 for fault in self.faults for rule in _native(fault)[0] if rule.when is not None)

    def rules(self) -> list[NativeRule]:
        """Its faults, for its threads; the last of what a fault does to a call counts as its act."""
        counters = iter(self.counters)
        found = []
        for fault in self.faults:
            rules, steps = _native(fault)[0], len(actions_of(fault))
            for at, rule in enumerate(rules):
                found.append(
                    replace(
                        rule,
                        row=0,
                        scope=1 << self.scope,
                        fired=1 + self.scope if at % steps == steps - 1 else 0,
                        counter=next(counters) if rule.when is not None else -1,
                    )
                )
        return found


def _frames_in(batch: bytes) -> int:
    count, at = 0, 0
    while at < len(batch):
        at += int.from_bytes(batch[at + 8 : at + 12], "little")
        count += 1
    return count


@lru_cache(64)
def _native(fault: Fault) -> tuple[tuple[NativeRule, ...], tuple[tuple[int, tuple[PathUse, ...]], ...]]:
    """The fault's rules, as many for each call as it has actions, and where the paths of its calls are."""
    model = PolicyModel(name="inject", default=Default(action="allow"), rules=rules_of(fault, "fault"))
    native = _compiled(model).native
    return native.rules, tuple(native.path_uses.items())


def _compiled(model: PolicyModel) -> Plan:
    from selftrace.kernel.features import probe

    return compile_plan(model, probe())


@lru_cache(2)
def _captures(links: bool) -> dict[int, tuple[Capture, ...]]:
    try:
        from selftrace.calls.capture import captures

        return dict(captures("x86_64", links=links))
    except ImportError:
        return {call.sysno: _paths(call.sysno, links=links) for call in table().by_number.values()}


def _paths(sysno: int, *, links: bool) -> tuple[Capture, ...]:
    found: list[Capture] = []
    for at, arg in enumerate(table().by_number[sysno].args):
        if arg.role == "path":
            found.append((_PATH, at, 0, _ENTRY, 0))
        elif links and arg.role in ("fd", "dirfd"):
            found.append((_FD, at, 0, _ENTRY, 0))
    return tuple(found)


def _traced(shares: Sequence[Share]) -> tuple[dict[int, tuple[Capture, ...]], dict[int, int]]:
    """What is captured of each call, and for whom."""
    captured: dict[int, tuple[Capture, ...]] = {}
    scopes: dict[int, int] = {}
    for share in shares:
        plain, linked = _captures(False), _captures(True) if share.links else {}
        for sysno in share.calls:
            ops = linked.get(sysno, ()) if share.links else plain.get(sysno, ())
            captured[sysno] = max(captured.get(sysno, ()), ops, key=len)
            scopes[sysno] = scopes.get(sysno, 0) | 1 << share.scope
    return captured, scopes


def context() -> Context:
    """What a policy's variables stand for in this process."""
    import sys
    import sysconfig
    import tempfile

    from selftrace.policy.terms import Context

    cwd = os.getcwd()
    return Context(
        script_dir=cwd,
        home=os.path.expanduser("~"),
        tmp=tempfile.gettempdir(),
        cwd=cwd,
        python=tuple(dict.fromkeys((sys.prefix, sys.base_prefix))),
        site=tuple(dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))),
    )


def _policy_model(policy: Policy) -> PolicyModel:
    """Its rules; what only a process of its own can be held to is refused."""
    model = policy.model(context())
    if any(rule.action.name == "python" for rule in model.rules):
        raise UnsupportedError("Python handlers are not asked in the caller's own process", "use selftrace.run")
    return replace(model, require="advisory", rules=tuple(replace(rule, enforce="advisory") for rule in model.rules))


def make_table(shares: Sequence[Share]) -> bytes:
    """The table for the interposer; of several rules the first share's come first. Raises PolicyError, UnsupportedError."""
    policies = [share.policy for share in shares if share.policy is not None]
    if len(policies) > 1:
        raise UnsupportedError("a policy is in force in this process already", "nest tracing() with filters or inject() only")
    captured, scopes = _traced(shares)
    uses = {sysno: use for share in shares for fault in share.faults for sysno, use in _native(fault)[1]}
    return _table(
        _policy_model(policies[0]) if policies else _NOTHING,
        tuple(sorted(captured.items())),
        tuple(sorted(scopes.items())),
        tuple(rule for share in shares for rule in share.rules()),
        tuple(sorted(uses.items())),
        max(share.string_limit for share in shares),
    )


_NOTHING = PolicyModel(name="tracing", default=Default(action="allow"))


def _table(
    model: PolicyModel,
    captured: tuple[tuple[int, tuple[Capture, ...]], ...],
    scopes: tuple[tuple[int, int], ...],
    faults: tuple[NativeRule, ...],
    uses: tuple[tuple[int, tuple[PathUse, ...]], ...],
    string_limit: int,
) -> bytes:
    key = (captured, scopes, faults, uses, string_limit)
    if model is _NOTHING and key in _kept:
        return _kept[key]
    plan = _compiled(replace(model, tracing=Tracing(calls=dict(captured), string_limit=string_limit)))
    used = {rule.counter for rule in faults}
    spare = iter([number for number in range(_COUNTERS) if number not in used])
    own = [replace(rule, counter=next(spare)) if rule.when is not None else rule for rule in plan.native.rules]
    native = replace(
        plan.native, hosts=False, rules=(*faults, *own), scopes=dict(scopes), path_uses={**plan.native.path_uses, **dict(uses)}
    )
    data = encode(replace(plan, native=native))
    if model is _NOTHING:
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        _kept[key] = data
    return data


_COUNTERS, _MOST_KEPT = 512, 32
_kept: dict[tuple[object, ...], bytes] = {}
"""Tables by what they are made of: a test suite asks for the same ones again and again."""
