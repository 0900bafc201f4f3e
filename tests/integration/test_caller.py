"""The caller: nothing in it is changed, any thread may run, asyncio too, and kill -9 leaves nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

import selftrace
from tests.waiting import PATIENCE_S, wait_for

FOREVER = 100 * PATIENCE_S


def _state() -> dict[str, object]:
    return {
        "fds": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "children": psutil.Process().children(),
        "handlers": [signal.getsignal(n) for n in range(1, 65)],
        "cwd": os.getcwd(),
        "status": [
            line
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith(("Seccomp:", "NoNewPrivs:", "Umask:", "SigBlk:"))
        ],
        "limits": Path("/proc/self/limits").read_text(),
    }


def test_nothing_in_the_caller_changes() -> None:
    selftrace.run(code="1")
    before = _state()
    selftrace.run(code="import os; os.fork(); print(1)")
    assert _state() == before


def test_from_many_threads() -> None:
    results: list[bytes] = []

    def work(n: int) -> None:
        results.append(selftrace.run(code=f"print({n} ** 2)").check().stdout)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(b"%d\n" % (n * n) for n in range(8))


def test_arun_side_by_side() -> None:
    async def main() -> list[bytes]:
        runs = [selftrace.arun(code=f"import time; time.sleep(0.3); print({n})") for n in range(8)]
        return [result.check().stdout for result in await asyncio.gather(*runs)]

    assert asyncio.run(main()) == [b"%d\n" % n for n in range(8)]


def test_callbacks_of_arun_come_in_the_loop() -> None:
    seen: list[tuple[int, object]] = []

    async def main() -> None:
        here = threading.get_ident()
        await selftrace.arun(
            code="print(1)\ntry: open('/etc/passwd')\nexcept OSError: pass",
            on_output=lambda stream, data: seen.append((threading.get_ident() - here, (stream, data))),
            on_violation=lambda violation: seen.append((threading.get_ident() - here, violation.rule)),
        )
        await asyncio.sleep(0)

    asyncio.run(main())
    assert [item for where, item in seen if where == 0] == [("stdout", b"1\n"), "fs.default"] or {
        str(item) for where, item in seen if where == 0
    } == {str(("stdout", b"1\n")), "fs.default"}


def test_cancelling_ends_the_tree_before_it_returns() -> None:
    directory: list[bytes] = []

    async def main() -> float:
        code = f"import os, time\nif not os.fork(): print(os.getcwd(), flush=True)\ntime.sleep({FOREVER})"
        run = selftrace.arun(code=code, timeout_s=FOREVER, on_output=lambda _, data: directory.append(data))
        task = asyncio.create_task(run)
        while not directory:
            await asyncio.sleep(0.05)
        before = {child.pid for child in psutil.Process().children(recursive=True)}
        assert len(before) >= 3
        start = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not any(psutil.pid_exists(pid) for pid in before)
        return time.monotonic() - start

    assert asyncio.run(main()) < PATIENCE_S
    assert not os.path.exists(directory[0].strip())


def test_unknown_option_of_arun() -> None:
    with pytest.raises(TypeError, match="colour"):
        asyncio.run(selftrace.arun(code="1", colour=1))


def test_a_callback_that_raises_ends_the_run() -> None:
    def stop(_stream: str, _data: bytes) -> None:
        raise RuntimeError("enough")

    start = time.monotonic()
    with pytest.raises(RuntimeError, match="enough"):
        selftrace.run(code=f"import time\nprint(1, flush=True)\ntime.sleep({FOREVER})", timeout_s=FOREVER, on_output=stop)
    assert time.monotonic() - start < PATIENCE_S


def _wait_gone(marker: str) -> None:
    wait_for(lambda: not any(marker in " ".join(_command(p)) for p in psutil.process_iter()), 0.1)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


LAUNCHER = """
import selftrace, sys
code = "import os, time; print(os.getcwd(), flush=True); os.fork(); time.sleep({forever}) # {marker}"
selftrace.run(code=code, timeout_s={forever}, on_output=lambda stream, data: print(data.decode(), end="", flush=True))
"""


def _start(marker: str) -> tuple[subprocess.Popen[bytes], str]:
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCHER.format(marker=marker, forever=FOREVER)], stdout=subprocess.PIPE)
    assert launcher.stdout is not None
    return launcher, launcher.stdout.readline().decode().strip()


def test_kill_9_of_the_launcher_ends_the_run() -> None:
    marker = f"launcher-of-{os.getpid()}"
    launcher, directory = _start(marker)
    launcher.kill()
    launcher.communicate()
    _wait_gone(marker)
    wait_for(lambda: not os.path.exists(directory))


def test_kill_9_of_the_monitor_ends_the_run() -> None:
    marker = f"monitor-of-{os.getpid()}"
    launcher, directory = _start(marker)
    (monitor,) = [child for child in psutil.Process(launcher.pid).children() if child.name() == "_monitor"]
    monitor.kill()
    launcher.communicate(timeout=PATIENCE_S)
    _wait_gone(marker)
    assert not os.path.exists(directory)


def test_kill_9_of_the_tracee_is_reported() -> None:
    def kill(_stream: str, _data: bytes) -> None:
        (tracee,) = [p for p in psutil.Process().children(recursive=True) if p.name() != "_monitor"]
        tracee.kill()

    result = selftrace.run(code=f"import time; print(1, flush=True); time.sleep({FOREVER})", timeout_s=FOREVER, on_output=kill)
    assert (result.reason, result.signal) == ("signal", 9)


def test_results_can_be_pickled_and_are_frozen() -> None:
    import pickle

    result = selftrace.run(code="open('/etc/passwd')")
    assert pickle.loads(pickle.dumps(result)) == result
    with pytest.raises(AttributeError):
        result.exit_code = 0  # type: ignore[misc]
