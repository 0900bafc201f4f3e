"""What a plan decides about one call: the reference that the interposer and the filter are compared with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal

from selftrace.policy.addresses import address_matches
from selftrace.policy.patterns import matches
from selftrace.policy.plan import AddrUse, Condition, NativeMatch, NativeRule, PathPattern, PathUse, Plan
from selftrace.record import record

_EACCES = 13
_O_PATH, _WRITING = 0x200000, 0x40 | 0x200 | 0x400000
Kind = Literal["allow", "refuse", "kill", "emulate", "handler"]


@record
class Verdict:
    """kind; errno of a refusal; the row that decides (None: nothing speaks against it); what else happens on the way."""

    kind: Kind
    errno: int = 0
    row: int | None = None
    grant: str = ""
    also: tuple[int, ...] = ()


def holds(condition: Condition, args: Sequence[int]) -> bool:
    """Whether a scalar condition is true of the arguments."""
    limit = (1 << (8 * condition.width)) - 1
    x, value, other = args[condition.arg] & limit, condition.value & limit, condition.value2 & limit
    tests = {
        "eq": x == value,
        "ne": x != value,
        "lt": x < value,
        "le": x <= value,
        "gt": x > value,
        "ge": x >= value,
        "between": value <= x <= other,
        "any": bool(x & value),
        "none": not x & value,
        "only": not x & ~value & limit,
        "in": x in {item & limit for item in condition.values},
        "masked": x & value == other,
    }
    return tests[condition.op]


def grants_of(use: PathUse, args: Sequence[int]) -> frozenset[str]:
    """What a path use asks for, by the open flags where they say."""
    if use.grant != "open":
        return frozenset({use.grant})
    if use.flags < 0:
        return frozenset({"write"})  # creat
    flags = args[use.flags] if use.follow != "openat2" else 0
    if flags & _O_PATH:
        return frozenset({"read"})
    wanted = {0: {"read"}, 1: {"write"}}.get(flags & 3, {"read", "write"})
    return frozenset(wanted | ({"write"} if flags & _WRITING else set()))


def _listed(patterns: Sequence[PathPattern], path: bytes) -> bool:
    return any(matches(pattern, path) for pattern in patterns)


def _above(patterns: Sequence[PathPattern], path: bytes) -> bool:
    """A directory above a grant may be looked at."""
    root = path.rstrip(b"/") + b"/"
    return path == b"/" or any(pattern.text.startswith(root) for pattern in patterns)


class _Evaluation:
    def __init__(self, plan: Plan, sysno: int, args: Sequence[int], strings: Mapping[int, bytes], protocol: str) -> None:
        self.plan, self.sysno, self.args = plan, sysno, args
        self.strings, self.protocol = strings, protocol
        self.uses = plan.native.path_uses.get(sysno, ())

    def path(self, which: int) -> bytes | None:
        if which >= len(self.uses):
            return None
        raw = self.strings.get(self.uses[which].path)
        if not raw:
            return None
        follow = self.uses[which].follow != "never"
        text = os.path.realpath(raw) if follow else os.path.join(os.path.realpath(os.path.dirname(raw)), os.path.basename(raw))
        return text if raw.startswith(b"/") else None

    def address(self) -> bytes | None:
        use: AddrUse | None = self.plan.native.addr_uses.get(self.sysno)
        return self.strings.get(use.addr) if use else None

    def match(self, match: NativeMatch) -> bool:
        if match.scalar is not None:
            return holds(match.scalar, self.args) != match.negate
        if match.paths is not None:
            path = self.path(match.which)
            return (path is not None and _listed(match.paths, path)) != match.negate
        if match.addrs is not None:
            raw = self.address()
            return (raw is not None and any(address_matches(p, raw, p.protocol) for p in match.addrs)) != match.negate
        return (match.thread == "main") != match.negate

    def rules(self) -> tuple[Verdict | None, tuple[int, ...]]:
        also: list[int] = []
        for rule in self.plan.native.rules:
            if self.sysno not in rule.sysnos or not all(self.match(m) for m in rule.matches):
                continue
            verdict = _act(rule)
            if verdict is None:
                also.append(rule.row)
                if rule.action == "allow":
                    break
            elif rule.when is not None:
                also.append(rule.row)  # only some calls: the others go on
            else:
                return verdict, tuple(also)
        return None, tuple(also)

    def fs(self) -> Verdict | None:
        native = self.plan.native
        for which, use in enumerate(self.uses):
            path = self.path(which)
            if path is None:
                continue
            for pattern, row in native.fs_deny:
                if matches(pattern, path):
                    return Verdict("refuse", _EACCES, row)
            wanted = grants_of(use, self.args) if native.fs_closed else frozenset()
            for grant in sorted(wanted):
                if not self._granted(use, grant, path):
                    return Verdict("refuse", _EACCES, native.fs_row, grant)
        return None

    def _granted(self, use: PathUse, grant: str, path: bytes) -> bool:
        native = self.plan.native
        if grant == "read":
            only_looks = use.grant != "open" or bool(
                use.flags >= 0 and use.follow != "openat2" and self.args[use.flags] & _O_PATH
            )
            looking = only_looks and (_above(native.fs_read, path) or _above(native.fs_write, path))
            return looking or _listed((*native.fs_read, *native.fs_exec), path)
        return _listed(native.fs_write if grant == "write" else native.fs_exec, path)

    def net(self) -> Verdict | None:
        native = self.plan.native
        use = native.addr_uses.get(self.sysno)
        raw = self.address()
        if use is None or raw is None or not native.net_closed or raw[:2] == b"\0\0":
            return None
        grant = "bind" if use.kind == "bind" else "connect"
        patterns = native.net_bind if grant == "bind" else native.net_connect
        if any(address_matches(pattern, raw, self.protocol) for pattern in patterns):
            return None
        return Verdict("refuse", _EACCES, native.net_row, grant)


def _act(rule: NativeRule) -> Verdict | None:
    if rule.action == "error":
        return Verdict("refuse", rule.errno, rule.row)
    if rule.action == "kill":
        return Verdict("kill", 1, rule.row)
    if rule.action in ("retval", "content", "data"):
        return Verdict("emulate", 0, rule.row)
    if rule.action == "python":
        return Verdict("handler", 0, rule.row)
    return None


def evaluate(
    plan: Plan, sysno: int, args: Sequence[int], strings: Mapping[int, bytes] | None = None, *, protocol: str = "tcp"
) -> Verdict:
    """The verdict on a call with these arguments; strings: argument index → path or sockaddr bytes.

    Counters are taken as not yet reached; relative paths are not judged. protocol: of the socket, for addresses.
    """
    native = plan.native
    if sysno not in plan.filter.known:
        return Verdict("refuse", native.unknown_errno, native.unknown_row)
    for gate in native.calls.get(sysno, ()):
        if all(holds(condition, args) for condition in gate.conditions):
            if gate.log:
                break
            return Verdict("kill" if gate.kill else "refuse", gate.errno, gate.row)
    one = _Evaluation(plan, sysno, args, strings or {}, protocol)
    verdict, also = one.rules()
    if verdict is None:
        verdict = one.fs() or one.net()
    if verdict is None:
        return Verdict("allow", also=also)
    return Verdict(verdict.kind, verdict.errno, verdict.row, verdict.grant, also)
