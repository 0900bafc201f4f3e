"""Options of the command line: strace's that it has, and those that strace has not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.traced import TRACE
from tests.waiting import PATIENCE_S

ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="options-"))
    directory.chmod(0o755)
    (directory / "here").write_text("here\n")
    source = '#include <unistd.h>\nint inner(int x)\n{\n    return chdir(x ? "." : "/");\n}\nint main(int c, char **v)\n{\n    return inner(c) < !v;\n}\n'
    (directory / "stack.c").write_text(source)
    subprocess.run(["gcc", "-g", "-O0", "-o", directory / "stack", directory / "stack.c"], check=True)
    yield directory
    shutil.rmtree(directory)


def log_of(place: Path, *words: str, tracer: list[str] = TRACE) -> list[str]:
    """The lines, with single spaces."""
    log = place / "log.txt"
    subprocess.run([*tracer, "-o", str(log), *words], cwd=place, capture_output=True, timeout=PATIENCE_S, check=False)
    return [" ".join(line.split()) for line in log.read_text().splitlines()]


@pytest.mark.parametrize(
    "words",
    [
        ["--argv0=other", "-e", "execve", "./stack"],
        ["--fds=1", "-e", "trace=write", "cat", "here"],
        ["--trace-fds=3", "-e", "trace=read", "cat", "here"],
        ["-e", "trace=mmap", "python3", "-c", "import ctypes; ctypes.CDLL(None).syscall(9, 0, 0, 0, 0x10, -1, 0)"],
    ],
    ids=lambda words: words[0],
)
def test_as_strace_has_them(place: Path, words: list[str]) -> None:
    """Debian's strace has some of them by another name, and not --argv0: then what it would say is given."""
    ours = [re.sub("0x[0-9a-f]+", "N", line) for line in log_of(place, *words)]
    if words[0].startswith("--argv0"):
        assert ours[0] == 'execve("./stack", ["other"], N /* ' + ours[0].split("/* ")[1]
        return
    words = [word.replace("--fds=", "--trace-fd=").replace("--trace-fds=", "--trace-fd=") for word in words]
    select = [f"-e{word[2:]}" if word.startswith("--trace-fd") else word for word in words]
    theirs = [re.sub("0x[0-9a-f]+", "N", line) for line in log_of(place, *select, tracer=["strace"])]
    if words[0].startswith("--trace-fd") and not theirs:
        pytest.fail("strace says nothing")
    assert ours[-3:] == theirs[-3:]


def test_names_of_tasks_that_are_over(place: Path) -> None:
    """Each name as it was at the call, though nobody of it is there any more when the line is written."""
    script = "import ctypes, os; os.kill(os.getpid(), 0); ctypes.CDLL(None).prctl(15, b'an<other'); os.kill(os.getpid(), 0)"
    words = ["-f", "-Y", "-e", "trace=kill", "/usr/bin/python3", "-c", script]
    ours, theirs = ([re.sub(r"\d+<", "N<", line) for line in log_of(place, *words, tracer=t)] for t in (TRACE, ["strace"]))
    assert ours == theirs
    assert ours[:2] == ["N<python3> kill(N<python3>, 0) = 0", "N<an\\74other> kill(N<an\\74other>, 0) = 0"]


def test_poll_and_select_are_on_paths(place: Path) -> None:
    script = "import select; a, b = open('here'), open('/dev/null'); select.select([a], [], [], 0); p = select.poll(); p.register(a); p.poll(0)"
    lines = log_of(place, "-P", f"{place}/here", "-e", "trace=select,pselect6,poll,ppoll", "/usr/bin/python3", "-c", script)
    assert [line.split("(")[0] for line in lines[:-1]] in (["select", "poll"], ["pselect6", "poll"]), lines


def test_where_a_signal_found_the_program(place: Path) -> None:
    lines = log_of(place, "-i", "-e", "trace=none", "sh", "-c", "trap : USR1; kill -USR1 $$")
    assert re.match(r"\[0000[0-9a-f]{12}\] --- SIGUSR1 ", lines[0]), lines


def test_whose_line_it_is(place: Path) -> None:
    assert all(re.match(r"\d+ ", line) for line in log_of(place, "--always-show-pid", "-e", "execve", "./stack"))


def test_places_in_the_source(place: Path) -> None:
    lines = log_of(place, "-kk", "-e", "chdir", "./stack")
    assert any(line.endswith(f"{place}/stack.c:4") and "(inner+0x" in line for line in lines), lines
    assert any(line.endswith(f"{place}/stack.c:8") and "(main+0x" in line for line in lines), lines
    assert lines == log_of(place, "--stack-trace=source", "-e", "chdir", "./stack")


def test_few_functions_of_a_stack(place: Path) -> None:
    lines = log_of(place, "-k", "--stack-trace-frame-limit=2", "-e", "chdir", "./stack")
    assert [line.startswith("> ") for line in lines] == [False, True, True, True, False]
    assert lines[3] == "> too many stack frames"


@pytest.mark.skipif(not ROOT, reason="only root becomes somebody else")
def test_as_another_user(place: Path) -> None:
    log = place / "user.txt"
    done = subprocess.run(
        [*TRACE, "-u", "nobody", "-o", str(log), "sh", "-c", "id -u; id -G; ls /root"], capture_output=True, timeout=PATIENCE_S
    )
    plain = subprocess.run(["setpriv", "--reuid=nobody", "--regid=65534", "--init-groups", "id", "-G"], capture_output=True)
    assert done.stdout == b"65534\n" + plain.stdout and done.returncode != 0
    assert "+++ exited with" in log.read_text()


def test_who_there_is_not() -> None:
    done = subprocess.run([*TRACE, "-u", "no-such-user", "true"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 125 and "there is no user 'no-such-user'" in done.stderr


@pytest.mark.skipif(ROOT, reason="root can")
def test_only_root_becomes_somebody_else() -> None:
    done = subprocess.run([*TRACE, "-u", "root", "true"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 125 and "only root" in done.stderr


def test_percentiles_and_histogram(place: Path) -> None:
    lines = log_of(place, "-c", "--percentiles=50,99.9", "--histogram", "-e", "trace=read,close", "cat", "here")
    assert lines[0].split() == "% time seconds usecs/call calls errors p50 p99.9 syscall".split()
    shown = [line for line in lines if re.match(r"(read|close): \d+ calls", line)]
    assert len(shown) == 2
    count = {line.split(":")[0]: int(line.split()[1]) for line in shown}
    bars = [int(line.split()[2]) for line in lines if "█" in line or "▏" in line]
    assert sum(bars) == sum(count.values())


def test_only_calls_that_failed_so(place: Path) -> None:
    lines = log_of(place, "-e", "errno=ENOENT,ENOTDIR", "sh", "-c", "cat here nowhere here/nothing")
    assert any("nowhere" in line for line in lines) and any("here/nothing" in line for line in lines)
    assert all("ENOENT" in line or "ENOTDIR" in line for line in lines if "= " in line and not line.startswith("+++"))


def test_only_calls_with_such_an_argument(place: Path) -> None:
    lines = log_of(place, "-e", "arg.flags&=O_CREAT", "-e", "trace=openat", "sh", "-c", "cat here; echo > new")
    assert [line for line in lines if line.startswith("openat")] == [
        'openat(AT_FDCWD, "new", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3'
    ]
    assert log_of(place, "--arg", "fd>=3", "-e", "trace=read", "cat", "here")[0].startswith("read(3")
    several = log_of(place, "-e", "arg.fd!=3", "-e", "arg.count<=4", "-e", "trace=write", "sh", "-c", "echo abc; echo abcdef")
    assert [line for line in several if line.startswith("write")] == ['write(1, "abc\\n", 4) = 4']


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-e", "errno=ENOEN"], 'did you mean "ENOENT"'),
        (["--errno=0"], "invalid errno"),
        (["-e", "arg.flgs=1"], 'no call has an argument "flgs"'),
        (["--arg", "flags"], "is no condition"),
        (["--percentiles=0", "-c"], "percentiles lie above 0"),
        (["--histogram"], "say -c or -C"),
        (["--stack-trace=sources"], 'did you mean "source"'),
        (["--stack-trace-frame-limit=0", "-k"], "invalid --stack-trace-frame-limit argument"),
        (["--argv0"], "needs a value"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_clear_line(words: list[str], said: str) -> None:
    done = subprocess.run(
        [*TRACE, *words, *(["true"] if words != ["--argv0"] else [])], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 125 and said in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr
