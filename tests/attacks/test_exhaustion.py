"""Using up what there is: limits that the kernel holds for machine code too, and what the monitor ends."""

from __future__ import annotations

import pytest
from attacks.harness import attack, breached

import selftrace
from tests.waiting import PATIENCE_S

# name → (code, row); the calls are made through the gate
LIMITS = {
    "raising the memory limit": (
        "r = call(160, 2, (ctypes.c_uint64 * 2)((1 << 64) - 1, (1 << 64) - 1)); breach(r == 0, r)",
        None,
    ),
    "raising another limit": ("r = call(302, 0, 7, (ctypes.c_uint64 * 2)(100000, 100000), 0); breach(r == 0, r)", None),
    "mapping 2 GiB": ("r = call(9, 0, 2 << 30, 3, 0x22, -1, 0); breach(r > 0, r)", "limits.memory"),
    "growing the heap": ("b = call(12, 0); r = call(12, b + (600 << 20)); breach(r > b, r)", "limits.memory"),
    "many descriptors": ("r = [call(2, b'/dev/null', 0) for _ in range(400)]; breach(min(r) >= 0, min(r))", "limits.open_files"),
    "a large file": (
        "fd = call(85, b'big', 0o600); r = call(285, fd, 0, 0, 100 << 20); breach(r == 0, r)",
        "limits.file_size",
    ),
    "a large file in memory": ("fd = call(319, b'x', 0); r = call(77, fd, 100 << 20); breach(r == 0, r)", "limits.file_size"),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_hold_at_the_gate(name: str) -> None:
    code, row = LIMITS[name]
    code = f"import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n{code}"
    held = attack(code, route="gate")
    assert not breached(held), held
    if row is not None:
        assert breached(attack(code, route="gate", off=row)), "with the limit off it must succeed"


def test_a_thread_bomb_ends() -> None:
    code = "import threading, time\nn = 0\nwhile n < 500:\n    try: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n    except RuntimeError: break\n    n += 1\nprint(n)"
    result = selftrace.run(code=code, timeout_s=PATIENCE_S)
    assert result.reason in ("exit", "violation")
    assert result.reason == "violation" or int(result.stdout) < 40


def test_sparse_and_deleted_files_pipes_and_inodes_end() -> None:
    code = "import os\ntry:\n    for n in range(100000): open(f'{n}', 'w').close()\nexcept OSError as e: print(e.errno)"
    result = selftrace.run(code=code, policy=selftrace.Policy.builtin("untrusted-script").with_grants(limits={"disk": "4M"}))
    assert result.reason == "disk"


def test_spinning_in_machine_code_ends() -> None:
    code = "f = ctypes.CFUNCTYPE(None)(_machine(bytes.fromhex('ebfe'))); f()"
    policy = selftrace.Policy.builtin("untrusted-script").with_grants(limits={"cpu_seconds": 1})
    assert attack(code, policy=policy).reason == "cpu"


def test_double_fork_and_setsid_do_not_outlive_the_run() -> None:
    code = "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        import time; time.sleep(600)\n    os._exit(0)\nos.wait(); breach(False)"
    attack(code)  # nothing_left looks for what stays


def test_killing_the_parent() -> None:
    code = "r = call(62, os.getppid(), 9); breach(r == 0, r)"
    result = attack(code, route="gate")
    assert result.reason == "exit" and not breached(result), result
