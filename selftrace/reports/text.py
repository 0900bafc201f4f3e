"""A capture as strace's text. The lines are made by C (native/trace), as they are while a program is traced."""

from __future__ import annotations

from selftrace.errors import UnsupportedError
from selftrace.events import stacks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO, Any

    from selftrace.events.capture import Metadata

CLOCKS = {"": (0, 0), "t": (1, 0), "tt": (1, 6), "ttt": (2, 6)}
"""-t, -tt, -ttt → st_clock and digits."""


def native() -> tuple[Any, Any]:
    """cffi's ffi and lib. Raises UnsupportedError if they are not there, or cannot make lines."""
    remedy = "--format summary, json, perfetto and html work everywhere"
    try:
        from selftrace._native import ffi, lib
    except ImportError:
        raise UnsupportedError(
            "strace's text is made by selftrace's native part, which is not built here (Linux on x86-64 has it)", remedy
        ) from None
    if not hasattr(lib, "st_lines_new"):
        raise UnsupportedError("strace's text is made by selftrace's native part, which is of an older build", remedy)
    return ffi, lib


def write(file: IO[bytes], metadata: Metadata, blocks: Iterable[tuple[bytes, int]], **options: int) -> None:
    """Writes the lines.

    blocks: whole frames, and how many bytes of them count. options: fields of struct st_lines_options.
    Raises UnsupportedError without the native part.
    """
    ffi, lib = native()
    chosen = ffi.new("struct st_lines_options *")
    lib.st_lines_defaults(chosen)
    if metadata.realtime_ns:
        chosen.start_ns = (metadata.realtime_ns - metadata.monotonic_ns) & 0xFFFFFFFFFFFFFFFF
    for name, value in options.items():
        setattr(chosen, name, value)
    unwinder = stacks.new(ffi, lib) if metadata.stack == "native" else None
    if unwinder is not None:
        chosen.stacks = unwinder
    lines = lib.st_lines_new(chosen)
    if lines == ffi.NULL:
        raise MemoryError
    try:
        for block, end in blocks:
            lib.st_lines_feed(lines, ffi.from_buffer(block), end)
            _take(ffi, lib, lines, file)
        lib.st_lines_finish(lines, 0)
        _take(ffi, lib, lines, file)
    finally:
        lib.st_lines_free(lines)


def _take(ffi: Any, lib: Any, lines: Any, file: IO[bytes]) -> None:
    for data, tid in _texts(ffi, lib, lines):
        file.write(data)
        lib.st_lines_taken(lines, tid)


def _texts(ffi: Any, lib: Any, lines: Any) -> Iterator[tuple[bytes, int]]:
    tid, size = ffi.new("int32_t *"), ffi.new("uint64_t *")
    while True:
        found = lib.st_lines_text(lines, tid, size)
        if found == ffi.NULL or not size[0]:
            return
        yield bytes(ffi.buffer(found, size[0])), tid[0]
