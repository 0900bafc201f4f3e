"""`selftrace` as handler files see it inside a tracee: the same names, no parser behind them.

A handler file says which calls its functions are for; the launcher has read that already. Here the decorators only hand
the functions back.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


class Kill(BaseException):
    """Raised by a handler: ends the tracee."""


class Policy:
    """Stands for the launcher's Policy."""

    def __init__(self, *_args: Any, **_options: Any) -> None:
        pass

    @classmethod
    def load(cls, *_args: Any, **_options: Any) -> Policy:
        """The launcher has read the file."""
        return cls()

    @classmethod
    def builtin(cls, *_args: Any, **_options: Any) -> Policy:
        """The launcher has read the policy."""
        return cls()

    @classmethod
    def parse(cls, *_args: Any, **_options: Any) -> Policy:
        """The launcher has read the text."""
        return cls()

    def with_grants(self, **_grants: Any) -> Policy:
        """The launcher has added them."""
        return self

    def on(self, *_calls: str, **_filters: Any) -> Callable[[Function], Function]:
        """The launcher has compiled the filter; the function stays as it is."""
        return lambda function: function


class _Named:
    """Stands for a class that handler files only name in annotations."""


def module() -> ModuleType:
    """A module named selftrace with these names in it."""
    made = ModuleType("selftrace")
    made.__dict__.update(Policy=Policy, Kill=Kill)
    for name in ("Call", "Event", "Frame", "Guarantee", "Result", "Usage", "Violation"):
        made.__dict__[name] = type(name, (_Named,), {})
    return made
