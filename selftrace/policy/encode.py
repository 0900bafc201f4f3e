"""Writes a plan's native half as the table that the interposer reads (`struct st_plan` in selftrace.h).

The structures come from the header itself, through cffi: there is no second description of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from selftrace.calls import table
from selftrace.errors import PolicyError
from selftrace.policy.model import When
from selftrace.policy.plan import AddrPattern, Capture, Condition, NativeMatch, NativeRule, PathPattern, Plan

_OPERATORS = ("eq", "ne", "lt", "le", "gt", "ge", "between", "any", "none", "only", "in", "masked")
_ACTIONS = (
    *("allow", "error", "retval", "content", "signal", "log", "delay_enter", "delay_exit", "kill", "python"),
    *("syscall", "short", "data", "poke_enter", "poke_exit"),
)
_VECTORS = ("buffer", "iovecs", "msghdr")
_GRANTS = {"read": 1, "write": 2, "exec": 4, "open": 8}
_FOLLOW = ("always", "never", "open_flags", "at_nofollow", "at_follow", "openat2")
_PATTERNS = ("exact", "tree", "glob")
_ADDRESSES = ("connect", "bind", "sendmsg", "sendmmsg")
_COUNT_BY = ("thread", "process", "tree")
_FAMILIES = {"unix": 1, "inet": 2, "inet6": 10}
_PROTOCOLS = {"any": 0, "tcp": 6, "udp": 17}
_NO_END = 0xFFFFFFFF
_ALIGN = 8
_SCOPE = 4
_ALL_SCOPES = 0xFFFFFFFF


def glob_codes(text: bytes) -> bytes:
    """A glob as the interposer matches it: ? * ** become 1 2 3, a literal byte below 5 is 4 and the byte.

    A backslash takes the next byte literally.
    """
    out = bytearray()
    at = 0
    while at < len(text):
        byte = text[at : at + 1]
        if text.startswith(b"**", at):
            out.append(3)
            at += 1
        elif byte == b"*":
            out.append(2)
        elif byte == b"?":
            out.append(1)
        else:
            if byte == b"\\" and at + 1 < len(text):
                at += 1
            if text[at] < 5:
                out.append(4)
            out.append(text[at])
        at += 1
    return bytes(out)


class _Writer:
    """Collects the arrays of the table; each `add_*` returns the span of what it added."""

    def __init__(self, ffi: Any) -> None:
        self.ffi = ffi
        self.texts = bytearray()
        self.lists: dict[str, list[dict[str, Any]]] = {
            name: []
            for name in (
                "gates",
                "conditions",
                "paths",
                "addresses",
                "patterns",
                "addr_patterns",
                "matches",
                "rules",
                "captures",
            )
        }
        self.sets: list[int] = []
        self.rule_refs: list[int] = []

    def text(self, text: bytes) -> dict[str, int]:
        offset = len(self.texts)
        self.texts += text
        return {"offset": offset, "length": len(text)}

    def add(self, name: str, entries: Iterable[dict[str, Any]]) -> dict[str, int]:
        kept = self.lists[name]
        first = len(kept)
        kept.extend(entries)
        return {"first": first, "count": len(kept) - first}

    def conditions(self, conditions: Sequence[Condition]) -> dict[str, int]:
        return self.add("conditions", [self._condition(condition) for condition in conditions])

    def _condition(self, condition: Condition) -> dict[str, Any]:
        first = len(self.sets)
        self.sets.extend(condition.values)
        return {
            "arg": condition.arg,
            "width": condition.width,
            "op": _OPERATORS.index(condition.op),
            "set": {"first": first, "count": len(condition.values)},
            "value": condition.value,
            "value2": condition.value2,
        }

    def patterns(self, patterns: Iterable[PathPattern | tuple[PathPattern, int]]) -> dict[str, int]:
        entries = []
        for item in patterns:
            pattern, row = item if isinstance(item, tuple) else (item, 0)
            text = glob_codes(pattern.text) if pattern.kind == "glob" else pattern.text
            entries.append({"kind": _PATTERNS.index(pattern.kind), "row": row, "text": self.text(text)})
        return self.add("patterns", entries)

    def addr_patterns(self, patterns: Iterable[AddrPattern]) -> dict[str, int]:
        return self.add("addr_patterns", [self._addr_pattern(pattern) for pattern in patterns])

    def _addr_pattern(self, pattern: AddrPattern) -> dict[str, Any]:
        unix = pattern.family == "unix"
        return {
            "family": _FAMILIES[pattern.family],
            "prefix": pattern.prefix,
            "protocol": _PROTOCOLS[pattern.protocol],
            "port_low": pattern.port_low,
            "port_high": pattern.port_high,
            "address": list(b"" if unix else pattern.address),
            "path": self.text(glob_codes(pattern.address) if unix else b""),
        }

    def match(self, match: NativeMatch) -> dict[str, Any]:
        kind, which, span = 3, 0, {"first": 0, "count": 0}
        if match.scalar is not None:
            kind, span = 0, self.conditions([match.scalar])
        elif match.paths is not None:
            kind, which, span = 1, match.which, self.patterns(match.paths)
        elif match.addrs is not None:
            kind, span = 2, self.addr_patterns(match.addrs)
        else:
            which = 0 if match.thread == "main" else 1
        return {"kind": kind, "which": which, "negate": int(match.negate), "span": span}

    def rule(self, rule: NativeRule, counter: int) -> dict[str, Any]:
        when = rule.when
        return {
            "row": rule.row,
            "action": _ACTIONS.index(rule.action),
            "count_by": _COUNT_BY.index(rule.count_by),
            "error": rule.errno,
            "signal": rule.signal,
            "value": rule.value,
            **_transfer(rule),
            "chance": _chance(when),
            "seed": when.seed if when else 0,
            "content": self.text(rule.content),
            "delay_us": rule.delay_us,
            "handler": rule.handler,
            "first": when.first if when else 0,
            "last": when.last if when and when.last is not None else _NO_END,
            "step": when.step if when else 0,
            "counter": counter,
            "fired": rule.fired,
            "matches": self.add("matches", [*_scoped(rule), *(self.match(match) for match in rule.matches)]),
        }

    def array(self, ctype: str, entries: Sequence[Any]) -> bytes:
        return bytes(self.ffi.buffer(self.ffi.new(f"{ctype}[]", list(entries)))) if entries else b""


def _calls(plan: Plan, writer: _Writer, limit: int) -> list[dict[str, Any]]:
    native = plan.native
    by_number = table(plan.features.arch).by_number
    refs: dict[int, list[int]] = {}
    for index, rule in enumerate(native.rules):
        for sysno in rule.sysnos:
            refs.setdefault(sysno, []).append(index)
    entries = []
    for sysno in range(limit):
        gates = [
            {
                "error": gate.errno,
                "row": gate.row,
                "flags": gate.kill * 1 + gate.log * 2 + gate.quiet * 4,
                "conditions": writer.conditions(gate.conditions),
            }
            for gate in native.calls.get(sysno, ())
        ]
        uses = [
            {
                "dirfd": use.dirfd,
                "path": use.path,
                "flags": use.flags,
                "grant": _GRANTS[use.grant],
                "follow": _FOLLOW.index(use.follow),
            }
            for use in native.path_uses.get(sysno, ())
        ]
        address = native.addr_uses.get(sysno)
        first = len(writer.rule_refs)
        writer.rule_refs.extend(refs.get(sysno, ()))
        call = by_number.get(sysno)
        fds = [i for i, arg in enumerate(call.args) if arg.role in ("fd", "dirfd")] if call else []
        entries.append(
            {
                "gates": writer.add("gates", gates),
                "rules": {"first": first, "count": len(writer.rule_refs) - first},
                "paths": writer.add("paths", uses),
                "address": 0
                if address is None
                else 1
                + writer.add(
                    "addresses",
                    [
                        {
                            "kind": _ADDRESSES.index(address.kind),
                            "fd": address.fd,
                            "addr": address.addr,
                            "length": max(address.length, 0),
                        }
                    ],
                )["first"],
                "fd": fds[0] if fds else -1,
                "known": int(sysno in plan.filter.known),
                "traced": native.scopes.get(sysno, _ALL_SCOPES) if sysno in native.traced else 0,
                "captures": writer.add("captures", [_capture(op) for op in native.traced.get(sysno, ())]),
            }
        )
    return entries


def _scoped(rule: NativeRule) -> list[dict[str, Any]]:
    """Threads first: a rule that is not for them has nothing to look at."""
    return [{"kind": _SCOPE, "which": 0, "negate": 0, "span": {"first": rule.scope, "count": 0}}] if rule.scope else []


def _transfer(rule: NativeRule) -> dict[str, int]:
    where = rule.transfer
    return {"vector": _VECTORS.index(where.vector), "buffer": where.buffer, "count": where.count} if where else {}


def _chance(when: When | None) -> int:
    """Of 2^32; 0: all."""
    return 0 if when is None or when.chance >= 1 else max(1, round(when.chance * (1 << 32)))


def _capture(op: Capture) -> dict[str, int]:
    kind, arg, length, when, size = op
    return {"kind": kind, "arg": arg, "length": length, "when": when, "size": size}


def encode(plan: Plan, *, filter_program: bytes = b"", floor: bytes = b"") -> bytes:
    """The table for one run.

    filter_program, floor: BPF instructions, 8 bytes each; empty: none is installed.
    Raises BuildError if the native module is missing.
    Source: struct st_plan in native/selftrace.h.
    """
    from selftrace._native import ffi, lib

    native = plan.native
    writer = _Writer(ffi)
    entries = _calls(plan, writer, lib.ST_NR_MAX)
    counted = [index for index, rule in enumerate(native.rules) if rule.when is not None]
    if len(counted) > lib.ST_COUNTERS:
        raise PolicyError(f"{len(counted)} rules count calls, {lib.ST_COUNTERS} can: name fewer calls in rules with `when`")
    counters = {index: native.rules[index].counter if native.rules[index].counter >= 0 else n for n, index in enumerate(counted)}
    writer.add("rules", [writer.rule(rule, counters.get(index, 0)) for index, rule in enumerate(native.rules)])
    head = ffi.new("struct st_plan *")
    head.magic, head.abi = lib.ST_PLAN_MAGIC, lib.ST_ABI
    head.flags = (
        native.audit * lib.ST_PLAN_AUDIT
        | native.kill_on_error * lib.ST_PLAN_KILL_ON_ERROR
        | native.fs_closed * lib.ST_PLAN_FS_CLOSED
        | native.net_closed * lib.ST_PLAN_NET_CLOSED
        | native.hosts * lib.ST_PLAN_HOSTS
        | bool(plan.handlers) * lib.ST_PLAN_PYTHON
        | native.trace * lib.ST_PLAN_TRACE
        | native.trace_one * lib.ST_PLAN_TRACE_ONE
        | native.no_vdso * lib.ST_PLAN_NO_VDSO
        | native.names * lib.ST_PLAN_NAMES
        | native.watched * lib.ST_PLAN_WATCHED
        | any(rule.action == "poke_enter" for rule in native.rules) * lib.ST_PLAN_POKES
        | (native.stack == "native") * lib.ST_PLAN_STACK
        | (native.stack == "python") * lib.ST_PLAN_STACK_PYTHON
    )
    head.string_limit = native.string_limit
    if native.shim:
        head.shim = writer.text(os.fsencode(native.shim) + b"\0")
    head.unknown_error, head.unknown_row = native.unknown_errno, native.unknown_row
    head.fs_row, head.net_row, head.integrity_row = native.fs_row, native.net_row, native.integrity_row
    head.tasks, head.tasks_row = native.tasks, native.tasks_row
    for name in ("fs_read", "fs_write", "fs_exec", "fs_deny", "fs_quiet"):
        setattr(head, name, writer.patterns(getattr(native, name)))
    head.net_connect = writer.addr_patterns(native.net_connect)
    head.net_bind = writer.addr_patterns(native.net_bind)
    return _lay_out(ffi, head, entries, writer, filter_program, floor)


def _lay_out(ffi: Any, head: Any, entries: list[Any], writer: _Writer, program: bytes, floor: bytes) -> bytes:
    sections: list[tuple[str, bytes]] = [
        ("filter", program),
        ("floor", floor),
        ("calls", writer.array("struct st_call_entry", entries)),
        ("gates", writer.array("struct st_call_gate", writer.lists["gates"])),
        ("conditions", writer.array("struct st_condition", writer.lists["conditions"])),
        ("sets", writer.array("uint64_t", writer.sets)),
        ("paths", writer.array("struct st_path_use", writer.lists["paths"])),
        ("addresses", writer.array("struct st_addr_use", writer.lists["addresses"])),
        ("patterns", writer.array("struct st_pattern", writer.lists["patterns"])),
        ("addr_patterns", writer.array("struct st_addr_pattern", writer.lists["addr_patterns"])),
        ("matches", writer.array("struct st_match", writer.lists["matches"])),
        ("rules", writer.array("struct st_rule", writer.lists["rules"])),
        ("rule_refs", writer.array("uint16_t", writer.rule_refs)),
        ("captures", writer.array("struct st_capture", writer.lists["captures"])),
        ("texts", bytes(writer.texts)),
    ]
    body = bytearray(bytes(ffi.sizeof("struct st_plan")))
    for name, data in sections:
        body += bytes(-len(body) % _ALIGN)
        setattr(head, name, len(body))
        body += data
    head.filter_count, head.floor_count = len(program) // 8, len(floor) // 8
    head.size = len(body)
    body[: ffi.sizeof("struct st_plan")] = ffi.buffer(head)[:]
    return bytes(body)
