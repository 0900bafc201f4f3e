"""The words of rules, in strace's grammar: counters, actions, sizes. One parser for TOML, Python and the command line.

All raise ValueError with a sentence that says what is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from selftrace.calls import errno_value, nearest, parse_number, signal_value
from selftrace.policy import tampering
from selftrace.policy.model import Action, ActionName, When

ACTIONS = tuple(name for name in get_args(ActionName) if name != "syscall")
"""Those that a rule may name: "syscall" is a part of faults."""
_WHEN = re.compile(r"(\d+)(?:\.\.(\d+))?(?:\+(\d*))?")
_SIZE = re.compile(r"(\d+)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m)?")
_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_SECONDS = {"ns": 1e-9, "us": 1e-6, None: 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
NEEDS = {
    "error": "error",
    "retval": "retval",
    "content": "content",
    "signal": "signal",
    "delay_enter": "delay",
    "delay_exit": "delay",
    "python": "call",
    "short": "short",
    "data": "data",
    "poke_enter": "poke",
    "poke_exit": "poke",
}
"""The key that an action cannot do without."""


def parse_when(text: str | int) -> When:
    """ "5" the fifth, "5+" from the fifth on, "3..9" these, "1+2" every second from the first."""
    match = _WHEN.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f'"{text}" is no counter: write "5", "5+", "3..9", "3..9+2" or "1+2"')
    first, last, step = int(match.group(1)), match.group(2), match.group(3)
    if first < 1 or (last is not None and int(last) < first):
        raise ValueError(f'"{text}" matches no call: counting starts at 1 and the last is not before the first')
    if last is None and step is None:
        return When(first, first, 1)
    if step == "0":
        raise ValueError(f'"{text}" has a step of 0: write "{first}" for that call alone')
    return When(first, int(last) if last else None, int(step) if step else 1)


def parse_size(value: str | int) -> int:
    """Bytes of "512M", "64K", "1G" or a number."""
    match = _SIZE.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool):
        raise ValueError(f'"{value}" is no size: write e.g. "512M", "64K" or a number of bytes')
    return int(match.group(1)) * int(1024 ** _UNITS[match.group(2).upper()])


def parse_duration_us(value: str | int) -> int:
    """Microseconds of "10ms", "2s", "500us"; a bare number is microseconds, as in strace."""
    match = _DURATION.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool):
        raise ValueError(f'"{value}" is no duration: write e.g. "10ms", "2s" or a number of microseconds')
    return round(float(match.group(1)) * _SECONDS[match.group(2)] * 1e6)


def _retval(value: Any) -> int:
    number = value if isinstance(value, int) and not isinstance(value, bool) else parse_number(str(value))
    if number is None:
        raise ValueError(f'"{value}" is no number')
    return number


def _target(value: Any) -> str:
    module, colon, function = str(value).partition(":")
    if not colon or not all(part.isidentifier() for part in [*module.split("."), *function.split(".")]):
        raise ValueError(f'"{value}" names no function: write "module:function"')
    return str(value)


def parse_action(name: str, values: Mapping[str, Any]) -> Action:
    """The action called `name`, with the keys of its rule: see `NEEDS`."""
    if name not in ACTIONS:
        raise ValueError(f'unknown action "{name}"{nearest(name, ACTIONS)}; actions: {", ".join(ACTIONS)}')
    needed = NEEDS.get(name)
    if needed and needed not in values:
        raise ValueError(f'action "{name}" needs {needed} = …')
    if name == "error":
        return Action("error", error=errno_value(str(values["error"])))
    if name == "retval":
        return Action("retval", retval=_retval(values["retval"]))
    if name == "content":
        return Action("content", content=str(values["content"]).encode())
    if name == "signal":
        return Action("signal", signal=signal_value(str(values["signal"])))
    if name in ("delay_enter", "delay_exit"):
        delay = parse_duration_us(values["delay"])
        return Action("delay_enter" if name == "delay_enter" else "delay_exit", delay_us=delay)
    if name == "python":
        return Action("python", handler=_target(values["call"]))
    if name == "short":
        return Action("short", size=tampering.parse_size(values["short"]))
    if name == "data":
        return Action("data", content=str(values["data"]).encode())
    if name in ("poke_enter", "poke_exit"):
        pokes = tampering.parse_pokes(values["poke"])
        return Action("poke_enter" if name == "poke_enter" else "poke_exit", pokes=pokes)
    return Action("allow" if name == "allow" else "log" if name == "log" else "kill")
