"""Threads, signals, forks and execs at once: no call lost, none made twice, nobody hangs."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import selftrace

HERE = Path(__file__).resolve().parent
WORKERS = 8


@pytest.fixture(scope="module")
def stress() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="stress-"))
    directory.chmod(0o755)
    target = directory / "stress"
    subprocess.run(["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", target, HERE / "stress.c"], check=True)
    yield target
    shutil.rmtree(directory)


@pytest.mark.parametrize("seconds", [8, pytest.param(60, marks=pytest.mark.slow)])
def test_nothing_is_lost(seconds: int, stress: Path) -> None:
    result = selftrace.run(argv=[str(stress), str(seconds)], policy="builtin:observe", cwd=stress.parent, timeout_s=seconds + 60)
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
