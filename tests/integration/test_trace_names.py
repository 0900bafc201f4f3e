"""-N: names of arguments, of a program that traces itself, of one that is traced from outside, and of a capture."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.integration.traced import TRACE
from tests.waiting import PATIENCE_S

SOURCE = Path(__file__).with_name("named.c")
NAMED = [
    'chdir(filename=".") = 0',
    'openat(dfd=AT_FDCWD, filename="here", flags=O_RDONLY) = 3',
    'read(fd=3, buf="here\\n", count=5) = 5',
    "lseek(fd=3, offset=0, whence=SEEK_SET) = 0",
    "fcntl(fd=3, cmd=F_GETFD) = 0",
    "fcntl(fd=3, cmd=F_SETFD, arg=FD_CLOEXEC) = 0",
    "socketpair(family=AF_UNIX, type=SOCK_STREAM, protocol=0, usockvec=[4, 5]) = 0",
    'write(fd=4, buf="hi", count=2) = 2',
    'prctl(option=PR_SET_NAME, arg2="other") = 0',
    "prctl(option=PR_GET_DUMPABLE) = 1 (SUID_DUMP_USER)",
    "futex(uaddr=0xA, op=FUTEX_WAKE_BITSET, val=1, val3=0x2) = 0",
    "getpid() = N",
    "syscall_0x3e7(arg1=0x1, arg2=0x2, arg3=0x3, arg4=0x4, arg5=0x5, arg6=0x6) = -1 ENOSYS (Function not implemented)",
    'openat(dfd=AT_FDCWD, filename="nowhere", flags=O_RDONLY) = -1 ENOENT (No such file or directory)',
    "exit_group(error_code=0) = ?",
    "+++ exited with 0 +++",
]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="names-"))
    (directory / "here").write_text("here\n")
    subprocess.run(["gcc", "-w", "-O0", "-o", directory / "named", SOURCE], check=True)
    yield directory
    shutil.rmtree(directory)


def shown(log: Path) -> list[str]:
    """The program's own calls, without what differs from run to run."""
    lines = [" ".join(line.split()) for line in log.read_text().splitlines()]
    first = next(i for i, line in enumerate(lines) if line.startswith("chdir"))
    return [re.sub(r"0x[0-9a-f]{5,}", "0xA", re.sub(r"^getpid\(\) = \d+", "getpid() = N", line)) for line in lines[first:]]


def traced(place: Path, *words: str, output: str = "log.txt") -> Path:
    log = place / output
    done = subprocess.run([*TRACE, "-o", str(log), *words, "./named"], cwd=place, capture_output=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr) == (0, b"")
    return log


@pytest.mark.parametrize("words", [["-N"], ["--arg-names"], ["-N", "--backend", "ptrace"]], ids=" ".join)
def test_each_argument_has_its_name(words: Sequence[str], place: Path) -> None:
    assert shown(traced(place, *words)) == NAMED


def test_without_it_no_argument_has(place: Path) -> None:
    bare = [re.sub(r"\b[a-z_]+\d?=", "", line) for line in NAMED]
    assert shown(traced(place)) == bare


def test_a_capture_is_given_names_when_it_is_reported(place: Path) -> None:
    capture = traced(place, output="log.strc")
    report = [*TRACE[:-1], "report", str(capture), "-o", str(place / "report.txt")]
    for word in ("-N", "--arg-names"):
        subprocess.run([*report, word], check=True, timeout=PATIENCE_S)
        assert shown(place / "report.txt") == NAMED


def test_a_table_has_none(place: Path) -> None:
    """And says so, as strace does."""
    words = [*TRACE, "-N", "-o", str(place / "table.txt")]
    for summary in (["-c"], ["--format", "summary"]):
        done = subprocess.run([*words, *summary, "true"], capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.stderr == "selftrace: -N/--arg-names has no effect with -c/--summary-only\n"
        assert done.returncode == 0 and (place / "table.txt").read_text().startswith("% time")
    both = subprocess.run([*words, "-C", "true"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert both.stderr == "" and "execve(filename=" in (place / "table.txt").read_text()
