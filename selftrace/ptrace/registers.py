"""The registers of the current thread, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from selftrace.calls import nearest
from selftrace.errors import SelftraceError
from selftrace.ptrace import mended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from selftrace.ptrace.stops import Task
    from selftrace.ptrace.tracee import Tracee


class RegisterError(SelftraceError):
    """A name that is no register."""


def get(values: Any, name: str) -> int:
    """rip, eax, r8b … of python-ptrace's structure. Raises RegisterError."""
    whole, shift, mask = _parts(name)
    return int(getattr(values, whole)) >> shift & mask


def put(values: Any, name: str, value: int) -> None:
    """Changes the structure. As the processor does, writing a 32-bit part clears the upper half."""
    whole, shift, mask = _parts(name)
    kept = 0 if mask == 0xFFFFFFFF else getattr(values, whole) & ~(mask << shift)
    setattr(values, whole, kept | (value & mask) << shift)


def _parts(name: str) -> tuple[str, int, int]:
    if name in mended.PARTS:
        return mended.PARTS[name]
    if name not in mended.REGISTERS:
        raise RegisterError(f'unknown register "{name}"{nearest(name, [*mended.REGISTERS, *mended.PARTS])}')
    return name, 0, 2**64 - 1


class Registers:
    """tracee.registers.rip, tracee.registers["eax"]: read and written in the current thread, while it is stopped."""

    __slots__ = ("_task",)
    _task: Callable[[], Task]

    def __init__(self, tracee: Tracee) -> None:
        object.__setattr__(self, "_task", lambda: tracee.task)

    def __getitem__(self, name: str) -> int:
        return get(self._task().registers(), name)

    def __setitem__(self, name: str, value: int) -> None:
        values = self._task().registers()
        put(values, name, value)
        self._task().set_registers(values)

    def __getattr__(self, name: str) -> int:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, value: int) -> None:
        self[name] = value

    def __iter__(self) -> Iterator[str]:
        return iter(mended.REGISTERS)

    def all(self) -> dict[str, int]:
        """Name → value, in the kernel's order."""
        values = self._task().registers()
        return {name: int(getattr(values, name)) for name in mended.REGISTERS}
