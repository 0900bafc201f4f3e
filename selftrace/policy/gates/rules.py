"""Gate 4: [[rule]]s and handlers, in order, each to the cheapest place that can hold it."""

from __future__ import annotations

from collections.abc import Sequence

from selftrace.calls import errno_name
from selftrace.policy import capabilities, transfers
from selftrace.policy.gates.base import EPERM, GateCompiler
from selftrace.policy.model import Action, Entry, Match, Rule
from selftrace.policy.plan import (
    Condition,
    Decision,
    FilterRule,
    Handler,
    NativeMatch,
    NativeRule,
)
from selftrace.policy.transfers import Transfer
from selftrace.record import replace

_PSEUDO_PATHS = {"@path": 0, "@path2": 1, "@fd_path": 2}


class RuleGates(GateCompiler):
    """[[rule]]."""

    def scalar(self, match: Match, sysno: int) -> Condition:
        call = self.table.by_number.get(sysno)
        at = call.index(match.subject) if call is not None else int(match.subject[1])
        width = call.args[at].width if call is not None and at < len(call.args) else 8
        values = tuple(int(v) for v in match.operands)
        if match.op == "in":
            return Condition(at, width, "in", values=values)
        return Condition(at, width, match.op, values[0], values[1] if match.op == "between" else 0)

    def native_match(self, match: Match, sysno: int) -> NativeMatch:
        negate = match.op == "ne"
        texts = [str(operand) for operand in match.operands]
        entries = [Entry(text, match.where) for text in texts]
        if match.subject in _PSEUDO_PATHS:
            return NativeMatch(paths=self.patterns(entries), which=_PSEUDO_PATHS[match.subject], negate=negate)
        if match.subject == "@addr":
            return NativeMatch(addrs=self.addresses(entries), negate=negate)
        if match.subject == "@thread":
            if texts[0] not in ("main", "other"):
                self.fail(match.where, f'@thread is "main" or "other", not "{texts[0]}"')
            return NativeMatch(thread="main" if texts[0] == "main" else "other", negate=negate)
        return NativeMatch(scalar=self.scalar(match, sysno))

    def rules(self) -> None:
        for index, rule in enumerate(self.model.rules):
            self._rule(rule, index)

    def _shapes(self, rule: Rule) -> dict[tuple[tuple[NativeMatch, ...], Transfer | None], list[int]]:
        """Matches and buffers by call: an argument may stand elsewhere in another call."""
        shapes: dict[tuple[tuple[NativeMatch, ...], Transfer | None], list[int]] = {}
        for sysno in sorted(self.numbers(rule.calls)):
            key = (tuple(self.native_match(m, sysno) for m in rule.matches), self._transfer(rule, sysno))
            shapes.setdefault(key, []).append(sysno)
        return shapes

    def _transfer(self, rule: Rule, sysno: int) -> Transfer | None:
        """What the action needs to know of the call; a call that it cannot be done to is a mistake."""
        name, pokes = rule.action.name, rule.action.pokes
        call = self.table.by_number.get(sysno)
        if pokes and (call is None or max(at for at, _ in pokes) >= len(call.args)):
            self.fail(rule.where, f"poke: {call.name if call else sysno} has {len(call.args) if call else 0} arguments")
        if name not in ("short", "data"):
            return None
        found = transfers.transfer(call.name if call else "", reads=name == "data")
        if found is None:
            self.fail(rule.where, f'action "{name}" is for {transfers.names(reads=name == "data")}')
        return found

    def _rule(self, rule: Rule, index: int) -> None:
        shapes = self._shapes(rule)
        if not shapes:
            return
        action = rule.action
        scalar = all(match.scalar is not None for matches, _ in shapes for match in matches)
        refuses = action.name in ("error", "kill")
        sysnos = [sysno for group in shapes.values() for sysno in group]
        earlier = any(self.ended.get(sysno) for sysno in sysnos)
        in_kernel = refuses and scalar and rule.when is None and not earlier and rule.enforce != "advisory"
        note = self._why_advisory(rule, scalar, earlier) if refuses and not in_kernel else ""
        if rule.enforce == "kernel" and not in_kernel:
            self.fail(rule.where, f'enforce = "kernel" is not possible: {note or action.name + " is no refusal"}')
        names = ", ".join(entry.text for entry in rule.calls)
        row = self.row(
            rule.id or (action.handler if action.name == "python" else f"rule[{index + 1}]"),
            "rule",
            _decision(rule),
            names,
            "kernel" if in_kernel else "advisory" if refuses or action.name == "python" else None,
            rule.where,
            note,
        )
        if rule.enforce == "kernel":
            self.kernel_only.add(row)
        handler = -1
        if action.name == "python":
            module, _, function = action.handler.partition(":")
            handler = len(self.handlers)
            self.handlers.append(Handler(module, function, row))
        for (matches, where), numbers in shapes.items():
            self.native_rules.append(
                NativeRule(
                    row,
                    tuple(numbers),
                    matches,
                    action.name,
                    errno=action.error,
                    value=self._value(action),
                    content=_pokes(action) if action.pokes else action.content,
                    signal=action.signal,
                    delay_us=action.delay_us,
                    handler=handler,
                    transfer=where,
                    when=rule.when,
                    count_by=rule.count_by,
                )
            )
            conditions = tuple(m.scalar for m in matches if m.scalar is not None)
            if in_kernel:
                errno = action.error if action.name == "error" else EPERM
                self.filter.append(FilterRule(tuple(numbers), conditions, Decision("deny", errno, row)))
            else:
                self.trap(numbers, row, conditions)
            self._paths_for(matches, numbers)
        if action.name in ("allow", "retval", "content", "python", "data"):
            self.ended.update(dict.fromkeys(sysnos, True))

    def _value(self, action: Action) -> int:
        if action.name == "syscall":
            return self.number(action.replacement)
        return action.size if action.name == "short" else action.retval

    def _paths_for(self, matches: tuple[NativeMatch, ...], numbers: Sequence[int]) -> None:
        """A rule on paths or addresses needs to know where they are, whether or not a section is closed."""
        if any(match.paths is not None for match in matches):
            uses = capabilities.path_uses(self.table)
            wanted = {sysno: uses[sysno] for sysno in numbers if sysno in uses}
            self.native = replace(self.native, path_uses={**self.native.path_uses, **wanted})
        if any(match.addrs is not None for match in matches):
            places = capabilities.addr_uses(self.table)
            held = {sysno: places[sysno] for sysno in numbers if sysno in places}
            self.native = replace(self.native, addr_uses={**self.native.addr_uses, **held})

    def _why_advisory(self, rule: Rule, scalar: bool, earlier: bool) -> str:
        if rule.when is not None:
            return "the filter cannot count"
        if not scalar:
            return "the filter sees numbers, not paths or addresses"
        if earlier:
            return "an earlier rule of this call may answer first"
        return 'enforce = "advisory"'


def _pokes(action: Action) -> bytes:
    """As the interposer reads them: argument, length, bytes."""
    return b"".join(bytes([at]) + len(data).to_bytes(2, "little") + data for at, data in action.pokes)


def _decision(rule: Rule) -> str:
    action = rule.action
    detail = {
        "error": errno_name(action.error),
        "retval": str(action.retval),
        "content": f"{len(action.content)} bytes",
        "signal": str(action.signal),
        "delay_enter": f"{action.delay_us} us",
        "delay_exit": f"{action.delay_us} us",
        "python": action.handler,
        "syscall": action.replacement,
        "short": f"{action.size} bytes",
        "data": f"{len(action.content)} bytes",
    }.get(action.name, "")
    return f"{action.name} {detail}".strip()
