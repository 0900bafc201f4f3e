"""Threads, signals, forks and execs at once: no call lost, none made twice, nobody hangs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import selftrace
from tests.waiting import PATIENCE_S

HERE = Path(__file__).resolve().parent
WORKERS = 8


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="stress-"))
    directory.chmod(0o755)
    for name in ("stress", "births"):
        words = ["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", directory / name, HERE / f"{name}.c"]
        subprocess.run(words, check=True)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.parametrize("seconds", [8, pytest.param(60, marks=pytest.mark.slow)])
def test_nothing_is_lost(seconds: int, place: Path) -> None:
    result = selftrace.run(
        argv=[str(place / "stress"), str(seconds)], policy="builtin:observe", cwd=place, timeout_s=seconds + PATIENCE_S
    )
    assert (result.reason, result.exit_code, result.stderr) == ("exit", 0, b"")
    done: dict[str, int] = json.loads(result.stdout)
    calls = result.usage.calls
    assert done["wrong"] == 0
    assert done["received"] == done["sent"] > 0
    assert done["reaped"] == done["forked"] > 0
    # Signals wait while a process is made and while a program is loaded: these are trapped once for each.
    made = sum(calls.get(name, 0) for name in ("fork", "vfork", "clone", "clone3"))
    assert made == done["forked"] + done["threads"] + WORKERS
    assert calls["execve"] == done["execed"]
    # A signal that comes between the trap and the call sends the thread back to its own instruction: trapped again.
    signals = done["received"] + done["alarms"]
    assert done["getppid"] <= calls["getppid"] <= done["getppid"] + signals
    assert done["sent"] <= calls["rt_tgsigqueueinfo"] <= done["sent"] + signals


def test_threads_that_are_gone_leave_room_for_others(place: Path) -> None:
    """On one processor, where it is seldom that somebody else's is looked at, and beside many that stay."""
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        result = selftrace.run(argv=[str(place / "births")], policy="builtin:observe", timeout_s=PATIENCE_S)
    finally:
        os.sched_setaffinity(0, processors)
    assert result.check().stdout == b"36000 threads\n"
