"""selftrace.inject: which calls fail, how often, and what is said of those that did not."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

import selftrace
from selftrace.inprocess.engine import known_problem

pytestmark = pytest.mark.skipif(bool(known_problem()), reason=known_problem() or "available")


def attempts(path: Path, times: int) -> list[str]:
    """What each open says: the error's name, or "ok"."""
    found = []
    for _ in range(times):
        try:
            os.close(os.open(path, os.O_RDONLY))
            found.append("ok")
        except OSError as error:
            found.append(os.strerror(error.errno or 0).split()[0])
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_text("content")
    return path


@pytest.mark.parametrize(
    ("when", "failed"),
    [("1", [1]), ("3", [3]), ("2+", [2, 3, 4, 5, 6]), ("1+2", [1, 3, 5]), ("2..3", [2, 3]), ("2..5+2", [2, 4])],
)
def test_when(when: str, failed: list[int], file: Path) -> None:
    with selftrace.inject("openat", error="ENOSPC", when=when) as fault:
        found = attempts(file, 6)
    assert [n + 1 for n, what in enumerate(found) if what == "No"] == failed
    assert fault.fired == len(failed)
    assert len(fault.near) == 6 - len(failed)
    assert attempts(file, 1) == ["ok"]


def test_path_and_near_misses(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    with selftrace.inject("openat", error="EIO", path=str(file)) as fault:
        assert attempts(other, 1) == ["ok"]
        assert attempts(file, 1) == ["Input/output"]
    assert fault.fired == 1
    (miss,) = fault.near
    assert miss.event.path == str(other)
    assert "its path is not" in str(miss)


def test_path_of_a_descriptor(file: Path) -> None:
    with file.open("rb") as opened, selftrace.inject("read", error="EIO", path=str(file)) as fault:
        with open("/dev/null", "rb") as null:
            null.read()
        with pytest.raises(OSError, match="Input/output"):
            opened.read()
    assert fault.fired == 1


def test_retval_signal_delay() -> None:
    with selftrace.inject("getppid", retval=4711):
        assert os.getppid() == 4711
    hits: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: hits.append(number))
    with selftrace.inject("getppid:signal=USR1:when=1") as fault:
        os.getppid()
        os.getppid()
    signal.signal(signal.SIGUSR1, before)
    assert (hits, fault.fired) == ([signal.SIGUSR1], 1)
    start = time.monotonic()
    with selftrace.inject("getppid", delay_enter="30ms", delay_exit="30ms") as fault:
        os.getppid()
    assert time.monotonic() - start >= 0.06
    assert fault.fired == 1


def test_short_data_and_pokes(file: Path) -> None:
    """What is read and written is less, or something else."""
    with file.open("rb", buffering=0) as opened:
        whole = opened.read(9)
        opened.seek(0)
        with selftrace.inject("read", short=2, path=str(file)) as fault:
            assert opened.read(9) == whole[:2]
        assert fault.fired == 1
        with selftrace.inject("read", data=b"a:\0b", path=str(file), when=1):
            assert opened.read(9) == b"a:\0b" and opened.read(2) == whole[2:4]
        opened.seek(0)
        with selftrace.inject("read", poke_exit="@arg2=58", path=str(file)) as fault:
            assert opened.read(9) == b"X" + whole[1:]
        assert fault.fired == 1
    with selftrace.inject("getrandom", data="seed"):
        assert os.getrandom(4) == b"seed"
    with selftrace.inject("chdir", poke_enter="@arg1=2f00"):
        before = os.getcwd()
        os.chdir("nowhere")
        assert os.getcwd() == "/"
    os.chdir(before)


def test_by_argument_and_by_chance() -> None:
    with selftrace.inject("kill", error="EPERM", arg={"sig": 0}) as fault:
        with pytest.raises(PermissionError):
            os.kill(os.getpid(), 0)
        os.kill(os.getpid(), signal.SIGCONT)
    assert fault.fired == 1

    def failing(**values: object) -> list[int]:
        found = []
        with selftrace.inject("getpgid", error="ESRCH", **values):
            for n in range(200):
                try:
                    os.getpgid(0)
                except ProcessLookupError:
                    found.append(n)
        return found

    first = failing(prob=0.1, seed=7)
    assert first == failing(prob=0.1, seed=7) != failing(prob=0.1, seed=8)
    assert 5 <= len(first) <= 40
    assert failing(prob=1, when="3") == [2]


def test_signals_change_no_count() -> None:
    """A call that a signal comes before is counted when it is made, one that a signal comes after has been."""
    hits: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _frame: hits.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    try:
        for _ in range(20_000):
            with selftrace.inject("getcwd", error="EACCES", when="2+", threads="current") as fault:
                os.getcwd()
                with pytest.raises(PermissionError):
                    os.getcwd()
            assert fault.fired == 1
            if len(hits) > 1000:
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert hits


def test_forks_while_others_begin_and_end() -> None:
    """A child made while another thread changes the rules does not wait for that thread, which it does not have."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            with selftrace.inject("reboot", error="EPERM"):
                pass

    threads = [threading.Thread(target=work) for _ in range(2)]
    with selftrace.inject("swapon", error="EPERM"):
        for thread in threads:
            thread.start()
        try:
            for _ in range(1000):
                pid = os.fork()
                if not pid:
                    os._exit(0)
                deadline = time.monotonic() + 60
                while not os.waitpid(pid, os.WNOHANG)[0]:
                    if time.monotonic() > deadline:
                        os.kill(pid, signal.SIGKILL)
                        os.waitpid(pid, 0)
                        pytest.fail("a child that does not end")
                    time.sleep(0.0005)
        finally:
            over.set()
            for thread in threads:
                thread.join()


def test_several_at_once_the_inner_one_first(file: Path) -> None:
    with selftrace.inject("openat", error="EIO") as outer:
        with selftrace.inject("openat", error="ENOSPC", when="2") as inner:
            assert attempts(file, 3) == ["Input/output", "No", "Input/output"]
        assert attempts(file, 1) == ["Input/output"]
    assert (outer.fired, inner.fired) == (3, 1)


def test_counters_of_outer_ones_go_on(file: Path) -> None:
    with selftrace.inject("openat", error="EIO", when="3"):
        assert attempts(file, 1) == ["ok"]
        with selftrace.inject("openat", error="ENOSPC", when="1", path="/nowhere"):
            assert attempts(file, 1) == ["ok"]
        assert attempts(file, 2) == ["Input/output", "ok"]


def test_only_its_threads(file: Path) -> None:
    started: list[str] = []
    go, end = threading.Event(), threading.Event()

    def other() -> None:
        go.wait()
        started.extend(attempts(file, 1))
        end.set()

    thread = threading.Thread(target=other)
    thread.start()
    with selftrace.inject("openat", error="EIO"):
        go.set()
        end.wait()
        own = threading.Thread(target=lambda: started.extend(attempts(file, 1)))
        own.start()
        own.join()
    thread.join()
    assert started == ["ok", "Input/output"]


@pytest.mark.parametrize(
    ("calls", "values", "part"),
    [
        ("opennat", {"error": "EIO"}, "opennat"),
        ("openat", {}, "nothing to inject"),
        ("openat", {"error": "ENOSUCH"}, "ENOSUCH"),
        ("openat:error=EIO", {"when": "1"}, "keywords"),
        ("openat", {"eror": "EIO"}, "error"),
        ("openat", {"error": "EIO", "when": "0"}, "0"),
        ("openat:when=2", {}, "nothing to inject"),
    ],
)
def test_expressions_that_make_no_sense(calls: str, values: dict[str, str], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        selftrace.inject(calls, **values)


def test_it_never_fired(file: Path) -> None:
    with selftrace.inject("openat", error="EIO", when="5+") as fault:
        attempts(file, 2)
    assert fault.fired == 0
    assert [miss.why for miss in fault.near] == [f"it is number {n}, the fault is for when=5+" for n in (1, 2)]
