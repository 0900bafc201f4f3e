"""`selftrace trace -p PID --backend inject`: put into processes that run, and taken out again without a trace."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from selftrace.calls import table
from selftrace.errors import SelftraceError
from selftrace.injected import InjectedTracer, occupied, take_out
from selftrace.trace.kept import prepare
from selftrace.trace.options import parse
from tests.integration.traced import TRACE, events_of
from tests.waiting import PATIENCE_S, wait_for

HERE = Path(__file__).resolve().parent
INJECT = [*TRACE, "--backend", "inject"]


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("injected") / "injected"
    subprocess.run(["gcc", "-O1", "-pthread", "-o", str(path), str(HERE / "injected.c")], check=True)
    return path


@pytest.fixture
def process(busy: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([str(busy)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdin is not None
        assert child.stdout.readline() == "ready\n"
        yield child
        child.kill()


def last_words(child: subprocess.Popen[str]) -> str:
    output, _ = child.communicate("x", timeout=PATIENCE_S)
    return output


WHOLE = "wrong 0 interrupted 0 some 1\n"


def links(pid: int) -> set[str]:
    """What its descriptors lead to, but for the file that it opens and closes all the time."""
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return {link for link in found if "comm" not in link}


def state(pid: int) -> tuple[list[str], list[str], set[str]]:
    """What a process that was let go of must have as it was: signals, the files that it maps, descriptors."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    signals = [line for line in status if re.match("Sig(Blk|Ign|Cgt)|Seccomp:|NoNewPrivs|TracerPid", line)]
    maps = [line.split()[-1] for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if "/" in line]
    return signals, maps, links(pid)


def traced(pid: int, *words: str, wanted: set[int]) -> tuple[InjectedTracer, bytes]:
    """Injects, looks until it has seen these calls, takes out. Returns the tracer and the frames that it saw."""
    tracer = InjectedTracer(prepare(parse([*words, "x"])), pid, block=True, cpu_time=False, say=lambda text: None)
    tracer.start()
    seen, end = b"", time.monotonic() + PATIENCE_S
    for batch in tracer.batches():
        seen += bytes(batch)
        if (batch and wanted <= numbers_in(seen)) or time.monotonic() > end:
            break
    tracer.close()
    return tracer, seen


def busy_for(pid: int) -> int:
    """Its processor time in the kernel's ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def numbers_in(seen: bytes) -> set[int]:
    """The calls of whole frames: struct st_event of native/selftrace.h."""
    from selftrace._native import ffi, lib

    at, found = 0, set()
    while at < len(seen):
        event = ffi.from_buffer("struct st_event *", seen[at : at + ffi.sizeof("struct st_event")])
        if event.kind == lib.ST_EVENT_ENTRY:
            found.add(event.sysno)
        at += event.size
    return found


def test_a_hundred_times_and_nobody_notices(process: subprocess.Popen[str]) -> None:
    before = state(process.pid)
    often = {table().by_name[name].sysno for name in ("openat", "close")}
    seldom = {table().by_name[name].sysno for name in ("poll", "tgkill", "getppid")}
    for turn in range(100):
        wanted = often if turn % 10 else often | seldom
        tracer, frames = traced(process.pid, "-e", "trace=all", wanted=wanted)
        assert wanted <= numbers_in(frames)
        assert not tracer.notes and not tracer.lost
    assert state(process.pid) == before and not occupied(process.pid)
    assert last_words(process) == WHOLE


def test_the_command_until_interrupted(process: subprocess.Popen[str], tmp_path: Path) -> None:
    output = tmp_path / "out.txt"
    tracer = subprocess.Popen([*INJECT, "-p", str(process.pid), "-o", str(output)], stderr=subprocess.PIPE, text=True)
    wanted = (r"getppid\(\)", r"--- SIGALRM", r'openat\(.*comm", O_RDONLY\|O_CLOEXEC\) = \d+')

    def all_seen() -> bool:
        text = output.read_text() if output.exists() else ""
        return len(set(re.findall(r"^\d+", text, re.M))) > 6 and all(re.search(one, text) for one in wanted)

    wait_for(all_seen, 0.05)
    tracer.send_signal(signal.SIGINT)
    _, errors = tracer.communicate(timeout=PATIENCE_S)
    assert tracer.returncode == 128 + signal.SIGINT
    assert errors.splitlines() == [
        f"selftrace: Process {process.pid} attached with 6 threads",
        f"selftrace: Process {process.pid} detached",
    ]
    text = output.read_text()
    assert len(set(re.findall(r"^\d+", text, re.M))) > 6  # its threads, and children that it forked
    assert re.search(r'openat\(AT_FDCWD, "/proc/self/comm", O_RDONLY\|O_CLOEXEC\) = \d+', text)
    assert "--- SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL} ---" in text
    assert "getppid()" in text  # by a forked child
    assert last_words(process) == WHOLE


def test_a_tracer_that_is_killed(process: subprocess.Popen[str], tmp_path: Path) -> None:
    """The process runs on, with the interposer in it, until it is taken out."""
    log = tmp_path / "out.txt"
    tracer = subprocess.Popen([*INJECT, "-qq", "-p", str(process.pid), "-o", str(log)])
    wait_for(lambda: log.exists() and log.stat().st_size)
    tracer.kill()
    tracer.wait()
    before = busy_for(process.pid)
    wait_for(lambda: busy_for(process.pid) > before + 20)
    assert process.poll() is None
    again = subprocess.run([*INJECT, "-p", str(process.pid)], capture_output=True, text=True)
    assert again.returncode == 125 and "--detach takes out what a tracer that was killed has left" in again.stderr
    out = subprocess.run([*INJECT, "--detach", "-p", str(process.pid)], capture_output=True, text=True)
    assert (out.returncode, out.stderr) == (0, f"selftrace: Process {process.pid} detached\n")
    assert not occupied(process.pid)
    assert last_words(process) == WHOLE


def test_it_ends_with_the_process(busy: Path, tmp_path: Path) -> None:
    """Each call is seen, to the last; the exit status is the tracer's own affair: we are not its parent."""
    code = "import os, sys; sys.stdin.readline(); [os.getppid() for _ in range(1000)]; os._exit(3)"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        capture = tmp_path / "out.strc"
        tracer = subprocess.Popen([*INJECT, "-p", str(child.pid), "-o", str(capture)], stderr=subprocess.PIPE, text=True)
        assert tracer.stderr is not None
        assert "attached" in tracer.stderr.readline()
        child.stdin.write("go\n")
        child.stdin.flush()
        assert child.wait(timeout=PATIENCE_S) == 3
        assert tracer.wait(timeout=PATIENCE_S) == 0
        tracer.stderr.close()
    events = list(events_of(capture))
    assert sum(event.name == "getppid" for event in events) == 1000
    assert [event.name for event in events if event.kind == "call"][-1] == "exit_group"
    assert any(event.kind == "exit" for event in events)


def test_faults(tmp_path: Path) -> None:
    code = "import os, sys; print('ready', flush=True); sys.stdin.readline()\ntry: os.mkdir('x')\nexcept OSError as e: print(e.errno)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        words = ["-e", "inject=mkdir:error=EDQUOT", "-o", str(tmp_path / "out.txt"), "-p", str(child.pid)]
        tracer = subprocess.Popen([*INJECT, *words], stderr=subprocess.PIPE, text=True)
        assert tracer.stderr is not None and "attached" in tracer.stderr.readline()
        output, _ = child.communicate("go\n", timeout=PATIENCE_S)
        assert output == "122\n"
        assert tracer.wait(timeout=PATIENCE_S) == 0
        tracer.stderr.close()
    assert "EDQUOT (Disk quota exceeded) (INJECTED)" in (tmp_path / "out.txt").read_text()


def test_another_program_is_not_followed(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sh", "-c", "read x; exec sleep 1000"], stdin=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        tracer = subprocess.Popen(
            [*INJECT, "-qq", "-p", str(child.pid), "-o", str(tmp_path / "out.txt")], stderr=subprocess.PIPE, text=True
        )
        wait_for(lambda: occupied(child.pid))
        child.stdin.write("go\n")
        child.stdin.flush()
        _, errors = tracer.communicate(timeout=PATIENCE_S)
        assert errors == f"selftrace: process {child.pid} has become another program, which is not followed\n"
        assert child.poll() is None
        child.kill()
    assert re.search(r'execve\("(/usr)?/bin/sleep"', (tmp_path / "out.txt").read_text())


def test_a_process_with_a_filter_of_its_own_is_left_alone() -> None:
    code = (
        "import ctypes, struct\n"
        "c = ctypes.CDLL(None); c.prctl(38, 1, 0, 0, 0)\n"
        "code = ctypes.create_string_buffer(struct.pack('<HBBI', 6, 0, 0, 0x7fff0000))\n"
        "program = ctypes.create_string_buffer(struct.pack('<HxxxxxxQ', 1, ctypes.addressof(code)))\n"
        "assert c.prctl(22, 2, program) == 0\n"
        "print('ready', flush=True); input()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        done = subprocess.run([*INJECT, "-p", str(child.pid)], capture_output=True, text=True)
        assert done.returncode == 125 and "seccomp filter" in done.stderr and len(done.stderr.splitlines()) == 1
        child.communicate("\n", timeout=PATIENCE_S)
        assert child.returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-p", "999999999"], "no such process"),
        (["true"], "for one process that runs"),
        (["-p", "1", "-p", "2"], "for one process that runs"),
        (["-k", "-p", "1"], "shows no stacks"),
    ],
)
def test_what_makes_no_sense(words: list[str], said: str) -> None:
    done = subprocess.run([*INJECT, *words], capture_output=True, text=True)
    assert done.returncode == 125 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_taking_out_what_is_not_in() -> None:
    with subprocess.Popen(["sleep", "1000"]) as child:
        with pytest.raises(SelftraceError, match="no interposer is in it"):
            take_out(child.pid)
        child.kill()
