"""How runs end, and that each end has its reason."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

import selftrace
from selftrace import Policy
from tests.waiting import PATIENCE_S


def limited(**limits: object) -> Policy:
    return Policy.builtin("untrusted-script").with_grants(limits=limits)


def test_exit_code_and_streams() -> None:
    result = selftrace.run(code="import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert (result.reason, result.exit_code, result.signal) == ("exit", 3, None)
    assert (result.stdout, result.stderr) == (b"out\n", b"err\n")
    with pytest.raises(selftrace.RunError) as info:
        result.check()
    assert info.value.result is result


def test_one_line_and_nothing_else() -> None:
    result = selftrace.run(code="print(1)")
    assert result.check().stdout == b"1\n"
    assert (result.stderr, result.violations, result.events, result.notes) == (b"", (), (), ())
    assert result.elapsed_ns > 0
    assert result.peak_memory_bytes > 1 << 20


def test_a_signal_is_told() -> None:
    result = selftrace.run(code="import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    assert (result.reason, result.exit_code, result.signal) == ("signal", None, 15)


def test_a_crash_is_told() -> None:
    result = selftrace.run(code="import ctypes; ctypes.string_at(0)")
    assert (result.reason, result.signal) == ("signal", 11)


def test_wall_clock() -> None:
    start = time.monotonic()
    result = selftrace.run(code="import time; time.sleep(1000)", timeout_s=0.5)
    assert result.reason == "timeout"
    assert time.monotonic() - start < PATIENCE_S


def test_a_script_that_ignores_sigterm_ends() -> None:
    code = "import signal, time\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\nprint('on', flush=True)\ntime.sleep(1000)"
    for timeout_s in (1, 10, 100):
        result = selftrace.run(code=code, timeout_s=timeout_s)
        assert result.reason == "timeout"
        if result.stdout:  # its time was enough to begin
            break
    assert result.stdout == b"on\n"


def test_processor_time_in_one_process() -> None:
    assert selftrace.run(code="while True: pass", policy=limited(cpu_seconds=1)).reason == "cpu"


def test_processor_time_with_sigxcpu_caught() -> None:
    code = "import signal\nsignal.signal(signal.SIGXCPU, lambda *a: None)\nwhile True: pass"
    assert selftrace.run(code=code, policy=limited(cpu_seconds=1)).reason == "cpu"


def test_processor_time_adds_up_over_the_tree() -> None:
    code = "import os\nfor _ in range(3): os.fork()\nwhile True: pass"
    result = selftrace.run(code=code, policy=limited(cpu_seconds=2), timeout_s=PATIENCE_S)
    assert result.reason == "cpu"
    assert result.usage.cpu_seconds < 8  # eight of them; none may have its two to itself


def test_memory_of_one_process_is_refused_by_the_kernel() -> None:
    result = selftrace.run(code="x = bytearray(2 << 30)")
    assert (result.reason, result.exit_code) == ("exit", 1)
    assert b"MemoryError" in result.stderr


def test_memory_adds_up_over_the_tree() -> None:
    code = (
        "import os, time\nfor _ in range(3):\n    if os.fork() == 0: break\n"
        "x = bytearray(os.urandom(4096)) * 30000\ntime.sleep(60)"
    )
    result = selftrace.run(code=code, memory="256M")
    assert result.reason == "memory"


def test_memory_files_count() -> None:
    code = "import os, time\nfds = [os.memfd_create('x') for _ in range(4)]\nfor f in fds: os.write(f, b'x' * (60 << 20))\ntime.sleep(60)"
    assert selftrace.run(code=code, memory="128M").reason == "memory"


def test_endless_output() -> None:
    result = selftrace.run(code="import os\nwhile True: os.write(1, b'x' * 65536)", policy=limited(output="1M"))
    assert (result.reason, result.truncated, len(result.stdout)) == ("output", ("stdout",), 1 << 20)


def test_a_gigabyte_of_output_under_the_default_policy() -> None:
    result = selftrace.run(code="import os\nfor _ in range(1024): os.write(2, b'x' * (1 << 20))")
    assert (result.reason, result.truncated, len(result.stderr)) == ("output", ("stderr",), 8 << 20)


def test_disk() -> None:
    code = "import time\nfor n in range(10):\n    with open(str(n), 'wb') as f: f.write(b'x' * (10 << 20))\ntime.sleep(60)"
    assert selftrace.run(code=code, policy=limited(disk="32M")).reason == "disk"


def test_disk_with_deleted_files() -> None:
    code = (
        "import os, time\nheld = []\nfor n in range(10):\n    f = open('x', 'wb'); os.unlink('x')\n"
        "    f.write(b'x' * (10 << 20)); f.flush(); held.append(f)\ntime.sleep(60)"
    )
    assert selftrace.run(code=code, policy=limited(disk="32M")).reason == "disk"


def test_one_file_too_large() -> None:
    result = selftrace.run(code="with open('x', 'wb') as f: f.write(b'x' * (65 << 20))")
    assert (result.reason, result.exit_code) == ("exit", 1)
    assert b"File too large" in result.stderr


def test_tasks() -> None:
    code = "import threading, time\nfor _ in range(200): threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()"
    result = selftrace.run(code=code, policy=limited(tasks=16), timeout_s=PATIENCE_S)
    assert result.usage.peak_tasks <= 16 or result.reason == "violation"
    assert b"can't start new thread" in result.stderr or result.violations[-1].rule == "limits.tasks"


def test_the_tree_ends_with_the_script() -> None:
    code = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(100000)\n    os._exit(0)\nos.wait()\nprint('done')"
    start = time.monotonic()
    assert selftrace.run(code=code, timeout_s=100000).check().stdout == b"done\n"
    assert time.monotonic() - start < PATIENCE_S


def test_a_missing_script() -> None:
    with pytest.raises(FileNotFoundError):
        selftrace.run("/nowhere/job.py")


def test_exactly_one_thing_to_run() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        selftrace.run()
    with pytest.raises(ValueError, match="exactly one"):
        selftrace.run("a.py", code="1")
    with pytest.raises(ValueError, match="exactly one"):
        selftrace.run("a.py", argv=["/bin/true"])


@pytest.mark.parametrize(
    ("backend", "said"),
    [("notify", "is not built yet"), ("dispatch", "starts no program"), ("inject", "starts no program")],
)
def test_backends_that_start_nothing_are_refused_by_name(backend: str, said: str) -> None:
    with pytest.raises(selftrace.UnsupportedError, match=f'"{backend}" {said}'):
        selftrace.run(code="1", backend=backend)


def test_without_interposition() -> None:
    result = selftrace.run(code="print(open('/etc/passwd').readline()[:4])", backend="none")
    assert result.stdout == b"root\n"
    assert result.guarantees == ()


def test_a_python_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        selftrace.run(code="1", python="/nowhere/python")


def test_a_monitor_that_is_late_costs_no_task(tmp_path: Path) -> None:
    """Children that were killed are counted until it looks again: that is waited for, not a time."""
    tmp_path.chmod(0o777)
    code = (
        "import os, signal, time\n"
        "def born():\n    pid = os.fork()\n    if not pid: time.sleep(1000)\n    return pid\n"
        "old = [born() for _ in range(20)]\nprint('born', flush=True)\nwhile not os.path.exists('late'): time.sleep(0.01)\n"
        "for pid in old: os.kill(pid, signal.SIGKILL); os.waitpid(pid, 0)\n"
        "print('gone', flush=True)\nnew = [born() for _ in range(20)]\nprint(len(new))\nfor pid in new: os.kill(pid, signal.SIGKILL)"
    )

    def late(_stream: str, data: bytes) -> None:
        (monitor,) = [child for child in psutil.Process().children(recursive=True) if child.name() == "_monitor"]
        if b"born" in data:
            monitor.suspend()
            (tmp_path / "late").touch()
        if b"gone" in data:
            time.sleep(1)  # longer than anybody would wait for something else
            monitor.resume()

    result = selftrace.run(code=code, policy=limited(tasks=32), cwd=tmp_path, timeout_s=PATIENCE_S, on_output=late)
    assert result.check().stdout == b"born\ngone\n20\n"
