"""Attacks on the interposer itself. What they gain is at most what the gate gives: the kernel's floor stays."""

from __future__ import annotations

import sys

import pytest
from attacks.harness import attack, breached

import selftrace
from selftrace.policy.terms import Features
from tests.waiting import PATIENCE_S

SECRET = "fd = call(2, b'/etc/passwd', 0); breach(fd >= 0)"

ATTACKS = {
    "block SIGSYS": "m = (ctypes.c_uint64 * 1)(1 << 30); call(14, 0, m, 0, 8)",
    "block all": "m = (ctypes.c_uint64 * 1)((1 << 64) - 1); call(14, 2, m, 0, 8)",
    "block by Python": "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    "ignore SIGSYS": "import signal; signal.signal(31, signal.SIG_IGN)",
    "default SIGSYS": "import signal; signal.signal(31, signal.SIG_DFL)",
    "own handler": "import signal; signal.signal(31, lambda *a: None)",
    "own handler by sigaction": "a = (ctypes.c_uint64 * 4)(1, 0x04000000, 0, 0); call(13, 31, a, 0, 8)",
    "no alternate stack": "s = (ctypes.c_uint64 * 3)(0, 2, 0); call(131, s, 0)",
    "tiny alternate stack": "s = (ctypes.c_uint64 * 3)(pointer(bytes(64)), 0, 64); call(131, s, 0)",
    "unmap the blob": "call(11, BLOB, 0x10000)",
    "unmap the gate": "call(11, BLOB + 0x10000, 0x1000)",
    "unmap a large range": "call(11, 0x7e8000000000, 0x200000000000)",
    "make the gate writable": "call(10, BLOB + 0x10000, 0x1000, 7)",
    "move the gate": "call(25, BLOB + 0x10000, 0x1000, 0x1000, 3, 0x600000000000)",
    "map over the gate": "call(9, BLOB + 0x10000, 0x1000, 7, 0x32, -1, 0)",
    "drop the gate": "call(28, BLOB + 0x10000, 0x1000, 4)",
    "wipe the blocks": "call(28, BLOB + 0x10000000, 0x100000, 18)",
    "write through /proc/self/mem": "fd = call(2, b'/proc/self/mem', 2); breach(fd >= 0)",
    "write by process_vm_writev": "v = (ctypes.c_uint64 * 2)(pointer(bytes(8)), 8); w = (ctypes.c_uint64 * 2)(BLOB, 8); r = call(311, os.getpid(), v, 1, w, 1, 0); breach(r > 0)",
    "user dispatch": "r = call(157, 59, 1, 0, 0, 0); breach(r == 0)",
    "a filter that fakes success": "w = (ctypes.c_uint64 * 1)(0x0005000000000006); r = call(317, 1, 0, (ctypes.c_uint64 * 2)(1, pointer(w))); breach(r == 0)",
    "a forged signal frame": "import signal; signal.signal(10, lambda *a: None); os.kill(os.getpid(), 10)",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_afterwards_the_rules_hold(name: str) -> None:
    """The attack, then a forbidden open: refused, or the program is dead."""
    result = attack(f"{ATTACKS[name]}\n{SECRET}")
    assert b"BREACH" not in result.stdout, result
    assert b"held" in result.stdout or result.reason == "signal", result


@pytest.mark.parametrize("name", ATTACKS)
def test_afterwards_the_kernel_holds_at_the_gate(name: str) -> None:
    result = attack(f"{ATTACKS[name]}\n{SECRET}", route="gate")
    last = result.stdout.splitlines()[-1:] or [b""]
    assert b"BREACH" not in last[0], result


HONEST = {
    "blocking every signal": "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); print(len(signal.pthread_sigmask(signal.SIG_BLOCK, [])) > 60)",
    "handling SIGSYS": "import signal, os; signal.signal(31, lambda *a: print('got it')); os.kill(os.getpid(), 31); print(signal.getsignal(31) is not None)",
    "small stacks": "import sys, threading; threading.stack_size(32768 if sys.version_info < (3, 14) else 65536); t = threading.Thread(target=lambda: print(open('/dev/null'))); t.start(); t.join()",
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_programs_that_look_like_it(name: str) -> None:
    plain, interposed = (selftrace.run(code=HONEST[name], backend=backend) for backend in ("none", "trap"))
    assert interposed.check().stdout == plain.check().stdout


def test_a_foreign_syscall_instruction_is_trapped_too() -> None:
    result = attack(SECRET, route="foreign")
    assert not breached(result)
    assert [v.rule for v in result.violations] == ["fs.default"]


def test_importing_selftrace_inside_gives_nothing() -> None:
    code = "import selftrace\ntry:\n    print(selftrace.run(code='print(open(\"/etc/passwd\").read())').stdout)\nexcept BaseException as e: print(type(e).__name__)\nbreach(False)"
    result = attack(code)
    assert b"root:" not in result.stdout


def test_a_million_violations_are_counted_and_cost_little() -> None:
    code = "import os\nfor n in range(200000):\n    try: open('/etc/passwd')\n    except OSError: pass\nprint('done')"
    policy = selftrace.Policy.builtin("untrusted-script").with_grants(limits={"cpu_seconds": PATIENCE_S})
    result = selftrace.run(code=code, policy=policy, timeout_s=PATIENCE_S)
    assert result.check().stdout == b"done\n"
    assert len(result.violations) == 1
    assert result.violations[0].count + result.violations_dropped == 200000


def test_many_different_violations_are_bounded() -> None:
    code = "for n in range(5000):\n    try: open(f'/etc/{n}')\n    except OSError: pass"
    result = selftrace.run(code=code)
    assert len(result.violations) <= 1000
    assert len(result.violations) + result.violations_dropped == 5000


def test_a_ring_full_of_rubbish_harms_nobody() -> None:
    """The ring is writable in the tracee: whatever is in it, the launcher goes on."""
    code = """
import random
ring = 0x7E9004000000
size = 24576 + 512 * 2048
view = (ctypes.c_char * size).from_address(ring)
rng = random.Random(1)
for round in range(20):
    view[0:size] = rng.randbytes(size)
    ctypes.c_uint64.from_address(ring + 16).value = rng.getrandbits(20)
print("done")
"""
    result = attack(code)
    assert b"done" in result.stdout
    assert result.reason in ("exit", "error", "violation")


def test_kill_everybody() -> None:
    result = attack("call(62, -1, 0); breach(False)")
    assert b"held" in result.stdout


def test_fork_bomb() -> None:
    code = "import os\nn = 0\nfor _ in range(500):\n    try:\n        if os.fork() == 0: os.read(0, 1); import time; time.sleep(60)\n        n += 1\n    except OSError as e:\n        last = e.errno\nprint(n, last)"
    result = selftrace.run(code=code, timeout_s=PATIENCE_S)
    assert result.reason in ("exit", "violation")
    if result.reason == "exit":
        number, errno = map(int, result.check().stdout.split())
        assert number < 40
        assert errno == 11


def test_code_and_gate_are_sealed(features: Features) -> None:
    """mseal, where the kernel has it: not even the gate can unmap, remap or reprotect them."""
    if not features.mseal:
        pytest.skip("the kernel has no mseal (6.10)")
    code = (
        "pages = open('/proc/self/smaps').read().split('VmFlags:')\n"
        "found = [(p.strip().split('\\n', 1), f.split('\\n')[0].split()) for p, f in zip(pages, pages[1:])]\n"
        "for head, flags in found:\n"
        "    line = (head[-1] if '-' not in head[0].split(' ')[0] else head[0]).split('\\n')[0].split()\n"
        "    low = int(line[0].split('-')[0], 16)\n"
        "    if 0x7e9000000000 <= low < 0x7e9000140000: print('sealed' if 'sl' in flags else 'open', line[0], line[1])\n"
    )
    for result in (
        selftrace.run(code=code, policy="builtin:untrusted-script"),
        selftrace.run(code=code, policy="builtin:observe"),
        selftrace.run(argv=[sys.executable, "-c", code], policy="builtin:observe"),
    ):
        lines = result.check().stdout.decode().splitlines()
        assert lines
        assert all(line.startswith("sealed") for line in lines), lines
