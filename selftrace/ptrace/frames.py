"""Call frame information of one file. The row of an address is found through .eh_frame_hdr's sorted table, so that only
one entry is read; files without that table, and .debug_frame, are read as a whole once."""

from __future__ import annotations

import bisect
import struct
from functools import lru_cache
from typing import Any


class Frames:
    """Of one Elf."""

    def __init__(self, elf: Any) -> None:
        self._elf = elf
        self._eh = self._info(elf.file, ".eh_frame", for_eh=True)
        self._table = self._header()
        self._whole: tuple[list[int], list[Any]] | None = None
        self._rows: dict[int, list[dict[Any, Any]]] = {}

    @staticmethod
    def _info(file: Any, name: str, *, for_eh: bool) -> Any:
        from elftools.dwarf.callframe import CallFrameInfo
        from elftools.dwarf.structs import DWARFStructs

        section = file.get_section_by_name(name)
        if section is None or section.header["sh_type"] == "SHT_NOBITS":
            return None
        import io

        data = section.data()
        structs = DWARFStructs(little_endian=True, dwarf_format=32, address_size=8)
        return CallFrameInfo(io.BytesIO(data), len(data), section.header["sh_addr"], structs, for_eh_frame=for_eh)

    def _header(self) -> tuple[list[int], list[int]] | None:
        """(addresses of functions, offsets of their entries in .eh_frame). Source: LSB, Exception Frames."""
        section = self._elf.file.get_section_by_name(".eh_frame_hdr")
        if section is None or self._eh is None:
            return None
        data = section.data()
        base = section.header["sh_addr"]
        if data[:4] != b"\x01\x1b\x03\x3b":  # the one form that linkers write: pc-relative, then a table of 32-bit offsets
            return None
        (count,) = struct.unpack_from("<I", data, 8)
        pairs = list(struct.iter_unpack("<ii", data[12 : 12 + 8 * count]))
        return [base + first for first, _ in pairs], [base + entry - self._eh.address for _, entry in pairs]

    def row(self, address: int) -> dict[Any, Any] | None:
        """The rules that hold at an address in the file: "cfa", and register numbers; None if nothing is known."""
        entry: Any = self._by_header(address) if self._table is not None else None
        if not _covers(entry, address):
            entry = self._by_search(address)
        if not _covers(entry, address):
            return None
        begin = entry.header["initial_location"]
        rows = self._rows.get(begin)
        if rows is None:
            rows = self._rows[begin] = entry.get_decoded().table
        at = bisect.bisect_right([row["pc"] for row in rows], address) - 1
        return rows[at] if at >= 0 else None

    def _by_header(self, address: int) -> Any:
        assert self._table is not None
        starts, offsets = self._table
        at = bisect.bisect_right(starts, address) - 1
        # pyelftools reads all entries or, by this method of its own, one: libc has 9 000.
        return self._eh._parse_entry_at(offsets[at]) if at >= 0 else None

    def _by_search(self, address: int) -> Any:
        if self._whole is None:
            from elftools.dwarf.callframe import FDE

            found: list[Any] = []
            infos = [] if self._table is not None else [self._eh]
            debug = self._elf.debug
            for file in {self._elf.file, debug.file if debug is not None else self._elf.file}:
                infos.append(self._info(file, ".debug_frame", for_eh=False))
            for info in filter(None, infos):
                found += [entry for entry in info.get_entries() if isinstance(entry, FDE)]
            found.sort(key=lambda entry: entry.header["initial_location"])
            self._whole = [entry.header["initial_location"] for entry in found], found
        at = bisect.bisect_right(self._whole[0], address) - 1
        return self._whole[1][at] if at >= 0 else None


def _covers(entry: Any, address: int) -> bool:
    return entry is not None and 0 <= address - entry.header["initial_location"] < entry.header["address_range"]


@lru_cache(maxsize=256)
def operations(code: bytes) -> list[tuple[str, list[int]]]:
    """A DWARF expression as (name without DW_OP_, arguments)."""
    from elftools.dwarf.dwarf_expr import DWARFExprParser
    from elftools.dwarf.structs import DWARFStructs

    parser = DWARFExprParser(DWARFStructs(little_endian=True, dwarf_format=32, address_size=8))
    return [(one.op_name.removeprefix("DW_OP_"), list(one.args)) for one in parser.parse_expr(list(code))]
