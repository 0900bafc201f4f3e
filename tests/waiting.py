"""Waiting for what must come: on a busy machine late, but never by the clock of the test."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_S = 300
"""Only what hangs takes so long."""


def wait_for(condition: Callable[[], object], pause_s: float = 0.01) -> None:
    """Until it holds."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, condition
        time.sleep(pause_s)


def state(pid: int) -> str:
    """One letter, as in proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def sleeps_in(function: str, pid: int, tid: int | None = None) -> bool:
    """Whether a thread waits in a function of the kernel's that has this in its name."""
    return function in Path(f"/proc/{pid}/task/{tid or pid}/wchan").read_text()


def free_port() -> int:
    """One that nobody listens at, and that the kernel gives to nobody of its own accord before it is used."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(1024, max(lowest, 20000))
        with socket.socket() as found:
            try:
                found.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
