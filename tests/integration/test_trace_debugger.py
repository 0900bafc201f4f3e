"""A debugger under trace, while gdb is attached to it: its requests and wait statuses, and its child's side of them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from selftrace.cli.help import manual
from tests.integration.traced import TRACE
from tests.waiting import PATIENCE_S, sleeps_in

HERE = Path(__file__).resolve().parent
ATTACHED = [
    "-batch",
    "-ex",
    "handle SIGSYS nostop noprint pass",
    "-ex",
    "attach {pid}",
    "-ex",
    "shell touch {flag}",
    "-ex",
    "continue",
]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="debugger-"))
    directory.chmod(0o777)
    for name, source in (("debugger", HERE / "debugger.c"), ("mistaken", HERE / "programs" / "mistaken.c")):
        subprocess.run(["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-o", directory / name, source], check=True)
    yield directory
    shutil.rmtree(directory)


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.M)
    assert match is not None, (pattern, text)
    return match[1]


def waiting(traced: subprocess.Popen[str]) -> str:
    """The pid of the program under trace, when it sleeps until somebody has attached."""
    while traced.poll() is None:
        for child in Path(f"/proc/{traced.pid}/task/{traced.pid}/children").read_text().split():
            if Path(f"/proc/{child}/comm").read_text() == "debugger\n" and sleeps_in("nanosleep", int(child)):
                return child
        time.sleep(0.05)
    raise AssertionError(traced.communicate())


@pytest.mark.parametrize("style", ["stap", "strace"])
def test_both_sides_while_gdb_is_attached(style: str, place: Path) -> None:
    log, flag = place / f"{style}.txt", place / f"{style}.flag"
    words = ["-f", "-e", "trace=ptrace,wait4,clone", f"--style={style}", "-o", str(log)]
    traced = subprocess.Popen([*TRACE, *words, str(place / "debugger"), str(flag)], stdout=subprocess.PIPE, text=True)
    filled = [word.format(pid=waiting(traced), flag=flag) for word in ATTACHED]
    gdb = subprocess.run(["gdb", "-nx", *filled], capture_output=True, text=True, timeout=PATIENCE_S)
    out, _ = traced.communicate(timeout=PATIENCE_S)
    text = log.read_text()
    assert (traced.returncode, out) == (0, "done\n"), gdb.stdout + gdb.stderr
    assert "exited normally" in gdb.stdout
    child = found(r"(?:clone\(|clone resumed>).* = (\d+)$", text)
    assert f"{child}  ptrace(PTRACE_TRACEME" in re.sub(" +", "  ", text)
    if style == "stap":
        assert f"ptrace(PTRACE_GETREGS, {child}, data=0x" in text
        assert f"ptrace(PTRACE_CONT, {child}, SIG_0)" in text
        assert "[WSTOPSIG=SIGTRAP | PTRACE_EVENT_FORK << 8]" in text
        assert "[WSTOPSIG=TRACESYSGOOD]" in text and "[WEXITSTATUS=7]" in text and "[WEXITSTATUS=3]" in text
    else:
        assert f"ptrace(PTRACE_SETOPTIONS, {child}, NULL, PTRACE_O_TRACESYSGOOD|PTRACE_O_TRACEFORK) = 0" in text
        assert f"ptrace(PTRACE_CONT, {child}, NULL, 0)" in text
        assert "{WIFSTOPPED(s) && WSTOPSIG(s) == SIGTRAP}|PTRACE_EVENT_FORK<<16" in text
        assert "{WIFEXITED(s) && WEXITSTATUS(s) == 7}" in text


UNDER = {
    "nobody": [],
    "gdb": ["gdb", "-nx", "-batch", "-ex", "handle SIGSYS SIGSEGV nostop noprint pass", "-ex", "set startup-with-shell off", "-ex", "run"],
    "selftrace debug": [
        sys.executable, "-m", "selftrace", "debug", "--batch", "-ex", "handle SIGSYS nostop pass; handle SIGSEGV nostop pass", "-ex", "cont", "--",
    ],
}  # fmt: skip


@pytest.mark.parametrize("tracer", UNDER)
def test_the_manuals_script_follows_a_debugger_by_name(tracer: str, place: Path) -> None:
    (text,) = re.findall(r'```python\n("""Follows the processes.*?)```', manual()["debug"].read_text(), re.S)
    script = place / "follow.py"
    script.write_text(text)
    words = [sys.executable, str(script), "mistaken", *UNDER[tracer], str(place / "mistaken")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL)
    assert "fork returned 56" in done.stdout, done.stdout + done.stderr
    lines = done.stderr.splitlines()
    child = found(r"^mistaken\[\d+\] wait4 = (\d+) WSTOPSIG=SIGSTOP$", done.stderr)
    parent = found(rf"^mistaken\[(\d+)\] wait4 = {child} WEXITSTATUS=7$", done.stderr)
    assert f"mistaken[{parent}] ptrace (PTRACE_CONT, {child}, SIG_0)" not in lines
    assert f"mistaken[{parent}] ptrace (PTRACE_SYSCALL, {child}, SIG_0)" in lines
    assert f"mistaken[{parent}] wait4 = {child} WSTOPSIG=TRACESYSGOOD" in lines
    assert f"mistaken[{parent}] fork = {child}" in lines
    assert any(line.startswith(f"mistaken[{parent}] ptrace (PTRACE_SETREGS, {child}, data=0x") for line in lines)
