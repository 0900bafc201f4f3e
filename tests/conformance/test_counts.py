"""Every call from the first of ld.so on is trapped, in children too: what the interposer counts is what strace counts."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import selftrace

STRACE = shutil.which("strace")
SOURCE = """
#include <fcntl.h>
#include <unistd.h>
int main(void)
{
    for (int n = 0; n < 10; n++) close(open("/dev/null", O_RDONLY));
    return getppid() < 0;
}
"""
SCRIPT = "env -i /bin/echo one; env -i ./static; env -i ./dynamic; (exec ./static); ./script; true | ./dynamic"
PROGRAMS = {
    "dynamic": ["/bin/true"],
    "static": ["./static"],
    "shell": ["/bin/sh", "-c", SCRIPT],
    "shebang": ["./script"],
    "environment": ["/usr/bin/env", "-i", "/usr/bin/env", "-i", "./static"],
}


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="counts-"))
    directory.chmod(0o755)
    (directory / "source.c").write_text(SOURCE)
    for name, option in {"static": "-static", "dynamic": "-pie"}.items():
        subprocess.run(["gcc", "-O1", option, "-o", directory / name, directory / "source.c"], check=True)
    (directory / "script").write_text("#!./static with words\n")
    (directory / "script").chmod(0o755)
    (directory / "counts").mkdir()
    (directory / "counts").chmod(0o777)
    yield directory
    shutil.rmtree(directory)


def counted_by_strace(argv: list[str], place: Path) -> Counter[str]:
    out = place / "counts" / "strace"
    command = [str(STRACE), "-f", "-c", "-U", "calls,name", "-o", str(out), "--", *argv]
    selftrace.run(argv=command, policy="builtin:observe", backend="none", cwd=place).check()
    counts: Counter[str] = Counter()
    for line in out.read_text().splitlines():
        match line.split():
            case [calls, name] if calls.isdigit() and name != "total":
                counts[name] += int(calls)
    return counts


@pytest.mark.skipif(STRACE is None, reason="no strace")
@pytest.mark.parametrize("name", PROGRAMS)
def test_same_counts(name: str, place: Path) -> None:
    first, *rest = PROGRAMS[name]
    argv = [str(place / first), *rest]  # an absolute one stays as it is
    traced = counted_by_strace(argv, place)
    interposed = selftrace.run(argv=argv, policy="builtin:observe", cwd=place).check()
    counted = Counter({call: n for call, n in interposed.usage.calls.items() if n})
    counted["execve"] += 1  # the run's own first: the launcher makes it, before there is a program
    # Never trapped, whatever the policy: no thread could end without them. strace does not count those that never return.
    never_trapped = {"exit", "exit_group", "futex", "restart_syscall", "rt_sigreturn"}
    assert {k: v for k, v in counted.items() if k not in never_trapped} == {
        k: v for k, v in traced.items() if k not in never_trapped
    }
    assert traced["execve"] >= 1 and traced.total() >= 10
