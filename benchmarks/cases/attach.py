"""Attaching to a process with 200 threads, in milliseconds: until all are ours, until each has told of itself, and letting go."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

NAME, UNIT = "attach to 200 threads", "ms"
THREADS = 200
PROGRAM = f"""
import threading, time
gate = threading.Event()
[threading.Thread(target=gate.wait, daemon=True).start() for _ in range({THREADS - 1})]
print("ready", flush=True)
time.sleep(3600)
"""


def measure(tools: Any) -> dict[str, float]:
    """Each step; the first is the baseline only in that it comes first."""
    from selftrace.backends.ptrace import Supervisor, Watch
    from selftrace.calls.capture import captures

    watch = Watch(frozenset(range(512)), captures())
    running = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.readline()
    state: dict[str, Supervisor] = {}

    def timed(step: Callable[[], None]) -> Callable[[], float]:
        def once() -> float:
            start = time.perf_counter()
            step()
            return (time.perf_counter() - start) * 1e3

        return once

    def attach() -> None:
        state["it"] = Supervisor(watch)
        assert state["it"].attach(running.pid) == THREADS

    def heard() -> None:
        stops = 0
        while stops < THREADS:
            state["it"].read()
            stops = state["it"].stops

    def let_go() -> None:
        state["it"].detach()
        while state["it"].read() >= 0:
            pass
        state["it"].close()

    try:
        steps = {"attached": timed(attach), "each has stopped and runs again": timed(heard), "let go": timed(let_go)}
        return dict(tools.interleaved(steps))
    finally:
        running.kill()
        running.communicate()
