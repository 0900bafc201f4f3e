"""Sets of calls, signals and descriptors as strace writes them: "open,close", "%file", "/^get", "!read", "all", "none"."""

from __future__ import annotations

from selftrace.calls import Table, expand_group, group_names, nearest, signal_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

OLD_CLASSES = ("file", "process", "network", "signal", "ipc", "desc", "memory")
"""Classes that strace still takes without %."""
_SYNONYMS = {"%net": "%network"}
_SIGNALS = frozenset(range(1, 65))


def _numbered(text: str, table: Table) -> set[int]:
    if not text.isdigit() or int(text) not in table.by_number:
        return set()
    return {int(text)}


def _matching(pattern: str, table: Table) -> set[int]:
    import re  # 5 ms that most command lines do not need

    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"invalid regular expression '{pattern}': {error}") from None
    return {call.sysno for name, call in table.by_name.items() if compiled.search(name)}


def _calls_of(word: str, table: Table) -> set[int]:
    """One word. Raises ValueError for one that is unknown and not marked with "?"."""
    optional = word.startswith("?")
    name = word.lstrip("?")
    name = name.removesuffix("@64")
    if name.startswith("/"):
        return _matching(name[1:], table)
    if name[:1] in ("%", "@") or name in OLD_CLASSES:
        group = name if name[:1] in ("%", "@") else f"%{name}"
        try:
            members = expand_group(_SYNONYMS.get(group, group), table)
        except KeyError:
            if optional:
                return set()
            raise ValueError(f"invalid system call '{word}'{nearest(group, group_names(table))}") from None
        return {table.by_name[member].sysno for member in members if member in table.by_name}
    call = table.by_name.get(name)
    found = {call.sysno} if call is not None else _numbered(name, table)
    if not found and not optional:
        raise ValueError(f"invalid system call '{word}'{nearest(name, table.by_name)}")
    return found


def _read(text: str, everything: Iterable[int], one: Callable[[str], set[int]], what: str) -> frozenset[int]:
    """The grammar that all sets share: words joined by commas, "!" before the whole, all and none alone."""
    body = text.lstrip("!")
    negated = (len(text) - len(body)) % 2 == 1
    if body in ("all", "none"):
        found = set(everything) if body == "all" else set()
    else:
        words = body.split(",")
        if not any(words):
            raise ValueError(f"invalid {what} '{text}'")
        found = set().union(*(one(word) for word in words if word))
    return frozenset(set(everything) - found if negated else found)


def call_set(text: str, table: Table) -> frozenset[int]:
    """The numbers of the calls that `text` names. Raises ValueError that names the nearest."""
    return _read(text, table.by_number, lambda word: _calls_of(word, table), "system call")


def signal_set(text: str) -> frozenset[int]:
    """The numbers of the signals that `text` names. Raises ValueError."""

    def one(word: str) -> set[int]:
        try:
            return {signal_value(word.upper())}
        except ValueError:
            raise ValueError(f"invalid signal '{word}'") from None

    return _read(text, _SIGNALS, one, "signal")


_OUTCOMES = ("successful", "failed", "unfinished", "unavailable", "detached")


def status_set(text: str) -> frozenset[str]:
    """How calls must have ended to be shown: some of successful, failed, unfinished, unavailable, detached. Raises ValueError."""

    def one(word: str) -> set[int]:
        if word not in _OUTCOMES:
            raise ValueError(f"invalid status '{word}'{nearest(word, _OUTCOMES)}")
        return {_OUTCOMES.index(word)}

    return frozenset(_OUTCOMES[at] for at in _read(text, range(len(_OUTCOMES)), one, "status"))


def fd_set(text: str) -> frozenset[int]:
    """Descriptors; `all` is every one below 2^16. Raises ValueError."""

    def one(word: str) -> set[int]:
        if not word.isdigit() or int(word) > 0x7FFFFFFF:
            raise ValueError(f"invalid descriptor '{word}'")
        return {int(word)}

    return _read(text, range(1 << 16), one, "descriptor")
