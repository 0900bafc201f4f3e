"""The filter compiler: a policy's numbers and scalar arguments as seccomp BPF."""

from selftrace.kernel.bpf.compiler import CHILD_NR, POST_NR, Gate, compile_filter
from selftrace.kernel.bpf.number_floor import number_floor
from selftrace.kernel.bpf.program import Instruction, Program, simulate

__all__ = [
    "CHILD_NR",
    "POST_NR",
    "Gate",
    "Instruction",
    "Program",
    "compile_filter",
    "number_floor",
    "simulate",
]
