"""`Policy`: a policy file, what the command line adds to it, and Python handlers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from selftrace.calls import flag_value, table
from selftrace.errors import PolicyError, Problem
from selftrace.policy.actions import parse_size, parse_when
from selftrace.policy.layer import Layer, read_layer
from selftrace.policy.model import Action, CountBy, Enforce, Entry, Match, Net, PolicyModel, Position, Rule
from selftrace.policy.reader import BUILTIN, read_model, read_path
from selftrace.policy.rules import SUPERVISOR, calls_named
from selftrace.policy.variables import Context
from selftrace.record import record, replace

Function = TypeVar("Function", bound=Callable[..., Any])

DEFAULT = "builtin:untrusted-script"
DEFAULT_PROGRAM = "builtin:untrusted-program"

_NEVER = frozenset(
    "brk mmap munmap mremap mprotect pkey_mprotect madvise futex futex_waitv clone clone3 fork vfork exit exit_group"
    " rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigqueueinfo"
    " rt_tgsigqueueinfo sigaltstack arch_prctl rseq set_robust_list set_tid_address restart_syscall".split()
)
"""Calls that Python is never asked about: the C library may hold its allocator's, loader's or fork locks."""


_COROUTINE = 0x80 | 0x200
"""CO_COROUTINE, CO_ASYNC_GENERATOR; importing inspect for them costs 4 ms."""


@record
class _HandlerRule:
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


class Policy:
    """What a run may do. Read from a file or shipped; extended by grants and handlers.

    Policies are values but for `on`, which adds a handler. Nothing is checked against a kernel before a run.
    """

    def __init__(self, source: str | Path = DEFAULT, *, vars: Mapping[str, str] | None = None, text: str | None = None) -> None:
        """source: "builtin:NAME" or a TOML file. text: the policy itself; source is then its name in messages."""
        self._source = str(source)
        self._text = text
        self._vars = dict(vars or {})
        self._handlers: list[_HandlerRule] = []
        self._files: list[tuple[str, bytes]] = []
        self._grants: dict[str, tuple[str, ...]] = {}
        self._limits: dict[str, Any] = {}
        self._audit = False
        self._degraded: frozenset[str] = frozenset()

    @classmethod
    def load(cls, path: str | Path, *, vars: Mapping[str, str] | None = None) -> Policy:
        """A policy file: TOML, or Python with handlers (the one Policy that it makes is used).

        Raises PolicyError.
        """
        if str(path).endswith(".py"):
            return _load_python(Path(path))
        policy = cls(path, vars=vars)
        policy._layer()
        return policy

    @classmethod
    def builtin(cls, name: str, *, vars: Mapping[str, str] | None = None) -> Policy:
        """A shipped policy, e.g. "python". Raises PolicyError for an unknown name."""
        return cls.load(f"{BUILTIN}{name}", vars=vars)

    @classmethod
    def parse(cls, text: str, *, name: str = "<text>", vars: Mapping[str, str] | None = None) -> Policy:
        """A policy from TOML text; `name` stands in messages. Paths in `extends` are relative to the working directory."""
        policy = cls(name, vars=vars, text=text)
        policy._layer()
        return policy

    @property
    def name(self) -> str:
        """What it was made of."""
        return self._source

    def _layer(self) -> Layer:
        if self._text is not None:
            return read_layer(self._text, self._source, Path.cwd())
        return read_path(self._source)

    def on(
        self,
        *calls: str,
        path: str | Sequence[str] | None = None,
        addr: str | Sequence[str] | None = None,
        args: Mapping[str, Any] | None = None,
        when: str | int | None = None,
        count_by: CountBy = "thread",
        enforce: Enforce = "auto",
    ) -> Callable[[Function], Function]:
        """Registers a handler for calls; the filter (path, addr, args, when) is native, only matches reach Python.

        calls: names, @groups, %classes. path: patterns. addr: addresses. args: argument name → value or values.
        Raises PolicyError: unknown calls or arguments, a function that the tracee cannot import, calls that Python is
        never asked about, anything that needs the supervisor.
        """
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

        def register(function: Function) -> Function:
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
            self._handlers.append(_HandlerRule(rule, module, qualified, source))
            return function

        return register

    def _copy(self) -> Policy:
        other = Policy(self._source, vars=self._vars, text=self._text)
        other._handlers, other._files = list(self._handlers), list(self._files)
        other._grants, other._limits = dict(self._grants), dict(self._limits)
        other._audit, other._degraded = self._audit, self._degraded
        return other

    def with_grants(
        self,
        *,
        read: Sequence[str] = (),
        write: Sequence[str] = (),
        exec: Sequence[str] = (),
        connect: Sequence[str] = (),
        bind: Sequence[str] = (),
        limits: Mapping[str, Any] | None = None,
        audit: bool | None = None,
        allow_degraded: Sequence[str] = (),
    ) -> Policy:
        """A policy with these added: patterns, addresses, limits that replace the policy's, audit mode."""
        other = self._copy()
        for key, items in (("read", read), ("write", write), ("exec", exec), ("connect", connect), ("bind", bind)):
            other._grants[key] = (*self._grants.get(key, ()), *items)
        other._limits.update(limits or {})
        other._audit = self._audit if audit is None else audit
        other._degraded = self._degraded | frozenset(allow_degraded)
        return other

    def fingerprint(self) -> Hashable:
        """What tells two policies apart, but for the content of their files."""
        return (
            self._source,
            self._text,
            tuple(sorted(self._vars.items())),
            tuple(self._handlers),
            tuple(self._files),
            tuple(sorted(self._grants.items())),
            tuple(sorted(self._limits.items())),
            self._audit,
            self._degraded,
        )

    def model(self, context: Context) -> PolicyModel:
        """Reads, merges and substitutes. Raises PolicyError with every mistake."""
        model = read_model(self._layer(), context, self._vars)
        model = self._add_grants(model)
        files = dict(self._files)
        for handler in self._handlers:
            if handler.source is not None and handler.module not in files:
                files[handler.module] = handler.source
        rules = (*model.rules, *(handler.rule for handler in self._handlers))
        return replace(
            model,
            rules=rules,
            handler_files=tuple(files.items()),
            mode="audit" if self._audit else model.mode,
            allow_degraded=model.allow_degraded | self._degraded,
        )

    def _add_grants(self, model: PolicyModel) -> PolicyModel:
        where = Position("<grants>", 1, 1)
        extra = {key: tuple(Entry(text, where) for text in items) for key, items in self._grants.items() if items}
        for key in ("read", "write", "exec"):
            for entry in extra.get(key, ()):
                if not entry.text.startswith("/"):
                    raise PolicyError(f'"{entry.text}" is not absolute: grants start with /')
        fs, net = model.fs, model.net
        if fs is not None:
            lists: dict[str, Any] = {key: (*getattr(fs, key), *extra.get(key, ())) for key in ("read", "write", "exec")}
            fs = replace(fs, **lists)
        if net is not None or (model.default.action == "error" and ("connect" in extra or "bind" in extra)):
            other = net or Net(where=where)
            net = Net((*other.connect, *extra.get("connect", ())), (*other.bind, *extra.get("bind", ())), other.where)
        sizes = ("memory", "file_size", "output", "disk")
        changed: dict[str, Any] = {
            key: parse_size(value) if key in sizes and value is not None else value for key, value in self._limits.items()
        }
        limits = replace(model.limits, **changed)
        return replace(model, fs=fs, net=net, limits=limits)


def _load_python(path: Path) -> Policy:
    """Runs a handler file in the launcher to learn what its functions are for; the file itself goes to the tracee."""
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
    policy = next(iter(found.values()))._copy()
    policy._files = [(name, source)]
    return policy


def load(source: Policy | str | Path | None, *, vars: Mapping[str, str] | None = None) -> Policy:
    """A Policy of whatever a user may give: a Policy, "builtin:NAME", a .toml or .py file, None for the default."""
    if isinstance(source, Policy):
        return source
    return Policy.load(DEFAULT if source is None else source, vars=vars)
