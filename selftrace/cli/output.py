"""Writing what a command found: JSON to a file or standard output."""

from __future__ import annotations

import sys

from selftrace.cli.words import Option

JSON_OPTION = Option(("--json",), "write the result as JSON to FILE; - is standard output", "FILE")


def write_json(text: str, target: str) -> None:
    """Writes to the file, or to standard output for "-". Raises OSError."""
    if target == "-":
        sys.stdout.write(text + "\n")
        return
    with open(target, "w", encoding="utf-8") as file:
        file.write(text + "\n")
