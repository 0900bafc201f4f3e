"""The filter compiler against its oracle, and against libseccomp where both can say the same."""

from __future__ import annotations

import random

import pytest

from selftrace.errors import PolicyError
from selftrace.kernel.bpf import CHILD_NR, POST_NR, Gate, Program, compile_filter, number_floor, simulate
from selftrace.kernel.bpf.program import RET_ALLOW, RET_ERRNO
from selftrace.kernel.bpf.reference import reference
from selftrace.policy.plan import Condition, Decision, FilterRule, FilterSpec

GATE = Gate(0x7E900000D002, 0x7E900011FFF2, 15, 2)
PCS = (0, 0x7E900000D002, 0x7E900000D004, 0x7E900000D012, 0x7E900011FFF2, 0x7E9000120002, 0x7E8F0000D002, 0x7F000000D002)
EDGES = (0, 1, 2, 5, 6, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x100000000, 0x1FFFFFFFF, 0x200000000, 2**63, 2**64 - 1)
OPERATORS = ("eq", "ne", "lt", "le", "gt", "ge", "between", "any", "none", "only", "in", "masked")


def value(rng: random.Random) -> int:
    return rng.choice(EDGES) if rng.random() < 0.7 else rng.getrandbits(rng.choice((4, 32, 64)))


def condition(rng: random.Random) -> Condition:
    op = rng.choice(OPERATORS)
    first, second = value(rng), value(rng)
    if op == "between" and first > second:
        first, second = second, first
    if op == "masked":
        second &= first
    return Condition(rng.randrange(6), rng.choice((4, 8)), op, first, second, tuple(value(rng) for _ in range(4)))


def decision(rng: random.Random) -> Decision:
    return Decision(rng.choice(("allow", "trap", "deny", "errno", "kill")), rng.randrange(1, 100), rng.randrange(1000))


def spec(rng: random.Random) -> FilterSpec:
    known = frozenset(rng.sample(range(64), 40))
    rules = tuple(
        FilterRule(
            tuple(rng.sample(range(64), rng.randrange(1, 6))),
            tuple(condition(rng) for _ in range(rng.choice((0, 1, 1, 2, 3)))),
            decision(rng),
        )
        for _ in range(rng.randrange(12))
    )
    return FilterSpec(rules, decision(rng), decision(rng), known)


def test_every_answer_is_the_references() -> None:
    """60,000 checks: rules, calls and PCs at random, biased to where comparisons go wrong."""
    rng = random.Random(20261127)
    checks = 0
    for _ in range(300):
        made = spec(rng)
        program = compile_filter(made, GATE)
        for _ in range(200):
            nr = rng.choice((rng.randrange(70), rng.randrange(70), 0x40000000, 0xFFFFFFFF, POST_NR, CHILD_NR, 5000))
            args = tuple(value(rng) for _ in range(6))
            pc = rng.choice(PCS)
            arch = 0xC000003E if rng.random() < 0.97 else 0x40000003
            assert simulate(program, nr, args, pc=pc, arch=arch) == reference(made, GATE, nr, args, pc=pc, arch=arch)
            checks += 1
    assert checks == 60_000


def test_untouched_calls_are_decided_by_their_number() -> None:
    """No argument and no PC is read on the way to a call that is always allowed: the kernel's bitmap keeps it."""
    made = FilterSpec(
        (FilterRule((5,), (Condition(0, 8, "eq", 7),), Decision("deny", 1)), FilterRule((9,), (), Decision("trap"))),
        Decision("allow"),
        Decision("errno", 38),
        frozenset(range(100)),
    )
    program = compile_filter(made, GATE)
    loads = []
    at = 0
    while True:
        i = program.instructions[at]
        at += 1
        if i.code == 0x20:
            loads.append(i.k)
            word = {0: 39, 4: 0xC000003E}[i.k]
        elif i.code == 0x06:
            break
        elif i.code == 0x05:
            at += i.k
        else:
            true = {0x15: word == i.k, 0x25: word > i.k, 0x35: word >= i.k}[i.code]
            at += i.jump_true if true else i.jump_false
    assert i.k == RET_ALLOW and set(loads) <= {0, 4}


def test_the_merge_that_libseccomp_gets_wrong() -> None:
    """GHSA-4q85-33p6-j5g6: a0 < 1 and a0 < 0x200000000 both refused, yet 2.5.4 lets a0 = 6 through."""
    rules = tuple(FilterRule((39,), (Condition(0, 8, "lt", bound),), Decision("errno", 1)) for bound in (1, 0x200000000))
    program = compile_filter(FilterSpec(rules, Decision("allow"), Decision("allow"), frozenset({39})), GATE)
    assert simulate(program, 39, (6, 0, 0, 0, 0, 0)) == RET_ERRNO | 1


def test_too_long_names_the_biggest_rules() -> None:
    rules = tuple(
        FilterRule((n,), (Condition(0, 8, "in", values=tuple(range(n * 1000, n * 1000 + 190))),), Decision("deny", 1, n))
        for n in range(30)
    )
    with pytest.raises(PolicyError, match=r"the biggest rules: rule \d+: \d+"):
        compile_filter(FilterSpec(rules, Decision("allow"), Decision("allow"), frozenset(range(30))), GATE)


def test_long_programs_jump_far() -> None:
    rules = tuple(
        FilterRule((n,), (Condition(0, 8, "in", values=tuple(range(n, n + 30))),), Decision("deny", 1, n)) for n in range(40)
    )
    made = FilterSpec(rules, Decision("allow"), Decision("allow"), frozenset(range(40)))
    program = compile_filter(made, GATE)
    assert len(program.instructions) > 600  # so that jumps over 255 happen
    for n in range(41):
        for x in (n, n + 29, n + 30, 1 << 40):
            args = (x, 0, 0, 0, 0, 0)
            assert simulate(program, n, args, pc=PCS[1]) == reference(made, GATE, n, args, pc=PCS[1])


def test_bytes_survive() -> None:
    program = compile_filter(spec(random.Random(1)), GATE)
    assert Program.from_bytes(program.to_bytes()) == program
    assert len(program.disassemble().splitlines()) == len(program.instructions)


def test_against_libseccomp() -> None:
    """Numbers and single comparisons: two compilers, one meaning."""
    seccomp = pytest.importorskip("pyseccomp", reason="libseccomp.so.2 is not installed", exc_type=Exception)
    import tempfile

    operators = {"eq": seccomp.EQ, "ne": seccomp.NE, "lt": seccomp.LT, "le": seccomp.LE, "gt": seccomp.GT, "ge": seccomp.GE}
    rng = random.Random(7)
    for _ in range(60):
        rules = []
        theirs = seccomp.SyscallFilter(seccomp.ALLOW)
        for nr in rng.sample(range(64), 8):
            op, bound = rng.choice(list(operators)), value(rng)
            rules.append(FilterRule((nr,), (Condition(1, 8, op, bound),), Decision("errno", 5)))
            theirs.add_rule(seccomp.ERRNO(5), nr, seccomp.Arg(1, operators[op], bound))
        made = FilterSpec(tuple(rules), Decision("allow"), Decision("allow"), frozenset(range(64)))
        with tempfile.TemporaryFile() as file:
            theirs.export_bpf(file)
            file.seek(0)
            other = Program.from_bytes(file.read())
        ours = compile_filter(made, GATE)
        for _ in range(100):
            args = tuple(value(rng) for _ in range(6))
            nr = rng.randrange(64)
            assert simulate(ours, nr, args) == simulate(other, nr, args)


def test_number_floor_refuses_what_the_filter_refuses(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyseccomp", reason="libseccomp.so.2 is not installed", exc_type=Exception)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rules = (
        FilterRule((165, 169), (), Decision("deny", 1, 3)),
        FilterRule((41,), (Condition(0, 4, "eq", 2),), Decision("deny", 13)),
    )
    made = FilterSpec(rules, Decision("allow"), Decision("errno", 38), frozenset(range(300)))
    built = number_floor(made)
    assert built is not None and number_floor(made) == built  # the second from the cache
    program = Program.from_bytes(built)
    assert simulate(program, 165) == RET_ERRNO | 1
    for nr in (0, 15, 39, 41, 219, 231, POST_NR, CHILD_NR, 0xFFFFFFFF):
        assert simulate(program, nr) == RET_ALLOW


GATE = Gate(0x7E900000D002, 0x7E900011FFF2, 15, 2)
VALUES = (
    0,
    1,
    2,
    3,
    9,
    10,
    16,
    17,
    262,
    0x5412,
    0x541C,
    0x10000,
    0x10011,
    0x20000,
    0x20000000,
    0x7E020000,
    0x10000000,
    1 << 32,
    (1 << 64) - 1,
    0x7E9000010000,
)


@pytest.mark.parametrize("abi", [1, 7])
@pytest.mark.parametrize(
    "name", ["untrusted-script", "untrusted-program", "python", "pure-compute", "read-only", "no-network", "observe"]
)
def test_builtin_filters_answer_as_the_rules_say(name: str, abi: int) -> None:
    """Each shipped filter, 5,000 random calls in and outside the gate: the program against the rules themselves, and the
    rules against the policy's own evaluator."""
    from selftrace import Policy
    from selftrace.policy.compile import compile as compile_plan
    from selftrace.policy.evaluate import evaluate
    from selftrace.policy.plan import Features
    from selftrace.policy.terms import Context

    context = Context(script_dir="/s", home="/h", tmp="/t", cwd="/s", python=("/p",), site=("/q",))
    plan = compile_plan(Policy.builtin(name).model(context), Features(landlock_abi=abi, seccomp=True))
    program = compile_filter(plan.filter, GATE)
    rng = random.Random(f"{name} {abi}")
    refused = 0
    for _ in range(5000):
        number = rng.choice((rng.randrange(0, 520), 41, 56, 16, 53, 435, 2, 257))
        args = tuple(rng.choice((*VALUES, rng.getrandbits(64))) for _ in range(6))
        pc = rng.choice((GATE.low, GATE.low + 16, GATE.low + 1, 0x400000))
        answer = simulate(program, number, args, pc=pc)
        assert answer == reference(plan.filter, GATE, number, args, pc=pc), (number, args, pc)
        if plan.mode == "audit" or pc not in (GATE.low, GATE.low + 16):
            continue
        verdict = evaluate(plan, number, args)
        if answer & 0xFFFF0000 == RET_ERRNO:
            refused += 1
            assert verdict.kind in ("refuse", "kill"), (number, args)
            assert verdict.errno == answer & 0xFFFF, (number, args, verdict)
        elif verdict.kind == "refuse":
            assert plan.rows[verdict.row or 0].enforcement != "kernel" or plan.rows[verdict.row or 0].gate == "fs", (number, args)
    assert refused > 500 or plan.mode == "audit" or name in ("read-only", "no-network")
