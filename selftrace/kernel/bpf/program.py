"""cBPF programs as the kernel's seccomp takes them: instructions, bytes, a listing, an interpreter."""

from __future__ import annotations

import struct

from selftrace.record import record

LD_W_ABS, JMP_JA, JEQ, JGT, JGE, JSET, RET_K, ALU_AND = 0x20, 0x05, 0x15, 0x25, 0x35, 0x45, 0x06, 0x54
RET_KILL_PROCESS, RET_TRAP, RET_ERRNO, RET_TRACE, RET_ALLOW = 0x80000000, 0x00030000, 0x00050000, 0x7FF00000, 0x7FFF0000
RET_ACTION = 0xFFFF0000

OFFSET_NR, OFFSET_ARCH, OFFSET_IP_LOW, OFFSET_IP_HIGH = 0, 4, 8, 12
MAX_INSTRUCTIONS = 4096
_FORMAT = struct.Struct("HBBI")
_DATA = struct.Struct("=IIQ6Q")
_JUMPS = {JEQ: "jeq", JGT: "jgt", JGE: "jge", JSET: "jset"}
_FIELDS = {OFFSET_NR: "nr", OFFSET_ARCH: "arch", OFFSET_IP_LOW: "pc.low", OFFSET_IP_HIGH: "pc.high"}
_ACTIONS = {RET_KILL_PROCESS: "kill", RET_TRAP: "trap", RET_ERRNO: "errno", RET_TRACE: "trace", RET_ALLOW: "allow"}


def offset_low(arg: int) -> int:
    """Where the low half of an argument lies in struct seccomp_data."""
    return 16 + 8 * arg


def offset_high(arg: int) -> int:
    """Where its high half lies."""
    return 20 + 8 * arg


@record
class Instruction:
    """struct sock_filter."""

    code: int
    jump_true: int
    jump_false: int
    k: int


@record
class Program:
    """A filter, ready to load."""

    instructions: tuple[Instruction, ...]

    def to_bytes(self) -> bytes:
        """The array of struct sock_filter."""
        return b"".join(_FORMAT.pack(i.code, i.jump_true, i.jump_false, i.k) for i in self.instructions)

    @classmethod
    def from_bytes(cls, data: bytes) -> Program:
        """Reads such an array."""
        return cls(tuple(Instruction(*fields) for fields in _FORMAT.iter_unpack(data)))

    def disassemble(self) -> str:
        """One line an instruction."""
        return "\n".join(f"{at:4}: {_show(at, i)}" for at, i in enumerate(self.instructions))


def _show(at: int, i: Instruction) -> str:
    if i.code == LD_W_ABS:
        arg, half = divmod(i.k - 16, 8)
        name = f"a{arg}.high" if half else f"a{arg}.low"
        return f"ld {_FIELDS.get(i.k, name)}"
    if i.code == RET_K:
        return f"ret {_ACTIONS.get(i.k & RET_ACTION, hex(i.k & RET_ACTION))} {i.k & 0xFFFF}"
    if i.code == JMP_JA:
        return f"ja {at + 1 + i.k}"
    if i.code == ALU_AND:
        return f"and {i.k:#x}"
    return f"{_JUMPS[i.code]} {i.k:#x}, {at + 1 + i.jump_true}, {at + 1 + i.jump_false}"


def simulate(program: Program, nr: int, args: tuple[int, ...] = (0,) * 6, *, pc: int = 0, arch: int = 0xC000003E) -> int:
    """What the kernel's interpreter returns for a call: action and data."""
    data = _DATA.pack(nr & 0xFFFFFFFF, arch, pc, *(value & 0xFFFFFFFFFFFFFFFF for value in args))
    at = accumulator = 0
    while True:
        i = program.instructions[at]
        at += 1
        if i.code == RET_K:
            return i.k
        if i.code == LD_W_ABS:
            accumulator = int.from_bytes(data[i.k : i.k + 4], "little")
        elif i.code == ALU_AND:
            accumulator &= i.k
        elif i.code == JMP_JA:
            at += i.k
        else:
            at += i.jump_true if _holds(i, accumulator) else i.jump_false


def _holds(i: Instruction, accumulator: int) -> bool:
    if i.code == JEQ:
        return accumulator == i.k
    if i.code == JGT:
        return accumulator > i.k
    if i.code == JGE:
        return accumulator >= i.k
    return bool(accumulator & i.k)
