"""selftrace.tracing: what is seen, by whom, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import selftrace
from selftrace.inprocess.engine import known_problem
from selftrace.inprocess.tracing import LiveTrace
from tests.waiting import PATIENCE_S, sleeps_in, wait_for

pytestmark = pytest.mark.skipif(bool(known_problem()), reason=known_problem() or "available")
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is missing")
    path = tmp_path_factory.mktemp("inprocess") / "inprocess.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-pthread", "-o", str(path), str(HERE / "inprocess.c")], check=True)
    return ctypes.CDLL(str(path))


def in_child(code: str, *args: str, timeout: float = PATIENCE_S) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- what is seen -------------------------------------------------------------------------------------------


def test_every_call_is_seen_with_its_result() -> None:
    with selftrace.tracing(threads="current") as trace:
        os.getppid()
        with contextlib.suppress(OSError):
            os.stat("/nowhere/at/all")
    assert trace.count("getppid") == 1
    assert trace.calls("getppid")[0].result == os.getppid()
    assert "/nowhere/at/all" in trace.paths()
    assert trace.calls("%file")[0].error == "ENOENT"
    assert trace.lost == 0


def test_only_what_is_asked_for() -> None:
    with selftrace.tracing("getppid,%network") as trace:
        os.getppid()
        os.getpid()
        os.stat("/")
    assert [event.name for event in trace.events] == ["getppid"]


@pytest.mark.parametrize("text", ["getpidd", "%netwrok", ""])
def test_a_filter_that_makes_no_sense(text: str) -> None:
    with pytest.raises(ValueError):
        selftrace.tracing(text)


def test_our_own_calls_are_not_seen() -> None:
    with selftrace.tracing(threads="current") as trace:
        for _ in range(5):
            trace.count("getppid"), trace.events, trace.paths(), repr(trace), trace._repr_html_(), len(trace), list(trace)
    seen = {event.name for event in trace.calls()} - {"mmap", "munmap", "brk"}
    assert seen <= set()


def test_nested() -> None:
    with selftrace.tracing("getppid,getpgrp", threads="current") as outer:
        os.getppid()
        with selftrace.tracing("getppid", threads="current") as inner:
            os.getppid()
            os.getpgrp()
            assert outer.count() == 3
        os.getppid()
    os.getppid()
    assert (outer.count("getppid"), outer.count("getpgrp")) == (3, 1)
    assert (inner.count("getppid"), inner.count()) == (1, 1)


def test_the_same_object_again_and_within_itself() -> None:
    tracing = selftrace.tracing("getppid")
    with tracing as first, tracing as second:
        os.getppid()
    with tracing as third:
        pass
    assert (first.count(), second.count(), third.count()) == (1, 1, 0)


def test_decorators() -> None:
    @selftrace.inject("getcwd", error="EACCES")
    def function() -> str:
        return os.getcwd()

    @selftrace.inject("getcwd:error=EACCES")
    async def coroutine() -> str:
        await asyncio.sleep(0)
        return os.getcwd()

    @selftrace.inject("getcwd", error=13)
    def generator() -> Iterator[str]:
        yield os.getcwd()

    for call in (function, lambda: asyncio.run(coroutine()), lambda: list(generator())):
        with pytest.raises(PermissionError):
            call()
    assert os.getcwd()


def test_a_limit_is_kept_and_what_is_dropped_is_counted() -> None:
    with selftrace.tracing("getppid", limit_bytes=1 << 20) as trace:
        for _ in range(20000):
            os.getppid()
        trace.count()
        for _ in range(20000):
            os.getppid()
    assert trace.lost > 10000
    assert 1000 < trace.count() < 30000
    assert trace.lost + 2 * trace.count() == pytest.approx(80000, abs=2)


def _broken_off(kind: type[BaseException]) -> LiveTrace:
    tracing = selftrace.tracing("getppid")
    with pytest.raises(kind), tracing as trace:
        os.getppid() and _raise(kind)
    return trace


def _raise(kind: type[BaseException]) -> None:
    raise kind


def test_exceptions_and_interrupts_end_it() -> None:
    for kind in (ValueError, KeyboardInterrupt, SystemExit, GeneratorExit):
        trace = _broken_off(kind)
        os.getppid()
        assert trace.count() == 1


def test_a_generator_that_is_left() -> None:
    def numbers() -> Iterator[int]:
        with selftrace.tracing("getppid", threads="current") as trace:
            traces.append(trace)
            yield os.getppid()
            yield os.getppid()

    traces: list[object] = []
    generator = numbers()
    next(generator)
    generator.close()
    os.getppid()
    assert traces[0].count() == 1  # type: ignore[attr-defined]


def test_asyncio() -> None:
    async def work() -> int:
        with selftrace.tracing("%network,pipe2,%desc", threads="current") as trace:
            reader, writer = await asyncio.open_connection(sock=ours)
            writer.write(b"x")
            await writer.drain()
            assert await reader.read(1) == b"y"
            writer.close()
        return trace.count("sendto")

    import socket

    ours, theirs = socket.socketpair()
    theirs.sendall(b"y")
    assert asyncio.run(work()) == 1
    theirs.close()


# ---- threads -------------------------------------------------------------------------------------------------


def test_threads_that_are_started_within() -> None:
    seen: list[int] = []

    def work() -> None:
        os.getppid()
        seen.append(threading.get_native_id())

    with selftrace.tracing("getppid", threads="current") as trace:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(event.tid for event in trace.calls()) == sorted(seen)


@pytest.mark.parametrize("scope", ["all", "current"])
def test_threads_that_ran_before(scope: str) -> None:
    go, done, end = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        go.wait()
        os.getppid()
        done.set()
        end.wait()
        os.getppid()

    thread = threading.Thread(target=work)
    thread.start()
    with selftrace.tracing("getppid", threads=scope) as trace:  # type: ignore[arg-type]
        go.set()
        done.wait()
    end.set()
    thread.join()
    assert trace.count() == (1 if scope == "all" else 0)
    assert trace.untraced_threads == ()


def test_a_thread_that_blocks_everything_is_reached() -> None:
    ready, end = threading.Event(), threading.Event()

    def work() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        ready.set()
        end.wait()
        os.getppid()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    with selftrace.tracing("getppid") as trace:
        end.set()
        thread.join()
    assert trace.untraced_threads == ()
    assert [event.tid for event in trace.calls()] == [thread.native_id]


def test_several_threads_trace_themselves_at_once() -> None:
    results: list[tuple[int, int]] = []

    def work(number: int) -> None:
        for _ in range(10):
            with selftrace.tracing("getppid", threads="current") as trace:
                for _ in range(number):
                    os.getppid()
            results.append((number, trace.count()))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 60
    assert all(number == count for number, count in results)


def test_threads_at_work_while_it_is_switched() -> None:
    """Other threads keep their results; each switch reaches them all."""
    stop, wrong = threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            with open("/proc/self/comm", "rb") as file:
                if not file.read():
                    wrong.append(1)
            os.stat("/")

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(60):
            with selftrace.tracing("%file") as trace:
                time.sleep(0.001)
            assert trace.untraced_threads == ()
            assert trace._share.stuck == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []


# ---- processes -------------------------------------------------------------------------------------------------


def test_forks_are_untraced_and_whole(library: ctypes.CDLL) -> None:
    handler = library.raw_fork()
    with selftrace.tracing("getppid", threads="current") as trace:
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.getppid()
            with selftrace.tracing("getppid") as own:
                os.getppid()
            os.write(write, str(own.count()).encode())
            os._exit(3)
        os.close(write)
        assert os.read(read, 9) == b"1"
        os.close(read)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
        assert library.raw_fork() == handler
        assert subprocess.run([sys.executable, "-c", "import os; os.getppid()"], check=True).returncode == 0
        assert os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1]) == 0
        assert os.system("exit 5") == 5 << 8
    assert trace.count() == 0


def test_what_a_child_program_inherits() -> None:
    """Ignored signals, the mask, and no trace of ours. (SigQ is the user's, of all processes.)"""
    code = "import re; print(re.findall(r'(?:Sig(?!Q)|Secc|NoNew)\\w+:\\s+\\S+', open('/proc/self/status').read()))"
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        plain = in_child(code)
        with selftrace.tracing():
            traced = in_child(code)
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert traced == plain


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method: str) -> None:
    context = multiprocessing.get_context(method)
    with selftrace.tracing("getppid"), context.Pool(2) as pool:
        assert pool.map(abs, [-1, -2, -3]) == [1, 2, 3]
        pool.close()
        pool.join()
    if method == "spawn":  # its tracker process lives on otherwise
        from multiprocessing import resource_tracker

        del pool
        gc.collect()
        resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]


def test_children_are_followed() -> None:
    descriptors = os.listdir("/proc/self/fd")
    with selftrace.tracing("openat", threads="current", children=True) as trace:
        assert subprocess.run(["cat", "/etc/hostname"], capture_output=True, check=True).stdout
        assert subprocess.run("exit 3", shell=True, close_fds=False, check=False).returncode == 3
        with pytest.raises(FileNotFoundError):
            subprocess.run(["/nowhere/at/all"], check=False)
        with pytest.raises(selftrace.UnsupportedError), selftrace.tracing("openat", children=True):
            pass
    assert "/etc/hostname" in trace.paths()
    assert len({event.pid for event in trace.calls()}) > 1
    assert os.listdir("/proc/self/fd") == descriptors
    assert subprocess.run(["cat", "/etc/hostname"], capture_output=True, check=True).stdout


def test_faults_of_children() -> None:
    with selftrace.inject("openat", error="ENOSPC", path="/etc/hostname", children=True) as fault:
        done = subprocess.run(["cat", "/etc/hostname"], capture_output=True, text=True, check=False)
    assert "No space left" in done.stderr
    assert fault.fired == 1


def test_exec() -> None:
    code = "import os, selftrace\nselftrace.tracing().__enter__()\nos.execv('/bin/echo', ['echo', 'there'])"
    assert in_child(code) == "there\n"


# ---- signals -----------------------------------------------------------------------------------------------------


def test_signals_while_it_is_switched() -> None:
    hits = [0]

    def count(_signal: int, _frame: object) -> None:
        hits[0] += 1

    before = signal.signal(signal.SIGALRM, count)
    signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)
    try:
        for _ in range(100):
            with selftrace.tracing(threads="current") as trace:
                for _ in range(20):
                    os.getppid()
            assert trace.count("getppid") == 20
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert hits[0] > 10


def test_a_signal_for_a_thread_that_was_joined() -> None:
    """Its altstack is none, which the kernel may say by its size alone: after an exec by a thread that had one."""
    code = """
import ctypes, os, signal, sys, threading, time
if len(sys.argv) == 1:
    room = ctypes.create_string_buffer(1 << 16)
    stack = (ctypes.c_uint64 * 3)(ctypes.addressof(room), 0, 1 << 16)
    assert ctypes.CDLL(None).sigaltstack(stack, None) == 0
    os.execv(sys.executable, [sys.executable, "-c", os.environ["CODE"], "again"])
import selftrace
seen = []
signal.signal(signal.SIGALRM, lambda number, frame: seen.append(number))
def work():
    with selftrace.tracing(threads="all"):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)
        while not seen:
            time.sleep(0.001)
thread = threading.Thread(target=work)
thread.start()
while thread.is_alive():
    pass
print(seen)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "CODE": code},
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[14]\n"), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_switching_under_a_storm(seed: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "soak_inprocess.py"), str(seed), "8"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_handlers_set_within_stay_and_are_seen() -> None:
    hits: list[int] = []
    with selftrace.tracing("kill,tgkill,rt_sigaction", threads="current") as trace:
        before = signal.signal(signal.SIGUSR1, lambda number, _frame: hits.append(number))
        os.kill(os.getpid(), signal.SIGUSR1)
    assert [event.name for event in trace.events if event.kind == "signal"] == ["SIGUSR1"]
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)
    assert hits == [signal.SIGUSR1] * 2


def test_handlers_that_jump_and_registers(library: ctypes.CDLL) -> None:
    with selftrace.tracing(threads="current") as trace:
        assert library.jump(200) == 200
        assert library.registers(1000) == 0
    assert trace.count("getppid") == 1200


def test_a_blocked_read_goes_on_through_a_switch() -> None:
    read, write = os.pipe()
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(os.read(read, 5)))
    thread.start()
    wait_for(lambda: sleeps_in("pipe_read", os.getpid(), thread.native_id))
    with selftrace.tracing("read") as trace:
        wait_for(lambda: sleeps_in("pipe_read", os.getpid(), thread.native_id))
    os.write(write, b"hello")
    thread.join()
    os.close(read), os.close(write)
    assert got == [b"hello"]
    assert trace._share.stuck == 0


# ---- nothing stays behind ------------------------------------------------------------------------------------------

STATE = """
import ctypes, gc, os, signal, sys, threading
import selftrace
library = ctypes.CDLL(sys.argv[1])
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
signal.signal(signal.SIGUSR2, lambda *a: None)
import faulthandler; faulthandler.enable()
buffer = ctypes.create_string_buffer(library.size_of_state())
def state():
    library.look(buffer)
    status = [l for l in open("/proc/self/status") if l.startswith(("SigP", "SigB", "SigI", "SigC", "Shd", "Seccomp", "NoNew", "Threads", "FDSize"))]
    maps = [l for l in open("/proc/self/maps") if "/" in l or l.startswith("7e9") or "[" in l and "heap" not in l]
    return bytes(buffer.raw), status, maps, sorted(os.listdir("/proc/self/fd")), sorted(os.listdir("/proc/self/task"))
def use():
    with selftrace.tracing(threads="all") as trace:
        os.getppid()
        with selftrace.inject("openat", error="EIO", path="/nowhere"):
            open("/dev/null").close()
        thread = threading.Thread(target=os.getppid); thread.start(); thread.join()
    return trace.count("getppid")
state(), use()
before = state()
for _ in range(20): assert use() == 2
after = state()
for name, a, b in zip(("actions mask stack", "status", "maps", "fds", "tasks"), before, after): assert a == b, (name, a, b)
print("same")
"""


def test_nothing_stays_behind(library: ctypes.CDLL) -> None:
    assert in_child(STATE, library._name) == "same\n"


def test_a_policy() -> None:
    policy = selftrace.Policy.parse(
        'policy = 1\n[default]\naction = "allow"\n[[rule]]\ncalls = ["getcwd"]\naction = "error"\nerror = "EACCES"\n'
    )
    with selftrace.tracing(policy, threads="current") as trace, pytest.raises(PermissionError):
        os.getcwd()
    assert trace.calls("getcwd")[0].error == "EACCES"
    assert os.getcwd()


def test_rules_that_tamper() -> None:
    policy = selftrace.Policy.parse(
        'policy = 1\n[default]\naction = "allow"\n[[rule]]\ncalls = ["write"]\naction = "short"\nshort = 2\n'
        '[[rule]]\ncalls = ["read"]\naction = "poke_exit"\npoke = "@arg2=58"\n'
        '[[rule]]\ncalls = ["getrandom"]\naction = "data"\ndata = "seed"\n'
    )
    reading, writing = os.pipe()
    with selftrace.tracing(policy, threads="current"):
        assert os.write(writing, b"abcd") == 2
        assert os.read(reading, 9) == b"Xb"
        assert os.getrandom(9) == b"seed"
    os.close(reading)
    os.close(writing)
