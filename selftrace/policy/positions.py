"""Where things stand in a TOML text: tomllib gives values, this gives line and column of each key and array element.

Only for texts that tomllib has accepted: what is malformed has been refused before.
"""

from __future__ import annotations

import re
from typing import Any

Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t\r\n]*(?:#[^\n]*[ \t\r\n]*)*")
_KEY_PART = re.compile(r'"((?:[^"\\\n]|\\.)*)"|\'([^\'\n]*)\'|([A-Za-z0-9_-]+)')
_SCALAR = re.compile(r"[^,\]}\n#]*")


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Path, tuple[int, int]] = {}
        self.arrays: dict[Path, int] = {}

    def place(self, at: int) -> tuple[int, int]:
        return self.text.count("\n", 0, at) + 1, at - (self.text.rfind("\n", 0, at) + 1) + 1

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        assert match is not None
        self.at = match.end()

    def keys(self) -> list[str]:
        """A dotted key."""
        parts = []
        while True:
            while self.text[self.at] in " \t":
                self.at += 1
            match = _KEY_PART.match(self.text, self.at)
            assert match is not None
            quoted, literal, bare = match.groups()
            parts.append(bare or literal if quoted is None else _unescape(quoted))
            self.at = match.end()
            while self.text[self.at : self.at + 1] in (" ", "\t"):
                self.at += 1
            if self.text[self.at : self.at + 1] != ".":
                return [part or "" for part in parts]
            self.at += 1

    def string(self) -> None:
        quote = self.text[self.at]
        if self.text.startswith(quote * 3, self.at):
            self.at += 3
            while not self.text.startswith(quote * 3, self.at):
                self.at += 2 if self.text[self.at] == "\\" and quote == '"' else 1
            self.at += 3
            while self.text[self.at : self.at + 1] == quote:
                self.at += 1
            return
        self.at += 1
        while self.text[self.at] != quote:
            self.at += 2 if self.text[self.at] == "\\" and quote == '"' else 1
        self.at += 1

    def value(self, path: Path) -> None:
        self.found.setdefault(path, self.place(self.at))
        first = self.text[self.at]
        if first in "\"'":
            self.string()
        elif first == "[":
            self.array(path)
        elif first == "{":
            self.inline(path)
        else:
            match = _SCALAR.match(self.text, self.at)
            assert match is not None
            self.at = match.end()

    def array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while True:
            self.skip()
            if self.text[self.at] == "]":
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self.value((*path, index))
            index += 1

    def inline(self, path: Path) -> None:
        self.at += 1
        while True:
            self.skip()
            if self.text[self.at] == "}":
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self.pair(path)

    def pair(self, path: Path) -> None:
        start = self.place(self.at)
        keys = self.keys()
        for depth in range(1, len(keys) + 1):
            self.found.setdefault((*path, *keys[:depth]), start)
        self.at += 1  # the =
        self.skip()
        self.value((*path, *keys))

    def within(self, keys: list[str]) -> Path:
        """A table's path, with the current index behind each array of tables."""
        path: Path = ()
        for key in keys:
            path = (*path, key)
            if path in self.arrays:
                path = (*path, self.arrays[path])
        return path

    def header(self) -> Path:
        start = self.place(self.at)
        double = self.text.startswith("[[", self.at)
        self.at += 2 if double else 1
        keys = self.keys()
        self.at += 2 if double else 1
        if double:
            base = (*self.within(keys[:-1]), keys[-1])
            self.arrays[base] = self.arrays.get(base, -1) + 1
            self.found.setdefault(base, start)
            path: Path = (*base, self.arrays[base])
        else:
            path = self.within(keys)
        self.found.setdefault(path, start)
        return path

    def scan(self) -> dict[Path, tuple[int, int]]:
        path: Path = ()
        while True:
            self.skip()
            if self.at >= len(self.text):
                return self.found
            if self.text[self.at] == "[":
                path = self.header()
            else:
                self.pair(path)


def _unescape(text: str) -> str:
    return text if "\\" not in text else str(_toml_string(text))


def _toml_string(text: str) -> Any:
    import tomllib

    return tomllib.loads(f'x = "{text}"')["x"]


def positions(text: str) -> dict[Path, tuple[int, int]]:
    """(line, column) from 1 of each key path; array elements and arrays of tables by index."""
    return _Scanner(text).scan()
