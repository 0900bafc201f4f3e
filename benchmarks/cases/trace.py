"""Every call of real programs recorded: by the program itself, and by strace from outside; pinned to one core, and left to the
scheduler. Milliseconds of a command inside a tracer that is running already; what counts is the time beyond `plain`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

NAME, UNIT = "trace", "ms"
IMPORTS = "import asyncio, email, http.client, json, logging, multiprocessing, sqlite3, ssl, unittest, xml.dom.minidom"
COMMANDS = {
    "ls -laR /usr/lib": (1, ["/bin/ls", "-laR", "/usr/lib"]),
    "dd bs=1 count=200000": (1, ["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=200000", "status=none"]),
    "tar /usr/share/doc": (5, ["/bin/tar", "cf", "/dev/null", "/usr/share/doc"]),
    "python imports": (10, ["/usr/bin/python3", "-c", IMPORTS]),
    "git status": (20, ["/usr/bin/git", "-c", "core.preloadindex=false", "-C", "{}/repository", "status", "--short"]),
}
ONE = {"ls -laR /usr/lib": "getdents64", "tar /usr/share/doc": "openat", "python imports": "openat", "git status": "openat"}
"""A filter to one call: not for dd, which makes one or the other only."""


def _repository(directory: Path) -> None:
    """Something for git status to look at: /usr/share/perl, committed."""
    place = directory / "repository"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(place)]
    subprocess.run(["cp", "-r", "/usr/share/perl", str(place)], check=True)
    subprocess.run(["git", "init", "-q", str(place)], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "all"], check=True)


def measure(tools: Any) -> dict[str, dict[str, float]]:
    """Each command under each tracer."""
    ours = [str(Path(sys.executable).with_name("selftrace")), "trace"]
    pinned = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
    text, capture, theirs = (str(tools.directory / name) for name in ("t.txt", "t.strc", "s.txt"))
    _repository(tools.directory)
    found = {}
    for name, (count, words) in COMMANDS.items():
        command = [word.replace("{}", str(tools.directory)) for word in words]
        ways = {
            "plain": pinned,
            "selftrace -o FILE.strc": [*pinned, *ours, "-o", capture],
            "selftrace -o FILE.txt": [*pinned, *ours, "-f", "-o", text],
            "strace -f -o FILE.txt": [*pinned, "strace", "-f", "-o", theirs],
            "free: plain": [],
            "free: selftrace -o FILE.txt": [*ours, "-f", "-o", text],
            "free: strace -f -o FILE.txt": ["strace", "-f", "-o", theirs],
        }
        if name in ONE:
            one = ["-f", "-e", f"trace={ONE[name]}"]
            ways["selftrace, one call"] = [*pinned, *ours, *one, "-o", text]
            ways["strace --seccomp-bpf, one call"] = [*pinned, "strace", "--seccomp-bpf", *one, "-o", theirs]
        found[name] = tools.interleaved({how: tools.timed(prefix, count, command) for how, prefix in ways.items()})
        found[name].update(_shares(found[name]))
    return found


def _shares(values: dict[str, float]) -> dict[str, float]:
    """Our overhead as a share of strace's, in percent; what the case is about."""

    def share(ours: str, theirs: str, plain: str) -> float:
        return 100 * (values[ours] - values[plain]) / max(values[theirs] - values[plain], values[plain] / 100)

    found = {
        "% capture of strace's overhead": share("selftrace -o FILE.strc", "strace -f -o FILE.txt", "plain"),
        "% text of strace's overhead": share("selftrace -o FILE.txt", "strace -f -o FILE.txt", "plain"),
        "% text, free": share("free: selftrace -o FILE.txt", "free: strace -f -o FILE.txt", "free: plain"),
    }
    if "selftrace, one call" in values:
        found["% one call"] = share("selftrace, one call", "strace --seccomp-bpf, one call", "plain")
    return found
