"""Faults as rules of a policy: what of them is in force, for which calls, and in which order."""

from __future__ import annotations

from selftrace.calls import Table, flag_value, table
from selftrace.policy import transfers
from selftrace.policy.model import Action, Entry, Match, Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from selftrace.calls import Call
    from selftrace.policy.model import When
    from selftrace.trace.faults import Condition, Fault


def _apart(one: When | None, other: When | None) -> bool:
    """Whether no call can be both's."""
    if one is None or other is None:
        return False
    first, second = sorted((one, other), key=lambda when: when.first)
    return first.last is not None and first.last < second.first


def in_force(faults: Sequence[Fault]) -> list[tuple[Fault, frozenset[int]]]:
    """The last comes first. As in strace, a fault replaces those before it for the calls that both name; but not where one of
    them is for some of the calls only (path, fd, arg, prob), or where they count different calls."""
    found: list[tuple[Fault, frozenset[int]]] = []
    for one in reversed(faults):
        taken = [later.calls for later, _ in found if not (one.selects or later.selects or _apart(one.when, later.when))]
        found.append((one, one.calls.difference(*taken)))
    return found


def _argument(condition: Condition, call: Call) -> Match | None:
    arg = next((arg for arg in call.args if arg.name == condition.argument), None)
    if arg is None:
        return None
    return Match(condition.argument, condition.operator, (flag_value(condition.value, arg.flags) & (1 << 8 * arg.width) - 1,))


def wanted(condition: Condition, of: Table) -> list[tuple[int, int, int, str, int]]:
    """For each call that has the argument: sysno, which it is, its width, the operator, the value."""
    found = []
    for call in of.by_number.values():
        match = _argument(condition, call)
        if match is not None:
            at = call.index(condition.argument)
            found.append((call.sysno, at, call.args[at].width, match.op, int(match.operands[0])))
    return found


def _matches(one: Fault, call: Call) -> tuple[Match, ...] | None:
    """None: the call has no such argument."""
    found: list[Match | None] = [_argument(condition, call) for condition in one.args]
    if one.path:
        if not any(arg.role in ("path", "fd", "dirfd") for arg in call.args):
            return None
        subject = "@path" if any(arg.role == "path" for arg in call.args) else "@fd_path"
        found.append(Match(subject, "eq", (one.path,)))
    if one.fd is not None:
        at = next((i for i, arg in enumerate(call.args) if arg.role in ("fd", "dirfd")), None)
        found.append(None if at is None else Match(f"a{at}", "eq", (one.fd & 0xFFFFFFFF,)))
    return None if None in found else tuple(match for match in found if match is not None)


def actions_of(one: Fault) -> list[Action]:
    """In the order in which they can all happen: what answers ends the rules."""
    found: list[Action] = []
    if one.poke_enter:
        found.append(Action("poke_enter", pokes=one.poke_enter))
    if one.delay_enter_us:
        found.append(Action("delay_enter", delay_us=one.delay_enter_us))
    if one.delay_exit_us:
        found.append(Action("delay_exit", delay_us=one.delay_exit_us))
    if one.poke_exit:
        found.append(Action("poke_exit", pokes=one.poke_exit))
    if one.signal:
        found.append(Action("signal", signal=one.signal))
    if one.short:
        found.append(Action("short", size=one.short))
    if one.syscall and one.answers:
        found.append(Action("syscall", replacement=one.syscall))
    if one.error:
        found.append(Action("error", error=one.error))
    elif one.retval is not None:
        found.append(Action("retval", retval=one.retval))
    elif one.data is not None:
        found.append(Action("data", content=one.data))
    return found


def _can(call: Call, actions: Sequence[Action]) -> bool:
    """Whether all of it can happen to the call."""
    for action in actions:
        if action.name in ("short", "data") and transfers.transfer(call.name, reads=action.name == "data") is None:
            return False
        if any(at >= len(call.args) for at, _ in action.pokes):
            return False
    return True


def rules_of(one: Fault, name: str, of: Table | None = None, within: frozenset[int] | None = None) -> tuple[Rule, ...]:
    """The fault as rules of a policy. Each call has a counter of its own, and only calls that are shown are tampered with
    (`within`), as in strace."""
    source = of or table()
    found: list[Rule] = []
    actions = actions_of(one)
    for sysno in sorted(one.calls if within is None else one.calls & within):
        call = source.by_number[sysno]
        matches = _matches(one, call)
        if matches is None or not _can(call, actions):
            continue
        for action in actions:
            found.append(
                Rule(
                    f"{name}:{call.name}",
                    (Entry(call.name),),
                    matches,
                    action,
                    when=one.when,
                    count_by=one.count_by,
                    enforce="advisory",
                )
            )
    return tuple(found)
