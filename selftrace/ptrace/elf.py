"""What one ELF file says: symbols, lines, call frames. pyelftools reads the sections; symbol tables, which are large, are
read here at once."""

from __future__ import annotations

import bisect
import os
import struct
from functools import cached_property
from typing import Any

from selftrace.errors import UnsupportedError
from selftrace.ptrace.frames import Frames
from selftrace.record import record

_DEBUG = "/usr/lib/debug"
_FUNCTION, _OBJECT, _IFUNC, _NOTYPE = 2, 1, 10, 0


def elftools() -> Any:
    """pyelftools' ELFFile. Raises UnsupportedError where it is not installed."""
    try:
        from elftools.elf.elffile import ELFFile
    except ImportError:
        raise UnsupportedError(
            "symbols, lines and call frames need pyelftools, which is not installed", 'pip install "selftrace[debug]"'
        ) from None
    return ELFFile


@record
class Symbol:
    """A function or object. address: in the file; size: in bytes, 0 where the table has none; chosen: the dynamic linker
    asks the function there which variant it is to be (IFUNC)."""

    name: str
    address: int
    size: int
    is_function: bool
    chosen: bool = False


class Elf:
    """One file, opened until `close`. Raises OSError, and ValueError for what is no 64-bit ELF file."""

    def __init__(self, path: str) -> None:
        reader = elftools()
        self.path = path
        self._stream = open(path, "rb")  # noqa: SIM115
        try:
            self.file = reader(self._stream)
            if self.file.elfclass != 64:
                raise ValueError(f"{path} is no 64-bit file")
        except Exception as error:
            self._stream.close()
            raise ValueError(f"{path}: {error}") from None

    def close(self) -> None:
        """With its debug file."""
        self._stream.close()
        debug = self.__dict__.get("debug")
        if debug not in (None, self):
            debug.close()

    @cached_property
    def loads(self) -> list[tuple[int, int, int]]:
        """(file offset, address, size in the file) of what is mapped."""
        segments = (segment.header for segment in self.file.iter_segments("PT_LOAD"))
        return [(one["p_offset"], one["p_vaddr"], one["p_filesz"]) for one in segments]

    @property
    def entry(self) -> int:
        """Where the program begins."""
        return int(self.file.header["e_entry"])

    @cached_property
    def debug(self) -> Elf | None:
        """The file that holds DWARF: this one, or a separate one found by build ID or by .gnu_debuglink; None without any."""
        if self.file.get_section_by_name(".debug_info") is not None:
            return self
        for path in self._debug_paths():
            if os.path.isfile(path):
                try:
                    return Elf(path)
                except (OSError, ValueError):
                    continue
        return None

    @cached_property
    def build_id(self) -> str:
        """In hexadecimal; empty without one."""
        section = self.file.get_section_by_name(".note.gnu.build-id")
        return section.data()[16:].hex() if section is not None else ""

    def _debug_paths(self) -> list[str]:
        paths = []
        if self.build_id:
            paths.append(f"{_DEBUG}/.build-id/{self.build_id[:2]}/{self.build_id[2:]}.debug")
        link = self.file.get_section_by_name(".gnu_debuglink")
        if link is not None:
            name = os.fsdecode(link.data().split(b"\0", 1)[0])
            here = os.path.dirname(os.path.realpath(self.path))
            paths += [f"{here}/{name}", f"{here}/.debug/{name}", f"{_DEBUG}{here}/{name}"]
        return [path for path in paths if os.path.realpath(path) != os.path.realpath(self.path)]

    @cached_property
    def symbols(self) -> dict[str, Symbol]:
        """All defined functions and objects by name: of .symtab and .dynsym, and of the debug file."""
        found = _symbols(self.file, ".dynsym") | _symbols(self.file, ".symtab")
        if self.debug not in (None, self):
            assert self.debug is not None
            found |= _symbols(self.debug.file, ".symtab")
        return found

    @property
    def is_stripped(self) -> bool:
        """Whether only names that are exported are left."""
        return self.file.get_section_by_name(".symtab") is None and self.debug in (None, self)

    @cached_property
    def _by_address(self) -> tuple[list[int], list[Symbol]]:
        ordered = sorted(
            (one for one in self.symbols.values() if one.is_function or one.size), key=lambda one: (one.address, -one.size)
        )
        return [one.address for one in ordered], ordered

    def symbol_at(self, address: int) -> Symbol | None:
        """The function or object that the address is in. Behind the end of the last one before it there is none."""
        addresses, ordered = self._by_address
        at = bisect.bisect_right(addresses, address) - 1
        while at > 0 and addresses[at - 1] == addresses[at]:
            at -= 1
        if at < 0:
            return None
        found = ordered[at]
        return found if not found.size or address < found.address + found.size else None

    @cached_property
    def frames(self) -> Frames:
        """Its call frame information."""
        return Frames(self)

    @cached_property
    def lines(self) -> Any:
        """Its line table (lines.Lines), None without DWARF."""
        from selftrace.ptrace.lines import Lines

        return Lines(self.debug.file.get_dwarf_info(follow_links=False)) if self.debug is not None else None


def _symbols(file: Any, table: str) -> dict[str, Symbol]:
    section = file.get_section_by_name(table)
    if section is None or section.header["sh_type"] == "SHT_NOBITS":
        return {}
    names: bytes = file.get_section(section.header["sh_link"]).data()
    versions = file.get_section_by_name(".gnu.version") if table == ".dynsym" else None
    former = [word >> 15 for (word,) in struct.iter_unpack("<H", versions.data())] if versions is not None else []
    found: dict[str, Symbol] = {}
    for at, (name_at, info, _, index, value, size) in enumerate(struct.iter_unpack("<IBBHQQ", section.data())):
        kind = info & 15
        if not index or not name_at or kind not in (_FUNCTION, _OBJECT, _IFUNC, _NOTYPE) or index >= 0xFF00:
            continue
        name, _, version = names[name_at : names.index(b"\0", name_at)].decode(errors="replace").partition("@")
        is_former = (version and version[0] != "@") or (at < len(former) and former[at])  # kept for programs linked long ago
        known = found.get(name)
        if known is None or (not is_former and (info >> 4 or not known.size)):
            found[name] = Symbol(name, value, size, kind in (_FUNCTION, _IFUNC), kind == _IFUNC)
    return found
