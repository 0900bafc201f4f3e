"""The shipped policies: `list` names them, `show NAME` prints one, `schema` prints a JSON Schema for editors."""

from __future__ import annotations

import argparse
import json
import sys

from selftrace.errors import CommandError
from selftrace.policy.reader import builtin_names, builtin_path


def configure(parser: argparse.ArgumentParser) -> None:
    """The words of `policy`."""
    parser.add_argument("what", choices=("list", "show", "schema"))
    parser.add_argument("name", nargs="?", help="for show: builtin:NAME or NAME")


def summary(name: str) -> str:
    """The first sentence of a policy's own comment."""
    first = builtin_path(name).read_text(encoding="utf-8").splitlines()[0]
    return first.lstrip("# ").partition(": ")[2]


def execute(arguments: argparse.Namespace) -> int:
    """Prints."""
    if arguments.what == "list":
        for name in builtin_names():
            print(f"builtin:{name:<20}{summary(name)}")
    elif arguments.what == "schema":
        from selftrace.policy.schema import schema

        print(json.dumps(schema(), indent=2))
    elif arguments.name is None:
        raise CommandError("show what? selftrace policy list names them", 2)
    else:
        path = builtin_path(arguments.name.removeprefix("builtin:"))
        sys.stdout.write(path.read_text(encoding="utf-8"))
    return 0
