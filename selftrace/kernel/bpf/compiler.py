"""From ordered rules to a filter: the call's number decides first, by binary search over runs of equal numbers, so that
calls that nothing is said about stay in the kernel's constant-action bitmap; then its rules, first match wins."""

from __future__ import annotations

from collections import Counter

from selftrace.errors import PolicyError
from selftrace.kernel.bpf import program as bpf
from selftrace.kernel.bpf.assembler import Assembler
from selftrace.policy.plan import Condition, Decision, FilterRule, FilterSpec
from selftrace.record import record

AUDIT_ARCH_X86_64 = 0xC000003E
X32_BIT = 0x40000000
INVALID_NR = 0xFFFFFFFF
ENOSYS = 38
POST_NR, CHILD_NR = 0x3FFFF001, 0x3FFFF002
"""How the interposer regains control: trapped from any PC."""
POST_DATA = 0xFFFF
_WORD = 0xFFFFFFFF


@record
class Gate:
    """The return PCs that may make trapped calls: low ≤ PC ≤ high and PC & mask == value; both within one 4 GiB."""

    low: int
    high: int
    mask: int
    value: int

    def admits(self, pc: int) -> bool:
        """Whether a call that returns to `pc` comes from the gate."""
        return self.low <= pc <= self.high and pc & self.mask == self.value


class _Compiler:
    def __init__(self, spec: FilterSpec, gate: Gate | None) -> None:
        self.spec = spec
        self.gate = gate
        self.out = Assembler()
        self.sizes: Counter[int] = Counter()

    # ---- decisions -------------------------------------------------------------------------------

    def decide(self, decision: Decision) -> int:
        out = self.out
        if decision.kind == "allow":
            return out.ret(bpf.RET_ALLOW)
        if decision.kind == "errno":
            return out.ret(bpf.RET_ERRNO | decision.errno)
        if decision.kind == "kill":
            return out.ret(bpf.RET_KILL_PROCESS)
        if self.gate is None:
            return out.ret(bpf.RET_TRACE)
        inside = bpf.RET_ALLOW if decision.kind == "trap" else bpf.RET_ERRNO | decision.errno
        return self.by_gate(self.gate, out.ret(inside), out.ret(bpf.RET_TRAP | decision.rule))

    def by_gate(self, gate: Gate, inside: int, outside: int) -> int:
        out = self.out
        node = out.mask(gate.mask, out.jump(bpf.JEQ, gate.value, inside, outside))
        node = out.jump(bpf.JGT, gate.high & _WORD, outside, node)
        node = out.jump(bpf.JGE, gate.low & _WORD, node, outside)
        node = out.load(bpf.OFFSET_IP_LOW, node)
        return out.load(bpf.OFFSET_IP_HIGH, out.jump(bpf.JEQ, gate.low >> 32, node, outside))

    # ---- conditions ------------------------------------------------------------------------------

    def _equal(self, c: Condition, value: int, yes: int, no: int) -> int:
        out = self.out
        node = out.load(bpf.offset_low(c.arg), out.jump(bpf.JEQ, value & _WORD, yes, no))
        if c.width == 4:
            return node
        return out.load(bpf.offset_high(c.arg), out.jump(bpf.JEQ, value >> 32, node, no))

    def _above(self, c: Condition, code: int, value: int, yes: int, no: int) -> int:
        """x >= value (code JGE) or x > value (JGT)."""
        out = self.out
        node = out.load(bpf.offset_low(c.arg), out.jump(code, value & _WORD, yes, no))
        if c.width == 4:
            return node
        high = value >> 32
        return out.load(bpf.offset_high(c.arg), out.jump(bpf.JGT, high, yes, out.jump(bpf.JEQ, high, node, no)))

    def _any(self, c: Condition, bits: int, yes: int, no: int) -> int:
        out = self.out
        node = no
        if c.width == 8 and bits >> 32:
            node = out.load(bpf.offset_high(c.arg), out.jump(bpf.JSET, bits >> 32, yes, no))
        if bits & _WORD:
            node = out.load(bpf.offset_low(c.arg), out.jump(bpf.JSET, bits & _WORD, yes, node))
        return node

    def _masked(self, c: Condition, yes: int, no: int) -> int:
        out = self.out
        low = out.mask(c.value & _WORD, out.jump(bpf.JEQ, c.value2 & _WORD, yes, no))
        node = out.load(bpf.offset_low(c.arg), low)
        if c.width == 4:
            return node
        high = out.mask(c.value >> 32, out.jump(bpf.JEQ, c.value2 >> 32, node, no))
        return out.load(bpf.offset_high(c.arg), high)

    def _in(self, c: Condition, values: set[int], yes: int, no: int) -> int:
        """One load of each half: values with the same high half share it."""
        out, node = self.out, no
        for high in sorted({item >> 32 for item in values}, reverse=True):
            low = no
            for item in sorted((v & _WORD for v in values if v >> 32 == high), reverse=True):
                low = out.jump(bpf.JEQ, item, yes, low)
            low = out.load(bpf.offset_low(c.arg), low)
            if c.width == 4:
                return low
            node = out.jump(bpf.JEQ, high, low, node)
        return out.load(bpf.offset_high(c.arg), node) if values else no

    def test(self, c: Condition, yes: int, no: int) -> int:
        limit = (1 << (8 * c.width)) - 1
        value = c.value & limit
        if c.op == "eq":
            return self._equal(c, value, yes, no)
        if c.op == "ne":
            return self._equal(c, value, no, yes)
        if c.op == "ge":
            return self._above(c, bpf.JGE, value, yes, no)
        if c.op == "lt":
            return self._above(c, bpf.JGE, value, no, yes)
        if c.op == "gt":
            return self._above(c, bpf.JGT, value, yes, no)
        if c.op == "le":
            return self._above(c, bpf.JGT, value, no, yes)
        if c.op == "between":
            return self._above(c, bpf.JGE, value, self._above(c, bpf.JGT, c.value2 & limit, no, yes), no)
        if c.op == "any":
            return self._any(c, value, yes, no)
        if c.op == "none":
            return self._any(c, value, no, yes)
        if c.op == "only":
            return self._any(c, ~value & limit, no, yes)
        if c.op == "in":
            return self._in(c, {v & limit for v in c.values}, yes, no)
        if c.op == "masked":
            return self._masked(c, yes, no)
        raise ValueError(f"unknown operator {c.op!r}")

    # ---- calls ----------------------------------------------------------------------------------

    def chain(self, rules: list[FilterRule], default: Decision) -> int:
        node = self.decide(default)
        for rule in reversed(rules):
            before = len(self.out)
            yes = self.decide(rule.decision)
            no = node
            for condition in reversed(rule.conditions):
                yes = self.test(condition, yes, no)
            node = yes
            self.sizes[rule.decision.rule] += len(self.out) - before
        return node

    def entries(self) -> list[tuple[int, int]]:
        """(first number, node) of each run of numbers that are decided alike."""
        spec = self.spec
        by_number: dict[int, list[FilterRule]] = {}
        for rule in spec.rules:
            for sysno in rule.sysnos:
                rules = by_number.setdefault(sysno, [])
                if not (rules and not rules[-1].conditions):  # nothing comes after an unconditional rule
                    rules.append(rule)
        runs: list[tuple[int, int]] = []
        for sysno in range(max(spec.known | set(by_number), default=0) + 1):
            default = spec.default if sysno in spec.known else spec.unknown
            node = self.chain(by_number.get(sysno, []), default)
            if not runs or runs[-1][1] != node:
                runs.append((sysno, node))
        top = max(spec.known | set(by_number), default=0) + 1
        runs.append((top, self.decide(spec.unknown)))
        if self.gate is not None:
            trap = self.out.ret(bpf.RET_TRAP | POST_DATA)
            runs += [(POST_NR, trap), (CHILD_NR + 1, self.decide(spec.unknown))]
        runs += [(X32_BIT, self.out.ret(bpf.RET_KILL_PROCESS)), (INVALID_NR, self.out.ret(bpf.RET_ERRNO | ENOSYS))]
        return runs

    def search(self, runs: list[tuple[int, int]]) -> int:
        if len(runs) == 1:
            return runs[0][1]
        middle = len(runs) // 2
        low, high = self.search(runs[:middle]), self.search(runs[middle:])
        return self.out.jump(bpf.JGE, runs[middle][0], high, low)

    def program(self) -> bpf.Program:
        node = self.out.load(bpf.OFFSET_NR, self.search(self.entries()))
        kill = self.out.ret(bpf.RET_KILL_PROCESS)
        entry = self.out.load(bpf.OFFSET_ARCH, self.out.jump(bpf.JEQ, AUDIT_ARCH_X86_64, node, kill))
        return self.out.finish(entry)


def compile_filter(spec: FilterSpec, gate: Gate | None) -> bpf.Program:
    """The filter of a policy. gate: the interposer's; None: a supervisor outside judges what is not simply allowed.

    Raises PolicyError where it is longer than the kernel takes, naming the rules that need most.
    """
    compiler = _Compiler(spec, gate)
    program = compiler.program()
    if len(program.instructions) > bpf.MAX_INSTRUCTIONS:
        biggest = ", ".join(f"rule {row}: {size}" for row, size in compiler.sizes.most_common(5))
        raise PolicyError(
            f"the filter has {len(program.instructions)} instructions, the kernel takes {bpf.MAX_INSTRUCTIONS};"
            f" the biggest rules: {biggest}. Use fewer values in their conditions"
        )
    return program
