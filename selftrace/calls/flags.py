"""Named values: from "O_RDONLY|O_CLOEXEC" to a number and back."""

from __future__ import annotations

from selftrace.calls.names import nearest
from selftrace.calls.table import Table, table

_ACCESS_MODE = 3
_ALIASES = frozenset(
    "AF_FILE AF_LOCAL AF_ROUTE O_NDELAY FASYNC O_FSYNC O_RSYNC O_LARGEFILE __O_TMPFILE O_ASYNC AT_REMOVEDIR"
    " SOCK_PACKET IPPROTO_HOPOPTS MAP_ANON".split()
)


def parse_number(text: str) -> int | None:
    """A number in 10, 0x or 0o (also C's 0NNN), or None."""
    try:
        if len(text) > 1 and text[0] == "0" and text.isdigit():
            return int(text, 8)
        return int(text, 0)
    except ValueError:
        return None


def flag_value(text: str, flagset: str | None = None, of: Table | None = None) -> int:
    """The number of an expression of names and numbers joined by |.

    flagset: the set that names are looked up in; None, or a name that it lacks: all sets.
    Raises ValueError that names the nearest known word.
    """
    sets = (of or table()).flag_sets
    total = 0
    for word in (part.strip() for part in text.split("|")):
        number = parse_number(word)
        if number is None:
            number = _lookup(word, flagset, sets)
        total |= number
    return total


def _lookup(word: str, flagset: str | None, sets: object) -> int:
    assert isinstance(sets, dict)
    first = sets.get(flagset or "", {})
    if word in first:
        return int(first[word])
    if word == "AT_FDCWD":
        return -100 & 0xFFFFFFFF
    for values in sets.values():
        if word in values:
            return int(values[word])
    known = first or {name for values in sets.values() for name in values}
    raise ValueError(f'unknown name "{word}"{nearest(word, known)}')


def flag_names(flagset: str, value: int, of: Table | None = None) -> str:
    """A value in strace's spelling: names joined by |, what is left over in hexadecimal."""
    source = of or table()
    values = {name: number for name, number in source.flag_sets.get(flagset, {}).items() if name not in _ALIASES}
    if flagset in source.enums:
        return next((name for name, number in values.items() if number == value), hex(value))
    found = []
    if flagset == "open_flags":
        found.append(("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")[value & _ACCESS_MODE])
        value &= ~_ACCESS_MODE
        values = {name: number for name, number in values.items() if number > _ACCESS_MODE}
    elif flagset == "socket_type":
        low = value & 15
        found.append(next((name for name, number in values.items() if number == low), hex(low)))
        value &= ~15
        values = {name: number for name, number in values.items() if number > 15}
    elif value == 0:
        return next((name for name, number in values.items() if number == 0), "0")
    for name, number in sorted(values.items(), key=lambda item: -item[1].bit_count()):
        if number and value & number == number:
            found.append(name)
            value &= ~number
    if value or not found:
        found.append(hex(value))
    return "|".join(found)
