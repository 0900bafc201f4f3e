"""What recording a call costs by its arguments: how many, and how long a string is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME, UNIT, COUNT = "arguments", "ns", 100_000
CALLS = {
    "no argument": "getppid",
    "three": "three",
    "six": "six",
    "a path of 16 bytes": "path:16",
    "a path of 4000 bytes": "path:4000",
}


def measure(tools: Any) -> dict[str, dict[str, float]]:
    """Each call alone, recorded into a capture by the program itself, and by strace; all on one core."""
    ours = [str(Path(sys.executable).with_name("selftrace")), "trace", "-f"]
    ways = {
        "plain": [],
        "selftrace -o FILE.strc": [*ours, "-o", str(tools.directory / "a.strc")],
        "selftrace -s 4096 -o FILE.strc": [*ours, "-s", "4096", "-o", str(tools.directory / "a.strc")],
        "selftrace -o FILE.txt": [*ours, "-o", str(tools.directory / "a.txt")],
        "strace -f -o FILE.txt": ["strace", "-f", "-o", str(tools.directory / "s.txt")],
    }

    def once(prefix: list[str], what: str) -> Callable[[], float]:
        count = COUNT // 10 if "strace" in prefix[:1] else COUNT
        words = ["taskset", "-c", tools.core, *prefix, str(tools.loop), "plain", what, str(count)]
        return lambda: float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)

    return {name: tools.interleaved({how: once(prefix, what) for how, prefix in ways.items()}) for name, what in CALLS.items()}
