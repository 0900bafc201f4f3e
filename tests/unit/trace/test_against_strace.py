"""The same programs under Debian's strace and under our own ptrace supervisor: the same lines, but for numbers that differ by run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PROGRAMS = {
    "true": ["true"],
    "ls": ["ls", "-la", "/etc/apt"],
    "shell": ["sh", "-c", "cat /etc/hostname; exit 3"],
    "python": ["/usr/bin/python3", "-I", "-S", "-c", "import os; os.stat('/')"],
    "perl": ["perl", "-e", "print sort 1, 2, 3"],
    "git": ["git", "--version"],
    "sort": ["sort", "/etc/passwd"],
    "find": ["find", "/etc/apt", "-name", "x"],
    "tar": ["tar", "cf", "/dev/null", "/etc/apt"],
    "stat": ["stat", "/", "/dev/null"],
    "id": ["id"],
    "df": ["df"],
}
TRACE = [sys.executable, "-m", "selftrace", "trace", "--backend", "ptrace", "-f"]
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
# Lines that two runs of one program do not share, or that strace 6.1 and 7.2 show differently.
VARYING = re.compile(
    r"getrandom|SIGCHLD|resumed|unfinished|rseq|getrusage|sysinfo|/proc/|"
    r"PYTHON|clock_|poll|wait4|set_tid_address|rt_sigreturn|clone|getp?pid|read\(\d, \"P"
)


def shapes(text: str) -> Counter[str]:
    """Lines without addresses, times and numbers of tasks."""
    found: Counter[str] = Counter()
    for line in text.splitlines():
        shape = re.sub(r"^\d+ +", "", line)
        shape = re.sub(r"\) += ", ") = ", shape)
        shape = re.sub(r"0x[0-9a-f]{5,}", "0xA", shape)
        shape = re.sub(r"(st_[amc]time(?:_nsec)?|tv_n?u?sec|st_nlink|st_ino)=\d+(?: /\*[^*]*\*/)?", r"\1=T", shape)
        shape = re.sub(r"\b\d{4,}\b", "N", shape)
        if not VARYING.search(shape):
            found[shape] += 1
    return found


def may_trace() -> bool:
    strace = shutil.which("strace")
    return bool(strace) and subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not may_trace(), reason="strace is not installed, or nothing may be traced here")
@pytest.mark.parametrize("verbose", [False, True], ids=["abbreviated", "verbose"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_lines(name: str, verbose: bool, tmp_path: Path) -> None:
    argv = PROGRAMS[name]
    if not shutil.which(argv[0], path=ENVIRONMENT["PATH"]):
        pytest.skip(f"no {argv[0]} here")
    env = {**os.environ, **ENVIRONMENT}
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    quiet = {"stdin": subprocess.DEVNULL, "capture_output": True, "env": env}
    for _ in range(3):  # which calls of two processes are broken in two lines, and where the heap begins, differs from run to run
        subprocess.run(["strace", "-f", *(["-v"] if verbose else []), "-o", theirs, *argv], **quiet)
        subprocess.run([*TRACE, *(["-v"] if verbose else []), "-o", ours, *argv], **quiet)
        expected, found = shapes(theirs.read_text()), shapes(ours.read_text())
        assert sum(expected.values()) > 10
        differing = list((expected - found).elements()) + list((found - expected).elements())
        if len(differing) <= sum(expected.values()) // 50:
            break
    assert len(differing) <= sum(expected.values()) // 50, "\n".join(differing[:20])
