"""Call sites of traced programs that are patched: nothing is lost, and the program cannot tell."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from selftrace.kernel.features import has_gs_base
from tests.integration.traced import events_of
from tests.waiting import PATIENCE_S

HERE = Path(__file__).parent
TRACE = [sys.executable, "-m", "selftrace", "trace"]

pytestmark = pytest.mark.skipif(not has_gs_base(), reason="the kernel lets no program set GS (FSGSBASE, Linux 5.9)")


@pytest.fixture(scope="module", params=["dynamic", "static"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is missing")
    path = tmp_path_factory.mktemp("patched") / "patched"
    kind = ["-static"] if request.param == "static" else []
    subprocess.run(
        ["gcc", "-O1", *kind, "-o", str(path), str(HERE / "patched.c"), str(HERE / "sites.c"), "-lpthread"], check=True
    )
    return path


def has_table(program: Path) -> bool:
    """Of functions, without which no padding is known; gcc gives programs that are static none."""
    return b".eh_frame_hdr" in program.read_bytes()


def traced(program: Path, capture: Path, *words: str) -> int:
    """Runs it; how many calls it says that it has made."""
    command = [*TRACE, *words, "-o", str(capture), str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    made, patched = done.stdout.split()
    assert patched == ("1" if has_table(program) else "0")
    return int(made)


def test_a_program_that_looks_for_it(program: Path, tmp_path: Path) -> None:
    plain = subprocess.run([str(program)], capture_output=True, text=True, timeout=PATIENCE_S)
    assert plain.stdout.split()[1:] == ["0"], plain.stdout
    capture = tmp_path / "patched.strc"
    made = traced(program, capture)
    words = [sys.executable, "-m", "selftrace", "report", str(capture), "--format", "summary"]
    table = subprocess.run(words, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout
    assert {line.split()[-1]: int(line.split()[3]) for line in table.splitlines() if "getppid" in line} == {"getppid": made}


def test_each_call_once_with_its_result(program: Path, tmp_path: Path) -> None:
    capture = tmp_path / "patched.strc"
    made = traced(program, capture, "-e", "trace=getppid,access")
    seen = Counter((event.name, event.result) for event in events_of(capture) if event.kind == "call")
    assert sum(count for (name, _), count in seen.items() if name == "getppid") == made
    assert seen["access", -14] == 600 and ("getppid", None) not in seen


@pytest.mark.parametrize(
    ("words", "argument"), [([], "full"), (["--backend", "ptrace"], "")], ids=["no descriptor", "from outside"]
)
def test_programs_that_stay_as_they_are(program: Path, tmp_path: Path, words: list[str], argument: str) -> None:
    """Where the file of a site cannot be looked for, and where nothing is done inside at all."""
    text = tmp_path / "text"
    command = [*TRACE, *words, "-e", "trace=getppid", "-o", str(text), str(program), *filter(None, [argument])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    made, patched = done.stdout.split()
    assert (done.returncode, patched) == (0, "0")
    assert len(re.findall(r"getppid(?:\(| resumed>)\) += \d", text.read_text())) == int(made)


def test_calls_that_are_put_off_are_no_lines(program: Path, tmp_path: Path) -> None:
    """In a storm of signals some hundred calls are recorded, and made after a handler."""
    text = tmp_path / "text"
    made = traced(program, text, "-e", "trace=getppid")
    lines = re.findall(r"getppid\(\) += (\S+)|getppid resumed>\) += (\S+)", text.read_text())
    ended = ["".join(line) for line in lines]
    assert sum(result.isdigit() for result in ended) == made
    assert len(ended) - made <= made // 1000  # others' lines were between


def test_registers_are_read_when_they_are_wanted(program: Path, tmp_path: Path) -> None:
    """With -k each call arrives, and has its stack."""
    text = tmp_path / "text"
    traced = subprocess.run(
        [*TRACE, "-k", "-e", "trace=access", "-o", str(text), str(program)], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert traced.stdout.split()[1:] == ["0"]
    assert text.read_text().count("(padded+0x") == 600


def test_text_that_is_read(tmp_path: Path) -> None:
    """Sums of the same calls by patched and by arriving sites: the C library's, of a program that we did not write."""
    (tmp_path / "many").write_bytes(bytes(range(256)) * 400)
    command = ["dd", f"if={tmp_path / 'many'}", "of=/dev/null", "bs=7", "status=none"]
    found = []
    for words in ([], ["-k"]):
        subprocess.run([*TRACE, *words, "-o", str(tmp_path / "text"), *command], check=True, timeout=PATIENCE_S)
        lines = (tmp_path / "text").read_text().splitlines()
        found.append([line for line in lines if line.startswith(("read(0", "write(1"))])
    assert len(found[0]) > 29_000
    assert found[0] == found[1]


@pytest.fixture(scope="module")
def retouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is missing")
    directory = tmp_path_factory.mktemp("retouched")
    sites = [str(HERE / "sites.c")]
    subprocess.run(["gcc", "-O1", "-o", str(directory / "program"), str(HERE / "retouched.c"), *sites, "-ldl"], check=True)
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", str(directory / "library.so"), *sites], check=True)
    return directory


@pytest.mark.parametrize("what", ["1", "2", "3", "library"])
def test_a_program_that_changes_its_text_or_steps_through_it(retouched: Path, tmp_path: Path, what: str) -> None:
    """What it makes writable stays so; steps end; a signal finds it where it is, though a jump of ours was there once."""
    program = [str(retouched / "program"), what, *([str(retouched / "library.so")] if what == "library" else [])]
    done = subprocess.run([*TRACE, "-o", str(tmp_path / "text"), *program], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    if what != "library":
        assert subprocess.run(program, timeout=PATIENCE_S).returncode == 0
