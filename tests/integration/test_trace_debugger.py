"""A debugger under trace, while gdb is attached to it: its requests and wait statuses, and its child's side of them."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.traced import TRACE

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
    subprocess.run(["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-o", directory / "debugger", HERE / "debugger.c"], check=True)
    yield directory
    shutil.rmtree(directory)


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.M)
    assert match is not None, (pattern, text)
    return match[1]


@pytest.mark.parametrize("style", ["stap", "strace"])
def test_both_sides_while_gdb_is_attached(style: str, place: Path) -> None:
    log, flag = place / f"{style}.txt", place / f"{style}.flag"
    words = ["-f", "-e", "trace=ptrace,wait4,clone", f"--style={style}", "-o", str(log)]
    traced = subprocess.Popen([*TRACE, *words, str(place / "debugger"), str(flag)], stdout=subprocess.PIPE, text=True)
    time.sleep(0.7)
    children = Path(f"/proc/{traced.pid}/task/{traced.pid}/children").read_text().split()
    filled = [word.format(pid=children[0], flag=flag) for word in ATTACHED]
    gdb = subprocess.run(["gdb", "-nx", *filled], capture_output=True, text=True, timeout=60)
    out, _ = traced.communicate(timeout=60)
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
