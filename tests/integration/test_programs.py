"""Programs that nobody here wrote, at work plainly and under builtin:observe: the same output, byte for byte.

Each task is a shell script in `programs`, run in a directory of its own; what it must print is a value that only the work
itself yields. A program that is not installed is a skip that names its Debian package.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import selftrace
from selftrace import Result
from tests.waiting import PATIENCE_S, free_port

TASKS = Path(__file__).resolve().parent / "programs"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
DEBIAN_PYTHON = "/usr/bin/python3"


@dataclass(frozen=True)
class Task:
    """expected: among the output. needs: file or program in PATH → its Debian package. programs: execs there must be."""

    expected: bytes
    needs: dict[str, str] = field(default_factory=dict)
    programs: int = 1
    script: str = ""
    python: str = DEBIAN_PYTHON


GCC = {"gcc": "gcc", "/usr/include/stdio.h": "libc6-dev"}
MATRIX = {
    "bash": Task(b"500500\n", programs=15),
    "git": Task(b"a01adfe92d73a51909e1eefa2c901683b724bf22\n", {"git": "git"}, programs=40),
    "gcc": Task(b"1229 primes\n" * 2, GCC, programs=20),
    "make": Task(b"sum 650 of 13 objects\nup to date\n", {**GCC, "make": "make"}, programs=40),
    "node": Task(b"workers 4999950000\nfrom 42\nPIPED\n", {"node": "nodejs"}, programs=4),
    "perl": Task(b"0001\n0016\n0081\n0256\n0625\nchildren's codes 15\n", {"/usr/share/perl": "perl"}, programs=5),
    "ruby": Task(b"31996000\n2432902008176640000\n3\ncba\ntrue\ndesserts\n", {"ruby": "ruby"}, programs=3),
    "golang": Task(b"2000 goroutines, served 501996 ", {"go": "golang-go"}, programs=10),
    "busybox": Task(b"9045050\n", {"busybox": "busybox-static"}, programs=15),
    "redis-server": Task(b"498\n499\n500\n500500\n", {"redis-server": "redis-server"}, programs=10),
    "postgresql": Task(b"200010000 |", {"/usr/lib/postgresql": "postgresql"}, programs=8),
    "nginx": Task(b"10 second\n", {"nginx": "nginx-light", "curl": "curl"}, programs=10),
    "sqlite3": Task(b"5000|41679167500|", {"sqlite3": "sqlite3"}, programs=3),
    "curl": Task(b"desserts=mrof", {"curl": "curl", DEBIAN_PYTHON: "python3"}, programs=6),
    "python3": Task(b"threads 276\nfork 328350\nspawn 328350\n", {DEBIAN_PYTHON: "python3"}, programs=30, script="python"),
    "python3 built from source": Task(
        b"threads 276\nfork 328350\nspawn 328350\n", programs=30, script="python", python=os.path.realpath(sys.executable)
    ),
    "find, tar, xz": Task(
        b"a56e105bf1cff42e6ac5e73d7709e38756f92c71eb9127a9985d5afd0f934f1c  tree.tar\nsame\n",
        {"xz": "xz-utils", "find": "findutils"},
        programs=20,
        script="find-tar-xz",
    ),
    "openjdk": Task(b"threads 3199960000\nkept 30\nchild got this\n4\nserved\n", {"javac": "default-jdk-headless"}, programs=3),
    "musl": Task(b"total 1990000, child 7\n" * 2, {"musl-gcc": "musl-tools", **GCC}, programs=10),
    "static": Task(b"total 1990000, child 7\n", GCC, programs=10),
    "identity": Task(b"100 children, 0 bad\n", GCC, programs=120),
    "shebang": Task(b"env -S: ./env-script 1 2\nno line: ./no-line 1 2\n", GCC, programs=20),
}


@pytest.fixture
def place() -> Iterator[Path]:
    """The path of a directory that any user may enter; each run makes it anew."""
    parent = Path(tempfile.mkdtemp(prefix="programs-"))
    parent.chmod(0o755)
    yield parent / "job"
    shutil.rmtree(parent)


def do(task: Task, script: str, place: Path, backend: str) -> Result:
    """One run in a fresh directory under the same name."""
    shutil.copytree(TASKS, place)
    place.chmod(0o755)
    env = {
        "PATH": PATH,
        "HOME": str(place),
        "LC_ALL": "C.UTF-8",
        "PORT": str(free_port()),
        "PYTHON": task.python,
        "TMPDIR": str(place),
    }
    try:
        return selftrace.run(
            argv=["/bin/bash", "-euo", "pipefail", f"{script}.sh"],
            policy="builtin:observe",
            backend=backend,
            cwd=place,
            env=env,
            timeout_s=PATIENCE_S,
        )
    finally:
        shutil.rmtree(place)


def missing(task: Task) -> list[str]:
    """Debian packages that are not there."""
    return sorted(
        {package for name, package in task.needs.items() if not shutil.which(name, path=PATH) and not Path(name).exists()}
    )


@pytest.mark.parametrize("name", MATRIX)
def test_the_same_output(name: str, place: Path) -> None:
    task = MATRIX[name]
    if absent := missing(task):
        pytest.skip(f"not installed: apt-get install {' '.join(absent)}")
    if task.python != DEBIAN_PYTHON and task.python.startswith("/usr/bin/"):
        pytest.skip("the Python that runs the tests is Debian's, not one built from source")
    plain, interposed = (do(task, task.script or name, place, backend) for backend in ("none", "trap"))
    assert (plain.reason, plain.exit_code) == ("exit", 0), plain.stdout[-2000:] + plain.stderr[-2000:]
    assert task.expected in plain.stdout
    assert interposed.stdout == plain.stdout, interposed.stderr[-2000:]
    assert (interposed.reason, interposed.exit_code) == ("exit", 0)
    assert interposed.stderr == plain.stderr
    assert interposed.violations == ()
    assert interposed.usage.calls["execve"] >= task.programs, interposed.usage.calls


def test_the_runs_own_descriptors_are_found_closed() -> None:
    """Trying one is nothing to report, many programs close all there are; making one of that number is refused, and said."""
    code = (
        "import os\nfor act in (lambda: os.close(1000), lambda: os.fstat(1001), lambda: os.dup(1004), lambda: os.dup2(1, 1000)):\n"
        "    try: act()\n    except OSError as error: print(error.errno, flush=True)\nos.closerange(3, 2000); os.system('echo started')"
    )
    result = selftrace.run(argv=[DEBIAN_PYTHON, "-c", code], policy="builtin:untrusted-program")
    assert result.check().stdout == b"9\n9\n9\n9\nstarted\n"
    assert [violation.call for violation in result.violations if violation.error == "EBADF"] == ["dup2"]


def test_every_number_that_a_program_gets_can_be_closed() -> None:
    """Those that the run keeps are all taken: none is handed out and then found closed."""
    code = (
        "import os, resource\n"
        "soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2048)), hard))\n"
        "got = [os.open('/dev/null', os.O_RDONLY) for _ in range(1200)]\n"
        "for fd in got: os.fstat(fd), os.close(fd)\n"
        "print(len(got), max(got) > 1100)\n"
    )
    runs = [{"code": code}, {"argv": [sys.executable, "-c", code]}]
    for options in runs:
        result = selftrace.run(policy="builtin:observe", **options)  # type: ignore[arg-type]
        assert result.check().stdout == b"1200 True\n"
