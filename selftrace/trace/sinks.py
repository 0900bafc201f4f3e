"""Where a trace's frames go: a capture file, strace's text, a summary, JSON lines. Each takes whole frames as they come."""

from __future__ import annotations

import os
import sys
import time

from selftrace.calls import table
from selftrace.events import stacks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from subprocess import Popen
    from typing import IO, Any, Protocol

    from selftrace.events.capture import Metadata
    from selftrace.trace.options import TraceOptions

    class Sink(Protocol):
        """Something that frames go to."""

        def feed(self, frames: memoryview) -> None:
            """Takes whole frames; they are valid during the call only."""

        def close(self, *, detached: bool) -> None:
            """Writes what is left. detached: the program goes on without us."""


def open_output(name: str, *, append: bool = False) -> IO[bytes]:
    """The file that -o names; "|command" and "!command" are pipes to a shell; empty: standard error. Raises OSError."""
    if not name:
        return open(os.dup(2), "wb", buffering=0)
    if name[0] in "|!":
        import subprocess

        process = subprocess.Popen(["/bin/sh", "-c", name[1:]], stdin=subprocess.PIPE)
        assert process.stdin is not None
        return _Pipe(process)  # type: ignore[return-value]
    return open(name, "ab" if append else "wb", buffering=0)


class _Pipe:
    """A command's standard input; closing it waits for the command."""

    def __init__(self, process: Popen[bytes]) -> None:
        self._process = process

    def write(self, data: bytes) -> int:
        """Raises OSError if the command has ended."""
        assert self._process.stdin is not None
        written = self._process.stdin.write(data)
        self._process.stdin.flush()
        return written

    def close(self) -> None:
        """Waits."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class CaptureSink:
    """Frames as they are, behind a header."""

    def __init__(self, path: str, metadata: Metadata) -> None:
        """Starts the file anew. Raises OSError."""
        from selftrace.events.capture import encode_header

        self._file = open(path, "wb", buffering=0)  # noqa: SIM115
        self._file.write(encode_header(metadata))

    def feed(self, frames: memoryview) -> None:
        """Appends them. Raises OSError."""
        while frames:
            frames = frames[self._file.write(frames) :]

    def close(self, *, detached: bool) -> None:
        """Nothing is left."""
        self._file.close()


_ALL_FDS = 1 << 15
"""A set of more descriptors is that of all."""
_HEX = ("none", "non-ascii-chars", "non-ascii", "all")
_NAMES = ("abbrev", "raw", "verbose")
_CLOCKS = ("none", "time", "unix")
_DECODE = {"path": 1, "socket": 2, "dev": 4, "pidfd": 8, "signalfd": 16, "eventfd": 32}
_QUIET = {"attach": 1, "exit": 2, "thread-execve": 4, "superseded": 4, "personality": 8, "path-resolution": 0}
_STATUS = {"successful": 1, "failed": 2, "unfinished": 4, "unavailable": 8, "detached": 16}


def _fill(bits: Any, numbers: frozenset[int] | None) -> None:
    for at in range(len(bits)):
        bits[at] = 0 if numbers is not None else 0xFFFFFFFFFFFFFFFF
    for number in numbers or ():
        if number // 64 < len(bits):
            bits[number // 64] |= 1 << number % 64


def line_options(options: TraceOptions, chosen: Any, calls: frozenset[int]) -> None:
    """What C wants to know of the options: fields of struct st_lines_options."""
    chosen.string_limit, chosen.column = options.string_limit, options.columns
    chosen.hex_strings, chosen.names = _HEX.index(options.hex), _NAMES.index(options.style)
    chosen.absolute, chosen.absolute_digits = _CLOCKS.index(options.absolute), options.absolute_precision
    if options.relative_precision is not None:
        chosen.relative, chosen.relative_digits = 1, options.relative_precision
    if options.times_precision is not None:
        chosen.times, chosen.times_digits = 1, options.times_precision
    chosen.split, chosen.stack_frames = options.separate, options.stack_frames
    if options.separate:
        chosen.prefix = 0
    elif options.output:
        several = options.pids and (options.follow or len(options.pids) > 1 or options.command)
        chosen.prefix = 2 if "f" in options.ignored or several else 0
    if options.always_pid and not options.separate:
        chosen.prefix = 2
    chosen.numbers, chosen.arg_names, chosen.addresses = options.numbers, options.arg_names, options.instruction_pointer
    chosen.comm = "comm" in options.decode_pids
    chosen.quiet = sum({_QUIET[word] for word in options.quiet})
    chosen.status = sum(_STATUS[word] for word in options.statuses) if options.statuses is not None else 31
    chosen.decode = sum(_DECODE[word] for word in options.decode_fds)
    chosen.stap = options.stap
    _fill(chosen.trace, calls)
    _fill(chosen.abbrev, options.abbrev)
    _fill(chosen.verbose, options.verbose)
    _fill(chosen.raw, options.raw)
    _fill(chosen.signals, options.signals)


class TextSink:
    """strace's lines, made by C."""

    def __init__(self, options: TraceOptions, calls: frozenset[int]) -> None:
        """Opens the output. Raises OSError, UnsupportedError without the native part."""
        from selftrace.reports.text import native

        self._ffi, self._lib = native()
        chosen = self._ffi.new("struct st_lines_options *")
        self._lib.st_lines_defaults(chosen)
        line_options(options, chosen, calls)
        chosen.start_ns = time.time_ns() - time.monotonic_ns()
        if options.stack_trace == "native":
            self._stacks = chosen.stacks = stacks.new(self._ffi, self._lib)
            if options.stack_sources:
                self._lib.st_stacks_want_sources(self._stacks)
        self._kept = (*_callbacks(self._ffi, chosen), *_dumped(self._ffi, chosen, options), *_named(self._ffi, chosen, options))
        self._lines = self._lib.st_lines_new(chosen)
        if self._lines == self._ffi.NULL:
            raise MemoryError
        self._name, self._append, self._split = options.output, options.append, options.separate and bool(options.output)
        self._files: dict[int, IO[bytes]] = {}
        self._tid, self._size = self._ffi.new("int32_t *"), self._ffi.new("uint64_t *")
        self._held = 0.0
        if not self._split:
            self._files[0] = open_output(self._name, append=self._append)

    def feed(self, frames: memoryview) -> None:
        """Writes the lines that they make. Raises OSError."""
        if frames:
            self._lib.st_lines_feed(self._lines, self._ffi.from_buffer(frames), len(frames))
        self._write()

    def _write(self) -> None:
        while True:
            text = self._lib.st_lines_text(self._lines, self._tid, self._size)
            if text == self._ffi.NULL or not self._size[0]:
                return
            self._file(self._tid[0]).write(self._ffi.buffer(text, self._size[0]))
            self._lib.st_lines_taken(self._lines, self._tid[0])

    def _file(self, tid: int) -> IO[bytes]:
        if not self._split:
            return self._files[0]
        if tid not in self._files:
            self._files[tid] = open_output(f"{self._name}.{tid}", append=self._append)
        return self._files[tid]

    def note(self, text: str) -> None:
        """A line of our own."""
        self._lib.st_lines_note(self._lines, 0, text.encode())
        self._write()

    def close(self, *, detached: bool) -> None:
        """Ends the last line. Raises OSError."""
        self._lib.st_lines_finish(self._lines, detached)
        self._write()
        self._lib.st_lines_free(self._lines)
        for file in self._files.values():
            file.close()


def _dumped(ffi: Any, chosen: Any, options: TraceOptions) -> list[Any]:
    """The descriptors of -e read= and write=, which C reads as long as it writes lines."""
    kept = []
    for name, fds in (("read", options.read_fds), ("write", options.write_fds)):
        numbers = ffi.new("int32_t[]", [-1] if len(fds) > _ALL_FDS else sorted(fds))
        setattr(chosen, f"{name}_fds", numbers)
        setattr(chosen, f"{name}_count", len(numbers))
        kept.append(numbers)
    return kept


def _named(ffi: Any, chosen: Any, options: TraceOptions) -> list[Any]:
    """The paths of -P: as they were given, and what they lead to."""
    paths = dict.fromkeys(path for given in options.paths for path in (given, os.path.realpath(given)))
    kept = [ffi.new("char[]", os.fsencode(path)) for path in paths]
    chosen.path_count = len(kept)
    if kept:
        kept.append(ffi.new("char *[]", kept))
        chosen.paths = kept[-1]
    return kept


def _callbacks(ffi: Any, chosen: Any) -> tuple[Any, ...]:
    """What the line writer asks for: names of tasks. Kept by the sink: C has but their addresses."""

    @ffi.callback("uint32_t(int32_t, char *, uint32_t)")  # type: ignore[untyped-decorator]
    def comm_of(tid: int, to: Any, size: int) -> int:
        try:
            with open(f"/proc/{tid}/comm", "rb") as file:
                name = file.read().rstrip(b"\n")[:size]
        except OSError:
            return 0
        ffi.memmove(to, name, len(name))
        return len(name)

    @ffi.callback("uint32_t(int32_t, int32_t, const char *, char *, uint32_t)")  # type: ignore[untyped-decorator]
    def detail_of(pid: int, fd: int, link: Any, to: Any, size: int) -> int:
        from selftrace.trace.details import describe

        text = describe(pid, fd, ffi.string(link).decode("ascii", "replace")).encode()[:size]
        ffi.memmove(to, text, len(text))
        return len(text)

    chosen.comm_of, chosen.detail_of = comm_of, detail_of
    return comm_of, detail_of


def overhead(text: str) -> float:
    """Seconds of "4.5e2ms", "10us", "7"; a bare number is of microseconds. Raises ValueError."""
    number, scale = text, 1e-6
    for unit, size in (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        if text.endswith(unit):
            number, scale = text.removesuffix(unit), size
            break
    return float(number) * scale if number else 0.0


class SummarySink:
    """strace -c: counted in C, printed at the end."""

    def __init__(self, options: TraceOptions) -> None:
        """Opens the output. Raises OSError; ValueError for a sort key or column that is unknown."""
        from selftrace._native import ffi, lib
        from selftrace.reports import summary

        self._ffi, self._lib = ffi, lib
        self._sort = summary.sort_key(options.summary_sort)
        self._columns = summary.columns(options.summary_columns) if options.summary_columns else summary.DEFAULT
        self._percentiles, self._histogram = options.percentiles, options.histogram
        self._overhead_ns = round(overhead(options.summary_overhead) * 1e9)
        self._counts = ffi.gc(lib.st_counts_new(), lib.st_counts_free)
        self._file = open_output(options.output, append=options.append or options.summary == "both")

    def feed(self, frames: memoryview) -> None:
        """Counts."""
        self._lib.st_counts_feed(self._counts, self._ffi.from_buffer(frames), len(frames))

    def close(self, *, detached: bool) -> None:
        """Prints the table. Raises OSError."""
        from selftrace.events.counts import Count, Counts
        from selftrace.reports import summary

        found: dict[int, Count] = {}
        names: Mapping[int, Any] = table().by_number
        for sysno in range(self._lib.ST_NR_MAX):
            one = self._lib.st_counts_of(self._counts, sysno)
            if one == self._ffi.NULL:
                continue
            count = Count(names[sysno].name if sysno in names else f"syscall_{sysno:#x}", sysno)
            count.calls = count.timed = one.calls
            count.errors, count.total_ns = one.errors, max(0, one.total_ns - one.calls * self._overhead_ns)
            count.shortest_ns, count.longest_ns = one.shortest_ns, one.longest_ns
            count.buckets = {at: number for at, number in enumerate(one.buckets) if number}
            found[sysno] = count
        counts = Counts(found)
        lines = [*summary.table(counts, sort=self._sort, show=self._columns, at=self._percentiles)]
        if self._histogram:
            lines += summary.histograms(counts, sort=self._sort)
        self._file.write("".join(f"{line}\n" for line in lines).encode())
        self._file.close()


class JsonSink:
    """JSON lines, made in Python as the events come."""

    def __init__(self, name: str, metadata: Metadata) -> None:
        """Opens the output, - is standard output. Raises OSError, UnsupportedError without what unwinds stacks."""
        from selftrace.events.frames import Finder
        from selftrace.events.pairing import Pairing
        from selftrace.reports import jsonlines

        self._lines = jsonlines
        self._file: IO[str] = sys.stdout if name == "-" else open(name, "w", encoding="utf-8")  # noqa: SIM115
        self._find, self._pairing = Finder(), Pairing(metadata)
        self._stacks = stacks.NativeStacks() if metadata.stack == "native" else None
        self._file.writelines(jsonlines.lines(metadata, ()))

    def feed(self, frames: memoryview) -> None:
        """Writes the events that they complete. Raises OSError."""
        if not frames:
            return
        block = bytes(frames)
        offsets, end, _ = self._find(block)
        parts = map(block.__getitem__, map(slice, offsets, [*offsets[1:], end]))
        self._file.writelines(self._lines.event_lines(self._pairing, parts, self._stacks))
        self._file.flush()

    def close(self, *, detached: bool) -> None:
        """Calls that have not returned. Raises OSError."""
        self._file.writelines(self._lines.line(event) for event in self._pairing.unfinished())
        self._file.flush()
        if self._file is not sys.stdout:
            self._file.close()
