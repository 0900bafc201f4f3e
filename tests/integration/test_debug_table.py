"""The manual's tables of python-ptrace's features: complete, and each row that is done has a test that shows it."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ptrace.debugger import application

import selftrace.ptrace
from selftrace.cli.help import manual
from tests.integration.debugged import Server, batch, build
from tests.integration.test_debug_prompt import ROWS
from tests.integration.traced import TRACE
from tests.waiting import PATIENCE_S

OPTIONS = {
    "--pid, -p": "test_quit_kills_what_it_started_and_lets_go_what_it_attached",
    "--fork, -f": "test_fork_exec_and_threads_are_followed_and_caught",
    "--trace-exec": "test_fork_exec_and_threads_are_followed_and_caught",
    "--trace-clone": "test_threads_are_told",
    "--no-stdout": "test_scripts_and_batch",
    "quit": "test_quit_kills_what_it_started_and_lets_go_what_it_attached",
}
"""Rows of gdb.py that are no line of ROWS → the test that shows them."""

# feature of strace.py → options of `selftrace trace`, what the program does, and what the trace has then
TRACED: dict[str, tuple[list[str], str, str]] = {
    "calls with arguments and results": ([], "sum", r'openat\(AT_FDCWD, "/.*libc\.so\.6", O_RDONLY\|O_CLOEXEC\) = 3\n(.*\n)*write\(1, "sum 170\\n", 8\) += 8'),
    "--fork, -f": (["-f", "-e", "trace=exit_group"], "children", r"(\d+ +exit_group\(\d\)(.*\n)*){4}"),
    "--trace-exec": (["-e", "trace=execve"], "exec", r'(execve\(".*program", .*\n(.*\n)*){2}'),
    "--trace-clone": (["-f", "-e", "trace=exit"], "threads", r"(\d+ +exit\(0\)(.*\n)*){6}"),
    "--enter": (["-f", "-e", "trace=wait4,exit_group"], "waits", r"wait4\(\d+, +<unfinished \.\.\.>\n(.*\n)*.*<\.\.\. wait4 resumed>"),
    "--type": (["--json", "-", "-e", "trace=openat"], "sum", r'"flags": ?(\[|"O_RDONLY|\{)'),
    "--name": (["--json", "-", "-e", "trace=openat"], "sum", r'"filename": ?"/'),
    "--string-length, -s": (["-s", "3", "-e", "trace=write"], "sum", r'write\(1, "sum"\.\.\., 8\)'),
    "--array-count": (["-v", "-e", "trace=execve"], "sum", r'execve\(".*", \[".*", "sum"\], \[".*=.*", ".*\]\) = 0'),
    "--output, -o": (["-e", "trace=write"], "sum", r"write\(1"),
    "--ignore-regex": (["-e", "trace=!/^(open|read|mmap|rt_)"], "sum", r"^(?!(.*\n)*.*(openat|mmap)\()(.*\n)*.*write\("),
    "--address": (["-e", "trace=write", "-e", "raw=write"], "sum", r"write\(0x1, 0x[0-9a-f]+, 0x8\)"),
    "--syscalls, -e": (["-e", "trace=write,exit_group"], "sum", r"^(\d+ +)?write\(.*\n(\d+ +)?exit_group\(3\)"),
    "--socket": (["-e", "trace=%network"], "sum", r"^(\d+ +)?\+\+\+ exited with 3"),
    "--filename": (["-e", "trace=%file"], "sum", r"(access|openat)\(.*\n"),
    "--show-pid": (["-f", "-e", "trace=write"], "children", r"\d+ +write\(.*\n(.*\n)*\d+ +write\("),
    "--show-ip, -i": (["-i", "-e", "trace=write"], "sum", r"\[[0-9a-f]{16}\] write\("),
    "--quiet, -q": (["-qq", "-e", "trace=write"], "sum", r"^(?!(.*\n)*.*exited)(.*\n)*.*write\("),
    "signals and exit lines": (["-e", "trace=none"], "signals", r"--- SIGUSR1 \{si_signo=SIGUSR1.*\n(.*\n)*(\d+ +)?\+\+\+ exited with 0 \+\+\+"),
    "the program's exit status": (["-e", "trace=none"], "sum", r"exited with 3"),
}  # fmt: skip


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    yield from build()


def table(program: str) -> dict[str, bool]:
    """The rows of one of the manual's tables: feature → whether it is done."""
    text = manual()["debug"].read_text()
    rows = text.partition(f"| {program} | here |\n")[2].partition("\n\n")[0].splitlines()[1:]
    found = {}
    for row in rows:
        feature, what = row.strip("| ").split(" | ", 1)
        assert re.match(r"(done|not)\b[:,]? \S", what), row
        found[feature] = what.startswith("done")
    return found


def options(source: str) -> set[str]:
    """Every option that a program of python-ptrace adds."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_option":
            found |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    return found


def source(name: str) -> str:
    path = shutil.which(name, path=os.path.dirname(sys.executable))
    assert path is not None, f"python-ptrace's {name}"
    return Path(path).read_text()


def test_every_command_of_gdb_py_has_its_row() -> None:
    (assigned,) = [
        node.value
        for node in ast.walk(ast.parse(source("gdb.py")))
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "COMMANDS"
    ]
    commands = {name for name, _ in ast.literal_eval(assigned)}
    assert len(commands) > 25
    assert commands - set(table("gdb.py")) == set()


@pytest.mark.parametrize("program", ["gdb.py", "strace.py"])
def test_every_option_has_its_row(program: str) -> None:
    named = {word for feature in table(program) for word in feature.split(", ")}
    assert options(source(program) + Path(application.__file__).read_text()) - named == set()


def test_every_row_that_is_done_has_its_test() -> None:
    done = {feature for feature, is_done in table("gdb.py").items() if is_done}
    assert done == set(ROWS) | set(OPTIONS)
    texts = "".join(path.read_text() for path in Path(__file__).parent.glob("test_debug*.py"))
    assert [name for name in OPTIONS.values() if f"def {name}(" not in texts] == []
    done = {feature for feature, is_done in table("strace.py").items() if is_done}
    assert done == set(TRACED) | {"--pid, -p"}


def test_the_manual_names_everything_that_is_public() -> None:
    text = manual()["debug"].read_text()
    assert [name for name in selftrace.ptrace.__all__ if not re.search(rf"\b{name}s?\b", text)] == []


@pytest.mark.parametrize("feature", TRACED)
def test_row_of_strace_py(feature: str, place: Path, tmp_path: Path) -> None:
    words, what, pattern = TRACED[feature]
    log = tmp_path / "log"
    output = [] if "--json" in words else ["-o", str(log)]
    done = subprocess.run([*TRACE, *words, *output, f"{place}/program", what], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == (0 if what in ("children", "threads", "signals", "waits") else 3), done.stderr
    text = log.read_text() if output else done.stdout
    assert re.search(pattern, text), text


def test_a_running_process_is_traced(place: Path, tmp_path: Path) -> None:
    """strace.py's -p."""
    log = tmp_path / "log"
    with Server(f"{place}/program") as server:
        words = [*TRACE, "-e", "trace=read,write", "-o", str(log), "-p", str(server.pid)]
        tracer = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        assert tracer.stderr is not None and "attached with 6 threads" in tracer.stderr.readline()
        while log.read_text().count("write(") < 2:
            server.ask("word")
            assert tracer.poll() is None
        tracer.terminate()
        tracer.communicate(timeout=PATIENCE_S)
        assert server.tracer() == 0
    assert re.search(r'write\(1, "0 word\\n", 7\) += 7\n(.*\n)*.*read\(0, "word\\n", \d+\) += 5', log.read_text())


def test_the_first_session_of_the_manual(place: Path) -> None:
    done = batch(
        "break recurse if $edi > 2", "cont", "backtrace", "print string(needle); hexdump $rsp", "finish",
        program=["--", f"{place}/program"],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "finished: returned" in done.stdout
