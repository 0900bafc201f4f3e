"""Capture files (.strc): what `selftrace trace -o FILE.strc` writes and `selftrace report` reads. Format 1, little-endian:

    offset  bytes
    0       8      89 53 54 52 43 0d 0a 1a ("STRC", made so that a file sent as text is seen to be damaged)
    8       4      version of the format: 1
    12      4      H: bytes of the whole header, a multiple of 8, at most 16 MiB
    16      H-16   metadata: one JSON object in UTF-8, spaces behind it
    H              frames, one after the other, up to the end of the file

Metadata, of which a reader ignores what it does not know: "selftrace" (version that wrote it), "arch" ("x86_64"),
"command" (list of words), "monotonic_ns" and "realtime_ns" (both clocks at the same instant, at the start),
"string_limit" (bytes of a string that were captured at most), "pid" (of the first process; 0: not known), "stack"
("native" or "python": what entries and signals have of it; empty: nothing).

A frame is `struct st_event` of native/selftrace.h with what follows it: `time` is CLOCK_MONOTONIC in nanoseconds, `stamp` is
ST_EVENT_STAMP, `checksum` is what native/trace/frame.h computes. A writer appends whole frames and nothing else, so a file is
readable whenever its writer dies; a reader stops behind the last whole frame and says what it left. A frame of an unknown kind
is passed over. What cannot be read by a reader of version 1 gets another version.
"""

from __future__ import annotations

import json
import os
import sys
from struct import Struct

from selftrace.errors import TraceFileError
from selftrace.events.frames import Finder
from selftrace.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import IO, Any

MAGIC = b"\x89STRC\r\n\x1a"
VERSION = 1
_START = Struct("<8sII")
_MOST_HEADER = 16 << 20
_BLOCK = 1 << 20


@record
class Metadata:
    """What a capture says of itself; the module's docstring has the meaning of each field."""

    selftrace: str = ""
    arch: str = "x86_64"
    command: tuple[str, ...] = ()
    monotonic_ns: int = 0
    realtime_ns: int = 0
    string_limit: int = 32
    pid: int = 0
    stack: str = ""


def encode_header(metadata: Metadata) -> bytes:
    """The bytes that a capture begins with."""
    values = {name: getattr(metadata, name) for name in Metadata.__match_args__}
    text = json.dumps(values).encode("ascii")
    text += b" " * (-(_START.size + len(text)) % 8)
    return _START.pack(MAGIC, VERSION, _START.size + len(text)) + text


class CaptureWriter:
    """Writes a capture; a context manager. Frames are made by `frames.make_frame`."""

    def __init__(self, path: str | os.PathLike[str], metadata: Metadata) -> None:
        """Starts the file anew. Raises OSError."""
        self._file = open(path, "wb")  # noqa: SIM115
        self._file.write(encode_header(metadata))

    def add(self, frame: bytes) -> None:
        """Appends one whole frame."""
        self._file.write(frame)

    def close(self) -> None:
        """Writes what is left. Raises OSError."""
        self._file.close()

    def __enter__(self) -> CaptureWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Capture:
    """A capture being read: `metadata`, and, once, an iterator of whole frames as bytes. A context manager.

    left_bytes: after the frames, how many bytes behind the last whole one were left. corrupt: whether those are damaged
    (False: the file ends in the middle of a frame).
    """

    def __init__(self, source: str | os.PathLike[str] | IO[bytes], *, native: bool = True) -> None:
        """Opens and reads the header. source: a path, "-" for standard input, or a binary file.

        Raises OSError, and TraceFileError if it is no capture, is damaged in its header, or of a newer version.
        """
        self._own = False
        if isinstance(source, (str, os.PathLike)):
            self._own = os.fspath(source) != "-"
            self.name = os.fspath(source) if self._own else "standard input"
            self._file: IO[bytes] = open(source, "rb") if self._own else sys.stdin.buffer  # noqa: SIM115
        else:
            self._file, self.name = source, str(getattr(source, "name", "capture"))
        self._find = Finder(native=native)
        self.left_bytes = 0
        self.corrupt = False
        self.offset = 0
        """Where in the file the next frame begins."""
        try:
            self.metadata = self._header()
        except BaseException:
            self.close()
            raise

    def _wrong(self, what: str) -> TraceFileError:
        return TraceFileError(f"{self.name}: {what}")

    def _header(self) -> Metadata:
        start = _exactly(self._file, _START.size)
        if start[: len(MAGIC)] != MAGIC:
            if start and MAGIC.startswith(start):
                raise self._wrong(f"a capture that ends after {len(start)} bytes, within its header")
            raise self._wrong("not a capture: it does not begin as one of `selftrace trace -o FILE.strc` does")
        if len(start) < _START.size:
            raise self._wrong(f"a capture that ends after {len(start)} bytes, within its header")
        _, version, size = _START.unpack(start)
        if version != VERSION:
            from selftrace import __version__

            raise self._wrong(
                f"a capture of format {version}; selftrace {__version__} reads format {VERSION}: a newer selftrace is needed"
            )
        if size % 8 or not _START.size < size <= _MOST_HEADER:
            raise self._wrong(f"a damaged header: it claims to be {size} bytes long")
        text = _exactly(self._file, size - _START.size)
        if len(text) < size - _START.size:
            raise self._wrong(f"a capture that ends after {_START.size + len(text)} bytes, within its header")
        self.offset = size
        return self._metadata(text)

    def _metadata(self, text: bytes) -> Metadata:
        try:
            values = json.loads(text.decode("utf-8"))
        except (ValueError, RecursionError):
            raise self._wrong("a damaged header: its metadata is not JSON") from None
        if not isinstance(values, dict):
            raise self._wrong("a damaged header: its metadata is no JSON object")
        return Metadata(**{name: value for name, value in map(self._field, values.items()) if name})

    def _field(self, item: tuple[str, Any]) -> tuple[str, Any]:
        """(name, value) of a known field; name is empty for others."""
        name, value = item
        if name not in Metadata.__match_args__:
            return "", None
        if name == "command":
            right = isinstance(value, list) and all(isinstance(word, str) for word in value)
            value = tuple(value) if right else value
        elif name in ("selftrace", "arch", "stack"):
            right = isinstance(value, str)
        else:
            right = type(value) is int and 0 <= value < 1 << 63
        if not right:
            raise self._wrong(f'a damaged header: "{name}" is {json.dumps(value)[:40]}')
        return name, value

    def __iter__(self) -> Iterator[bytes]:
        """The whole frames. Raises OSError."""
        for block, offsets, end in self.blocks():
            yield from map(block.__getitem__, map(slice, offsets, [*offsets[1:], end]))

    def blocks(self) -> Iterator[tuple[bytes, list[int], int]]:
        """The same in blocks: bytes, where in them each frame begins, where the last ends."""
        rest = b""
        while True:
            more = self._file.read(_BLOCK)
            block = rest + more if rest else more
            offsets, end, corrupt = self._find(block)
            yield block, offsets, end
            self.offset += end
            rest = block[end:]
            if corrupt or not more:
                self.corrupt = corrupt
                self.left_bytes = len(rest) + (self._count_rest() if corrupt else 0)
                return

    def _count_rest(self) -> int:
        count = 0
        while block := self._file.read(_BLOCK):
            count += len(block)
        return count

    @property
    def remark(self) -> str:
        """What is to be said of the end of the file, once the frames are read; empty if it is whole."""
        if not self.left_bytes:
            return ""
        what = "is damaged" if self.corrupt else "ends in the middle of an event"
        left = f"{self.left_bytes} byte{'s' if self.left_bytes != 1 else ''} left over"
        return f"{self.name}: the capture {what}: all before offset {self.offset} is reported, {left}"

    def close(self) -> None:
        """Closes the file if it was opened here."""
        if self._own:
            self._file.close()

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _exactly(file: IO[bytes], size: int) -> bytes:
    """`size` bytes, or as many as there are: a pipe gives them in parts."""
    found = b""
    while len(found) < size and (more := file.read(size - len(found))):
        found += more
    return found
