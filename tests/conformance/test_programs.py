"""The probes as programs of their own, dynamic and static: the same output plain and interposed."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import selftrace
from tests.waiting import PATIENCE_S

HERE = Path(__file__).resolve().parent
PROBES = re.findall(r"^void (probe_\w+)\(void\)", (HERE / "probes.c").read_text(), re.M)
PROGRAMS = re.findall(r"^void (program_\w+)\(void\)", (HERE / "programs.c").read_text(), re.M)
BUILDS = {"dynamic": ["-pie", "-fPIE"], "static": ["-static", "-no-pie"]}


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="programs-"))
    directory.chmod(0o755)
    rows = "".join(f'{{"{name}", {name}}},\n' for name in [*PROBES, *PROGRAMS])
    (directory / "programs.inc").write_text(rows)
    for name, options in BUILDS.items():
        command = [
            "gcc",
            "-O1",
            "-w",
            "-pthread",
            f"-I{directory}",
            *options,
            "-o",
            str(directory / name),
            str(HERE / "programs.c"),
        ]
        subprocess.run(command, check=True)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("name", [*PROBES, *PROGRAMS])
def test_same_as_plain(name: str, build: str, place: Path) -> None:
    argv = [str(place / build), name]
    plain, interposed = (
        selftrace.run(argv=argv, policy="builtin:observe", backend=backend, cwd=place, timeout_s=PATIENCE_S)
        for backend in ("none", "auto")
    )
    assert (plain.reason, plain.exit_code) == ("exit", 0), plain.stderr
    assert plain.stdout
    assert (interposed.reason, interposed.exit_code, interposed.stdout) == (plain.reason, plain.exit_code, plain.stdout)
    assert interposed.usage.calls


@pytest.mark.parametrize("build", BUILDS)
def test_no_signal_stack_in_place_of_none(build: str, place: Path) -> None:
    """As ruby asks."""
    (place / "none.c").write_text(
        '#include <signal.h>\n#include <stdio.h>\nint main(void) { stack_t s = {0}; printf("%d\\n", sigaltstack(&s, 0)); return 0; }'
    )
    subprocess.run(["gcc", *BUILDS[build], "-o", str(place / "none"), str(place / "none.c")], check=True)
    plain, interposed = (
        selftrace.run(argv=[str(place / "none")], policy="builtin:observe", backend=backend, cwd=place).check().stdout
        for backend in ("none", "auto")
    )
    if plain != b"0\n":
        pytest.skip("sigaltstack refuses it before Linux 5.17")
    assert interposed == plain


def test_list_is_whole() -> None:
    assert len(PROBES) >= 20 and len(PROGRAMS) >= 20
