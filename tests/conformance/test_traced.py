"""Tracing changes nothing: probes and stress as without it, and each call seen once, whatever signals and kills come."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from selftrace.compiling import compiled
from selftrace.events import frames
from selftrace.events.capture import Capture
from selftrace.events.event import TraceEvent
from selftrace.events.pairing import Pairing
from selftrace.job import make_program
from selftrace.kernel.features import probe as features_of
from selftrace.trace.model import make_model
from selftrace.trace.options import parse
from selftrace.tracer import Tracer
from tests.conformance.exceptions import TRACES
from tests.integration.traced import RESTART, TRACE, events_of
from tests.waiting import PATIENCE_S, sleeps_in, state, wait_for

HERE = Path(__file__).resolve().parent
PROBES = re.findall(r"^void (probe_\w+)\(void\)", (HERE / "probes.c").read_text(), re.M)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="traced-"))
    directory.chmod(0o777)
    gcc = ["gcc", "-O1", "-w", "-pthread"]
    subprocess.run([*gcc, "-shared", "-fPIC", "-o", directory / "probes.so", HERE / "probes.c"], check=True)
    subprocess.run([*gcc, "-o", directory / "stress", HERE / "stress.c"], check=True)
    yield directory
    shutil.rmtree(directory)


TRACED = [(name, backend) for name in PROBES for backend in ("trap", "ptrace") if (name, backend) not in TRACES]


@pytest.mark.parametrize(("name", "backend"), TRACED, ids=[f"{name}-{backend}" for name, backend in TRACED])
def test_probes_as_without(name: str, backend: str, place: Path) -> None:
    command = ["/usr/bin/python3", "-c", f"import ctypes; ctypes.CDLL('{place}/probes.so').{name}()"]
    plain = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, cwd=place)
    words = [*TRACE, "--backend", backend, "-o", "/dev/null", *command]
    traced = subprocess.run(words, capture_output=True, timeout=PATIENCE_S, cwd=place)
    assert plain.stdout and plain.returncode == 0
    assert (traced.stdout, traced.returncode) == (plain.stdout, plain.returncode), traced.stderr


@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=pytest.mark.slow)])
def test_each_call_is_seen_once(seconds: int, place: Path) -> None:
    capture = place / "stress.strc"
    words = ["-e", "trace=getppid,execve,rt_tgsigqueueinfo,wait4,waitid", "-o", str(capture)]
    run = subprocess.run([*TRACE, *words, str(place / "stress"), str(seconds)], capture_output=True, timeout=seconds + PATIENCE_S)
    assert run.returncode == 0, run.stderr
    done: dict[str, int] = json.loads(run.stdout)
    seen: Counter[str] = Counter()
    for event in events_of(capture):
        if event.kind == "call" and not event.flags & RESTART:
            assert event.result is not None, event.name
            seen[event.name] += event.duration_ns is not None
        elif event.kind in ("signal", "lost"):
            seen[event.name if event.kind == "signal" else "lost"] += 1
    assert done["wrong"] == 0 and seen["lost"] == 0
    assert seen["getppid"] == done["getppid"] + 1 > 10000  # and main's
    assert seen["rt_tgsigqueueinfo"] == done["sent"]
    assert seen["execve"] == done["execed"] + 1
    assert sum(count for name, count in seen.items() if name.startswith("SIG")) >= done["received"]


def test_a_killed_tracer_leaves_the_program_running(place: Path) -> None:
    """Whatever it does: also one that has filled the ring and waits for room."""
    script = "until [ -e go ]; do read x < /dev/null; done"
    words = [*TRACE, "-o", str(place / "killed.strc"), "sh", "-c", f"echo $$ > pid; {script}; echo gone > new; mv new done"]
    tracer = subprocess.Popen(words, cwd=place, start_new_session=True)
    wait_for(lambda: (place / "pid").exists() and (place / "pid").read_text())
    pid = int((place / "pid").read_text())
    os.kill(tracer.pid, signal.SIGSTOP)
    wait_for(lambda: sleeps_in("nanosleep", pid))
    assert not (place / "done").exists()
    os.kill(tracer.pid, signal.SIGKILL)
    tracer.wait()
    (place / "go").touch()
    wait_for(lambda: (place / "done").exists())
    assert (place / "done").read_text() == "gone\n"
    for name in ("done", "pid", "go"):
        (place / name).unlink()


def test_a_killed_program_leaves_a_trace(place: Path) -> None:
    code = "import os\nwhile True:\n    for f in os.listdir('/etc'): os.stat('/etc/' + f, follow_symlinks=False)\n"
    for _ in range(10):
        capture = place / "victim.strc"
        tracer = subprocess.Popen([*TRACE, "-o", str(capture), "/usr/bin/python3", "-c", code])
        wait_for(lambda: capture.exists() and capture.stat().st_size > 1 << 20)  # noqa: B023
        with Capture(capture) as file:
            victim = next(int.from_bytes(frame[24:28], "little") for frame in file)
        os.kill(victim, signal.SIGKILL)
        assert tracer.wait(timeout=PATIENCE_S) == 128 + 9
        found = events_of(capture)
        capture.unlink()
        assert len(found) > 1000
        assert found[-1].kind == "exit" and found[-1].info["signal"] == "SIGKILL"


def traced(command: list[str], *, block: bool, size: int, pause: Callable[[int], object]) -> tuple[int, int, Tracer]:
    """(calls begun, calls ended) of a program whose ring is small, and whose reader pauses after each time; it is told the pid."""
    prepared, _ = compiled(make_model(parse(command)), features_of())
    tracer = Tracer(prepared, make_program(command), dict(os.environ), block=block, size=size)
    kinds: Counter[int] = Counter()
    try:
        tracer.start()
        for batch in tracer.batches():
            at = 0
            while at < len(batch):
                kinds[frames.HEAD.unpack_from(batch, at)[6]] += 1
                at += int.from_bytes(batch[at + 8 : at + 12], "little")
            pause(tracer.pid)
    finally:
        tracer.close()
    return kinds[frames.ENTRY], kinds[frames.EXIT], tracer


DD = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=5000", "status=none"]


def test_a_full_ring_makes_the_program_wait() -> None:
    entries, exits, tracer = traced(DD, block=True, size=1 << 16, pause=lambda pid: time.sleep(0.005))
    assert (tracer.lost, tracer.status) == (0, 0)
    assert entries == exits + 1 and entries > 10000


def test_or_drops_and_counts() -> None:
    """The reader looks again when the program has ended."""

    def until_it_has_ended(pid: int) -> None:
        wait_for(lambda: not Path(f"/proc/{pid}").exists() or state(pid) == "Z")

    entries, exits, tracer = traced(DD, block=False, size=1 << 16, pause=until_it_has_ended)
    assert tracer.status == 0 and tracer.lost > 1000
    assert 20000 < entries + exits + tracer.lost < 21000


def test_what_nobody_can_read_is_no_fault_of_the_program(place: Path) -> None:
    """Arguments that point nowhere are looked at, whatever signals the program has blocked."""
    code = (
        "import ctypes, signal, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n"
        "for number in (0, 1, 4, 5, 7, 13, 42, 45, 46, 47, 59, 202, 257, 262, 435, 437):\n"
        "    print(number, libc.syscall(number, 99, 0xdead000, 0xdead000, 8, 0xdead000, 0xdead000), ctypes.get_errno())\n"
        "    print(number, libc.syscall(number, 0x7fffffffe000, 0x7fffffffe000, 0x7fffffffe000, 8, 1, 1), ctypes.get_errno())\n"
        "p = libc.syscall(56, 17, 0, 0x10, 0x20, 0)\nif p == 0: os._exit(7)\nprint(os.waitpid(p, 0)[1])\n"
    )
    plain = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, timeout=PATIENCE_S)
    capture = place / "nowhere.strc"
    done = subprocess.run(
        [*TRACE, "-yy", "-v", "-o", str(capture), "/usr/bin/python3", "-c", code], capture_output=True, timeout=PATIENCE_S
    )
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout) == (0, plain.stdout), done.stderr
    assert len(events_of(capture)) > 100


def test_threads_and_processes(place: Path) -> None:
    code = (
        "import threading, os, subprocess\n"
        "t = [threading.Thread(target=os.getppid) for _ in range(20)]\n[x.start() for x in t]; [x.join() for x in t]\n"
        "for _ in range(3):\n    p = os.fork()\n    if p == 0: os.getppid(); os._exit(3)\n    os.waitpid(p, 0)\n"
        "subprocess.run(['true'])\n"
    )
    capture = place / "tasks.strc"
    subprocess.run([*TRACE, "-o", str(capture), "/usr/bin/python3", "-c", code], check=True, timeout=PATIENCE_S)
    found = events_of(capture)
    begun = [event for event in found if event.kind == "fork"]
    ended = [event for event in found if event.kind == "exit"]
    assert len(begun) == 24 and len(ended) == 25
    assert {event.tid for event in begun} < {event.tid for event in ended}
    assert sum(event.info["exit_code"] == 3 for event in ended) == 3
    asking = [event for event in found if event.kind == "call" and event.name == "getppid"]
    assert len({event.tid for event in asking}) == 23
    assert len({event.pid for event in found}) == 5


def test_unfinished_is_all_that_was_under_way(place: Path) -> None:
    capture = place / "sleeping.strc"
    tracer = subprocess.Popen([*TRACE, "-o", str(capture), "sleep", "1000"])

    def under_way() -> list[TraceEvent]:
        with Capture(capture) as file:
            pairing = Pairing(file.metadata)
            seen[:] = pairing.feed(file)
            return list(pairing.unfinished())

    seen: list[TraceEvent] = []
    wait_for(lambda: capture.exists() and capture.stat().st_size)
    wait_for(lambda: [event.name for event in under_way()] == ["clock_nanosleep"])
    os.kill(seen[0].pid, signal.SIGTERM)
    assert tracer.wait(timeout=PATIENCE_S) == 128 + 15
