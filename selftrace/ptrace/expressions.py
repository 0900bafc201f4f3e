"""Numbers as they are typed: $rip+8, main, libc.so.6:write, file.c:12, *0x7ffe0000, word($rsp+8) & 0xff."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping
from typing import Any

from selftrace.errors import SelftraceError
from selftrace.ptrace.symbols import SymbolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from selftrace.ptrace.tracee import Tracee

_REGISTER = re.compile(r"\$([a-z][a-z0-9_]*)")
_PLACE = re.compile(r"[\w./+-]+\.[\w.+-]+:\w+(\+\w+)?")


class ExpressionError(SelftraceError):
    """An expression that cannot be evaluated."""


class _Names(dict[str, Any]):
    """Registers, symbols, and Python's own functions."""

    def __init__(self, tracee: Tracee, more: Mapping[str, Any]) -> None:
        super().__init__(more)
        self._tracee = tracee
        self["tracee"] = tracee
        self["word"] = lambda address, size=8: self._memory().word(address, size)
        self["string"] = lambda address, limit=4096: self._memory().string(address, limit)

    def _memory(self) -> Any:
        return self._tracee.memory

    def __missing__(self, name: str) -> Any:
        if name.startswith("_reg_"):
            return self._tracee.registers[name.removeprefix("_reg_")]
        if hasattr(builtins, name):
            return getattr(builtins, name)
        return self._tracee.address_of(name)


def evaluate(tracee: Tracee, text: str, more: Mapping[str, Any] | None = None) -> Any:
    """The value of an expression: Python's, with $register, symbols as their addresses, word(address, size=8),
    string(address), and `tracee`; an * in front reads the word there; / divides whole numbers.

    It is Python: what the user types is run as the user. Raises ExpressionError, SymbolError, MemoryFault, RegisterError.
    """
    text = text.strip()
    if text.startswith("*") and not text.startswith("**"):
        return tracee.words.word(number(tracee, text[1:], more))
    if _PLACE.fullmatch(text):
        return tracee.address_of(text)
    source = re.sub(r"(?<!/)/(?!/)", "//", _REGISTER.sub(r"_reg_\1", text))
    try:
        return eval(compile(source, "<expression>", "eval"), {"__builtins__": {}}, _Names(tracee, more or {}))
    except SymbolError as error:
        raise ExpressionError(str(error)) from None
    except SyntaxError:
        raise ExpressionError(f'"{text}" is no expression') from None
    except (ArithmeticError, TypeError, ValueError, AttributeError, LookupError, NameError) as error:
        raise ExpressionError(f'"{text}": {error}') from None


def number(tracee: Tracee, text: str, more: Mapping[str, Any] | None = None) -> int:
    """The same, as an address or register holds it: 64 bits. Raises ExpressionError for what is no number."""
    value = evaluate(tracee, text, more)
    if not isinstance(value, int):
        raise ExpressionError(f'"{text}" is {value!r}, not a number')
    return value & (2**64 - 1)
