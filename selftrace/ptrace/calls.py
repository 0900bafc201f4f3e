"""System calls of a tracee: looked at, changed, answered, at their entry and at their exit."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from selftrace.calls import errno_name, errno_value, format_call, nearest, table
from selftrace.ptrace import mended
from selftrace.ptrace.memory import MemoryFault
from selftrace.ptrace.stops import Stop, Task
from selftrace.ptrace.waiting import interruptible

_ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
_NO_CALL = 2**64 - 1
_LIMIT = 4096


class TracedCall:
    """A call that a thread is in. At its entry `sysno`, `name` and `args` may be changed, or the call answered with
    `skip`; at its exit `result` (a value, or minus an errno) may be. call["pathname"] is an argument by its name."""

    def __init__(self, task: Task, sysno: int, args: tuple[int, ...]) -> None:
        self._task = task
        self.sysno = sysno
        self.args = list(args)
        self.result: int | None = None
        self.skipped = False
        self.first_sysno = sysno  # what the program asked for

    @property
    def tid(self) -> int:
        """Of the thread."""
        return self._task.tid

    @property
    def tracee(self) -> Any:
        """Its process."""
        return self._task.tracee

    @property
    def name(self) -> str:
        """openat, or its number if it has no name."""
        call = table().by_number.get(self.sysno)
        return call.name if call else f"syscall_{self.sysno:#x}"

    @name.setter
    def name(self, value: str) -> None:
        self.sysno = sysno_of(value)

    def _index(self, name: str | int) -> int:
        if isinstance(name, int):
            return name
        call = table().by_number.get(self.sysno)
        try:
            return call.index(name) if call else int(name.lstrip("a"))
        except (KeyError, ValueError):
            known = [arg.name for arg in call.args] if call else []
            raise KeyError(f'{self.name} has no argument "{name}"{nearest(name, known)}') from None

    def __getitem__(self, name: str | int) -> int:
        return self.args[self._index(name)]

    def __setitem__(self, name: str | int, value: int) -> None:
        self.args[self._index(name)] = value & (2**64 - 1)

    def string(self, name: str | int) -> bytes:
        """The C string that an argument points to. Raises MemoryFault."""
        return bytes(self.tracee.memory.string(self[name]))

    def skip(self, result: int | str) -> None:
        """At the entry: the kernel is not to carry it out; the program gets this result, or an error by its name."""
        self.skipped = True
        self.result = -errno_value(result) if isinstance(result, str) else result

    def __str__(self) -> str:
        strings = {}
        call = table().by_number.get(self.sysno)
        for index, arg in enumerate(call.args if call else ()):
            if arg.role in ("path", "text") and self.args[index]:
                try:
                    strings[index] = self.tracee.memory.string(self.args[index], _LIMIT)
                except MemoryFault:
                    pass
        text = format_call(self.sysno, self.args, strings)
        if self.result is None:
            return text
        error = f" {errno_name(-self.result)}" if -4096 < self.result < 0 else ""
        return f"{text} = {-1 if error else self.result}{error}"


def sysno_of(name: str) -> int:
    """Raises ValueError that names the nearest."""
    call = table().by_name.get(name)
    if call is None:
        raise ValueError(f'unknown call "{name}"{nearest(name, table().by_name)}')
    return call.sysno


class CallHandler:
    """What is done at some calls; made by Tracee.handle_syscall(). hits: how many entries it has seen."""

    def __init__(
        self,
        owner: Calls,
        sysnos: Collection[int] | None,
        on_enter: Callable[[TracedCall], Any] | None,
        on_exit: Callable[[TracedCall], Any] | None,
    ) -> None:
        self._owner = owner
        self.sysnos = sysnos
        self.on_enter = on_enter
        self.on_exit = on_exit
        self.hits = 0

    def matches(self, call: TracedCall) -> bool:
        """By what the program asked for."""
        return self.sysnos is None or call.first_sysno in self.sysnos

    def delete(self) -> None:
        """The calls are no longer looked at."""
        if self in self._owner.handlers:
            self._owner.handlers.remove(self)


class Calls:
    """The handlers of one process."""

    def __init__(self, tracee: Any) -> None:
        self._tracee = tracee
        self.handlers: list[CallHandler] = []
        self.stop_at_next = False
        self.ignored: frozenset[int] = frozenset()  # at which `stop_at_next` does not stop

    @property
    def are_wanted(self) -> bool:
        """Whether threads must stop at their calls."""
        return bool(self.handlers) or self.stop_at_next

    def reached(self, task: Task) -> Stop | None:
        """A thread has stopped at a call's entry or exit. None: it is to go on."""
        info = mended.call_info(task.tid)
        if info is None:
            return None
        if info.entry:
            return self._entered(task, TracedCall(task, info.sysno, info.args))
        call, task.call = task.call, None
        return self._left(task, call, info.result) if call is not None else None

    def _entered(self, task: Task, call: TracedCall) -> Stop | None:
        task.call = call
        before = (call.sysno, tuple(call.args))
        stops = self.stop_at_next and call.sysno not in self.ignored
        for handler in [one for one in self.handlers if one.matches(call)]:
            handler.hits += 1
            if handler.on_enter is not None:
                with interruptible():
                    stops = bool(handler.on_enter(call)) or stops
        if call.skipped or (call.sysno, tuple(call.args)) != before:
            self._write(task, call)
        return Stop("syscall-entry", self._tracee, task.tid, call=call) if stops else None

    def _write(self, task: Task, call: TracedCall) -> None:
        registers = task.registers()
        registers.orig_rax = _NO_CALL if call.skipped else call.sysno
        for name, value in zip(_ARGUMENTS, call.args, strict=True):
            setattr(registers, name, value)
        task.set_registers(registers)

    def _left(self, task: Task, call: TracedCall, result: int) -> Stop | None:
        answered = call.result if call.skipped else result
        call.result = answered
        stops = self.stop_at_next and call.first_sysno not in self.ignored
        for handler in [one for one in self.handlers if one.matches(call)]:
            if handler.on_exit is not None:
                with interruptible():
                    stops = bool(handler.on_exit(call)) or stops
        if call.result != result:
            registers = task.registers()
            registers.rax = call.result & (2**64 - 1) if call.result is not None else 0
            task.set_registers(registers)
        return Stop("syscall-exit", self._tracee, task.tid, call=call) if stops else None
