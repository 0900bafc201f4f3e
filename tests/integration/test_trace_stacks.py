"""-k and --stack-trace=python: the stacks of calls and signals, compared with what strace -k says and with what is known."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from selftrace._native import ffi, lib

from tests.integration.traced import TRACE
from tests.waiting import PATIENCE_S

PROGRAMS = Path(__file__).parent / "programs"
needs_libdw = pytest.mark.skipif(lib.st_stacks_missing() != ffi.NULL, reason="libdw is not installed (Debian: libdw1)")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="stacks-"))
    directory.chmod(0o755)
    for name, more in (("stacks", ()), ("fixed", ("-no-pie",)), ("static", ("-static",))):
        words = ["gcc", "-O1", "-fno-optimize-sibling-calls", *more, "-o", str(directory / name), str(PROGRAMS / "stacks.c")]
        subprocess.run([*words, "-lpthread"], check=True)
    yield directory
    shutil.rmtree(directory)


def lines_of(tracer: Sequence[str], words: Sequence[str], command: Sequence[str], place: Path) -> list[str]:
    """The lines that a tracer writes, without process numbers."""
    log = place / "log.txt"
    subprocess.run([*tracer, *words, "-o", str(log), *command], cwd=place, check=True, capture_output=True, timeout=PATIENCE_S)
    return [re.sub(r"^\d+ +", "", line) for line in log.read_text().splitlines()]


def grouped(lines: Sequence[str]) -> list[tuple[str, list[str]]]:
    """(name of the call or signal, its stack)."""
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        name = re.match(r"(\w+)\(|--- (SIG\w+)", line)
        if name:
            found.append((name[1] or name[2], []))
        elif line.startswith(" > ") and found:
            found[-1][1].append(line)
    return found


def symbols(stack: Sequence[str]) -> list[str]:
    """The functions of a stack, as far as they are known."""
    return [re.sub(r".*\((.*?)(\+0x.*)?\).*", r"\1", line) for line in stack]


@needs_libdw
@pytest.mark.parametrize("name", ["stacks", "fixed", "static"])
def test_functions_threads_and_handlers(name: str, place: Path) -> None:
    seen = grouped(lines_of(TRACE, ["-k", "-e", "trace=getppid"], [str(place / name)], place))
    stacks = [symbols(stack) for _, stack in seen]
    assert [name for name, _ in seen] == ["getppid", "getppid", "SIGUSR1", "getppid", "SIGUSR2", "getppid"]
    assert stacks[0][:6] == ["syscall", "last", "nested", "nested", "nested", "main"]
    assert stacks[1][:5] == ["syscall", "last", "nested", "nested", "thread"]
    for at in (2, 4):
        assert "main" in stacks[at]
    assert stacks[3][:3] == ["syscall", "last", "handler"]
    assert stacks[3][3:] == stacks[2]  # what the signal interrupted
    assert stacks[5][:4] == ["syscall", "last", "handler", stacks[4][0]]  # the other stack is not captured


@needs_libdw
def test_a_stack_that_is_too_deep_is_cut(place: Path) -> None:
    ((_, stack),) = grouped(lines_of(TRACE, ["-k", "-e", "trace=getppid"], [str(place / "stacks"), "deep"], place))
    assert symbols(stack)[:2] == ["syscall", "last"]
    assert set(symbols(stack)[2:]) == {"nested"}
    assert 20 < len(stack) < 100


def _places(stack: Sequence[str]) -> list[tuple[str, int]]:
    found = [re.fullmatch(r" > (\S+)\(.*\) \[(0x[0-9a-f]+)\]", line) for line in stack]
    return [(match[1], int(match[2], 16)) for match in found if match]


@needs_libdw
@pytest.mark.parametrize("command", [["ls", "-l", "/usr"], ["sh", "-c", "for i in 1 2 3; do test -e /nonexistent; done; true"]])
def test_the_same_places_as_strace(command: list[str], place: Path) -> None:
    """strace as Debian has it shows return addresses, as newer ones we do the instruction before."""
    theirs = grouped(lines_of(["strace"], ["-k", "-e", "trace=!execve,exit_group"], command, place))
    ours = grouped(lines_of(TRACE, ["-k", "-e", "trace=!execve,exit_group"], command, place))
    assert len(ours) > 20
    assert [name for name, _ in ours] == [name for name, _ in theirs]
    for (name, mine), (_, other) in zip(ours, theirs, strict=True):
        expected = _places(other)
        for (file, at), (strace_file, strace_at) in zip(_places(mine), expected, strict=False):
            assert file == strace_file, name
            assert strace_at - at in (0, 1), name
        assert abs(len(mine) - len(expected)) <= 1, name


@needs_libdw
def test_a_filter_does_not_show_what_is_seen_for_stacks(place: Path) -> None:
    lines = lines_of(TRACE, ["-k", "-e", "trace=getppid"], [str(place / "stacks")], place)
    assert not [line for line in lines if "mmap" in line]
    lines = lines_of(TRACE, ["-k", "--slower", "0", "-e", "trace=close", "--fd", "3"], ["true"], place)
    calls = grouped(lines)
    assert {name for name, _ in calls} == {"close"}
    assert all("_start" in symbols(stack) for _, stack in calls)
    done = subprocess.run([*TRACE, "-k", "-C", "-e", "trace=getppid", str(place / "stacks")], capture_output=True, text=True)
    assert "mmap" not in done.stderr
    assert " > " in done.stderr


@needs_libdw
def test_a_capture_and_json_lines_have_them_too(place: Path) -> None:
    capture, words = place / "k.strc", ["-e", "trace=getppid"]
    program = str(place / "stacks")
    subprocess.run([*TRACE, "-k", *words, "-o", str(capture), program], check=True)
    report = [sys.executable, "-m", "selftrace", "report", str(capture)]
    text = subprocess.run(report, check=True, capture_output=True, text=True).stdout
    direct = lines_of(TRACE, ["-k", *words], [program], place)
    only = [line for line in text.splitlines() if line.startswith(" > ")]
    assert only == [line for line in direct if line.startswith(" > ")]
    later = subprocess.run([*report, "--json", "-"], check=True, capture_output=True, text=True).stdout
    now = subprocess.run([*TRACE, "-k", *words, "--json", "-", program], check=True, capture_output=True, text=True).stdout
    assert _stacks(later) == _stacks(now)
    assert _stacks(now)[0][:6] == ["syscall", "last", "nested", "nested", "nested", "main"]


def _stacks(text: str) -> list[list[str]]:
    schema = json.loads(files("selftrace.reports").joinpath("trace.schema.json").read_text())
    found = []
    for line in text.splitlines():
        event: dict[str, Any] = json.loads(line)
        jsonschema.validate(event, schema)
        assert event.get("name") not in ("mmap", "munmap")
        if "native_stack" in event:
            found.append([frame["symbol"] for frame in event["native_stack"]])
    return found


def test_without_libdw_it_says_what_is_missing(place: Path) -> None:
    (place / "libdw.so.1").write_bytes(b"")
    env = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": str(place)}
    done = subprocess.run([*TRACE, "-k", "true"], env=env, capture_output=True, text=True)
    assert done.returncode == 125
    assert "libdw" in done.stderr
    assert "libdw1" in done.stderr


PYTHON = """
import os, threading
def inner():
    os.getppid()
class Thing:
    def method(self):
        inner()
Thing().method()
thread = threading.Thread(target=Thing().method)
thread.start(); thread.join()
if os.fork() == 0:
    inner()
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize("interpreter", [sys.executable, "/usr/bin/python3"])
def test_the_python_stack(interpreter: str, place: Path) -> None:
    version = subprocess.run(
        [interpreter, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True
    ).stdout
    if version.strip() != str(sys.version_info[:2]):
        pytest.skip(f"{interpreter} is of another version")
    script = place / "script.py"
    script.write_text(PYTHON)
    seen = grouped(lines_of(TRACE, ["--stack-trace=python", "-e", "trace=getppid"], [interpreter, str(script)], place))
    stacks = [stack for _, stack in seen]
    top = [f" > {script}:4 (inner)", f" > {script}:7 (method)"]
    assert stacks[0] == [*top, f" > {script}:8 (<module>)"]
    assert stacks[1][:2] == top
    assert stacks[1][-1].endswith("(_bootstrap)")
    assert stacks[2] == [f" > {script}:4 (inner)", f" > {script}:12 (<module>)"]


def test_the_python_stack_in_json_lines(place: Path) -> None:
    code = "import os; (lambda: os.getppid())()"
    words = ["--stack-trace=python", "-e", "trace=getppid", "--json", "-", sys.executable, "-c", code]
    done = subprocess.run([*TRACE, *words], capture_output=True, text=True, check=True)
    (event,) = [event for line in done.stdout.splitlines() if (event := json.loads(line)).get("name") == "getppid"]
    assert event["stack"] == [
        {"file": "<string>", "line": 1, "function": "<lambda>"},
        {"file": "<string>", "line": 1, "function": "<module>"},
    ]


def test_a_program_that_is_no_python_is_left_alone(place: Path) -> None:
    command = ["sh", "-c", "env; readlink /proc/self/exe"]
    done = subprocess.run(
        [*TRACE, "--stack-trace=python", "-o", str(place / "log.txt"), *command], capture_output=True, text=True
    )
    plain = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, plain.stdout, plain.stderr)
    assert " > " not in (place / "log.txt").read_text()


def test_the_programs_own_preload_stays(place: Path) -> None:
    env = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": "libm.so.6"}
    done = subprocess.run(
        [
            *TRACE,
            "--stack-trace=python",
            "-o",
            str(place / "log.txt"),
            "sh",
            "-c",
            "echo $LD_PRELOAD; grep -c libm.so /proc/self/maps",
        ],
        env=env,
        capture_output=True,
        text=True,
    )
    preload, mapped = done.stdout.split()
    assert preload == "libm.so.6"
    assert int(mapped) > 0


def test_another_version_of_python_is_named(place: Path) -> None:
    """Whatever the machine has; where it has none, a program that says it is one."""
    source = place / "claims.c"
    source.write_text("const unsigned long Py_Version = 0x03010000; int main(void) { return 0; }")
    subprocess.run(["gcc", "-rdynamic", "-o", str(place / "claims"), str(source)], check=True)
    words = ["--stack-trace=python", "-o", str(place / "log.txt"), str(place / "claims")]
    done = subprocess.run([*TRACE, *words], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr.count("CPython 3.1, selftrace is built for") == 1


@needs_libdw
def test_a_ring_that_turns_fast_holds_nobody_up(place: Path) -> None:
    """With stacks the ring holds five hundred events: writers sleep while it turns."""
    source = Path(__file__).parents[1] / "conformance" / "stress.c"
    subprocess.run(["gcc", "-O1", "-w", "-pthread", "-o", str(place / "stress"), str(source)], check=True)
    words = ["-k", "-e", "trace=getppid,wait4,rt_tgsigqueueinfo", "-o", str(place / "stress.strc"), str(place / "stress"), "1"]
    done = subprocess.run([*TRACE, *words], capture_output=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    (place / "stress.strc").unlink()
