"""Presents a capture (`selftrace trace -o FILE.strc`): as strace's text, a table, JSON lines, for Perfetto, or as a page.

FILE may be - for standard input. `selftrace help report` has the file's format and the schema of the JSON lines.

exit: 0 all was reported · 1 the capture ends in the middle of an event, or is damaged from some point on: all before it was
reported · 2 it cannot be read"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import contextmanager

from selftrace.cli.main import BAD_INPUT, FOUND
from selftrace.errors import CommandError
from selftrace.events.counts import Counts
from selftrace.events.pairing import Pairing
from selftrace.reports import summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO, Any

    from selftrace.events.capture import Capture

FORMATS = ("strace", "summary", "json", "perfetto", "html")


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("file", metavar="FILE", help="a capture, or - for standard input")
    parser.add_argument("--format", choices=FORMATS, help="what is made of it (default: strace)")
    parser.add_argument("-o", "--output", metavar="FILE", help="write there instead of to standard output")
    parser.add_argument("--json", metavar="FILE", help="the same as --format json -o FILE; - is standard output")
    _summary_options(parser.add_argument_group("summary"))
    _text_options(parser.add_argument_group("strace's text"))
    page = parser.add_argument_group("html")
    page.add_argument("--limit", type=_number, default=100_000, metavar="N", help="calls in the page (default: 100000)")


def _summary_options(group: Any) -> None:
    group.add_argument("-c", "--summary-only", action="store_true", help="the same as --format summary")
    group.add_argument("-C", "--summary", action="store_true", help="the summary after strace's text")
    group.add_argument(
        "-S",
        "--summary-sort-by",
        type=_of(summary.sort_key),
        default="time-percent",
        metavar="KEY",
        help="sort by time, min-time, max-time, avg-time, calls, errors, name or nothing",
    )
    group.add_argument(
        "-U",
        "--summary-columns",
        type=_of(summary.columns),
        default=summary.DEFAULT,
        metavar="COLUMNS",
        help="of time-percent, total-time, min-time, max-time, avg-time, calls, errors, name",
    )
    group.add_argument("-w", "--summary-wall-clock", action="store_true", help="what a capture always has: wall clock time")
    group.add_argument(
        "--percentiles",
        type=_of(summary.percentiles),
        default=(),
        metavar="P,…",
        help="columns with percentiles in microseconds, e.g. 50,90,99",
    )
    group.add_argument("--histogram", action="store_true", help="how many calls took how long, by powers of two")


def _text_options(group: Any) -> None:
    group.add_argument("-t", action="count", default=0, dest="clock", help="time of day; -tt with microseconds, -ttt since 1970")
    group.add_argument("-r", action="store_true", dest="relative", help="time since the line before")
    group.add_argument("-T", action="store_true", dest="times", help="how long each call took")
    group.add_argument("-x", action="count", default=0, dest="hex", help="strings that are no text in hexadecimal; -xx: all")
    group.add_argument("-n", action="store_true", dest="numbers", help="the number of each call")
    group.add_argument("-N", "--arg-names", action="store_true", help="the name of each argument")


def _of(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    def value(text: str) -> Any:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return value


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'"{text}" is no number')
    return int(text)


def _format(arguments: argparse.Namespace) -> str:
    """The format asked for. Raises CommandError if several are."""
    chosen = [arguments.format] if arguments.format else []
    chosen += ["json"] if arguments.json is not None else []
    chosen += ["summary"] if arguments.summary_only else []
    if len(set(chosen)) > 1:
        raise CommandError(f"one format at a time, not {' and '.join(dict.fromkeys(chosen))}", BAD_INPUT)
    if arguments.json is not None and arguments.output is not None:
        raise CommandError("give --json or -o, not both", BAD_INPUT)
    found = chosen[0] if chosen else "strace"
    if arguments.summary and found != "strace":
        raise CommandError("-C adds the summary to strace's text: leave the format out", BAD_INPUT)
    return str(found)


@contextmanager
def _target(arguments: argparse.Namespace, kind: str) -> Iterator[IO[bytes]]:
    path = arguments.json if arguments.json is not None else arguments.output
    if path is not None and path != "-":
        with open(path, "wb") as file:
            yield file
        return
    if kind == "perfetto" and sys.stdout.isatty():
        raise CommandError("a Perfetto trace is binary: give -o FILE", BAD_INPUT)
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


def execute(arguments: argparse.Namespace) -> int:
    """Reads the file once and writes as it goes."""
    from selftrace.events.capture import Capture

    kind = _format(arguments)
    with Capture(arguments.file) as capture:
        _possible(arguments, kind)
        with _target(arguments, kind) as file:
            _WRITERS[kind](capture, file, arguments)
        remark = capture.remark
    if remark:
        print(f"selftrace: {remark}", file=sys.stderr)
        return FOUND
    return 0


def _possible(arguments: argparse.Namespace, kind: str) -> None:
    """Raises before an output file is made if it cannot be written."""
    from selftrace.reports import perfetto, text

    if kind == "perfetto":
        perfetto.protobufs()
    elif kind == "strace":
        text.native()
    path = arguments.json if arguments.json is not None else arguments.output
    if path not in (None, "-") and os.path.exists(path) and arguments.file != "-" and os.path.samefile(path, arguments.file):
        raise CommandError(f"{path}: the report would overwrite the capture", BAD_INPUT)


def _events(capture: Capture) -> Iterator[Any]:
    return Pairing(capture.metadata).events(capture)


def _strace(capture: Capture, file: IO[bytes], arguments: argparse.Namespace) -> None:
    from selftrace.reports import text

    absolute, digits = text.CLOCKS["t" * min(arguments.clock, 3)]
    counts = Counts() if arguments.summary else None
    pairing = Pairing(capture.metadata)

    def blocks() -> Iterator[tuple[bytes, int]]:
        for block, offsets, end in capture.blocks():
            yield block, end
            if counts is not None:
                for event in pairing.feed(map(block.__getitem__, map(slice, offsets, [*offsets[1:], end]))):
                    counts.add(event)

    text.write(
        file,
        capture.metadata,
        blocks(),
        absolute=absolute,
        absolute_digits=digits,
        relative=1 if arguments.relative else 0,
        relative_digits=6,
        times=1 if arguments.times else 0,
        times_digits=6,
        hex_strings=min(arguments.hex, 2),
        numbers=1 if arguments.numbers else 0,
        arg_names=1 if arguments.arg_names else 0,
    )
    if counts is not None:
        _table(counts, file, arguments)


def _summary(capture: Capture, file: IO[bytes], arguments: argparse.Namespace) -> None:
    counts = Counts()
    for event in _events(capture):
        counts.add(event)
    _table(counts, file, arguments)


def _table(counts: Counts, file: IO[bytes], arguments: argparse.Namespace) -> None:
    key = arguments.summary_sort_by
    lines = [*summary.table(counts, sort=key, show=arguments.summary_columns, at=arguments.percentiles)]
    if arguments.histogram:
        lines += summary.histograms(counts, sort=key)
    file.write("".join(f"{line}\n" for line in lines).encode())


def _json(capture: Capture, file: IO[bytes], arguments: argparse.Namespace) -> None:
    from selftrace.events.stacks import NativeStacks
    from selftrace.reports.jsonlines import event_lines, line, lines

    stacks = NativeStacks() if capture.metadata.stack == "native" else None
    pairing = Pairing(capture.metadata)

    def texts() -> Iterator[str]:
        yield from lines(capture.metadata, ())
        yield from event_lines(pairing, capture, stacks)
        yield from map(line, pairing.unfinished())

    for text in texts():
        file.write(text.encode("ascii"))


def _perfetto(capture: Capture, file: IO[bytes], arguments: argparse.Namespace) -> None:
    from selftrace.reports import perfetto

    perfetto.write(file, capture.metadata, _events(capture))


def _html(capture: Capture, file: IO[bytes], arguments: argparse.Namespace) -> None:
    from selftrace.reports import page

    file.write(page.render(capture.metadata, _events(capture), limit=arguments.limit).encode("utf-8"))


_WRITERS = {"strace": _strace, "summary": _summary, "json": _json, "perfetto": _perfetto, "html": _html}
