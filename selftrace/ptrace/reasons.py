"""Why a signal has come, in words: what a fault was, or who has sent it."""

from __future__ import annotations

import signal

from selftrace.ptrace import mended
from selftrace.ptrace.attaching import name_of
from selftrace.ptrace.maps import mapping_at, mappings
from selftrace.ptrace.stops import Task

_STACK_REACH = 1 << 20  # bytes below the stack pointer that a function may touch first
_CODES = {
    (signal.SIGFPE, 1): "an integer divided by zero",
    (signal.SIGFPE, 3): "a floating-point number divided by zero",
    (signal.SIGILL, 2): "an instruction that does not exist",
    (signal.SIGBUS, 1): "a misaligned address",
    (signal.SIGBUS, 2): "a page behind the end of its file",
}


def reason(task: Task) -> str:
    """For the signal at which a thread is stopped. Empty when there is nothing to add to its name."""
    info = mended.signal_info(task.tid)
    if info.number == signal.SIGCHLD and info.status is not None:
        return f"child {info.pid}, status {info.status}"
    if info.address is not None:
        return _fault(task, info.number, info.code, info.address)
    if info.code > 0 or not info.pid:
        return ""
    return "sent by itself" if info.pid == task.tracee.pid else f"sent by {name_of(info.pid)}, uid {info.uid}"


def _fault(task: Task, number: int, code: int, address: int) -> str:
    if number != signal.SIGSEGV:
        known = _CODES.get((signal.Signals(number), code), "")
        return f"{known} at {address:#x}" if known else f"at {address:#x}"
    mapping = mapping_at(mappings(task.tid), address)
    if mapping is not None:
        return f"{address:#x} may not be used so: {mapping}"
    pointer = int(task.registers().rsp)
    stack = mapping_at(mappings(task.tid), pointer)
    if stack is None or (stack.path == "[stack]" and stack.start - _STACK_REACH < address < stack.start):
        return f"the stack is full at {address:#x}"
    return f"nothing is mapped at {address:#x}" if address or code == 1 else "an address that no pointer can have"
