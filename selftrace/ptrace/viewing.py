"""What can be looked at in a stopped tracee. The work is done by the modules beside this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from selftrace.errors import SelftraceError
from selftrace.ptrace import maps
from selftrace.ptrace.calls import CallHandler, Calls, TracedCall, sysno_of
from selftrace.ptrace.memory import Memory
from selftrace.ptrace.registers import Registers
from selftrace.ptrace.stops import Stop, Task
from selftrace.ptrace.symbols import Place, Symbols

TYPE_CHECKING = False
if TYPE_CHECKING:
    from selftrace.ptrace.disassembly import Instruction
    from selftrace.ptrace.mended import SignalInfo
    from selftrace.ptrace.pythonstack import PythonFrame
    from selftrace.ptrace.unwinding import Frame


class Viewing:
    """The looking half of Tracee."""

    pid: int
    tid: int
    memory: Memory | None
    symbols: Symbols
    registers: Registers
    calls: Calls
    stop: Stop | None

    @property
    def task(self) -> Task:
        """The current thread."""
        raise NotImplementedError

    @property
    def words(self) -> Memory:
        """`memory`, for sure: raises SelftraceError after the end."""
        if self.memory is None:
            raise SelftraceError(f"process {self.pid} is not there any more")
        return self.memory

    @property
    def program(self) -> str:
        """The path of what it executes; empty when that cannot be read."""
        import os

        try:
            return os.readlink(f"/proc/{self.task.tid}/exe")
        except OSError:
            return ""

    def maps(self) -> list[maps.Mapping]:
        """What is mapped in it."""
        return maps.mappings(self.task.tid)

    def addresses_of(self, where: int | str) -> list[int]:
        """The addresses that a place means: more than one for a line that is in several functions. Raises SymbolError."""
        if isinstance(where, int):
            return [where]
        text = where.strip()
        if text[:1] in "0123456789$*(":
            from selftrace.ptrace.expressions import number

            return [number(self, text.removeprefix("*"))]  # type: ignore[arg-type]
        self.symbols.refresh()
        return self.symbols.find(text)

    def address_of(self, where: int | str) -> int:
        """The first of them."""
        return self.addresses_of(where)[0]

    def describe(self, address: int) -> Place:
        """An address in words: function and offset, source line, file."""
        return self.symbols.describe(address)

    def backtrace(self, limit: int = 64) -> list[Frame]:
        """The functions that the current thread is in, innermost first."""
        from selftrace.ptrace.unwinding import unwind

        return unwind(self.task.registers(), self.words, self.symbols, limit)

    def python_backtrace(self) -> list[PythonFrame]:
        """The Python functions that the current thread is in, innermost first. Raises UnsupportedError without pystack."""
        from selftrace.ptrace.pythonstack import frames

        return frames(self.pid, self.task.tid)

    def disassemble(self, where: int | str | None = None, count: int = 10) -> list[Instruction]:
        """Instructions from a place on; None is the current one. Raises UnsupportedError without capstone."""
        from selftrace.ptrace.disassembly import disassemble

        return disassemble(self.words, self.registers["rip"] if where is None else self.address_of(where), count)

    def signal_info(self) -> SignalInfo:
        """Who has sent the signal at which the current thread is stopped, or what fault it is. Raises SelftraceError."""
        from selftrace.ptrace import mended

        task = self.task
        if self.stop is None or (self.stop.kind, self.stop.tid) != ("signal", task.tid):
            raise SelftraceError(f"thread {task.tid} is not stopped at a signal")
        return mended.signal_info(task.tid)

    def search(self, data: bytes) -> list[int]:
        """Every address at which these bytes are, in all memory that can be read."""
        from selftrace.ptrace.searching import search

        return search(self.words, self.maps(), data)

    def core(self, path: str) -> None:
        """Writes a core file that gdb reads. Raises OSError."""
        from selftrace.ptrace.core import write

        write(self, path)  # type: ignore[arg-type]

    def handle_syscall(
        self,
        names: str | Iterable[str],
        on_enter: Callable[[TracedCall], Any] | None = None,
        on_exit: Callable[[TracedCall], Any] | None = None,
    ) -> CallHandler:
        """From now on these functions are called at a system call's entry and exit; "*" is every call.

        They may change the call: its name, arguments, result, or answer it with skip(). What returns something true stops
        the tracee. While there is a handler, every call of the tracee stops twice (some 100 µs each). Raises ValueError
        that names the nearest call.
        """
        wanted = [names] if isinstance(names, str) else list(names)
        sysnos = None if wanted == ["*"] else frozenset(map(sysno_of, wanted))
        handler = CallHandler(self.calls, sysnos, on_enter, on_exit)
        self.calls.handlers.append(handler)
        return handler

    def hijack_syscall(self, name: str, other: str, **arguments: int) -> CallHandler:
        """Makes every call of `name` a call of `other`, with these arguments changed (by name, or a0 to a5)."""
        sysno = sysno_of(other)

        def change(call: TracedCall) -> None:
            call.sysno = sysno
            for argument, value in arguments.items():
                call[argument] = value

        return self.handle_syscall(name, on_enter=change)
