"""Every call of small real programs recorded: by the program itself, and by python-ptrace's strace.py from outside, all on one
core. Milliseconds of a command inside a tracer that is running already; what counts is the time beyond `plain`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME, UNIT = "beside python-ptrace", "ms"
COMMANDS = {
    "ls -la /usr/lib": (3, ["/bin/ls", "-la", "/usr/lib"]),
    "find /usr/share/perl": (3, ["/usr/bin/find", "/usr/share/perl"]),
    "dd bs=1 count=5000": (1, ["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=5000", "status=none"]),
    "python -c pass": (3, ["/usr/bin/python3", "-c", "pass"]),
    "sh, 10 children": (1, ["/bin/sh", "-c", "for n in 0 1 2 3 4 5 6 7 8 9; do /bin/true; done"]),
    "git --version": (10, ["/usr/bin/git", "--version"]),
}


def _without_start(tracer: list[str], command: list[str]) -> Callable[[], float]:
    """Milliseconds of a whole command beyond those of `true`: with a second process, the stopwatch, python-ptrace would poll."""

    def whole(words: list[str]) -> float:
        start = time.perf_counter()
        subprocess.run([*tracer, *words], check=True, stdout=subprocess.DEVNULL)
        return (time.perf_counter() - start) * 1e3

    return lambda: whole(command) - whole(["/bin/true"])


def measure(tools: Any) -> dict[str, dict[str, float]]:
    """Each command plain, under ours and under python-ptrace's script."""
    beside = Path(sys.executable)
    pinned = ["taskset", "-c", tools.core]
    ours = [*pinned, str(beside.with_name("selftrace")), "trace", "-f", "-o"]
    theirs = [*pinned, str(beside), str(beside.with_name("strace.py")), "-f", "-o", str(tools.directory / "p.txt"), "--"]
    ways = {
        "plain": pinned,
        "selftrace -o FILE.strc": [*ours, str(tools.directory / "c.strc")],
        "selftrace -o FILE.txt": [*ours, str(tools.directory / "c.txt")],
    }
    found = {}
    for name, (count, words) in COMMANDS.items():
        tries = {how: tools.timed(prefix, count, words) for how, prefix in ways.items()}
        found[name] = tools.interleaved({**tries, "python-ptrace's strace.py -f": _without_start(theirs, words)})
        found[name].update(_ratios(found[name]))
    return found


def _ratios(values: dict[str, float]) -> dict[str, float]:
    """Their overhead as a multiple of ours, at least; what the case is about. Ours is taken for a hundredth of the program's time
    where it cannot be told from none."""

    def beyond(name: str) -> float:
        return max(values[name] - values["plain"], values["plain"] / 100)

    theirs = beyond("python-ptrace's strace.py -f")
    return {
        "× theirs to our capture's": theirs / beyond("selftrace -o FILE.strc"),
        "× theirs to our text's": theirs / beyond("selftrace -o FILE.txt"),
    }
