"""Reads the manual: `selftrace help TOPIC`; without a topic, the list of topics."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from selftrace.errors import CommandError


def configure(parser: argparse.ArgumentParser) -> None:
    """The topic."""
    parser.add_argument("topic", nargs="?")


def manual() -> dict[str, Path]:
    """Topic → file."""
    directory = Path(__file__).resolve().parent.parent / "manual"
    return {path.stem: path for path in sorted(directory.glob("*.md"))}


def execute(arguments: argparse.Namespace) -> int:
    """Prints."""
    topics = manual()
    if arguments.topic is None:
        for name, path in topics.items():
            title = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
            print(f"{name:<20}{title}")
        return 0
    if arguments.topic not in topics:
        from selftrace.calls import nearest

        raise CommandError(f'no topic "{arguments.topic}"{nearest(arguments.topic, topics)}; there are: {", ".join(topics)}', 2)
    sys.stdout.write(topics[arguments.topic].read_text(encoding="utf-8"))
    return 0
