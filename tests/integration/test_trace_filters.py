"""A traced program's own seccomp filter holds as it would without us, and holds for nothing of ours."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.traced import TRACE
from tests.waiting import PATIENCE_S

HERE = Path(__file__).resolve().parent
STRICT = b"filter 0\ntrapped 4711 1 1\nrefused -1 25\nthread 4711 2 2\nkilled 0x1f\n"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="filters-"))
    directory.chmod(0o755)
    options = ["-O1", "-Wall", "-Wextra", "-Werror", "-pthread"]
    subprocess.run(["gcc", *options, "-o", directory / "filtered", HERE / "filtered.c"], check=True)
    yield directory
    shutil.rmtree(directory)


def output(place: Path, *words: str) -> bytes:
    return subprocess.run([*words], cwd=place, capture_output=True, timeout=PATIENCE_S, check=True).stdout


@pytest.mark.parametrize("words", [[], ["prctl"]], ids=["seccomp", "prctl"])
@pytest.mark.parametrize("calls", ["all", "openat", "getppid,getuid,gettid"])
def test_a_strict_filter(place: Path, words: list[str], calls: str) -> None:
    log = place / "log.txt"
    assert output(place, "./filtered", *words) == STRICT
    assert output(place, *TRACE, "-e", f"trace={calls}", "-o", str(log), "./filtered", *words) == STRICT
    text = log.read_text()
    assert text.count("--- SIGSYS {si_signo=SIGSYS, si_code=SYS_SECCOMP,") == 2
    if calls != "openat":
        assert "getuid() = -1 ENOTTY" in " ".join(text.split())


def test_it_stays_over_an_exec(place: Path) -> None:
    log = place / "log.txt"
    script = "id -ru; (exit 3) & wait; ls /dev/null"
    plain = output(place, "./filtered", "sh", "-c", script)
    assert output(place, *TRACE, "-o", str(log), "./filtered", "sh", "-c", script) == plain
    assert "getuid() = -1 EIO" in " ".join(log.read_text().split())
