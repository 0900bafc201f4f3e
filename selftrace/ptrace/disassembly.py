"""Instructions in words, by capstone where it is installed."""

from __future__ import annotations

from selftrace.errors import UnsupportedError
from selftrace.ptrace.memory import Memory, MemoryFault
from selftrace.record import record

_LONGEST = 15


@record
class Instruction:
    """One instruction. code: its bytes; text: in Intel's syntax."""

    address: int
    code: bytes
    text: str

    def __str__(self) -> str:
        return f"{self.address:#x}  {self.code.hex():<20}  {self.text}"


def disassemble(memory: Memory, address: int, count: int) -> list[Instruction]:
    """The next `count` instructions, fewer where mapped memory ends; breakpoints do not show.

    Raises UnsupportedError without capstone, MemoryFault where nothing is mapped.
    """
    try:
        import capstone
    except ImportError:
        raise UnsupportedError("disassembly needs capstone, which is not installed", 'pip install "selftrace[debug]"') from None
    data = memory.read_some(address, _LONGEST * count)
    if not data:
        raise MemoryFault("read", address, 1)
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    found = []
    for place, size, name, operands in decoder.disasm_lite(data, address, count):
        code = data[place - address : place - address + size]
        found.append(Instruction(place, code, f"{name} {operands}".rstrip()))
    return found
