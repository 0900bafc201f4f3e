"""Names of errors and signals: Linux's, whatever system this runs on."""

from __future__ import annotations

from collections.abc import Iterable

from selftrace.calls.linux import ERRNO_NAMES, SIGNAL_NAMES

_ERRORS = {number: name for number, name in enumerate(ERRNO_NAMES, 1) if name != "-"}
_ERRORS |= {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 516: "ERESTART_RESTARTBLOCK"}
_ERROR_VALUES = {name: number for number, name in _ERRORS.items() if number < 512}
_ERROR_VALUES |= {"EWOULDBLOCK": 11, "EDEADLOCK": 35, "ENOTSUP": 95}
_SIGNALS = {name: number for number, name in enumerate(SIGNAL_NAMES, 1)}
_SIGNALS |= {"SIGIOT": 6, "SIGCLD": 17, "SIGPOLL": 29, "SIGRTMIN": 34, "SIGRTMAX": 64}


def nearest(word: str, known: Iterable[str]) -> str:
    """'; did you mean "x"?' for the known word that is most like it, or nothing."""
    import difflib

    found = difflib.get_close_matches(word, list(known), 1, 0.6)
    return f'; did you mean "{found[0]}"?' if found else ""


def errno_value(name: str) -> int:
    """EPERM → 1. Raises ValueError that names the nearest."""
    value = _ERROR_VALUES.get(name)
    if value is None:
        raise ValueError(f'unknown error "{name}"{nearest(name, _ERROR_VALUES)}')
    return value


def errno_name(value: int) -> str:
    """1 → EPERM; an unknown number stays a number."""
    return _ERRORS.get(value) or str(value)


def signal_value(name: str) -> int:
    """SIGTERM or TERM or "15" → 15. Raises ValueError that names the nearest."""
    if name.isdigit() and 1 <= int(name) <= 64:
        return int(name)
    full = name if name.startswith("SIG") else f"SIG{name}"
    if full not in _SIGNALS:
        raise ValueError(f'unknown signal "{name}"{nearest(full, _SIGNALS)}')
    return _SIGNALS[full]


def signal_name(value: int) -> str:
    """15 → SIGTERM; a real-time signal as strace writes it."""
    if 1 <= value <= len(SIGNAL_NAMES):
        return SIGNAL_NAMES[value - 1]
    return f"SIGRT_{value - 32}" if 32 <= value <= 64 else str(value)
