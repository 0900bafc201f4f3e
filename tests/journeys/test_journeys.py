"""The journeys' transcripts, typed and compared; and a service with 500 snippets, 32 at a time."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

HERE = Path(__file__).resolve().parent


@pytest.fixture
def place() -> Iterator[Path]:
    """A user's directory, with the files of the journeys, that other users may enter."""
    directory = Path(tempfile.mkdtemp(prefix="journey-"))
    directory.chmod(0o755)
    (directory / "hello.txt").write_text("hello\n")
    (directory / "data.csv").write_text("a,b\n1,2\n3,4\n")
    (directory / "job.py").write_text(
        'import csv, sys\nrows = list(csv.reader(open(sys.argv[1])))\nopen("plot.png", "wb").write(b"\\x89PNG" + repr(rows).encode())\nprint(len(rows), "rows")\n'
    )
    (directory / "bin").mkdir()
    command = directory / "bin" / "selftrace"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m selftrace "$@"\n')
    command.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def steps(path: Path) -> list[tuple[str, str]]:
    found: list[tuple[str, list[str]]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found:
            found[-1][1].append(line)
    return [(command, "\n".join(lines)) for command, lines in found]


def as_pattern(expected: str) -> str:
    return ".*".join(re.escape(part) for part in expected.split("…"))


def typed(command: str, expected: str, place: Path) -> None:
    """Types a line, and compares what comes of it."""
    env = {**os.environ, "PATH": f"{place / 'bin'}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=place,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
    )
    assert re.fullmatch(as_pattern(expected), done.stdout.rstrip("\n"), re.S), done.stdout


@pytest.mark.parametrize(("command", "expected"), steps(HERE / "service" / "transcript.txt"), ids=lambda value: value[:50])
def test_service_transcript(command: str, expected: str, place: Path) -> None:
    if "--policy p.toml" in command:
        (place / "p.toml").write_text('policy = 1\nextends = ["builtin:untrusted-script"]\n[fs]\nwirte = ["/tmp/x"]\n')
    typed(command, expected, place)


def test_trace_transcript(place: Path) -> None:
    for command, expected in steps(HERE / "trace" / "transcript.txt"):
        typed(command, expected, place)


def test_compare_transcript(place: Path) -> None:
    for command, expected in steps(HERE / "compare" / "transcript.txt"):
        typed(command, expected, place)


@pytest.fixture
def project(place: Path) -> Path:
    """A user's project with tests."""
    for file in (HERE / "pytest" / "files").iterdir():
        name = f"test_{file.name.removesuffix('.txt')}" if file.suffix == ".txt" else file.name
        (place / name).write_text(file.read_text())
    for name, words in (("pytest", "-m pytest -p no:cacheprovider -p no:asyncio -W ignore"), ("python", "")):
        command = place / "bin" / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        command.chmod(0o755)
    return place


@pytest.mark.parametrize(("command", "expected"), steps(HERE / "pytest" / "transcript.txt"), ids=lambda value: value[:50])
def test_pytest_transcript(command: str, expected: str, project: Path) -> None:
    env = {**os.environ, "PATH": f"{project / 'bin'}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "PYTHONWARNINGS": "ignore"}
    env.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=project,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
    )
    assert re.fullmatch(as_pattern(expected), done.stdout.rstrip("\n"), re.S), done.stdout


SERVICE = """
import asyncio, os, signal, sys, threading
import psutil
import selftrace

reaped = []
signal.signal(signal.SIGCHLD, lambda *a: reaped.append(1))
stop = threading.Event()
worker = threading.Thread(target=stop.wait)
worker.start()


def state():
    return (
        sorted(os.listdir("/proc/self/fd")),
        [child.pid for child in psutil.Process().children()],
        sorted(thread.name for thread in threading.enumerate()),
        [signal.getsignal(n) for n in range(1, 65)],
    )


async def main():
    limit = asyncio.Semaphore(32)
    before = state()

    async def one(n):
        async with limit:
            return await selftrace.arun(code=f"print({n} * {n})", timeout_s=3000)

    results = await asyncio.gather(*(one(n) for n in range(int(sys.argv[1]))))
    wrong = [n for n, r in enumerate(results) if r.reason != "exit" or r.stdout != b"%d\\n" % (n * n) or r.violations or r.stderr]
    after = state()
    print(len(results), wrong[:5], after == before)
    print([pair for pair in zip(before, after) if pair[0] != pair[1]])
    for n in wrong[:3]:
        print(results[n].reason, results[n].exit_code, results[n].notes, results[n].stderr[-500:], results[n].violations[:3])


asyncio.run(main())
stop.set()
"""


def test_500_snippets_32_at_a_time() -> None:
    """From a process that has a SIGCHLD handler and a thread of its own: the same afterwards as before."""
    done = subprocess.run([sys.executable, "-c", SERVICE, "500"], capture_output=True, text=True, timeout=10 * PATIENCE_S)
    assert done.stdout.splitlines()[0] == "500 [] True", done.stdout + done.stderr


def test_a_service_that_reaps_every_child() -> None:
    """A SIGCHLD handler that waits for any child takes the monitor's status away: the Result does not need it."""
    program = (
        "import os, signal, selftrace\n"
        "def reap(*a):\n    try:\n        while os.waitpid(-1, os.WNOHANG)[0]: pass\n    except ChildProcessError: pass\n"
        "signal.signal(signal.SIGCHLD, reap)\n"
        "print([selftrace.run(code=f'print({n})').check().stdout for n in range(5)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.stdout == f"{[b'%d' % n + bytes([10]) for n in range(5)]}\n", done.stderr
