"""strace's inject expressions as rules: SET[:error=E|:retval=V][:signal=S][:delay_enter=T][:delay_exit=T][:when=…] and ours
([:path=P][:fd=N][:count_by=thread|process|tree])."""

from __future__ import annotations

import os

from selftrace.calls import Table, errno_value, nearest, signal_value, table
from selftrace.policy.actions import parse_duration_us, parse_when
from selftrace.policy.model import Action, CountBy, Entry, Match, Rule, When
from selftrace.policy.variables import escape
from selftrace.record import record
from selftrace.trace.sets import call_set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


KEYS = ("error", "retval", "signal", "delay_enter", "delay_exit", "when", "path", "fd", "count_by", "syscall")
_LATER = {
    "poke_enter": "changes memory, which comes with the ptrace backend",
    "poke_exit": "changes memory, which comes with the ptrace backend",
}
_SCOPES: tuple[CountBy, ...] = ("thread", "process", "tree")
_ENOSYS = 38
_MOST = 65534


@record
class Fault:
    """One inject expression. calls: numbers; error 0 and retval None: the call is made.

    signal 0: none. Delays in microseconds. path: a glob, empty: any. text: as it was written.
    """

    calls: frozenset[int]
    text: str
    error: int = 0
    retval: int | None = None
    signal: int = 0
    delay_enter_us: int = 0
    delay_exit_us: int = 0
    when: When | None = None
    path: str = ""
    fd: int | None = None
    count_by: CountBy = "thread"

    @property
    def answers(self) -> bool:
        """Whether the call itself is not made."""
        return bool(self.error) or self.retval is not None


def _error(value: Any) -> int:
    text = str(value)
    number = int(text) if text.isdigit() else errno_value(text)
    if not 0 < number < 4096:
        raise ValueError(f"error {value} is none of 1 to 4095")
    return number


def _retval(value: Any) -> int:
    number = value if isinstance(value, int) else int(str(value), 0)
    if not 0 <= number < 1 << 64:
        raise ValueError(f"retval {value} is no number of 64 bits")
    return number - (1 << 64) if number >= 1 << 63 else number


def _counter(value: Any) -> When:
    when = parse_when(value)
    if max(when.first, when.last or 0, when.step) > _MOST + (when.last is None):
        raise ValueError(f'"{value}": counters end at {_MOST}')
    return when


def _signal(value: Any) -> int:
    number = signal_value(str(value).upper())
    if not 0 < number <= 64:
        raise ValueError(f"signal {value} is none of 1 to 64")
    return number


def _absolute(path: str) -> str:
    """The pattern as policies have it: from the root on; a relative one is relative to the working directory."""
    if not path or path.startswith("/"):
        return path
    if path.startswith("**"):
        return f"/{path}"
    return os.path.join(escape(os.getcwd()), path.removeprefix("./"))


def _count_by(value: Any) -> CountBy:
    for known in _SCOPES:
        if value == known:
            return known
    raise ValueError(f'count_by is "thread", "process" or "tree", not "{value}"')


def fault(calls: str, values: Mapping[str, Any], *, text: str = "", of: Table | None = None) -> Fault:
    """A fault of its parts; keys as in `KEYS`. Raises ValueError: an unknown key, call, errno or signal, a bad counter."""
    source = of or table()
    for name in values:
        if name in _LATER:
            raise ValueError(f"{name} {_LATER[name]}")
        if name not in KEYS:
            raise ValueError(f"{name} is unknown{nearest(name, KEYS)}; known: {' '.join(KEYS)}")
    if "syscall" in values:
        raise ValueError("syscall= is not built yet: use retval= or a Python handler")
    if "error" in values and "retval" in values:
        raise ValueError("error and retval exclude each other")
    return Fault(
        calls=call_set(calls, source),
        text=text or f"{calls}:{':'.join(f'{name}={value}' for name, value in values.items())}",
        error=_error(values["error"]) if "error" in values else 0,
        retval=_retval(values["retval"]) if "retval" in values else None,
        signal=_signal(values["signal"]) if "signal" in values else 0,
        delay_enter_us=parse_duration_us(values["delay_enter"]) if "delay_enter" in values else 0,
        delay_exit_us=parse_duration_us(values["delay_exit"]) if "delay_exit" in values else 0,
        when=_counter(values["when"]) if "when" in values else None,
        path=_absolute(str(values.get("path", ""))),
        fd=int(values["fd"]) if "fd" in values else None,
        count_by=_count_by(values.get("count_by", "thread")),
    )


def parse_inject(text: str, *, must_answer: bool = False) -> Fault:
    """A fault as strace writes it. must_answer: `-e fault=`, where ENOSYS is what nothing else is said for.

    Raises ValueError that says which part is wrong.
    """
    kind = "fault" if must_answer else "inject"
    try:
        return _parse(text, must_answer=must_answer)
    except ValueError as error:
        raise ValueError(f"invalid {kind} argument '{text}': {error}") from None


def _parse(text: str, *, must_answer: bool) -> Fault:
    calls, *parts = text.split(":")
    values: dict[str, Any] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise ValueError(f"'{part}' is no name=value")
        if name in values:
            raise ValueError(f"{name} is given twice")
        values[name] = value
    if must_answer:
        for name in values:
            if name in ("retval", "signal", "syscall", "delay_enter", "delay_exit"):
                raise ValueError(f"{name} is for -e inject=, a fault is an error")
        values = {"error": _ENOSYS, **values}
    if not set(values) - {"when", "path", "fd", "count_by"}:
        raise ValueError("says nothing to inject: give error=, retval=, signal= or a delay")
    return fault(calls, values, text=text)


def _matches(one: Fault, sysno: int, source: Table) -> tuple[Match, ...] | None:
    """None: the call has no such argument."""
    found: list[Match] = []
    call = source.by_number[sysno]
    if one.path:
        if not any(arg.role in ("path", "fd", "dirfd") for arg in call.args):
            return None
        subject = "@path" if any(arg.role == "path" for arg in call.args) else "@fd_path"
        found.append(Match(subject, "eq", (one.path,)))
    if one.fd is not None:
        at = next((i for i, arg in enumerate(call.args) if arg.role in ("fd", "dirfd")), None)
        if at is None:
            return None
        found.append(Match(f"a{at}", "eq", (one.fd & 0xFFFFFFFF,)))
    return tuple(found)


def actions_of(one: Fault) -> list[Action]:
    """In the order in which they can all happen: what answers ends the rules."""
    found: list[Action] = []
    if one.delay_enter_us:
        found.append(Action("delay_enter", delay_us=one.delay_enter_us))
    if one.delay_exit_us:
        found.append(Action("delay_exit", delay_us=one.delay_exit_us))
    if one.signal:
        found.append(Action("signal", signal=one.signal))
    if one.error:
        found.append(Action("error", error=one.error))
    if one.retval is not None:
        found.append(Action("retval", retval=one.retval))
    return found


def rules_of(one: Fault, name: str, of: Table | None = None, within: frozenset[int] | None = None) -> tuple[Rule, ...]:
    """The fault as rules of a policy. Each call has a counter of its own, and only calls that are shown are tampered with
    (`within`), as in strace."""
    source = of or table()
    found: list[Rule] = []
    for sysno in sorted(one.calls if within is None else one.calls & within):
        matches = _matches(one, sysno, source)
        if matches is None:
            continue
        for action in actions_of(one):
            found.append(
                Rule(
                    f"{name}:{source.by_number[sysno].name}",
                    (Entry(source.by_number[sysno].name),),
                    matches,
                    action,
                    when=one.when,
                    count_by=one.count_by,
                    enforce="advisory",
                )
            )
    return tuple(found)
