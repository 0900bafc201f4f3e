"""DWARF's line tables: where a source line begins, and which line an address belongs to."""

from __future__ import annotations

import bisect
import os
from typing import Any

_MANY = 200  # units


class Lines:
    """The lines of one file, read unit by unit as they are asked for."""

    def __init__(self, dwarf: Any) -> None:
        self._dwarf = dwarf
        self._units = list(dwarf.iter_CUs())
        self._ranges = dwarf.get_aranges()
        self._programs: dict[int, Any] = {}
        self._tables: dict[int, tuple[list[int], list[tuple[int, int, str, int]]]] = {}

    def _program(self, unit: Any) -> Any:
        if unit.cu_offset not in self._programs:
            self._programs[unit.cu_offset] = self._dwarf.line_program_for_CU(unit)
        return self._programs[unit.cu_offset]

    def _files(self, unit: Any) -> list[str]:
        """The paths of a unit's files, by their number in the line program."""
        program = self._program(unit)
        if program is None:
            return []
        header = program.header
        top = unit.get_top_DIE().attributes.get("DW_AT_comp_dir")
        base = top.value.decode(errors="replace") if top is not None else ""
        directories = [one.decode(errors="replace") for one in header["include_directory"]]
        first = 0 if header["version"] >= 5 else 1
        if first:
            directories = [base, *directories]
        paths = ["?"] * first
        for entry in header["file_entry"]:
            directory = directories[entry.dir_index] if entry.dir_index < len(directories) else ""
            paths.append(os.path.normpath(os.path.join(base, directory, entry.name.decode(errors="replace"))))
        return paths

    def _table(self, unit: Any) -> tuple[list[int], list[tuple[int, int, str, int]]]:
        """(start, end, path, line) of a unit's statements, by address, and their starts."""
        if unit.cu_offset not in self._tables:
            rows: list[tuple[int, int, str, int]] = []
            paths, before = self._files(unit), None
            for entry in self._program(unit).get_entries() if paths else ():
                state = entry.state
                if state is None:
                    continue
                if before is not None and state.address > before.address:
                    rows.append((before.address, state.address, paths[before.file], before.line))
                before = None if state.end_sequence else state
            rows.sort()
            self._tables[unit.cu_offset] = [row[0] for row in rows], rows
        return self._tables[unit.cu_offset]

    def _unit_at(self, address: int) -> list[Any]:
        offset = self._ranges.cu_offset_at_addr(address) if self._ranges is not None else None
        if offset is not None:
            return [unit for unit in self._units if unit.cu_offset == offset]
        return self._units

    def at(self, address: int) -> tuple[str, int] | None:
        """(path, line) of an address in the file; None without one."""
        for unit in self._unit_at(address):
            starts, rows = self._table(unit)
            at = bisect.bisect_right(starts, address) - 1
            if at >= 0 and address < rows[at][1] and rows[at][3]:
                return rows[at][2], rows[at][3]
        return None

    def _mentions(self, name: str) -> bool:
        """Whether the file's name stands anywhere in the tables: to read those of a whole C library takes seconds."""
        sections = (self._dwarf.debug_line_sec, self._dwarf.debug_line_str_sec, self._dwarf.debug_str_sec)
        wanted = os.path.basename(name).encode()
        return any(wanted in section.stream.getvalue() for section in sections if section is not None)

    def files(self) -> set[str]:
        """Every source file that has lines here; none where there are so many that nobody would mean them."""
        if len(self._units) > _MANY:
            return set()
        return {path for unit in self._units for path in self._files(unit)} - {"?"}

    def addresses(self, name: str, line: int) -> tuple[list[int], int]:
        """Where that line's code begins, in each function that it is in, and which line that is: the next one that has code.

        name: a path, or its last parts. ([], 0) if there is none.
        """
        found: dict[int, list[tuple[int, int]]] = {}
        if not self._mentions(name):
            return [], 0
        for unit in self._units:
            if not any(_is(path, name) for path in self._files(unit)):
                continue
            for start, end, path, number in self._table(unit)[1]:
                if number >= line and _is(path, name):
                    found.setdefault(number, []).append((start, end))
        if not found:
            return [], 0
        best = min(found)
        starts: list[int] = []
        ends = -1
        for start, end in sorted(found[best]):
            if start != ends:  # a line's code in several pieces that follow each other is one place
                starts.append(start)
            ends = end
        return starts[:1] if best != line else starts, best


def _is(path: str, name: str) -> bool:
    return path == name or path.endswith("/" + name.removeprefix("./"))
