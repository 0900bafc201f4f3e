"""One policy file, read and checked but not yet merged with its bases. Every mistake is collected, none stops it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selftrace.calls import errno_value, nearest
from selftrace.errors import PolicyError, Problem
from selftrace.policy.actions import parse_size
from selftrace.policy.model import Entry, Position
from selftrace.policy.positions import positions
from selftrace.record import fresh, mutable

FORMAT = 1
STRINGS, FLAG, NUMBER, SIZE, TEXT = "strings", "flag", "number", "size", "text"

SECTIONS: dict[str, dict[str, str]] = {
    "": {
        "policy": NUMBER,
        "name": TEXT,
        "sealed": FLAG,
        "override": STRINGS,
        "allow_degraded": STRINGS,
        "extends": STRINGS,
        "mode": TEXT,
        "require": TEXT,
    },
    "default": {"action": TEXT, "error": TEXT, "on_error": TEXT},
    "calls": {"allow": STRINGS, "deny": STRINGS, "unknown": TEXT},
    "fs": {"read": STRINGS, "write": STRINGS, "exec": STRINGS, "deny": STRINGS, "tmp": TEXT},
    "net": {"connect": STRINGS, "bind": STRINGS},
    "process": {"exec": FLAG, "fork": FLAG, "threads": FLAG},
    "limits": {
        "wall_seconds": NUMBER,
        "cpu_seconds": NUMBER,
        "memory": SIZE,
        "tasks": NUMBER,
        "open_files": NUMBER,
        "file_size": SIZE,
        "output": SIZE,
        "disk": SIZE,
    },
}
"""Section → key → kind: what the reader accepts, and what the JSON Schema says."""
RULE_KEYS = "id calls match action error retval content signal delay call short data poke when prob seed count_by enforce".split()
CHOICES = {
    ("", "mode"): ("enforce", "audit"),
    ("", "require"): ("kernel", "supervisor", "advisory"),
    ("default", "action"): ("allow", "log", "error", "kill"),
    ("default", "on_error"): ("deny", "kill"),
    ("fs", "tmp"): ("any", "own"),
}
LISTS = frozenset(
    {
        ("calls", "allow"),
        ("calls", "deny"),
        ("fs", "read"),
        ("fs", "write"),
        ("fs", "exec"),
        ("fs", "deny"),
        ("net", "connect"),
        ("net", "bind"),
    }
)
"""Lists that are joined with the bases' and may be { only = [...] }."""


@mutable
class Entries:
    """A list of a section. only: it replaces the bases'."""

    items: list[Entry] = fresh(default_factory=list)
    only: bool = False


@mutable
class Layer:
    """One file's content: values by (section, key), lists as Entries, rules as raw tables with positions."""

    file: str
    directory: str
    values: dict[tuple[str, str], Any] = fresh(default_factory=dict)
    places: dict[tuple[str, str], Position] = fresh(default_factory=dict)
    vars: dict[str, str] = fresh(default_factory=dict)
    rules: list[tuple[dict[str, Any], int]] = fresh(default_factory=list)
    positions: dict[tuple[str | int, ...], tuple[int, int]] = fresh(default_factory=dict)
    problems: list[Problem] = fresh(default_factory=list)

    def at(self, *path: str | int) -> Position:
        """Where `path` stands, or the nearest thing above it."""
        for depth in range(len(path), 0, -1):
            if path[:depth] in self.positions:
                return Position(self.file, *self.positions[path[:depth]])
        return Position(self.file, 1, 1)

    def fail(self, where: Position, message: str) -> None:
        """Notes a mistake."""
        self.problems.append(Problem(where.file, where.line, where.column, message))


def _kind_of(value: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "a table"}
    return names.get(type(value), type(value).__name__)


def _check(kind: str, value: Any) -> Any:
    """The value as `kind`; raises ValueError."""
    if kind == FLAG and isinstance(value, bool):
        return value
    if kind == NUMBER and isinstance(value, (int, float)) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"{value} is negative")
        return value
    if kind == SIZE and isinstance(value, (int, str)):
        return parse_size(value)
    if kind == TEXT and isinstance(value, str):
        return value
    wanted = {
        FLAG: "true or false",
        NUMBER: "a number",
        SIZE: 'a size such as "512M"',
        TEXT: "a string",
        STRINGS: "a list of strings",
    }
    raise ValueError(f"expected {wanted[kind]}, got {_kind_of(value)}")


def _strings(layer: Layer, section: str, key: str, value: Any) -> Entries | None:
    path = (section, key) if section else (key,)
    only = False
    if isinstance(value, dict) and (section, key) in LISTS:
        if set(value) != {"only"}:
            layer.fail(layer.at(*path), f'{key}: a table here has one key, "only"')
            return None
        value, only, path = value["only"], True, (*path, "only")
    if isinstance(value, str):
        layer.fail(layer.at(*path), f'{key}: expected a list of strings, got a string; write ["{value}"]')
        return None
    if not isinstance(value, list):
        layer.fail(layer.at(*path), f"{key}: expected a list of strings, got {_kind_of(value)}")
        return None
    entries = Entries(only=only)
    for index, item in enumerate(value):
        if isinstance(item, str):
            entries.items.append(Entry(item, layer.at(*path, index)))
        else:
            layer.fail(layer.at(*path, index), f"{key}: expected a string, got {_kind_of(item)}")
    return entries


def _key(layer: Layer, section: str, key: str, value: Any) -> None:
    kind = SECTIONS[section][key]
    path = (section, key) if section else (key,)
    if kind == STRINGS:
        entries = _strings(layer, section, key, value)
        if entries is not None:
            layer.values[section, key] = entries
    else:
        try:
            checked = _check(kind, value)
            choices = CHOICES.get((section, key))
            if choices and checked not in choices:
                raise ValueError(f'"{checked}" is none of {", ".join(choices)}{nearest(checked, choices)}')
            if (section, key) in (("default", "error"), ("calls", "unknown")):
                checked = errno_value(checked)
        except ValueError as error:
            layer.fail(layer.at(*path), f"{key}: {error}")
            return
        layer.values[section, key] = checked
    layer.places[section, key] = layer.at(*path)


def _unknown(layer: Layer, section: str, key: str, known: list[str]) -> None:
    path = (section, key) if section else (key,)
    place = f"[{section}]" if section else "the top level"
    hint = nearest(key, known) or f"; known: {', '.join(sorted(known))}"
    layer.fail(layer.at(*path), f'unknown key "{key}" in {place}{hint}')


def _table(layer: Layer, section: str, table: Any) -> None:
    if not isinstance(table, dict):
        layer.fail(layer.at(section), f"{section}: expected a table, got {_kind_of(table)}; write [{section}]")
        return
    layer.places[section, ""] = layer.at(section)
    for key, value in table.items():
        if key in SECTIONS[section]:
            _key(layer, section, key, value)
        else:
            _unknown(layer, section, key, list(SECTIONS[section]))


def _vars(layer: Layer, table: Any) -> None:
    if not isinstance(table, dict):
        layer.fail(layer.at("vars"), f"vars: expected a table, got {_kind_of(table)}; write [vars]")
        return
    for name, value in table.items():
        if isinstance(value, str) and re.fullmatch(r"[A-Za-z_]\w*", name):
            layer.vars[name] = value
        else:
            layer.fail(layer.at("vars", name), f"{name}: a variable is a name and a string")


def _rules(layer: Layer, tables: Any) -> None:
    if not isinstance(tables, list) or not all(isinstance(item, dict) for item in tables):
        layer.fail(layer.at("rule"), "rule: write [[rule]], once for each rule")
        return
    for index, table in enumerate(tables):
        for key in table:
            if key not in RULE_KEYS:
                hint = nearest(key, RULE_KEYS) or f"; known: {', '.join(sorted(RULE_KEYS))}"
                layer.fail(layer.at("rule", index, key), f'unknown key "{key}" in [[rule]]{hint}')
        layer.rules.append((table, index))


def read_layer(text: str, file: str, directory: str | Path = ".") -> Layer:
    """One file's layer; its mistakes are in `problems`. Raises PolicyError where the text is no TOML at all."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"^(.*) \(at line (\d+), column (\d+)\)", str(error))
        message, line, column = (match[1], int(match[2]), int(match[3])) if match else (str(error), 1, 1)
        raise PolicyError([Problem(file, line, column, f"not TOML: {message[:1].lower()}{message[1:]}")]) from None
    layer = Layer(file, str(directory), positions=positions(text))
    special: dict[str, Callable[[Layer, Any], None]] = {"vars": _vars, "rule": _rules}
    for key, value in data.items():
        if key in special:
            special[key](layer, value)
        elif key in SECTIONS[""]:
            _key(layer, "", key, value)
        elif key in SECTIONS:
            _table(layer, key, value)
        else:
            _unknown(layer, "", key, [*SECTIONS[""], *filter(None, SECTIONS), *special])
    version = layer.values.get(("", "policy"))
    if version is None:
        layer.fail(Position(file, 1, 1), f'"policy = {FORMAT}" is missing: the format\'s version comes first')
    elif version != FORMAT:
        layer.fail(layer.places["", "policy"], f"format {version} is not known; this selftrace reads format {FORMAT}")
    return layer
