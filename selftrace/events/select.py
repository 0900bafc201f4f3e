"""Leaving calls out of a batch of frames: what -P, --fd and --slower select while reading. See native/trace/select.c."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


class Selection:
    """The calls that stay: those on these paths or descriptors, with such arguments, that take as long or fail so."""

    def __init__(
        self,
        *,
        paths: Sequence[str],
        fds: frozenset[int] | None,
        slower_ns: int,
        arguments: Mapping[int, int],
        mapping: frozenset[int] = frozenset(),
        unshown: frozenset[int] = frozenset(),
        errors: frozenset[int] | None = None,
        wanted: Sequence[tuple[int, int, int, str, int]] = (),
    ) -> None:
        """arguments: sysno → bits of those that are paths. mapping: calls that stay, marked, where they are left out;
        unshown: calls that always are. errors: errnos, None: whatever comes of it. wanted: sysno, argument, its width in bytes,
        operator (eq ne le ge any), value; all must hold. Raises ValueError for too many paths."""
        from selftrace._native import ffi, lib

        self._lib = lib
        options = ffi.new("struct st_select_options *")
        options.slower_ns, options.by_fd, options.by_error = slower_ns, fds is not None, errors is not None
        for error in errors or ():
            options.errors[error // 64] |= 1 << error % 64
        for fd in fds or ():
            if fd < 1024:
                options.fds[fd // 64] |= 1 << fd % 64
        for of, numbers in ((options.mapping, mapping), (options.unshown, unshown)):
            for sysno in numbers:
                of[sysno // 64] |= 1 << sysno % 64
        for sysno, bits in arguments.items():
            options.path_arguments[sysno] = bits
        self._select: Any = ffi.gc(lib.st_select_new(options), lib.st_select_free)
        operators = {"eq": lib.ST_EQ, "ne": lib.ST_NE, "le": lib.ST_LE, "ge": lib.ST_GE, "any": lib.ST_ANY}
        for sysno, arg, width, op, value in wanted:
            if not lib.st_select_argument(self._select, sysno, arg, width, operators[op], value):
                raise MemoryError
        for path in paths:
            if not lib.st_select_path(self._select, os.fsencode(path)):
                raise ValueError("too many paths: 64 are possible")

    def keep(self, frames: Any, size: int, room: int) -> int:
        """Takes out of `size` bytes of frames what is left out; the buffer has `room`. Returns the bytes that stay."""
        return int(self._lib.st_select_frames(self._select, frames, size, room)) if size else 0

    @property
    def shown(self) -> int:
        """Calls that have returned and were not left out."""
        return int(self._lib.st_select_shown(self._select))
