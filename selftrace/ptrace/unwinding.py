"""The call stack of a stopped thread: by call frame information where there is some, else by frame pointers, which each
frame says. Signal frames are recognised by the code that they return to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selftrace.ptrace.memory import Memory, MemoryFault
from selftrace.ptrace.symbols import Place, Symbols
from selftrace.record import record

# DWARF's numbers of the registers on x86-64. Source: System V ABI, AMD64 supplement, figure 3.36.
_DWARF = ("rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip")
# gregs of a ucontext_t, which begins 40 bytes into it. Source: uapi/asm/sigcontext.h.
_GREGS = ("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp", "rip")
_SIGRETURN = bytes.fromhex("48c7c00f0000000f05")  # mov $15, %rax; syscall

Registers = dict[str, int]


@record
class Frame:
    """One function of a stack. pc: where it goes on; cfa: its frame's address, the stack pointer before it was called;
    how: "cfi", "frame pointer" or "signal" — how its caller was found; "" in the last one."""

    number: int
    pc: int
    cfa: int
    place: Place
    how: str
    registers: Registers

    def __str__(self) -> str:
        note = " (caller by frame pointer)" if self.how == "frame pointer" else ""
        note = " (signal handler called)" if self.how == "signal" else note
        return f"#{self.number} {self.place}{note}"


def unwind(values: Any, memory: Memory, symbols: Symbols, limit: int) -> list[Frame]:
    """The frames, innermost first, at most `limit`.

    values: python-ptrace's register structure. Stops where a return address is not in mapped code.
    """
    registers: Registers = {name: int(getattr(values, name)) for name in _DWARF}
    frames: list[Frame] = []
    is_call = False
    while len(frames) < limit:
        pc = registers["rip"]
        if frames and symbols.object_at(pc) is None and not symbols.is_executable(pc):
            break
        place = symbols.describe(pc, call=is_call)
        found = _caller(registers, memory, symbols, is_call, first=not frames)
        how, cfa, caller = found or ("", registers["rsp"], None)
        frames.append(Frame(len(frames), pc, cfa, place, how, dict(registers)))
        if caller is None or not caller["rip"] or (caller["rsp"] <= registers["rsp"] and how != "signal"):
            break
        registers, is_call = caller, how != "signal"
    return frames


def _caller(
    registers: Registers, memory: Memory, symbols: Symbols, is_call: bool, *, first: bool
) -> tuple[str, int, Registers | None] | None:
    try:
        if memory.read_some(registers["rip"], len(_SIGRETURN)) == _SIGRETURN:
            return _signal_frame(registers, memory)
        one = symbols.object_at(registers["rip"])
        if one is not None:
            row = one.elf.frames.row(registers["rip"] - one.bias - (1 if is_call else 0))
            if row is not None:
                return _by_row(row, registers, memory)
        return _by_pointer(registers, memory, first=first)
    except (MemoryFault, OverflowError):
        return None


def _signal_frame(registers: Registers, memory: Memory) -> tuple[str, int, Registers]:
    data = memory.read(registers["rsp"] + 40, 8 * len(_GREGS))
    values = {name: int.from_bytes(data[8 * at : 8 * at + 8], "little") for at, name in enumerate(_GREGS)}
    return "signal", registers["rsp"], values


def _by_pointer(registers: Registers, memory: Memory, *, first: bool) -> tuple[str, int, Registers] | None:
    pointer = registers["rbp"]
    if pointer < registers["rsp"] or pointer % 8:
        if not first:
            return None
        cfa = registers["rsp"] + 8
        return "frame pointer", cfa, registers | {"rip": memory.word(cfa - 8), "rsp": cfa}
    cfa = pointer + 16
    return "frame pointer", cfa, registers | {"rip": memory.word(pointer + 8), "rbp": memory.word(pointer), "rsp": cfa}


def _by_row(row: dict[Any, Any], registers: Registers, memory: Memory) -> tuple[str, int, Registers | None]:
    rule = row["cfa"]
    known = rule.expr is None
    cfa = registers[_DWARF[rule.reg]] + rule.offset if known else _expression(rule.expr, registers, memory, [])
    caller = registers | {"rsp": cfa}
    for number, name in enumerate(_DWARF):
        saved = row.get(number)
        if saved is not None:
            value = _saved(saved, cfa, registers, memory)
            if value is None and name == "rip":
                return "cfi", cfa, None  # the outermost function
            if value is not None:
                caller[name] = value
    return "cfi", cfa, caller


def _saved(rule: Any, cfa: int, registers: Registers, memory: Memory) -> int | None:
    kind = rule.type
    if kind == "OFFSET":
        return memory.word(cfa + rule.arg)
    if kind == "VAL_OFFSET":
        return cfa + int(rule.arg)
    if kind == "REGISTER":
        return registers[_DWARF[rule.arg]]
    if kind == "EXPRESSION":
        return memory.word(_expression(rule.arg, registers, memory, [cfa]))
    if kind == "VAL_EXPRESSION":
        return _expression(rule.arg, registers, memory, [cfa])
    return None  # undefined, or as it was


def _expression(code: Any, registers: Registers, memory: Memory, stack: list[int]) -> int:
    """DWARF's stack machine, as far as compilers and linkers use it in call frames."""
    from selftrace.ptrace.frames import operations

    for name, arguments in operations(bytes(code)):
        if name.startswith("breg"):
            stack.append(registers[_DWARF[int(name[4:])]] + arguments[0])
        elif name.startswith("lit"):
            stack.append(int(name[3:]))
        elif name.startswith("const"):
            stack.append(arguments[0])
        elif name == "plus_uconst":
            stack[-1] += arguments[0]
        elif name == "deref":
            stack[-1] = memory.word(stack[-1])
        elif name in _BINARY:
            second, first = stack.pop(), stack.pop()
            stack.append(_BINARY[name](first, second))
        else:
            raise MemoryFault("evaluate", 0, 0)
    return stack[-1] & (2**64 - 1)


_BINARY: dict[str, Callable[[int, int], int]] = {
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "plus": lambda a, b: a + b,
    "minus": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "shl": lambda a, b: a << b,
    "shr": lambda a, b: a >> b,
    "ge": lambda a, b: int(a >= b),
    "gt": lambda a, b: int(a > b),
    "le": lambda a, b: int(a <= b),
    "lt": lambda a, b: int(a < b),
    "eq": lambda a, b: int(a == b),
    "ne": lambda a, b: int(a != b),
}
