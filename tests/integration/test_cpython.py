"""CPython's own tests, by Debian's Python and as they are: the same verdict for each test, plain and under builtin:observe."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import selftrace
from tests.waiting import PATIENCE_S

PYTHON = "/usr/bin/python3"
QUICK = "test_mmap test_fcntl test_select test_pty test_posix test_os test_fork1 test_thread test_epoll test_resource test_shutil".split()
SLOW = (
    "test_signal test_subprocess test_threading test_socket test_asyncio test_multiprocessing_fork test_faulthandler test_io"
    " test_wait3 test_wait4 test_poll test_selectors test_tempfile"
).split()
ONLY: dict[str, list[str]] = {
    "test_socket": ["-i", "*VSOCK*"],  # hangs here without us too: the virtual machine has no vsock to itself
    "test_asyncio": ["-m", "*Unix*", "-m", "*Subprocess*", "-m", "*Streams*", "-m", "*EventLoop*"],  # what meets the kernel
    "test_multiprocessing_fork": ["-m", "*WithProcessesTest[P-S]*", "-m", "*WithProcessesTestC*"],  # all of it takes minutes
}
DIFFERENT: dict[str, dict[str, str]] = {}
"""Test → why its verdict differs."""
_TEST = re.compile(r"^(\w+ \(test[\w.]+\))", re.M)
_VERDICT = re.compile(r"(?:\.\.\. |^)(ok|FAIL|ERROR|expected failure|skipped .*)$")


@pytest.fixture
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="cpython-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def verdicts(text: str) -> dict[str, str]:
    """Test → what unittest says of it."""
    found: dict[str, str] = {}
    test = ""
    for line in text.splitlines():
        name = _TEST.match(line)
        test = name[1] if name else test
        verdict = _VERDICT.search(line)
        if test and verdict:
            found.setdefault(test, verdict[1])
    return found


def run(name: str, place: Path, backend: str) -> dict[str, str]:
    argv = [PYTHON, "-m", "test", "-v", "--timeout", "180", *ONLY.get(name, []), name]
    env = {"HOME": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    result = selftrace.run(argv=argv, policy="builtin:observe", backend=backend, cwd=place, env=env, timeout_s=PATIENCE_S)
    assert result.reason == "exit", (result.reason, result.notes, result.stdout[-2000:], result.stderr[-2000:])
    found = verdicts((result.stdout + result.stderr).decode("utf-8", "replace"))
    assert "ok" in found.values(), result.stdout[-2000:] + result.stderr[-2000:]
    return found


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_the_same_verdicts(name: str, place: Path) -> None:
    with ThreadPoolExecutor() as both:  # they mostly sleep
        plain, interposed = both.map(lambda backend: run(name, place, backend), ("none", "trap"))
    different = {test: (plain.get(test), interposed.get(test)) for test in plain.keys() | interposed.keys()}
    different = {test: pair for test, pair in different.items() if pair[0] != pair[1]}
    assert different.keys() == DIFFERENT.get(name, {}).keys(), different
