"""A debugger's tools on ptrace: `Tracee` starts a program or attaches to one, and everything else hangs on it.

python-ptrace (GPL-2) is imported in mended.py and nowhere else; nothing of selftrace imports this room but `debug`.
"""

from __future__ import annotations

from selftrace.ptrace.attaching import AttachError
from selftrace.ptrace.breakpoints import Breakpoint, BreakpointError
from selftrace.ptrace.calls import CallHandler, TracedCall
from selftrace.ptrace.expressions import ExpressionError
from selftrace.ptrace.memory import Memory, MemoryFault
from selftrace.ptrace.registers import RegisterError
from selftrace.ptrace.running import TraceeError
from selftrace.ptrace.stops import Stop
from selftrace.ptrace.symbols import Place, SymbolError
from selftrace.ptrace.tracee import Tracee
from selftrace.ptrace.unwinding import Frame

__all__ = [
    "AttachError",
    "Breakpoint",
    "BreakpointError",
    "CallHandler",
    "ExpressionError",
    "Frame",
    "Memory",
    "MemoryFault",
    "Place",
    "RegisterError",
    "Stop",
    "SymbolError",
    "TracedCall",
    "Tracee",
    "TraceeError",
]
