"""The filter compiler: a policy's numbers and scalar arguments as seccomp BPF."""

from selftrace.kernel.bpf.compiler import CHILD_NR, POST_NR, Gate, compile_filter
from selftrace.kernel.bpf.number_floor import number_floor
from selftrace.kernel.bpf.program import Instruction, Program, simulate
from selftrace.kernel.bpf.reference import decision_of, holds, reference

__all__ = [
    "CHILD_NR",
    "POST_NR",
    "Gate",
    "Instruction",
    "Program",
    "compile_filter",
    "decision_of",
    "holds",
    "number_floor",
    "reference",
    "simulate",
]
