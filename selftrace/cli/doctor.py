"""What this machine can enforce: each denial is tried in a throw-away run.

exit: 0 untrusted scripts can be run · 1 they cannot, and why"""

from __future__ import annotations

import argparse

from selftrace.cli.output import JSON_OPTION, write_json
from selftrace.cli.words import add_options


def configure(parser: argparse.ArgumentParser) -> None:
    """--json."""
    add_options(parser, [JSON_OPTION])


def execute(arguments: argparse.Namespace) -> int:
    """Diagnoses and prints."""
    from selftrace.doctor import diagnose

    found = diagnose()
    if arguments.json is not None:
        write_json(found.to_json(), arguments.json)
    if arguments.json != "-":
        for name, value in found.features.items():
            print(f"{name:<14}{value}")
        for name, outcome in found.denials.items():
            print(f"  {'OPEN  ' if outcome == 'allowed' else 'denied'}  {name}: {outcome}")
        for note in found.notes:
            print(f"note: {note}")
        for name, sentence in found.uses.items():
            print(f"{name}: {sentence}")
    return 0 if found.healthy else 1
