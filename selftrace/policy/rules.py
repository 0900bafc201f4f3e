"""[[rule]] tables: calls, matches, action, counter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from selftrace.calls import Call, Table, expand_group, flag_value, group_names, nearest
from selftrace.policy.actions import parse_action, parse_when
from selftrace.policy.layer import Layer
from selftrace.policy.model import Action, CountBy, Enforce, Entry, Match, Rule, When
from selftrace.policy.tampering import drawn
from selftrace.policy.variables import substitute

OPERATORS = ("eq", "ne", "lt", "le", "gt", "ge", "between", "any", "none", "only", "in")
PSEUDO = ("@path", "@path2", "@addr", "@fd_path", "@thread")
_PATHS = ("@path", "@path2", "@fd_path")
SUPERVISOR = "needs the supervisor, which is not built yet"


def calls_named(name: str, table: Table) -> tuple[int, ...]:
    """The numbers behind one entry: a name, @group, %class, "nr:462", or "name?" (fine if unknown here).

    Raises ValueError that names the nearest.
    """
    if name.startswith("nr:"):
        if not name[3:].isdigit() or int(name[3:]) > 511:
            raise ValueError(f'"{name}" is no call number: write nr:0 to nr:511')
        return (int(name[3:]),)
    if name[:1] in ("@", "%"):
        try:
            members = expand_group(name, table)
        except KeyError:
            raise ValueError(f'unknown group "{name}"{nearest(name, group_names(table))}') from None
        return tuple(table.by_name[member].sysno for member in members if member in table.by_name)
    optional = name.endswith("?")
    call = table.by_name.get(name.rstrip("?"))
    if call is not None:
        return (call.sysno,)
    if optional:
        return ()
    hint = nearest(name, table.by_name) or ' (groups start with "@" or "%")'
    raise ValueError(f'unknown call "{name}"{hint}')


class RuleReader:
    """Reads the rules of one layer; mistakes go to the layer."""

    def __init__(self, layer: Layer, table: Table, known: Mapping[str, Sequence[str]]) -> None:
        self.layer = layer
        self.table = table
        self.known = known

    def _calls(self, data: Mapping[str, Any], index: int) -> tuple[list[Entry], list[Call]]:
        layer, entries, calls = self.layer, [], []
        items = data.get("calls")
        if not isinstance(items, list) or not items or not all(isinstance(item, str) for item in items):
            layer.fail(layer.at("rule", index, "calls"), 'calls: expected a list of calls, e.g. ["openat", "@mount"]')
            return [], []
        for at, item in enumerate(items):
            where = layer.at("rule", index, "calls", at)
            try:
                numbers = calls_named(item, self.table)
            except ValueError as error:
                layer.fail(where, str(error))
                continue
            entries.append(Entry(item, where))
            calls += [self.table.by_number[n] for n in numbers if n in self.table.by_number]
        return entries, calls

    def _texts(self, subject: str, value: Any) -> tuple[str, ...]:
        items = value if isinstance(value, list) else [value]
        found: list[str] = []
        for item in items:
            if not isinstance(item, str):
                raise ValueError(f"{subject}: expected a string")
            found += substitute(item, self.known, pattern=subject in _PATHS)
        return tuple(found)

    def _number(self, value: Any, flagset: str | None) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise ValueError(f"{value!r} is no number and no flag expression")
        number = flag_value(value, flagset, self.table) if isinstance(value, str) else value
        return number & 0xFFFFFFFFFFFFFFFF

    def _flagset(self, subject: str, calls: Sequence[Call]) -> str | None:
        sets = []
        for call in calls:
            try:
                at = call.index(subject)
            except KeyError:
                names = " ".join(arg.name for arg in call.args) or "none"
                known = [arg.name for arg in call.args]
                raise ValueError(
                    f'{call.name} has no argument "{subject}"{nearest(subject, [*known, *PSEUDO])}; it has: {names}'
                ) from None
            if at < len(call.args):
                sets.append(call.args[at].flags)
        return next((name for name in sets if name), None)

    def _match(self, subject: str, value: Any, calls: Sequence[Call]) -> list[tuple[str, tuple[int | str, ...]]]:
        if subject.startswith("@") and subject not in PSEUDO:
            raise ValueError(f'unknown subject "{subject}"{nearest(subject, PSEUDO)}; known: {" ".join(PSEUDO)}')
        pairs = value if isinstance(value, dict) else {"in" if isinstance(value, list) else "eq": value}
        flagset = None if subject in PSEUDO else self._flagset(subject, calls)
        found: list[tuple[str, tuple[int | str, ...]]] = []
        for op, operand in pairs.items():
            if op not in OPERATORS:
                raise ValueError(f'unknown operator "{op}"{nearest(op, OPERATORS)}; known: {" ".join(OPERATORS)}')
            if subject in PSEUDO:
                if op not in ("eq", "ne", "in"):
                    raise ValueError(f"{subject} takes eq, ne or in, not {op}")
                found.append((op, self._texts(subject, operand)))
                continue
            items = operand if isinstance(operand, list) else [operand]
            if op == "between" and len(items) != 2:
                raise ValueError("between takes two numbers: [first, last]")
            if op not in ("in", "between") and len(items) != 1:
                raise ValueError(f"{op} takes one value; use in = [...] for several")
            numbers = tuple(self._number(item, flagset) for item in items)
            if op == "between" and numbers[0] > numbers[1]:
                raise ValueError("between: the first is greater than the last")
            found.append((op, numbers))
        return found

    def _matches(self, data: Mapping[str, Any], index: int, calls: Sequence[Call]) -> list[Match]:
        layer, found = self.layer, []
        table = data.get("match", {})
        if not isinstance(table, dict):
            layer.fail(layer.at("rule", index, "match"), 'match: expected a table, e.g. { family = "AF_ALG" }')
            return []
        for subject, value in table.items():
            where = layer.at("rule", index, "match", subject)
            try:
                for op, operands in self._match(subject, value, calls):
                    found.append(Match(subject, op, operands, where))
            except ValueError as error:
                layer.fail(where, str(error))
        return found

    def _choice(self, data: Mapping[str, Any], index: int, key: str, choices: tuple[str, ...], default: str) -> str:
        value = data.get(key, default)
        if value not in choices:
            hint = nearest(str(value), choices)
            self.layer.fail(self.layer.at("rule", index, key), f'{key}: "{value}" is none of {", ".join(choices)}{hint}')
            return default
        return str(value)

    def _action(self, data: Mapping[str, Any], index: int) -> Action:
        layer = self.layer
        try:
            name = data.get("action")
            if not isinstance(name, str):
                raise ValueError('a rule needs action = "…"')
            return parse_action(name, data)
        except ValueError as error:
            key = "action" if "action" in data else "calls"
            layer.fail(layer.at("rule", index, key), str(error))
            return Action("allow")

    def read(self, data: Mapping[str, Any], index: int) -> Rule:
        """One rule."""
        layer = self.layer
        entries, calls = self._calls(data, index)
        when: When | None = None
        if "when" in data:
            try:
                when = parse_when(data["when"])
            except ValueError as error:
                layer.fail(layer.at("rule", index, "when"), f"when: {error}")
        try:
            when = drawn(data, when)
        except ValueError as error:
            layer.fail(layer.at("rule", index, "prob"), str(error))
        enforce = self._choice(data, index, "enforce", get_args(Enforce), "auto")
        if enforce == "supervisor":
            layer.fail(layer.at("rule", index, "enforce"), f'enforce = "supervisor" {SUPERVISOR}')
        identity = data.get("id", "")
        if not isinstance(identity, str):
            layer.fail(layer.at("rule", index, "id"), "id: expected a string")
            identity = ""
        return Rule(
            id=identity,
            calls=tuple(entries),
            matches=tuple(self._matches(data, index, calls)),
            action=self._action(data, index),
            when=when,
            count_by=cast(CountBy, self._choice(data, index, "count_by", get_args(CountBy), "thread")),
            enforce=cast(Enforce, enforce),
            where=layer.at("rule", index),
        )
