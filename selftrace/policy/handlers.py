"""Python handlers of a policy: which functions can be one, and the rule that each becomes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from selftrace.calls import flag_value, table
from selftrace.errors import PolicyError, Problem
from selftrace.policy.actions import parse_when
from selftrace.policy.api import Policy
from selftrace.policy.model import Action, CountBy, Enforce, Entry, Match, Position, Rule
from selftrace.policy.rules import SUPERVISOR, calls_named
from selftrace.record import record

_NEVER = frozenset(
    "brk mmap munmap mremap mprotect pkey_mprotect madvise futex futex_waitv clone clone3 fork vfork exit exit_group"
    " rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigqueueinfo"
    " rt_tgsigqueueinfo sigaltstack arch_prctl rseq set_robust_list set_tid_address restart_syscall".split()
)
"""Calls that Python is never asked about: the C library may hold its allocator's, loader's or fork locks."""

_COROUTINE = 0x80 | 0x200
"""CO_COROUTINE, CO_ASYNC_GENERATOR; importing inspect for them costs 4 ms."""


@record
class HandlerRule:
    """A handler: its rule, where the tracee imports it from, and the source of that if it is a plain file."""

    rule: Rule
    module: str
    function: str
    source: bytes | None


def _refuse(message: str, where: Position | None) -> PolicyError:
    place = where or Position("policy", 0, 0)
    return PolicyError([Problem(place.file, place.line, place.column, message)])


def _place(function: Callable[..., Any]) -> Position | None:
    code = getattr(function, "__code__", None)
    return Position(code.co_filename, code.co_firstlineno, 1) if code else None


def _importable(function: Callable[..., Any], calls: Sequence[str]) -> tuple[str, str, bytes | None]:
    """(module, function, source if the module is a plain file). Raises PolicyError for what the tracee cannot import."""
    where = _place(function)
    name = getattr(function, "__qualname__", repr(function))
    if getattr(getattr(function, "__code__", None), "co_flags", 0) & _COROUTINE:
        raise _refuse(f"{name} is async: it {SUPERVISOR}; write a plain function", where)
    forbidden = sorted(set(calls) & _NEVER)
    if forbidden:
        raise _refuse(
            f"{name}: no Python for {', '.join(forbidden)}: the C library may hold its own locks there;"
            " use a native rule (error, retval, log …)",
            where,
        )
    module_name = getattr(function, "__module__", None) or ""
    module = sys.modules.get(module_name)
    path = getattr(module, "__file__", None)
    remedy = f"it would run in the launcher and {SUPERVISOR}; put it into a module of its own, at top level"
    if "<lambda>" in name:
        raise _refuse(f"a lambda cannot be a handler in the tracee: {remedy}", where)
    if "<locals>" in name or getattr(function, "__closure__", None):
        raise _refuse(f"{name} is a closure or a nested function: {remedy}", where)
    if module_name == "__main__" or module is None or path is None:
        kind = "a notebook cell's or the main program's" if module_name == "__main__" else "no importable module's"
        raise _refuse(f"{name} is {kind}: {remedy}", where)
    return module_name, name, Path(path).read_bytes() if path.endswith(".py") else None


def _numbers(items: Mapping[str, Any], calls: Sequence[str]) -> list[Match]:
    found = []
    known = table()
    for subject, value in items.items():
        flagset = None
        for name in calls:
            call = known.by_name.get(name)
            if call is not None:
                try:
                    at = call.index(subject)
                except KeyError:
                    names = " ".join(arg.name for arg in call.args)
                    raise PolicyError(f'{name} has no argument "{subject}"; it has: {names}') from None
                flagset = flagset or (call.args[at].flags if at < len(call.args) else None)
        values = value if isinstance(value, (list, tuple)) else [value]
        numbers = tuple((flag_value(v, flagset) if isinstance(v, str) else int(v)) & 0xFFFFFFFFFFFFFFFF for v in values)
        found.append(Match(subject, "in" if len(numbers) > 1 else "eq", numbers))
    return found


def registrar(
    calls: Sequence[str],
    path: str | Sequence[str] | None,
    addr: str | Sequence[str] | None,
    args: Mapping[str, Any] | None,
    when: str | int | None,
    count_by: CountBy,
    enforce: Enforce,
) -> Callable[[Callable[..., Any]], HandlerRule]:
    """What makes a rule of a function; parameters as in `Policy.on`. Raises PolicyError."""
    if not calls:
        raise PolicyError('on() needs at least one call, e.g. on("openat")')
    if enforce == "supervisor":
        raise PolicyError(f'enforce = "supervisor" {SUPERVISOR}')
    known = table()
    try:
        numbers = [number for name in calls for number in calls_named(name, known)]
        counter = parse_when(when) if when is not None else None
    except ValueError as error:
        raise PolicyError(str(error)) from None
    names = [known.by_number[number].name for number in numbers if number in known.by_number]
    matches = _numbers(args or {}, names)
    for subject, value in (("@path", path), ("@addr", addr)):
        if value is not None:
            items = (value,) if isinstance(value, str) else tuple(value)
            matches.append(Match(subject, "in", items))

    def rule_of(function: Callable[..., Any]) -> HandlerRule:
        module, qualified, source = _importable(function, names)
        rule = Rule(
            id="",
            calls=tuple(Entry(name) for name in calls),
            matches=tuple(matches),
            action=Action("python", handler=f"{module}:{qualified}"),
            when=counter,
            count_by=count_by,
            enforce=enforce,
            where=_place(function),
        )
        return HandlerRule(rule, module, qualified, source)

    return rule_of


def load_python(file: str | Path) -> Policy:
    """Runs a handler file in the launcher to learn what its functions are for; the file itself goes to the tracee."""
    path = Path(file)
    try:
        source = path.read_bytes()
        code = compile(source, str(path), "exec")
    except OSError as error:
        raise PolicyError([Problem(str(path), 0, 0, f"cannot be read: {error.strerror}")]) from None
    except SyntaxError as error:
        raise PolicyError([Problem(str(path), error.lineno or 0, error.offset or 0, f"not Python: {error.msg}")]) from None
    name = f"selftrace_policy_{path.stem}"
    module = ModuleType(name)
    module.__file__ = str(path.resolve())
    sys.modules[name] = module
    exec(code, module.__dict__)
    found = {id(value): value for value in vars(module).values() if isinstance(value, Policy)}
    if len(found) != 1:
        raise PolicyError(
            [Problem(str(path), 0, 0, f"makes {len(found)} policies; a handler file makes one: p = Policy.load(…)")]
        )
    return next(iter(found.values())).with_file(name, source)
