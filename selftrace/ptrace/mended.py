"""The one place where python-ptrace is imported, and where what is wrong in its release 0.9.9 is mended from outside.

python-ptrace is GPL-2: it is imported as its own package, and nothing of it is copied. What is used of it is the binding
of ptrace(2): requests, register and siginfo structures, the names of registers. What its objects do wrong, and what is
done here instead:

| python-ptrace 0.9.9 | here |
|---|---|
| attach takes one thread, by PTRACE_ATTACH and a SIGSTOP | PTRACE_SEIZE for every thread, without a signal (attaching.py) |
| no INTERRUPT, LISTEN, GET_SYSCALL_INFO, EVENT_STOP | requests of our own through its `ptrace()` |
| single steps and detaching drop the pending signal | both take it |
| a call's entry and exit are told apart by counting | the kernel is asked |
| `eax` … are the upper halves of rax …; r8d, sil … are missing | a table of our own |
| memory is read through a buffered file, strings in 256 byte pieces that fail near unmapped pages | memory.py |
| breakpoints know one thread, vanish when hit, are left in forked children, and are taken out by `__del__` | breakpoints.py |
| `PtraceProcess.__del__` detaches; waiting polls with pauses up to 0.5 s | none of its objects are made; waiting.py |
| createChild closes every descriptor up to the limit | starting.py |
| the 16-bit uid of a SIGCHLD's siginfo shifts the fields behind it | decoded by hand from the bytes |
"""

from __future__ import annotations

import ctypes
import errno
import struct
from typing import Any

from ptrace.binding import func
from ptrace.error import PtraceError

from selftrace.errors import SelftraceError
from selftrace.record import record

O_TRACESYSGOOD, O_TRACEFORK, O_TRACEVFORK, O_TRACECLONE = 1, 2, 4, 8
O_TRACEEXEC, O_TRACEVFORKDONE, O_EXITKILL = 0x10, 0x20, 0x100000
OPTIONS = O_TRACESYSGOOD | O_TRACEFORK | O_TRACEVFORK | O_TRACECLONE | O_TRACEEXEC | O_TRACEVFORKDONE
EVENT_FORK, EVENT_VFORK, EVENT_CLONE, EVENT_EXEC, EVENT_VFORK_DONE, EVENT_STOP = 1, 2, 3, 4, 5, 128
SI_KERNEL = 0x80  # siginfo's code of an int3
CONT, SINGLESTEP, DETACH, SYSCALL = func.PTRACE_CONT, func.PTRACE_SINGLESTEP, func.PTRACE_DETACH, func.PTRACE_SYSCALL
SEIZE, INTERRUPT, LISTEN, GET_SYSCALL_INFO = 0x4206, 0x4207, 0x4208, 0x420E
REGISTERS: tuple[str, ...] = func.REGISTER_NAMES


def _parts() -> dict[str, tuple[str, int, int]]:
    """Name of a part of a register → (the whole, shift, mask)."""
    parts: dict[str, tuple[str, int, int]] = {}
    for letter in "abcd":
        whole = f"r{letter}x"
        parts |= {f"e{letter}x": (whole, 0, 0xFFFFFFFF), f"{letter}x": (whole, 0, 0xFFFF)}
        parts |= {f"{letter}l": (whole, 0, 0xFF), f"{letter}h": (whole, 8, 0xFF)}
    for name in ("si", "di", "bp", "sp"):
        parts |= {f"e{name}": (f"r{name}", 0, 0xFFFFFFFF), name: (f"r{name}", 0, 0xFFFF), f"{name}l": (f"r{name}", 0, 0xFF)}
    for number in range(8, 16):
        whole = f"r{number}"
        parts |= {f"{whole}d": (whole, 0, 0xFFFFFFFF), f"{whole}w": (whole, 0, 0xFFFF), f"{whole}b": (whole, 0, 0xFF)}
    return parts | {"eip": ("rip", 0, 0xFFFFFFFF), "pc": ("rip", 0, 2**64 - 1), "rflags": ("eflags", 0, 2**64 - 1)}


PARTS = _parts()


class Gone(SelftraceError):
    """The thread is no longer there, or not stopped: the kernel's ESRCH."""


def request(command: int, tid: int, address: int = 0, data: int = 0) -> int:
    """One ptrace request. Raises Gone for ESRCH, and OSError with the request's number for the rest."""
    try:
        return int(func.ptrace(command, tid, address, data))
    except PtraceError as error:
        number = error.errno or errno.EIO
        if number == errno.ESRCH:
            raise Gone(f"thread {tid} has ended, or is not stopped") from None
        raise OSError(number, f"ptrace request {command:#x} of {tid}: {errno.errorcode.get(number, number)}") from None


def let_die(tid: int) -> None:
    """Lets a stopped thread of a killed process go on to its end."""
    try:
        request(CONT, tid)
    except Gone:
        pass


def registers_of(tid: int) -> Any:
    """All general registers, as python-ptrace's structure."""
    found = func.ptrace_registers_t()
    request(func.PTRACE_GETREGS, tid, 0, ctypes.addressof(found))
    return found


def set_registers(tid: int, values: Any) -> None:
    """Writes them all."""
    request(func.PTRACE_SETREGS, tid, 0, ctypes.addressof(values))


def float_registers(tid: int) -> bytes:
    """The 512 bytes of FXSAVE, for core files."""
    space = ctypes.create_string_buffer(512)
    request(func.PTRACE_GETFPREGS, tid, 0, ctypes.addressof(space))
    return space.raw


def event_message(tid: int) -> int:
    """What PTRACE_GETEVENTMSG says: the new thread, or the former one of an exec."""
    space = ctypes.c_ulong()
    request(func.PTRACE_GETEVENTMSG, tid, 0, ctypes.addressof(space))
    return space.value


@record
class SignalInfo:
    """Why a signal was sent. code: si_code; pid, uid: of the sender, None where a fault has none; address: of a fault."""

    number: int
    code: int
    pid: int | None
    uid: int | None
    address: int | None
    status: int | None
    raw: bytes


_FAULTS = (4, 5, 7, 8, 11)  # SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV


def signal_info(tid: int) -> SignalInfo:
    """The siginfo_t of the signal at which it is stopped. Source: siginfo(2), uapi/asm-generic/siginfo.h."""
    space = ctypes.create_string_buffer(128)
    request(func.PTRACE_GETSIGINFO, tid, 0, ctypes.addressof(space))
    number, _, code = struct.unpack_from("<iii", space.raw)
    pid, uid, status = struct.unpack_from("<iIi", space.raw, 16)
    (address,) = struct.unpack_from("<Q", space.raw, 16)
    if number in _FAULTS and code > 0:
        return SignalInfo(number, code, None, None, address, None, space.raw)
    child = number == 17 and code > 0
    return SignalInfo(number, code, pid, uid, None, status if child else None, space.raw)


@record
class CallInfo:
    """What PTRACE_GET_SYSCALL_INFO says. entry: whether it is the call's entry; then `sysno` and `args`, else `result`."""

    entry: bool
    sysno: int
    args: tuple[int, ...]
    result: int


def call_info(tid: int) -> CallInfo | None:
    """None when the thread is not stopped at a call."""
    space = ctypes.create_string_buffer(88)
    request(GET_SYSCALL_INFO, tid, len(space), ctypes.addressof(space))
    if space.raw[0] == 1:
        sysno, *args = struct.unpack_from("<7Q", space.raw, 24)
        return CallInfo(True, sysno, tuple(args), 0)
    if space.raw[0] == 2:
        return CallInfo(False, -1, (), struct.unpack_from("<q", space.raw, 24)[0])
    return None
