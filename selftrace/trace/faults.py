"""strace's inject expressions: SET[:error=E|:retval=V][:signal=S][:syscall=C][:delay_enter=T][:delay_exit=T][:poke_enter=P]
[:poke_exit=P][:when=…], and ours: [:short=N][:data=TEXT][:prob=P[,seed=N]][:path=P][:fd=N][:arg.NAME=V][:count_by=…]."""

from __future__ import annotations

import os
import re

from selftrace.calls import Table, errno_value, flag_value, nearest, signal_value, table
from selftrace.policy import tampering, transfers
from selftrace.policy.actions import parse_duration_us, parse_when
from selftrace.policy.model import CountBy, When
from selftrace.policy.variables import escape
from selftrace.record import record
from selftrace.trace.sets import call_set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any


_IDLE = frozenset(("syscall", "when", "prob", "seed", "path", "fd", "arg", "count_by"))
"""What does nothing alone: the calls that are meant, and, as in strace, the one that is made where another is answered."""
KEYS = (
    *("error", "retval", "signal", "syscall", "delay_enter", "delay_exit", "poke_enter", "poke_exit", "short", "data"),
    *("when", "prob", "seed", "path", "fd", "arg", "count_by"),
)
_STRACE_FAULT = ("retval", "signal", "syscall", "delay_enter", "delay_exit", "poke_enter", "poke_exit")
_SCOPES: tuple[CountBy, ...] = ("thread", "process", "tree")
_ENOSYS = 38
_MOST = 65534
_COLON = re.compile(r"(?<!\\):")
_OPERATORS = {"!": "ne", "&": "any", "<": "le", ">": "ge"}


@record
class Condition:
    """An argument by name, an operator of policies' `match`, and the number or flags as written."""

    argument: str
    operator: str
    value: str


@record
class Fault:
    """One inject expression. calls: numbers; error 0 and retval None: the call is made.

    signal 0: none. Delays in microseconds. path: a glob, empty: any. short: bytes, 0: all. text: as it was written.
    """

    calls: frozenset[int]
    text: str
    error: int = 0
    retval: int | None = None
    signal: int = 0
    syscall: str = ""
    delay_enter_us: int = 0
    delay_exit_us: int = 0
    poke_enter: tampering.Pokes = ()
    poke_exit: tampering.Pokes = ()
    short: int = 0
    data: bytes | None = None
    when: When | None = None
    path: str = ""
    fd: int | None = None
    args: tuple[Condition, ...] = ()
    count_by: CountBy = "thread"

    @property
    def answers(self) -> bool:
        """Whether the call itself is not made."""
        return bool(self.error) or self.retval is not None or self.data is not None

    @property
    def selects(self) -> bool:
        """Whether it is for some of the calls only, by what strace has not."""
        return bool(self.path or self.args) or self.fd is not None or (self.when is not None and self.when.chance < 1)


def _error(value: Any) -> int:
    text = str(value)
    number = int(text) if text.isdigit() else errno_value(text)
    if not 0 < number < 4096:
        raise ValueError(f"error {value} is none of 1 to 4095")
    return number


def _retval(value: Any) -> int:
    number = value if isinstance(value, int) else int(str(value), 0)
    if not -(1 << 63) <= number < 1 << 64:
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


def _data(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


def _absolute(value: Any) -> str:
    """The pattern as policies have it: from the root on; a relative one is relative to the working directory."""
    path = str(value)
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


_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "error": ("error", _error),
    "retval": ("retval", _retval),
    "signal": ("signal", _signal),
    "syscall": ("syscall", tampering.parse_replacement),
    "delay_enter": ("delay_enter_us", parse_duration_us),
    "delay_exit": ("delay_exit_us", parse_duration_us),
    "poke_enter": ("poke_enter", tampering.parse_pokes),
    "poke_exit": ("poke_exit", tampering.parse_pokes),
    "short": ("short", tampering.parse_size),
    "data": ("data", _data),
    "when": ("when", _counter),
    "path": ("path", _absolute),
    "fd": ("fd", int),
    "count_by": ("count_by", _count_by),
}
"""Key → field of `Fault`, and what makes one of the other."""


def condition(name: str, value: Any) -> Condition:
    """NAME=V, and NAME!=V, >=, <=, &= (any of these bits), as their parts before and after the sign."""
    operator = _OPERATORS.get(name[-1:], "eq")
    return Condition(name if operator == "eq" else name[:-1], operator, str(value))


def _conditions(values: Mapping[str, Any]) -> tuple[Condition, ...]:
    """Of `arg.NAME` keys, and of `arg={NAME: VALUE}`."""
    given = [(name[4:], value) for name, value in values.items() if name.startswith("arg.")]
    given += list(dict(values.get("arg", {})).items())
    return tuple(condition(name, value) for name, value in given)


def _check_keys(values: Iterable[str]) -> None:
    for name in values:
        if name not in KEYS and not (name.startswith("arg.") and len(name) > 4):
            raise ValueError(f"{name} is unknown{nearest(name, KEYS)}; known: {' '.join(KEYS)}")


def _check_calls(one: Fault, of: Table) -> None:
    """Raises ValueError for what none of its calls can have happen to it."""
    names = [of.by_number[sysno].name for sysno in one.calls]
    for word, wanted, reads in (("short", one.short, False), ("data", one.data is not None, True)):
        if wanted and not any(transfers.transfer(name, reads=reads) for name in names):
            raise ValueError(f"{word}= is for {transfers.names(reads=reads)}")
    for pokes in (one.poke_enter, one.poke_exit):
        highest = max((at for at, _ in pokes), default=-1)
        if pokes and not any(len(of.by_name[name].args) > highest for name in names):
            raise ValueError(f"none of the calls has an argument {highest + 1} to poke at")
    for item in one.args:
        check_condition(item, names, of)


def check_condition(item: Condition, names: Sequence[str], of: Table) -> None:
    """Raises ValueError for an argument that none of the calls has, or a flag that it has not."""
    meant = [arg for name in names for arg in of.by_name[name].args if arg.name == item.argument]
    for arg in meant:
        flag_value(item.value, arg.flags, of)
    if not meant:
        known = " ".join(arg.name for arg in of.by_name[names[0]].args) if names else ""
        raise ValueError(f'no call has an argument "{item.argument}"; {names[0] if names else ""} has: {known}')


def fault(calls: str, values: Mapping[str, Any], *, text: str = "", of: Table | None = None) -> Fault:
    """A fault of its parts; keys as in `KEYS`. Raises ValueError: an unknown key, call, errno or signal, a bad counter."""
    source = of or table()
    _check_keys(values)
    if sum(name in values for name in ("error", "retval", "data")) > 1:
        raise ValueError("error, retval and data exclude each other")
    fields = {field: parse(values[name]) for name, (field, parse) in _FIELDS.items() if name in values}
    fields["when"] = tampering.drawn(values, fields.get("when"))
    found = Fault(
        calls=call_set(calls, source),
        text=text or f"{calls}:{':'.join(f'{name}={value}' for name, value in values.items())}",
        args=_conditions(values),
        **fields,
    )
    _check_calls(found, source)
    return found


def acts(values: Iterable[str]) -> None:
    """Raises ValueError if the keys only say which calls."""
    if all(name in _IDLE or name.startswith("arg.") for name in values):
        raise ValueError("says nothing to inject: give error=, retval=, signal=, a delay, a poke, short= or data=")


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
    calls, *parts = _COLON.split(text)
    values: dict[str, Any] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise ValueError(f"'{part}' is no name=value")
        if name in values:
            raise ValueError(f"{name} is given twice")
        values[name] = tampering.unescape(value) if name == "data" else value
    if must_answer:
        for name in values:
            if name in _STRACE_FAULT:
                raise ValueError(f"{name} is for -e inject=, a fault is an error")
        values = {"error": _ENOSYS, **values}
    acts(values)
    return fault(calls, values, text=text)
