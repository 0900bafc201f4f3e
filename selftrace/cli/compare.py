"""Runs a program under each mechanism of this machine that can see its system calls, and says what each costs.

Everything is measured in turn, both pinned to one core and left to the scheduler, and each run's output, exit status and
files are compared with those of the program alone.

exit: 0 measured · 1 the program's result was another one under some mechanism · 2 bad input"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from selftrace.cli.output import JSON_OPTION, write_json
from selftrace.cli.words import Option, add_options
from selftrace.errors import CommandError

FORMS = "selftrace compare [options] -- PROG [ARGS…]"
_MOST_ROUNDS = 1000


def _rounds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_ROUNDS:
        raise ValueError(f'"{text}" is no number of rounds: 1 to {_MOST_ROUNDS}')
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f'"{text}" is no number of seconds above 0')
    return value


OPTIONS = (
    Option(("--rounds",), "how often each is measured (default: 7)", "N", default=7, convert=_rounds),
    Option(("--only",), "these mechanisms only, separated by commas; the program alone is always measured", "NAMES", many=True),
    Option(("--with",), "a mechanism of your own; {} stands for the program", "NAME='CMD {}'", many=True, dest="extra"),
    Option(("--prepare",), "a shell command before each run, whose time does not count", "CMD", default=""),
    Option(("--input",), "a file for the program's standard input, from its beginning in each run", "FILE", default=os.devnull),
    Option(("--timeout",), "ends a run after that many seconds (default: 300)", "S", default=300.0, convert=_seconds),
    JSON_OPTION,
    Option(("--html",), "write a page that needs nothing else to FILE", "FILE"),
    Option(("--plot",), "write a plot to FILE.svg (needs matplotlib: pip install 'selftrace[bench]')", "FILE.svg"),
    Option(("-q", "--quiet"), "no progress", dest="quiet"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """The options, and the program."""
    parser.usage = FORMS
    add_options(parser, OPTIONS)
    parser.add_argument("program", metavar="PROG ARGS", nargs=argparse.REMAINDER, help="the program, after --")


def _words(arguments: Any) -> list[str]:
    words = list(arguments.program)
    if words[:1] == ["--"]:
        words = words[1:]
    if not words:
        raise CommandError(f"what is to be run? {FORMS}", 2)
    return words


def _check_writable(*targets: str | None) -> None:
    """Before minutes are spent on measuring."""
    for target in targets:
        if target and target != "-":
            with open(target, "a", encoding="utf-8"):
                pass


def _progress(text: str) -> None:
    print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def execute(arguments: Any) -> int:
    """Measures, and presents what came of it."""
    from selftrace.comparison.compare import compare

    words = _words(arguments)
    if arguments.plot is not None:
        from selftrace.comparison import plot

        plot.check(arguments.plot)
    _check_writable(arguments.json, arguments.html, arguments.plot)
    talks = sys.stderr.isatty() and not arguments.quiet
    try:
        found = compare(
            words,
            rounds=arguments.rounds,
            only=[name for text in arguments.only for name in text.split(",") if name],
            extra=arguments.extra,
            stdin=arguments.input,
            prepare=arguments.prepare,
            timeout_s=arguments.timeout,
            on_progress=_progress if talks else None,
        )
    finally:
        if talks:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
    _present(found, arguments)
    return 0 if found.identical else 1


def _present(found: Any, arguments: Any) -> None:
    from selftrace.comparison.table import show

    if arguments.json is not None:
        write_json(found.to_json(), arguments.json)
    if arguments.json != "-":
        show(found, sys.stdout, colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    if arguments.html is not None:
        from selftrace.comparison.page import as_page

        with open(arguments.html, "w", encoding="utf-8") as file:
            file.write(as_page(found))
    if arguments.plot is not None:
        from selftrace.comparison import plot

        plot.write(found, arguments.plot)
