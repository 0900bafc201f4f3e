"""What one call costs under each mechanism that `selftrace compare` knows: the same C loop under all, pinned and free."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from selftrace.comparison import mechanisms, process
from selftrace.comparison.mechanisms import Mechanism, Place
from selftrace.comparison.result import CONDITIONS

NAME, UNIT = "a call by mechanism", "ns"
COUNT, FEW = 50_000, 500
SLOW = ("python-ptrace",)
UNSEEN = ("trace-one", "ptrace-seccomp", "strace-bpf")
"""These look at another call only."""


@contextlib.contextmanager
def _place(tools: Any) -> Iterator[Place]:
    with contextlib.ExitStack() as held:
        yield Place(str(tools.directory), dict(os.environ), held)


def _once(mechanism: Mechanism, place: Place, loop: Path, core: int | None) -> Callable[[], float]:
    count = FEW if mechanism.name in SLOW else COUNT
    streams = process.Streams(os.devnull, place.file("stdout"), place.file("stderr"))

    def once() -> float:
        launch = mechanism.start([str(loop), "plain", "getppid", str(count)], place)
        try:
            status, _ = process.timed(launch, streams, core=core, timeout_s=300)
        finally:
            for fd in launch.owned:
                os.close(fd)
        if status:
            raise SystemExit(f"{mechanism.name}: exit status {status}: {Path(streams.stderr).read_text()[-300:]}")
        return float(Path(streams.stdout).read_text())

    return once


def measure(tools: Any) -> dict[str, dict[str, float]]:
    """Those that look at every call, and beside them what a filter leaves of a call that it does not want."""
    found = {}
    with _place(tools) as place:
        known = [mechanism for mechanism in mechanisms.builtin() if not mechanism.reason]
        for missing in (mechanism for mechanism in mechanisms.builtin() if mechanism.reason):
            print(f"left out: {missing.name}: {missing.reason}", file=sys.stderr)
        for condition in CONDITIONS:
            core = int(tools.core) if condition == "pinned" else None
            tries = {
                f"{mechanism.name}{' (another call)' if mechanism.name in UNSEEN else ''}": _once(
                    mechanism, place, tools.loop, core
                )
                for mechanism in known
            }
            found[condition] = tools.interleaved(tries)
    return found
