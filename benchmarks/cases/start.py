"""Starting a run: the command and the API against a bare python, sandlock and bubblewrap where installed."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.tools import found

NAME, UNIT = "start-up", "ms"


def _api(rounds: int) -> float:
    """One run of `pass` through the API of a process that has run some before."""
    import selftrace

    policy = selftrace.Policy.builtin("untrusted-script")
    tries = []
    for _ in range(rounds * 4 + 2):
        start = time.perf_counter()
        selftrace.run(code="pass", policy=policy).check()
        tries.append((time.perf_counter() - start) * 1e3)
    return statistics.median(tries[2:])


def _plain(rounds: int) -> float:
    tries = []
    for _ in range(rounds * 4 + 2):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True, capture_output=True)
        tries.append((time.perf_counter() - start) * 1e3)
    return statistics.median(tries[2:])


def measure(tools: Any) -> dict[str, float]:
    """python3 -c pass: wall clock and processor time; then what each runner makes of it."""
    python = sys.executable
    result: dict[str, float] = {}
    commands: dict[str, list[str]] = {
        "python -c pass": [python, "-c", "pass"],
        "selftrace run -c pass": [str(Path(python).with_name("selftrace")), "run", "-c", "pass"],
    }
    if found("bwrap"):
        words = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all", python, "-c", "pass"]
        if subprocess.run(words, capture_output=True, check=False).returncode == 0:
            commands["bubblewrap"] = words
    if found("sandlock"):
        words = [str(found("sandlock")), "run", "-r", "/", "--", python, "-c", "pass"]
        if subprocess.run(words, capture_output=True, check=False).returncode == 0:
            commands["sandlock"] = words
    for name, words in commands.items():
        wall, cpu = tools.wall_and_cpu(words)
        result[name] = wall
        result[f"{name}: processor time"] = cpu
    result["plain subprocess.run from Python"] = _plain(tools.rounds)
    result["selftrace.run from Python"] = _api(tools.rounds)
    return result
