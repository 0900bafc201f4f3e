"""Calls of 1 to 8 threads at once, alone and under each mechanism: whether one thread waits for another's call."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.cases.getppid import LOGGED
from selftrace import Policy

NAME, UNIT, COUNT = "threads", "ns a call of all together", 200_000
THREADS = (1, 2, 4, 8)


def measure(tools: Any) -> dict[str, dict[str, float]]:
    """Left to the scheduler."""
    trace = [str(Path(sys.executable).with_name("selftrace")), "trace", "-f", "-o", str(tools.directory / "t.strc")]
    strace = ["strace", "-f", "-o", str(tools.directory / "s.txt")]

    def traced(prefix: list[str], what: str, count: int) -> Callable[[], float]:
        words = [*prefix, str(tools.loop), "plain", what, str(count)]
        return lambda: float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)

    found = {}
    for number in THREADS:
        what = f"{number}*getppid"
        ways = {
            "none": tools.in_c("plain", what, COUNT, pinned=False),
            "trap + native rule": tools.in_python(what, COUNT, Policy.parse(LOGGED)),
            "selftrace trace -o FILE.strc": traced(trace, what, COUNT),
            "C, user notification": tools.in_c("notify", what, COUNT // 50, pinned=False),
            "strace -f": traced(strace, what, COUNT // 50),
        }
        found[f"{number} thread{'s' if number > 1 else ''}"] = tools.interleaved(ways)
    return found
