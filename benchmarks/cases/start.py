"""Starting a run: the command and the API against a bare python, sandlock and bubblewrap where installed."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.tools import found

NAME, UNIT = "start-up", "ms"


def _from_python(tools: Any) -> dict[str, float]:
    """`pass` run by subprocess, and through the API of a process that has run some before."""
    import selftrace

    policy = selftrace.Policy.builtin("untrusted-script")

    def timed(run: Callable[[], object]) -> float:
        start = time.perf_counter()
        run()
        return (time.perf_counter() - start) * 1e3

    def plain() -> float:
        return timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True, capture_output=True))

    def api() -> float:
        return timed(lambda: selftrace.run(code="pass", policy=policy).check())

    tries = [(plain(), api()) for _ in range(tools.rounds * 4 + 2)][2:]
    return {
        "plain subprocess.run from Python": statistics.median(p for p, _ in tries),
        "selftrace.run from Python": statistics.median(a for _, a in tries),
    }


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
    for name, (wall, cpu) in tools.wall_and_cpu(commands).items():
        result[name] = wall
        result[f"{name}: processor time"] = cpu
    result.update(_from_python(tools))
    return result
