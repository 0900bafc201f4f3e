"""Thirty programs that nobody here wrote: we see what strace -f sees, call by call."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.traced import Seen, by_strace, by_us

SH = "/bin/sh"
PROGRAMS: dict[str, list[str]] = {
    "true": ["true"],
    "ls": ["ls", "-laR", "/usr/share/perl5"],
    "cat": ["cat", "/etc/passwd", "/nonexistent"],
    "cp": [SH, "-c", "cp -r in copy && rm -r copy"],
    "mv": [SH, "-c", "cp in/a b && mv b c && rm c"],
    "find": ["find", "/usr/share/doc/git", "-name", "*.gz"],
    "grep": ["grep", "-r", "root", "/etc/passwd", "in"],
    "sed": ["sed", "-n", "s/root/x/p", "/etc/passwd"],
    "awk": ["awk", "-F:", "{print $1}", "/etc/passwd"],
    "sort": [SH, "-c", "sort -r in/a | uniq -c"],
    "tar": [SH, "-c", "tar cf - in | tar tf -"],
    "gzip": [SH, "-c", "gzip -c in/a | gunzip -c"],
    "xz": [SH, "-c", "xz -T1 -c in/a | xz -dc"],
    "dd": ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=200"],
    "sh": [SH, "-c", "for i in 1 2 3; do echo $i; (exit $i); done; test -e /nonexistent"],
    "bash": ["bash", "-c", "x=$(ls in); echo ${x}; wait; type ls; cd /tmp; pwd"],
    "env": ["env", "-i", "A=1", "env"],
    "xargs": [SH, "-c", "ls in | xargs -n1 echo"],
    "make": ["make", "-f", "in/Makefile", "all"],
    "gcc": ["gcc", "-o", "program", "in/a.c"],
    "git": ["git", "-C", "repo", "log", "--oneline"],
    "git status": ["git", "-C", "repo", "status", "--short"],
    "perl": ["perl", "-MPOSIX", "-e", "print POSIX::getpid() > 0, -e '/etc/passwd'"],
    "python": ["/usr/bin/python3", "-c", "import json, subprocess; print(json.dumps([1])); subprocess.run(['true'])"],
    "sqlite3": ["sqlite3", "db", "create table t(a); insert into t values (1); select * from t; drop table t"],
    "busybox": ["busybox", "ls", "/usr"],
    "timeout": ["timeout", "5", "true"],
    "stat": ["stat", "/etc/passwd", "/nonexistent"],
    "diff": ["diff", "-r", "in", "in"],
    "touch": [SH, "-c", "touch x y && ln -s x z && readlink z && rm x y z && mkdir -p d/e && rmdir d/e d"],
    "id": ["id"],
    "ruby": ["ruby", "-e", "puts File.read('/etc/hostname').size > 0"],
}
TIMING = {
    "futex",
    "sched_yield",
    "restart_syscall",
    "wait4",
    "rt_sigreturn",
    "read",
    "clock_gettime",
    "ppoll",
    "poll",
    "clock_nanosleep",
    "getrandom",
}
"""Calls whose number depends on who is first. manual/trace.md names them."""
ASIDE = {
    "ruby": {"mmap", "munmap", "mprotect", "madvise", "timer_settime", "eventfd2", "write"},  # threads of its own
    "diff": {"mmap", "munmap", "lseek"},  # reads /proc/self/maps, which is longer with us in it
    "perl": {"brk"},  # by where the heap happens to begin
    "timeout": {"rt_sigsuspend"},  # not where the child has ended before it is waited for
    "xargs": {"fcntl"},  # marks all that /proc/self/fd lists: our four descriptors are listed there, and found closed
}
"""These calls too."""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="traced-"))
    directory.chmod(0o755)
    (directory / "in").mkdir()
    (directory / "in" / "a").write_text("root\nb\na\n" * 50)
    (directory / "in" / "a.c").write_text("int main(void) { return 0; }\n")
    (directory / "in" / "Makefile").write_text("all: one two\none two:\n\t@echo $@\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "safe.directory=*"]
    subprocess.run([*git, "init", "-q", "repo"], cwd=directory, check=True, capture_output=True)
    for number in range(3):
        (directory / "repo" / "file").write_text(str(number))
        subprocess.run([*git, "add", "."], cwd=directory / "repo", check=True)
        subprocess.run([*git, "commit", "-qm", f"commit {number}"], cwd=directory / "repo", check=True)
    yield directory
    shutil.rmtree(directory)


def difference(ours: Seen, theirs: Seen, aside: set[str]) -> list[str]:
    found = []
    for key in sorted(set(ours) | set(theirs)):
        if ours[key] != theirs[key] and key[0] not in aside:
            found.append(f"{key}: strace {theirs[key]}, we {ours[key]}")
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_calls_as_strace(name: str, place: Path) -> None:
    command = PROGRAMS[name]
    if shutil.which(command[0]) is None:
        pytest.fail(f"{command[0]} is not installed")
    env = {"PATH": os.environ["PATH"], "HOME": str(place), "LC_ALL": "C.UTF-8"}
    for _ in range(3):  # who is first differs from run to run
        theirs, seen_by_strace = by_strace(command, place, cwd=place, env=env)
        ours, seen_by_us = by_us(command, place, cwd=place, env={**env, "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"]})
        found = difference(seen_by_us, seen_by_strace, TIMING | ASIDE.get(name, set()))
        if not found:
            break
    assert not found, "\n".join(found)
    assert (ours.stdout, ours.returncode) == (theirs.stdout, theirs.returncode)
    assert sum(seen_by_us.values()) >= 20
