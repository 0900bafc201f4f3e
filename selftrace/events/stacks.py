"""Native call stacks of a trace's events: see native/trace/stacks.c. Frames have to be fed in their order."""

from __future__ import annotations

from selftrace.errors import UnsupportedError
from selftrace.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@record
class NativeFrame:
    """A line of a native stack. object: the file, symbol: demangled, offset: from it; address: as the file's symbols count.
    None and 0: not known; pc: where that was in the process."""

    pc: int
    object: str | None = None
    symbol: str | None = None
    offset: int = 0
    address: int = 0


def new(ffi: Any, lib: Any) -> Any:
    """A struct st_stacks. Raises UnsupportedError where there is nothing to unwind with."""
    missing = lib.st_stacks_missing()
    if missing != ffi.NULL:
        why = ffi.string(missing).decode(errors="replace")
        raise UnsupportedError(f"-k unwinds with libdw: {why}", "install it (Debian, Ubuntu: libdw1; Fedora: elfutils-libs)")
    return ffi.gc(lib.st_stacks_new(), lib.st_stacks_free)


class NativeStacks:
    """Knows what is mapped where, by the frames that it was fed."""

    def __init__(self) -> None:
        """Raises UnsupportedError where there is nothing to unwind with."""
        from selftrace._native import ffi, lib

        self._ffi, self._lib, self._stacks = ffi, lib, new(ffi, lib)
        self._out = ffi.new("struct st_stack_frame[]", lib.ST_STACK_FRAMES)

    def feed(self, frame: bytes) -> None:
        """Takes a frame of any kind."""
        self._lib.st_stacks_feed(self._stacks, frame, len(frame))

    def of(self, frame: bytes | None) -> tuple[NativeFrame, ...]:
        """The stack in the frame of an entry or signal, innermost first; empty: it has none."""
        if frame is None:
            return ()
        count = self._lib.st_stacks_walk(self._stacks, frame, len(frame), self._out, len(self._out))
        return tuple(map(self._frame, self._out[0:count]))

    def close(self) -> None:
        """Gives memory and files back."""
        self._ffi.release(self._stacks)

    def _frame(self, found: Any) -> NativeFrame:
        return NativeFrame(found.pc, self._text(found.object), self._text(found.symbol), found.offset, found.address)

    def _text(self, text: Any) -> str | None:
        return None if text == self._ffi.NULL else self._ffi.string(text).decode(errors="replace")
