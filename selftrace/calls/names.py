"""Names of errors and signals."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterable

_SIGNALS = {item.name: int(item) for item in signal.Signals}
_ALIASES = {"EWOULDBLOCK", "EDEADLOCK", "ENOTSUP"}
_SIGNAL_ALIASES = {"SIGIOT", "SIGCLD", "SIGPOLL"}


def nearest(word: str, known: Iterable[str]) -> str:
    """'; did you mean "x"?' for the known word that is most like it, or nothing."""
    import difflib

    found = difflib.get_close_matches(word, list(known), 1, 0.6)
    return f'; did you mean "{found[0]}"?' if found else ""


def errno_value(name: str) -> int:
    """EPERM → 1. Raises ValueError that names the nearest."""
    value = getattr(errno, name, None) if name.isupper() and name.startswith("E") else None
    if not isinstance(value, int):
        raise ValueError(f'unknown error "{name}"{nearest(name, errno.errorcode.values())}')
    return value


def errno_name(value: int) -> str:
    """1 → EPERM; an unknown number stays a number."""
    return errno.errorcode.get(value, str(value))


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
    for name, number in _SIGNALS.items():
        if number == value and name not in _SIGNAL_ALIASES:
            return name
    return f"SIGRT_{value - 32}" if 32 <= value <= 64 else str(value)
