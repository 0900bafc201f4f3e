"""`selftrace trace -p`: running processes are traced and let go of, whatever happens to whom; they do not notice."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from selftrace.backends import refusals
from tests.integration.test_trace_ptrace import compiled
from tests.integration.traced import TRACE, events_of
from tests.waiting import PATIENCE_S, sleeps_in, state, wait_for

SERVER = (Path(__file__).parent / "server.c").read_text()
AGAIN_AND_AGAIN = """
import sys
from selftrace.backends.ptrace import Watch
from selftrace.calls.capture import captures
from selftrace.outside import OutsideTracer
pid, times = map(int, sys.argv[1:])
watch = Watch(frozenset(range(450)), captures())
for _ in range(times):
    tracer, seen = OutsideTracer(watch, None, {}, pids=[pid], say=lambda text: None), 0
    tracer.start()
    for batch in tracer.batches():
        seen += len(batch)
        if seen > 20000:
            break
    tracer.close()
print("done")
"""


class Load:
    """A server, clients that ask it, and somebody who sends it signals."""

    def __init__(self, directory: Path, threads: int = 8) -> None:
        program = compiled(SERVER, directory)
        self.process = subprocess.Popen([program, str(threads)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.pid = self.process.pid
        self.answered, self.sent, self.handled, self.failed = 0, 0, 0, list[str]()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(3)] + [threading.Thread(target=self._signal)]
        for thread in self._threads:
            thread.start()

    def ask(self, text: str = "?") -> int:
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as client:
            client.sendall(f"{text}\n".encode())
            answer = client.makefile().readline()
        return int(answer or 0)

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                self.handled = max(self.handled, self.ask())
            except (OSError, ValueError) as error:
                self.failed.append(repr(error))
                return
            self.answered += 1

    def _signal(self) -> None:
        """Not too far ahead of the server: those that the kernel has no room for would be lost."""
        while not self._over.wait(0.001):
            if self.sent - self.handled < 1000:
                os.kill(self.pid, signal.SIGRTMIN)
                self.sent += 1

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def check(self) -> None:
        """No request failed, no signal is missing or came twice, no thread is stopped or traced."""
        wait_for(lambda: self.failed or (self.answered > 50 and self.sent > 50))
        self.stop()
        assert not self.failed
        wait_for(lambda: self.ask() >= self.sent)
        assert self.ask() == self.sent
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            status = (task / "status").read_text()
            assert "TracerPid:\t0\n" in status and re.search(r"State:\t[RS]", status), status

    def end(self) -> None:
        self.stop()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    found = Load(tmp_path)
    yield found
    found.end()


def attached(*words: str, count: int = 1, **options: object) -> subprocess.Popen[str]:
    """A tracer that has attached to `count` processes."""
    tracer = subprocess.Popen([*TRACE, *words], stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]
    assert tracer.stderr is not None
    for _ in range(count):
        line = tracer.stderr.readline()
        assert re.match(r"selftrace: Process \d+ attached", line), line
    return tracer  # type: ignore[no-any-return]


def test_a_hundred_times_to_a_busy_server(load: Load) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AGAIN_AND_AGAIN, str(load.pid), "100"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert done.stdout == "done\n", done.stderr
    load.check()


def test_a_tracer_killed_at_any_moment(load: Load) -> None:
    chance = random.Random(5)
    for _ in range(20):
        tracer = subprocess.Popen([*TRACE, "-q", "-p", str(load.pid), "-o", "/dev/null"])
        time.sleep(chance.uniform(0.1, 0.5))
        tracer.kill()
        tracer.wait()
    load.check()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_let_go(number: signal.Signals, load: Load, tmp_path: Path) -> None:
    log = tmp_path / "o"
    tracer = attached("-p", str(load.pid), "-o", str(log))
    wait_for(lambda: len(set(re.findall(r"^(\d+) ", log.read_text(), re.MULTILINE))) == 8 and "SIGRT" in log.read_text())
    tracer.send_signal(number)
    _, said = tracer.communicate(timeout=PATIENCE_S)
    assert tracer.returncode == 128 + number and said == f"selftrace: Process {load.pid} detached\n"
    load.check()
    assert log.read_text().endswith("\n")


def test_all_that_it_starts_from_then_on(tmp_path: Path) -> None:
    capture = tmp_path / "o.strc"
    code = "import os, subprocess, threading; input(); t = threading.Thread(target=os.getppid); t.start(); t.join(); subprocess.run(['true'])"
    program = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    wait_for(lambda: sleeps_in("read", program.pid))
    tracer = attached("-p", str(program.pid), "-o", str(capture))
    program.communicate(b"\n", timeout=PATIENCE_S)
    assert program.returncode == 0 and tracer.wait(timeout=PATIENCE_S) == 0
    tracer.communicate()
    events = events_of(capture)
    assert sum(event.kind == "exit" for event in events) == 3
    assert any(event.name == "execve" and event.path and event.path.endswith("true") for event in events if event.kind == "call")


def test_stopped_processes_stay_stopped(tmp_path: Path) -> None:
    """T before, under and after the trace; SIGCONT wakes it in each."""
    sleeper = subprocess.Popen(["sleep", "1000"])
    wait_for(lambda: sleeps_in("nanosleep", sleeper.pid))
    os.kill(sleeper.pid, signal.SIGSTOP)
    wait_for(lambda: state(sleeper.pid) == "T")
    log = tmp_path / "o"
    tracer = attached("-p", str(sleeper.pid), "-o", str(log))
    wait_for(lambda: "stopped by SIGSTOP" in log.read_text())
    assert state(sleeper.pid) == "t"
    tracer.terminate()
    tracer.communicate(timeout=PATIENCE_S)
    wait_for(lambda: state(sleeper.pid) == "T")
    tracer = attached("-p", str(sleeper.pid), "-o", str(log))
    wait_for(lambda: "stopped by SIGSTOP" in log.read_text())
    os.kill(sleeper.pid, signal.SIGCONT)
    wait_for(lambda: "restart_syscall(<... resuming interrupted clock_nanosleep ...>" in log.read_text())
    os.kill(sleeper.pid, signal.SIGSTOP)
    wait_for(lambda: log.read_text().count("stopped by SIGSTOP") == 2)
    tracer.kill()  # even so
    tracer.communicate()
    wait_for(lambda: state(sleeper.pid) == "T")
    os.kill(sleeper.pid, signal.SIGCONT)
    wait_for(lambda: state(sleeper.pid) == "S")
    sleeper.kill()
    sleeper.wait()


def test_several_and_a_program_besides(tmp_path: Path) -> None:
    sleepers = [subprocess.Popen(["sleep", "1000"]) for _ in range(3)]
    capture = tmp_path / "o.strc"
    pids = [str(sleeper.pid) for sleeper in sleepers]
    tracer = attached("-p", ",".join(pids[:2]), "-p", pids[2], "-o", str(capture), "sh", "-c", f"kill {' '.join(pids)}", count=3)
    assert tracer.wait(timeout=PATIENCE_S) == 0
    tracer.communicate()
    ends = {event.tid: event for event in events_of(capture) if event.kind == "exit"}
    assert {int(pid) for pid in pids} < set(ends) and len(ends) == 4
    assert [sleeper.wait() for sleeper in sleepers] == [-15] * 3


def test_one_of_several_is_not_there(tmp_path: Path) -> None:
    sleeper = subprocess.Popen(["sleep", "1000"])
    tracer = subprocess.Popen(
        [*TRACE, "-p", f"99999999,{sleeper.pid}", "-o", str(tmp_path / "o")], stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: "TracerPid:\t0" not in Path(f"/proc/{sleeper.pid}/status").read_text())
    sleeper.kill()
    sleeper.wait()
    _, said = tracer.communicate(timeout=PATIENCE_S)
    assert tracer.returncode == 0 and "cannot attach to process 99999999: there is no such process\n" in said


def test_native_stacks_of_what_was_mapped_before(tmp_path: Path) -> None:
    program = compiled("#include <unistd.h>\nint main(void) { for (;;) usleep(10000); }", tmp_path)
    sleeper, log = subprocess.Popen([program]), tmp_path / "o"
    tracer = attached("-k", "-p", str(sleeper.pid), "-o", str(log))
    wait_for(lambda: re.search(r"clock_nanosleep.*\n(?: > .*\n)* > \S*program\(main\+0x\w+\)", log.read_text()))
    tracer.terminate()
    tracer.communicate(timeout=PATIENCE_S)
    sleeper.kill()
    sleeper.wait()


def refused(pid: int, *words: str, wrapper: tuple[str, ...] = ()) -> str:
    done = subprocess.run([*wrapper, *TRACE, *words, "-p", str(pid)], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 125 and len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr, done
    assert done.stderr.startswith(f"selftrace: cannot attach to process {pid}: "), done.stderr
    return done.stderr


def test_refused_because_there_is_none() -> None:
    assert "no such process" in refused(99999999)


def test_refused_because_it_is_a_zombie() -> None:
    child = subprocess.Popen(["true"])
    wait_for(lambda: state(child.pid) == "Z")
    assert f"a zombie: it has ended, and its parent, {os.getpid()}," in refused(child.pid)
    child.wait()


def test_refused_because_it_is_the_kernels() -> None:
    assert "a thread of the kernel" in refused(2)


def test_refused_because_somebody_else_traces_it() -> None:
    sleeper = subprocess.Popen(["sleep", "1000"])
    tracer = attached("-p", str(sleeper.pid), "-o", "/dev/null")
    assert f"traced already, by {tracer.pid} (" in refused(sleeper.pid)
    tracer.terminate()
    tracer.communicate(timeout=PATIENCE_S)
    wait_for(lambda: state(sleeper.pid) == "S")
    sleeper.kill()
    sleeper.wait()


def test_refused_because_it_is_a_32_bit_program(tmp_path: Path) -> None:
    """Which may even run on: nothing was done to it. An ELF file's class is a byte of its header."""
    program = tmp_path / "program"
    (tmp_path / "a.s").write_text(".globl _start\n_start: mov $29, %eax\n int $0x80\n jmp _start\n")  # pause
    subprocess.run(["as", "--32", "-o", tmp_path / "a.o", tmp_path / "a.s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-o", program, tmp_path / "a.o"], check=True)
    try:
        running = subprocess.Popen([program])
    except OSError:
        pytest.skip("this kernel runs no 32-bit programs")
    assert "a 32-bit program" in refused(running.pid)
    wait_for(lambda: state(running.pid) == "S")
    assert running.poll() is None
    running.kill()
    running.wait()


def test_a_32_bit_program_below_a_64_bit_one_runs_untraced(tmp_path: Path) -> None:
    program = tmp_path / "program"
    (tmp_path / "a.s").write_text(".globl _start\n_start: mov $1, %eax\n mov $7, %ebx\n int $0x80\n")  # exit(7)
    subprocess.run(["as", "--32", "-o", tmp_path / "a.o", tmp_path / "a.s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-o", program, tmp_path / "a.o"], check=True)
    for words in ([], ["-e", "trace=execve,exit"]):
        done = subprocess.run(
            [*TRACE, "--backend", "ptrace", *words, "-o", tmp_path / "o", "sh", "-c", f"{program}; echo $?"],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        if done.stdout == "126\n":
            pytest.skip("this kernel runs no 32-bit programs")
        assert done.stdout == "7\n" and "another architecture" in done.stderr, done
        assert (tmp_path / "o").read_text().count("execve(") == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start something as somebody else")
def test_refused_because_it_is_somebody_elses() -> None:
    sleeper = subprocess.Popen(["sleep", "1000"], user=65533)
    wait_for(lambda: Path(f"/proc/{sleeper.pid}/comm").read_text() == "sleep\n")
    done = subprocess.run([sys.executable, "-c", ATTACHES, str(sleeper.pid)], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.stdout == "it belongs to uid 65533: attach as uid 65533 or as root\n", done
    sleeper.kill()
    sleeper.wait()


NOT_DUMPABLE = """
import ctypes, sys, time
assert ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0  # PR_SET_DUMPABLE
print("ready", flush=True)
time.sleep(1000)
"""
ATTACHES = """
import os, sys
from selftrace.backends import refusals
from selftrace.backends.ptrace import Supervisor, Watch
supervisor = Supervisor(Watch(frozenset(), {}))
if not os.geteuid():
    os.setuid(65534)
try:
    supervisor.attach(int(sys.argv[1]))
except OSError as error:
    print(refusals.afterwards(int(sys.argv[1]), error))
"""


def test_refused_because_it_is_not_dumpable() -> None:
    user = {"user": 65534} if os.geteuid() == 0 else {}
    running = subprocess.Popen(["/usr/bin/python3", "-I", "-S", "-c", NOT_DUMPABLE], stdout=subprocess.PIPE, text=True, **user)  # type: ignore[call-overload]
    assert running.stdout.readline() == "ready\n"
    done = subprocess.run([sys.executable, "-c", ATTACHES, str(running.pid)], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.stdout.startswith("it is not dumpable"), done
    running.kill()
    running.communicate()


@pytest.mark.parametrize(("scope", "said"), [(1, "ancestors"), (2, "only CAP_SYS_PTRACE"), (3, "until the next boot")])
def test_refused_because_of_yama(scope: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said where the kernel has it and nothing else stands against it; not every kernel has."""
    setting = tmp_path / "ptrace_scope"
    setting.write_text(f"{scope}\n")
    monkeypatch.setattr(refusals, "_YAMA", str(setting))
    sleeper = subprocess.Popen(["sleep", "1000"])
    reason = refusals.afterwards(sleeper.pid, PermissionError(1, "Operation not permitted"))
    assert reason.startswith(f"kernel.yama.ptrace_scope is {scope}: ") and said in reason
    sleeper.kill()
    sleeper.wait()


def test_words_that_do_not_go_together() -> None:
    for words, said in (
        (["-p", "0"], "invalid process id argument"),
        (["-p", "x"], "invalid process id argument"),
        (["-p", "1", "--backend", "trap"], "leave out --backend trap"),
    ):
        done = subprocess.run([*TRACE, *words], capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 125 and said in done.stderr and len(done.stderr.splitlines()) == 1
