"""`Policy`: a policy file, what the command line adds to it, and Python handlers.

Light to import: what reads and compiles is loaded when it is needed, and for a plan that was kept it is not.
"""

from __future__ import annotations

import os

from selftrace.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Any, TypeVar

    from selftrace.policy.handlers import HandlerRule
    from selftrace.policy.layer import Layer
    from selftrace.policy.model import CountBy, Enforce, PolicyModel
    from selftrace.policy.terms import Context

    Function = TypeVar("Function", bound=Callable[..., Any])

BUILTIN = "builtin:"
DEFAULT = "builtin:untrusted-script"
DEFAULT_PROGRAM = "builtin:untrusted-program"
_MOST_BASES = 8
"""The reader follows no more either."""


class Policy:
    """What a run may do. Read from a file or shipped; extended by grants and handlers.

    Policies are values but for `on`, which adds a handler. Nothing is checked against a kernel before a run.
    """

    def __init__(self, source: str | Path = DEFAULT, *, vars: Mapping[str, str] | None = None, text: str | None = None) -> None:
        """source: "builtin:NAME" or a TOML file. text: the policy itself; source is then its name in messages."""
        self._source = str(source)
        self._text = text
        self._vars = dict(vars or {})
        self._handlers: list[HandlerRule] = []
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
            from selftrace.policy.handlers import load_python

            return load_python(path)
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

    @property
    def text(self) -> str | None:
        """The policy itself, if it was not read from a file."""
        return self._text

    def _layer(self) -> Layer:
        if self._text is not None:
            from pathlib import Path

            from selftrace.policy.layer import read_layer

            return read_layer(self._text, self._source, Path.cwd())
        from selftrace.policy.reader import read_path

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
        from selftrace.policy.handlers import registrar

        rule_of = registrar(calls, path, addr, args, when, count_by, enforce)

        def register(function: Function) -> Function:
            self._handlers.append(rule_of(function))
            return function

        return register

    def _copy(self) -> Policy:
        other = Policy(self._source, vars=self._vars, text=self._text)
        other._handlers, other._files = list(self._handlers), list(self._files)
        other._grants, other._limits = dict(self._grants), dict(self._limits)
        other._audit, other._degraded = self._audit, self._degraded
        return other

    def with_file(self, name: str, source: bytes) -> Policy:
        """A policy whose handlers lie in the module `name`, whose source the tracee gets."""
        other = self._copy()
        other._files = [(name, source)]
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

    def fingerprint(self) -> str:
        """What tells two policies apart, but for the content of their files."""
        relative = self._text is not None or not self._source.startswith((BUILTIN, "/"))
        return repr(
            (
                self._source,
                self._text,
                os.getcwd() if relative else "",
                sorted(self._vars.items()),
                self._handlers,
                self._files,
                sorted(self._grants.items()),
                sorted(self._limits.items()),
                self._audit,
                sorted(self._degraded),
            )
        )

    def model(self, context: Context) -> PolicyModel:
        """Reads, merges and substitutes. Raises PolicyError with every mistake."""
        from selftrace.policy.grants import add_grants
        from selftrace.policy.reader import read_model

        model = add_grants(read_model(self._layer(), context, self._vars), self._grants, self._limits)
        rules = (*model.rules, *(handler.rule for handler in self._handlers))
        if context.embedded and any(rule.action.name == "python" for rule in rules):
            model = add_grants(model, {"read": [text for path in context.embedded for text in _tree(path)]}, {})
        files = dict(self._files)
        for handler in self._handlers:
            if handler.source is not None and handler.module not in files:
                files[handler.module] = handler.source
        return replace(
            model,
            rules=rules,
            handler_files=tuple(files.items()),
            mode="audit" if self._audit else model.mode,
            allow_degraded=model.allow_degraded | self._degraded,
        )


def _tree(path: str) -> tuple[str, ...]:
    from selftrace.policy.variables import escape

    return (escape(path), f"{escape(path)}/**") if os.path.isdir(path) else (escape(path),)


def places_cwd(policy: Policy) -> bool:
    """Whether its file, or one that it extends and that is not shipped, speaks of ${CWD}.

    Then it says itself what of a --cwd is granted.
    """
    if policy.text is not None:
        return _speaks_of_cwd(policy.text.encode(), os.getcwd())
    return not policy.name.startswith(BUILTIN) and _file_speaks_of_cwd(policy.name)


def _file_speaks_of_cwd(path: str, depth: int = 0) -> bool:
    try:
        with open(path, "rb") as file:
            return _speaks_of_cwd(file.read(), os.path.dirname(os.path.realpath(path)), depth)
    except OSError:
        return False  # said with its place when it is read


def _speaks_of_cwd(text: bytes, directory: str, depth: int = 0) -> bool:
    if b"${CWD}" in text:
        return True
    if b"extends" not in text or depth > _MOST_BASES:
        return False
    import tomllib

    try:
        bases = tomllib.loads(text.decode()).get("extends")
    except ValueError:
        return False  # likewise
    paths = [base for base in (bases if isinstance(bases, list) else [bases]) if isinstance(base, str)]
    return any(_file_speaks_of_cwd(os.path.join(directory, path), depth + 1) for path in paths if not path.startswith(BUILTIN))


def load(source: Policy | str | Path | None, *, vars: Mapping[str, str] | None = None) -> Policy:
    """A Policy of whatever a user may give: a Policy, "builtin:NAME", a .toml or .py file, None for the default.

    Raises PolicyError for a handler file; what is wrong with another one is found when the policy is used.
    """
    if isinstance(source, Policy):
        return source
    if source is not None and str(source).endswith(".py"):
        return Policy.load(source, vars=vars)
    return Policy(DEFAULT if source is None else source, vars=vars)
