"""What a filter must answer, straight from the rules: the oracle that the compiler is tested against."""

from __future__ import annotations

from collections.abc import Sequence

from selftrace.kernel.bpf import program as bpf
from selftrace.kernel.bpf.compiler import AUDIT_ARCH_X86_64, CHILD_NR, ENOSYS, INVALID_NR, POST_DATA, POST_NR, X32_BIT, Gate
from selftrace.policy.evaluate import holds
from selftrace.policy.plan import Decision, FilterSpec


def decision_of(spec: FilterSpec, nr: int, args: Sequence[int]) -> Decision:
    """The first rule that matches, or the default."""
    for rule in spec.rules:
        if nr in rule.sysnos and all(holds(condition, args) for condition in rule.conditions):
            return rule.decision
    return spec.default if nr in spec.known else spec.unknown


def reference(spec: FilterSpec, gate: Gate, nr: int, args: Sequence[int], *, pc: int = 0, arch: int = AUDIT_ARCH_X86_64) -> int:
    """The filter's return value for a call."""
    nr &= 0xFFFFFFFF
    if arch != AUDIT_ARCH_X86_64:
        return bpf.RET_KILL_PROCESS
    if nr in (POST_NR, CHILD_NR):
        return bpf.RET_TRAP | POST_DATA
    if nr == INVALID_NR:
        return bpf.RET_ERRNO | ENOSYS
    if nr >= X32_BIT:
        return bpf.RET_KILL_PROCESS
    decision = decision_of(spec, nr, args)
    inside = gate.admits(pc)
    if decision.kind == "allow" or (decision.kind == "trap" and inside):
        return bpf.RET_ALLOW
    if decision.kind == "errno" or (decision.kind == "deny" and inside):
        return bpf.RET_ERRNO | decision.errno
    if decision.kind == "kill":
        return bpf.RET_KILL_PROCESS
    return bpf.RET_TRAP | decision.rule
