"""The files that a process has mapped, and what is where in them: names to addresses and back."""

from __future__ import annotations

import os
import re

from selftrace.calls import nearest
from selftrace.errors import SelftraceError
from selftrace.ptrace.elf import Elf, Symbol
from selftrace.ptrace.maps import Mapping, file_of, mappings
from selftrace.record import record


class SymbolError(SelftraceError):
    """A place that is not found. object_missing: the file it should be in is not mapped (yet)."""

    def __init__(self, message: str, *, object_missing: bool = False) -> None:
        self.object_missing = object_missing
        super().__init__(message)


@record
class Loaded:
    """A file and what is to be added to its addresses."""

    path: str
    start: int
    bias: int
    elf: Elf


@record
class Place:
    """An address in words. offset: from `symbol`; file and line are those of the source, where DWARF has them."""

    address: int
    object: str | None
    symbol: str | None
    offset: int
    file: str | None
    line: int | None

    def __str__(self) -> str:
        text = f"{self.address:#x}"
        if self.symbol:
            text += f" {self.symbol}" + (f"+{self.offset:#x}" if self.offset else "")
        if self.file:
            return f"{text} at {self.file}:{self.line}"
        return f"{text} in {os.path.basename(self.object)}" if self.object else text


class Symbols:
    """What is known of the mapped files of one process. `refresh` after something was mapped, or after an exec."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._maps: list[Mapping] = []
        self._files: dict[tuple[str, int], Elf | None] = {}
        self._loaded: list[Loaded] | None = None

    def refresh(self) -> None:
        """Looks again at what is mapped when next asked."""
        self._loaded = None

    def close(self) -> None:
        """Closes the files."""
        for elf in self._files.values():
            if elf is not None:
                elf.close()
        self._files = {}
        self._loaded = None

    @property
    def loaded(self) -> list[Loaded]:
        """The ELF files that are mapped, the program first."""
        if self._loaded is None:
            self._loaded = []
            seen = set()
            self._maps = mappings(self.pid)
            for mapping in self._maps:
                if mapping.path.startswith("/") and mapping.path not in seen:
                    one = self._load(mapping)
                    if one is not None:
                        seen.add(mapping.path)
                        self._loaded.append(one)
            self._program_first()
        return self._loaded

    def _program_first(self) -> None:
        assert self._loaded is not None
        try:
            program = os.readlink(f"/proc/{self.pid}/exe")
        except OSError:
            return
        self._loaded.sort(key=lambda one: one.path != program)

    def _load(self, mapping: Mapping) -> Loaded | None:
        key = (mapping.path, mapping.inode)
        if key not in self._files:
            try:
                self._files[key] = Elf(file_of(self.pid, mapping))
            except (OSError, ValueError):  # data, fonts, a 32-bit file
                self._files[key] = None
        elf = self._files[key]
        if elf is None:
            return None
        for offset, address, size in elf.loads:
            if offset - offset % 4096 <= mapping.offset < offset + max(size, 1):
                return Loaded(mapping.path, mapping.start, mapping.start - mapping.offset - (address - offset), elf)
        return None

    def object_at(self, address: int) -> Loaded | None:
        """The file that is mapped there."""
        loaded = self.loaded
        path = next((one.path for one in self._maps if address in one), None)
        return next((one for one in loaded if one.path == path), None)

    def is_executable(self, address: int) -> bool:
        """Whether code is mapped there, of a file or not (vDSO, code that was compiled at run time)."""
        return bool(self.loaded) and any(address in one and "x" in one.permissions for one in self._maps)

    def describe(self, address: int, *, call: bool = False) -> Place:
        """What is at an address. call: it is a return address, so that the call before it is meant."""
        one = self.object_at(address)
        if one is None:
            name = next((mapping.path for mapping in self._maps if address in mapping), "")
            return Place(address, name or None, None, 0, None, None)
        inside = address - one.bias - (1 if call else 0)
        symbol = one.elf.symbol_at(inside)
        line = one.elf.lines.at(inside) if one.elf.lines is not None else None
        offset = address - one.bias - symbol.address if symbol else 0
        return Place(address, one.path, symbol.name if symbol else None, offset, *(line or (None, None)))

    def find(self, where: str) -> list[int]:
        """The addresses that are meant by main, main+0x10, libc.so.6:write or file.c:12 (each function that has the line).

        Raises SymbolError that names what is most like it.
        """
        line = re.fullmatch(r"(.+):(\d+)", where)
        if line:
            return self._lines(line[1], int(line[2]))
        name, _, offset = where.partition("+")
        prefix, colon, rest = name.partition(":")
        if colon and not rest.startswith(":"):
            return [self._symbol(rest.strip(), prefix) + _offset(offset, where)]
        return [self._symbol(name.strip(), "") + _offset(offset, where)]

    def _within(self, prefix: str) -> list[Loaded]:
        if not prefix:
            return self.loaded
        found = [one for one in self.loaded if prefix in (one.path, os.path.basename(one.path))]
        found = found or [one for one in self.loaded if re.match(re.escape(prefix) + r"[.\d-]", os.path.basename(one.path))]
        if not found:
            known = [os.path.basename(one.path) for one in self.loaded]
            raise SymbolError(f'no file "{prefix}" is mapped{nearest(prefix, known)}', object_missing=True)
        return found

    def _symbol(self, name: str, prefix: str) -> int:
        searched = self._within(prefix)
        for one in searched:
            symbol = one.elf.symbols.get(name)
            if symbol is not None:
                return one.bias + _callable(symbol, one)
        program = searched[0] if searched else None
        if program is not None and program.elf.is_stripped:
            stripped = f"; {os.path.basename(program.path)} is stripped: only exported names are left, use addresses"
        else:
            stripped = ""
        raise SymbolError(
            f'no symbol "{name}" in {prefix or "what is mapped"}{stripped}{_alike(name, searched)}', object_missing=not prefix
        )

    def _lines(self, name: str, line: int) -> list[int]:
        sources: set[str] = set()
        for one in self.loaded:
            if one.elf.lines is None:
                continue
            addresses, _ = one.elf.lines.addresses(name, line)
            if addresses:
                by_function = {getattr(one.elf.symbol_at(address), "name", None): address for address in reversed(addresses)}
                return sorted(one.bias + address for address in by_function.values())
            sources |= one.elf.lines.files()
        if any(path == name or path.endswith("/" + name) for path in sources):
            raise SymbolError(f"{name} has no code at or after line {line}")
        if not sources:
            raise SymbolError(
                f"no line numbers for {name}:{line}: nothing that is mapped has any; compile with -g", object_missing=True
            )
        known = {os.path.basename(path) for path in sources}
        raise SymbolError(f'no source file "{name}"{nearest(os.path.basename(name), known)}', object_missing=True)


def _callable(symbol: Symbol, one: Loaded) -> int:
    if symbol.chosen:
        raise SymbolError(
            f"{symbol.name} in {os.path.basename(one.path)} is chosen when it is loaded (IFUNC): use the address of the variant"
        )
    return symbol.address


def _offset(text: str, where: str) -> int:
    try:
        return int(text, 0) if text else 0
    except ValueError:
        raise SymbolError(f'"{where}": what follows + must be a number') from None


def _alike(name: str, searched: list[Loaded]) -> str:
    """Only names of about that length are compared: an interpreter has 40 000."""
    known = {other for one in searched for other in one.elf.symbols if abs(len(other) - len(name)) < 3 and other[:1] == name[:1]}
    return nearest(name, known)
