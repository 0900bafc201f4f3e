"""Faults that users of strace know: the same program fails in the same way at the same call."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.traced import TRACE, events_of

CASES = {
    "no space from the fifth open on": (["-e", "fault=open,openat:error=ENOSPC:when=5+"], ["tar", "cf", "/dev/null", "in"]),
    "one read fails": (["-e", "inject=read:error=EIO:when=3"], ["cat", "in/a", "in/b"]),
    "every second close": (["-e", "inject=close:error=EBADF:when=2+2"], ["cp", "in/a", "copy"]),
    "a range": (["-e", "inject=newfstatat:error=EACCES:when=2..4"], ["ls", "-l", "in"]),
    "a result": (["-e", "inject=getuid:retval=42"], ["id", "-ru"]),
    "another result": (["-e", "inject=geteuid:retval=7"], ["id", "-u"]),
    "a signal": (["-e", "inject=write:signal=USR1"], ["cat", "in/a"]),
    "an ignored one": (["-e", "inject=write:signal=CONT"], ["cat", "in/a"]),
    "a late call": (["-e", "inject=openat:delay_enter=2000"], ["cat", "in/a"]),
    "a late return": (["-e", "inject=read:delay_exit=2000:when=1"], ["cat", "in/a"]),
    "an error and a signal": (["-e", "inject=write:error=EPIPE:signal=PIPE"], ["cat", "in/a"]),
    "by default ENOSYS": (["-e", "fault=statx"], ["stat", "in/a"]),
    "a class": (["-e", "fault=%network:error=ENETDOWN"], ["/usr/bin/python3", "-c", "import socket; socket.socket()"]),
}


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="faults-"))
    directory.chmod(0o755)
    (directory / "in").mkdir()
    for name in "abcdefgh":
        (directory / "in" / name).write_text(name * 100)
    yield directory
    shutil.rmtree(directory)


def injected(text: str) -> list[str]:
    """The lines of calls that were tampered with, and of signals, without addresses and process numbers."""
    found = [line for line in text.splitlines() if re.search(r"\((INJECTED|DELAYED)\)|^--- SIG|^\+\+\+", line)]
    return [re.sub(r"0x[0-9a-f]+|\bsi_pid=\d+", "N", re.sub(r" += ", " = ", line)) for line in found]


@pytest.mark.parametrize("name", CASES)
def test_as_strace_does(name: str, place: Path) -> None:
    words, command = CASES[name]
    results = []
    for tracer in (["strace"], TRACE):
        log = place / "log.txt"
        done = subprocess.run([*tracer, *words, "-o", str(log), *command], cwd=place, capture_output=True, timeout=60)
        shown = [line for line in injected(log.read_text()) if "SIGCONT" not in line]  # see manual/trace.md on ignored signals
        code = done.returncode if done.returncode >= 0 else 128 - done.returncode  # strace ends itself by the same signal
        results.append((code, done.stdout, done.stderr, shown))
    theirs, ours = results
    assert ours[3] == theirs[3]
    assert ours == theirs
    assert any("INJECTED" in line or "DELAYED" in line or "SIG" in line for line in ours[3]) or name == "an ignored one"


def test_by_path_and_in_order(place: Path) -> None:
    """What strace has not: rules on one call, one after the other, by path."""
    capture = place / "ours.strc"
    first, second = (f"inject=openat:error={error}:path={place}/in/{name}" for name, error in (("a", "EIO"), ("b", "EACCES")))
    words = ["-e", "trace=openat", "-e", first, "-e", second]
    done = subprocess.run(
        [*TRACE, *words, "-o", str(capture), "cat", "in/a", "in/b", "in/c"], cwd=place, capture_output=True, timeout=60
    )
    assert done.returncode == 1 and done.stdout == b"c" * 100
    assert done.stderr.count(b"Input/output error") == done.stderr.count(b"Permission denied") == 1
    seen = {event.path: event.error for event in events_of(capture) if event.kind == "call" and event.injected}
    assert seen == {"in/a": "EIO", "in/b": "EACCES"}


def test_counted_by_process_and_tree(place: Path) -> None:
    script = "for i in 1 2 3; do cat in/a >/dev/null 2>&1; echo $?; done"
    for scope, expected in (("process", b"1\n1\n1\n"), ("tree", b"1\n0\n0\n")):
        fault = f"fault=openat:error=EIO:when=1:path={place}/in/a:count_by={scope}"
        done = subprocess.run(
            [*TRACE, "-e", fault, "-o", "/dev/null", "sh", "-c", script], cwd=place, capture_output=True, timeout=60
        )
        assert done.stdout == expected, scope


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-e", "inject=opnat:error=EIO"], 'did you mean "openat"'),
        (["-e", "inject=openat:error=ENOSPCE"], 'did you mean "ENOSPC"'),
        (["-e", "inject=openat:signal=SIGTEM"], "did you mean"),
        (["-e", "inject=openat:when=0:error=EIO"], "counting starts at 1"),
        (["-e", "inject=openat:error=EIO:retval=1"], "exclude each other"),
        (["-e", "inject=openat:erorr=EIO"], 'did you mean "error"'),
        (["-e", "inject=openat"], "says nothing to inject"),
        (["-e", "inject=openat:poke_exit=@arg1=00"], "ptrace backend"),
        (["-e", "inject=clock_gettime:error=EIO"], "--no-vdso"),
        (["-e", "trace=%flie"], 'did you mean "%file"'),
        (["-e", "trace=/("], "regular expression"),
        (["-e", "signal=SIGTEM"], "invalid signal"),
        (["-e", "status=sucessful"], 'did you mean "successful"'),
        (["--strng-limit=3"], 'did you mean "--string-limit"'),
        (["-s", "x"], "invalid -s argument"),
        (["-p", "1"], "ptrace backend"),
        (["-o", "/nonexistent/log"], "/nonexistent/log: No such file or directory"),
        (["-o", "/"], "/: Is a directory"),
        (["--format", "perfetto"], "needs -o"),
        (["-S", "tmie", "-c"], "cannot sort by"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_clear_line(words: list[str], said: str) -> None:
    done = subprocess.run([*TRACE, *words, "true"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 125 and said in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr
