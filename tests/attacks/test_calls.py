"""Calls, sockets, processes: what the filter holds, at the gate's own address and with machine code."""

from __future__ import annotations

import sys

import pytest
from attacks.harness import attack, breached

from selftrace import Policy
from selftrace.calls import table
from selftrace.policy.plan import Plan
from selftrace.policy.terms import Features
from selftrace.session import Options, Run

IPV4 = "bytes([2, 0, 0, 9, 127, 0, 0, 1]) + bytes(8)"

SOCKETS = {
    "TCP": "breach(call(41, 2, 1, 0) >= 0)",
    "TCP over IPv6": "breach(call(41, 10, 1, 0) >= 0)",
    "UDP": "breach(call(41, 2, 2, 0) >= 0)",
    "MPTCP": "breach(call(41, 2, 1, 262) >= 0)",
    "unix stream": "breach(call(41, 1, 1, 0) >= 0)",
    "unix datagram pair": "b = bytearray(8); breach(call(53, 1, 2, 0, (ctypes.c_char * 8).from_buffer(b)) >= 0)",
    "netlink": "breach(call(41, 16, 3, 0) >= 0)",
    "high bits set": "breach(call(41, 2 | 1 << 32, 1, 0) >= 0)",
}


@pytest.mark.parametrize("name", SOCKETS)
def test_sockets(name: str) -> None:
    code = SOCKETS[name]
    assert not breached(attack(code, route="gate"))
    reported = attack(code)
    assert not breached(reported)
    assert [v.rule for v in reported.violations] == ["net.sockets"]
    assert breached(attack(code, route="gate", off="net.sockets"))


OTHERS = {
    "user namespace by unshare": (272, "0x10000000"),
    "io_uring": (425, "8, bytes(120)"),
    "tracing the parent": (101, "16, os.getppid(), 0, 0"),
    "tracing oneself": (101, "0, 0, 0, 0"),
    "reading memory": (310, "os.getpid(), word(pointer(bytes(8)), 8), 1, word(pointer(bytes(8)), 8), 1, 0"),
    "userfaultfd": (323, "1"),
    "personality": (135, "0x40000"),
    "a key": (250, "0, -3, 1"),
    "a name in memory": (447, "0"),
    "shared memory that stays": (29, "0, 4096, 0o600"),
    "a queue that stays": (68, "0, 0o600"),
    "semaphores that stay": (64, "0, 1, 0o600"),
    "another filter": (317, "1, 0, word(1, pointer(word(0x7FFF000000000006)))"),
    "a file's handle": (303, "AT_FDCWD, os.getcwdb(), bytes([128]) + bytes(140), bytes(4), 0"),
}
CLEAN_UP = {
    "shared memory that stays": "call(31, r, 0, 0)",
    "a queue that stays": "call(71, r, 0, 0)",
    "semaphores that stay": "call(66, r, 0, 0)",
}
LEFT_TO_THE_KERNEL = {"userfaultfd", "a key", "a name in memory", "tracing the parent"}
"""Calls that a kernel may be built without, or keep for root: without our refusal it answers for itself."""


@pytest.mark.parametrize("name", OTHERS)
def test_other_calls(name: str) -> None:
    number, arguments = OTHERS[name]
    code = f"word = lambda *w: (ctypes.c_uint64 * len(w))(*w)\nr = call({number}, {arguments}); breach(r >= 0, r)"
    code += f"\nif r >= 0: {CLEAN_UP.get(name, 'pass')}"
    held = attack(code, route="gate")
    assert not breached(held), held
    reported = attack(code)
    assert not breached(reported)
    assert len(reported.violations) == 1
    assert reported.violations[0].enforcement == "kernel" or name == "another filter"
    freed = attack(code, route="gate", off_call=number)
    assert breached(freed) or name in LEFT_TO_THE_KERNEL, freed


def test_namespaces_by_clone() -> None:
    code = "r = call(56, 0x10000000 | 17, 0, 0, 0, 0)\nif r == 0: os._exit(0)\nbreach(r > 0, r)"
    assert not breached(attack(code, route="gate"))
    assert breached(attack(code, route="gate", off="process.namespaces"))


def test_namespaces_by_clone3() -> None:
    code = "r = call(435, (ctypes.c_uint64 * 8)(0x10000000, 0, 0, 0, 17, 0, 0, 0), 64)\nif r == 0: os._exit(0)\nbreach(r > 0, r)"
    assert not breached(attack(code, route="gate"))
    assert breached(attack(code, route="gate", off="process.clone3"))


@pytest.mark.parametrize(("what", "flags"), [("fork", 17), ("thread", 0x3D0F00)])
def test_pure_compute_makes_no_task(what: str, flags: int) -> None:
    row = "process.fork" if what == "fork" else "process.threads"
    code = f"r = call(56, {flags} & ~0x300000, 0, 0, 0, 0)\nif r == 0: os._exit(0)\nbreach(r > 0, r)"
    if what == "thread":  # a thread needs a stack of its own
        code = f"s = mmap.mmap(-1, 65536); a = ctypes.addressof(ctypes.c_char.from_buffer(s)) + 65000\n{code}".replace(
            "& ~0x300000, 0,", "& ~0x380000, 0,"
        )
        assert not breached(attack(code, route="gate", policy="builtin:pure-compute"))
        return
    assert not breached(attack(code, route="gate", policy="builtin:pure-compute"))
    assert breached(attack(code, route="gate", policy="builtin:pure-compute", off=row))


def test_signals_to_others(features: Features) -> None:
    if features.landlock_abi < 6:
        pytest.skip(f"Landlock ABI {features.landlock_abi} has no signal scope")
    code = "r = call(62, os.getppid(), 0); breach(r == 0, r)"
    assert not breached(attack(code, route="gate"))
    assert breached(attack(code, route="gate", off="process.signals"))


def test_terminal_input() -> None:
    """At any descriptor, and with the high half of the command set: the kernel looks at 32 bits."""
    for command in (0x5412, 0x541C, 0x5412 | 1 << 32):
        code = f"r = call(16, 0, {command}, b'x'); breach(r != -1, r)"
        assert not breached(attack(code, route="gate"))
        assert breached(attack(code, route="gate", off="terminal-input"))


def test_other_architectures() -> None:
    """int 0x80 and x32 numbers end the process; without the filter the first works."""
    code = "f = ctypes.CFUNCTYPE(ctypes.c_long)(_machine(bytes.fromhex('b814000000cd80c3'))); r = f(); breach(r > 0, r)"
    assert attack(code).signal == 31
    assert breached(attack(code, backend="none"))
    assert attack("r = call(0x40000000 | 39); breach(r > 0, r)", route="foreign").signal == 31


def test_numbers_that_no_table_knows() -> None:
    code = "print([call(n) for n in (-1, 999, 1000000)]); breach(False)"
    for route in ("libc", "gate", "foreign"):
        result = attack(code, route=route)
        assert b"[-38, -38, -38]" in result.stdout, (route, result)


def test_a_sweep_of_numbers_with_random_arguments() -> None:
    """Nothing in it may end in anything but an errno, a number, or the end of the program itself."""
    code = """
import random
rng = random.Random(int(sys.argv[3]))
never = {15, 56, 57, 58, 60, 231, 435, 34, 130, 7, 271, 23, 270, 35, 230, 202, 449, 454, 455, 456, 128, 61, 247, 0, 17, 19, 45, 47, 299, 3, 436, 33, 292, 32,
         9, 10, 11, 12, 25, 28, 216, 329, 30, 31, 13, 14, 131, 158, 218, 273, 334, 160, 302, 37, 38, 222, 223, 62, 200, 234, 129, 297, 424, 157, 232, 281, 441, 228, 232, 208, 333, 240, 241, 242, 243, 220, 65, 66, 112, 43, 288, 42, 26, 74, 75, 162, 306, 40, 275, 276, 278, 326, 1, 18, 20, 296, 328, 44, 46, 307, 462, 453}
for round in range(3):
    for n in range(600):
        if n not in never:
            call(n, *[rng.choice((0, 1, -1, 8, 1 << 40, rng.getrandbits(63))) for _ in range(6)])
breach(False)
"""
    for seed in range(3):
        for route in ("libc", "gate"):
            result = attack(code, route=route, args=(str(seed),))
            assert result.reason in ("exit", "signal"), (seed, route, result.reason, result.stderr)


def denied(plan: Plan) -> dict[str, list[tuple[str, int]]]:
    """Row → (call, errno) for all that the filter refuses whatever the arguments."""
    names = table().by_number
    found: dict[str, list[tuple[str, int]]] = {}
    for number in plan.filter.known:
        rules = [rule for rule in plan.filter.rules if number in rule.sysnos]
        if rules and not rules[0].conditions and rules[0].decision.kind in ("deny", "errno"):
            decision = rules[0].decision
            found.setdefault(plan.rows[decision.rule].id, []).append((names[number].name, decision.errno))
    return found


@pytest.mark.parametrize("name", ["untrusted-script", "untrusted-program", "python", "pure-compute", "read-only", "no-network"])
def test_every_refusal_by_number_holds_at_the_gate(name: str) -> None:
    """Each `kernel` label of [calls], [process] and integrity: made from machine code, answered with the filter's errno.
    With the row's floor off the kernel itself answers, which for calls without valid arguments is another errno."""
    policy = Policy.builtin(name)
    from selftrace.job import Job

    run = Run(policy, Job("code", "1", (), sys.executable), Options())
    with run:
        rows = denied(run.prepared.plan)
    calls = [(row, call, errno) for row, members in rows.items() for call, errno in members]
    assert calls or name in ("read-only", "no-network")
    numbers = [table().by_name[call].sysno for _, call, _ in calls]
    code = f"print([call(n, -1, 0, 0, 0, 0, 0) for n in {numbers}]); breach(False)"
    answers = eval(attack(code, route="gate", policy=policy).stdout.splitlines()[0])
    wrong = {call: answer for (_, call, errno), answer in zip(calls, answers, strict=True) if answer != -errno}
    assert not wrong


def test_every_refused_call_of_the_default_policy_is_another_answer_without_its_row() -> None:
    policy = Policy.builtin("untrusted-script")
    from selftrace.job import Job

    run = Run(policy, Job("code", "1", (), sys.executable), Options())
    with run:
        rows = denied(run.prepared.plan)
    checked = 0
    for row in (
        "calls.deny[@keyring]",
        "calls.deny[ptrace]",
        "calls.deny[userfaultfd]",
        "calls.deny[kcmp]",
        "calls.deny[@debug]",
        "calls.default",
    ):
        for call, errno in rows.get(row, ())[:3]:
            number = table().by_name[call].sysno
            code = f"print(call({number}, -1, 0, 0, 0, 0, 0)); breach(False)"
            free = int(attack(code, route="gate", policy=policy, off=row).stdout.splitlines()[0])
            checked += free != -errno
    assert checked >= 3


CONNECT = "builtin:untrusted-script"


def with_tcp() -> Policy:
    return Policy.builtin("untrusted-script").with_grants(connect=["127.0.0.1:9"])


TCP_GRANTED = {
    "another port": f"fd = call(41, 2, 1, 0); r = call(42, fd, {IPV4.replace('0, 9', '0, 10')}, 16); breach(r == -111, r)",
    "UDP": "breach(call(41, 2, 2, 0) >= 0)",
    "MPTCP": "breach(call(41, 2, 1, 262) >= 0)",
    "SCTP": "r = call(41, 2, 1, 132); breach(r != -13, r)",
    "raw": "r = call(41, 2, 3, 0); breach(r not in (-13, -1), r)",
    "fast open": f"fd = call(41, 2, 1, 0); r = call(44, fd, b'x', 1, 0x20000000, {IPV4.replace('0, 9', '0, 10')}, 16); breach(r != -13, r)",
    "listening": "fd = call(41, 2, 1, 0); breach(call(50, fd, 1) == 0)",
}


@pytest.mark.parametrize("name", TCP_GRANTED)
def test_one_tcp_address_opens_nothing_else(name: str, features: Features) -> None:
    if name == "another port" and features.landlock_abi < 4:
        pytest.skip(f"Landlock ABI {features.landlock_abi} has no TCP ports")
    assert not breached(attack(TCP_GRANTED[name], route="gate", policy=with_tcp()))
    off = "net.ports" if name == "another port" else "net.sockets"
    if name in ("UDP", "MPTCP", "fast open", "listening", "another port"):
        assert breached(attack(TCP_GRANTED[name], route="gate", policy=with_tcp(), off=off))


def test_the_granted_address_itself() -> None:
    code = f"fd = call(41, 2, 1, 0); r = call(42, fd, {IPV4}, 16); print(r); breach(False)"
    result = attack(code, policy=with_tcp())
    assert result.stdout.startswith(b"-111"), result
    assert result.violations == ()


MASKED = {
    **SOCKETS,
    **{
        name: f"word = lambda *w: (ctypes.c_uint64 * len(w))(*w)\nr = call({nr}, {args}); breach(r >= 0, r)"
        for name, (nr, args) in OTHERS.items()
    },
}


@pytest.mark.parametrize("abi", [0, 1, 2, 4, 7])
@pytest.mark.parametrize("name", MASKED)
def test_calls_and_sockets_are_held_whatever_landlock_there_is(name: str, abi: int, features: Features) -> None:
    if features.landlock_abi < abi:
        pytest.skip(f"this kernel has Landlock ABI {features.landlock_abi}")
    degraded = () if abi else ("fs.default",)
    result = attack(MASKED[name], route="gate", abi=abi, allow_degraded=degraded, identity=abi > 0)
    assert not breached(result), result


@pytest.mark.parametrize("abi", [0, 1, 2, 4, 7])
@pytest.mark.parametrize(
    "name", ["untrusted-script", "untrusted-program", "python", "pure-compute", "read-only", "no-network", "observe"]
)
def test_every_builtin_starts_on_every_kernel_or_says_what_is_lost(name: str, abi: int, features: Features) -> None:
    if features.landlock_abi < abi:
        pytest.skip(f"this kernel has Landlock ABI {features.landlock_abi}")
    degraded = () if abi or name in ("no-network", "observe") else ("fs.default",)
    result = attack("breach(False)", policy=f"builtin:{name}", abi=abi, allow_degraded=degraded, identity=abi > 0)
    assert result.check().stdout == b"held \n"
    if degraded:
        assert any("fs.default: this kernel has no Landlock" in note for note in result.notes)
    if abi == 1 and name not in ("no-network", "observe"):
        assert any("Landlock ABI 1 refuses every rename" in note for note in result.notes)


def test_without_landlock_a_builtin_does_not_start() -> None:
    from selftrace import UnsupportedError

    with pytest.raises(UnsupportedError, match=r"--allow-degraded fs\.default"):
        attack("breach(False)", abi=0)
