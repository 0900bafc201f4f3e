"""Software breakpoints: an int3 over the first byte of an instruction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selftrace.errors import SelftraceError
from selftrace.ptrace.maps import mapping_at
from selftrace.ptrace.stops import Stop, Task
from selftrace.ptrace.waiting import interruptible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from selftrace.ptrace.tracee import Tracee

INT3 = b"\xcc"
Callback = Callable[[Stop], Any]


class BreakpointError(SelftraceError):
    """A breakpoint that cannot be set: the text says where and why."""


class Breakpoint:
    """A breakpoint, made by Tracee.breakpoint().

    where: as it was asked for; addresses: where that is, empty while it is pending. hits: how often a thread has come by
    with the condition true. ignore: so many further hits do not stop. callback(stop): called at each hit; it stops the
    tracee if what it returns is true; without a callback each hit stops. enabled may be set at any time.
    """

    def __init__(
        self,
        owner: Breakpoints,
        number: int,
        where: str | int,
        addresses: list[int],
        *,
        condition: str | Callback | None = None,
        callback: Callback | None = None,
        temporary: bool = False,
        ignore: int = 0,
        tid: int | None = None,
    ) -> None:
        self._owner = owner
        self.number = number
        self.where = where
        self.addresses = addresses
        self.condition = condition
        self.callback = callback
        self.temporary = temporary
        self.ignore = ignore
        self.tid = tid
        self.hits = 0
        self._enabled = True

    @property
    def enabled(self) -> bool:
        """Whether it is in the program."""
        return self._enabled

    @enabled.setter
    def enabled(self, value: bool) -> None:
        self._enabled = value
        self._owner.lay()

    @property
    def pending(self) -> bool:
        """Whether it waits for its file to be mapped."""
        return not self.addresses

    def delete(self) -> None:
        """Takes it out for good."""
        self._owner.delete(self)

    def __str__(self) -> str:
        where = f"{self.where:#x}" if isinstance(self.where, int) else self.where
        return f"breakpoint {self.number}, {where}"


class Breakpoints:
    """Those of one process. Internal ones have negative numbers and are not listed."""

    def __init__(self, tracee: Tracee) -> None:
        self._tracee = tracee
        self.all: list[Breakpoint] = []
        self._next = 1
        self._next_internal = -1

    @property
    def listed(self) -> list[Breakpoint]:
        """The user's."""
        return [one for one in self.all if one.number > 0]

    def add(self, where: str | int, addresses: list[int], *, internal: bool = False, **options: Any) -> Breakpoint:
        """Sets one. Raises BreakpointError, with nothing changed."""
        self._check(addresses)
        number = self._next_internal if internal else self._next
        made = Breakpoint(self, number, where, addresses, **options)
        self.all.append(made)
        try:
            self.lay()
        except SelftraceError:
            self.all.remove(made)
            raise
        if internal:
            self._next_internal -= 1
        else:
            self._next += 1
        return made

    def copy(self, other: Breakpoint) -> None:
        """The same one in a forked child, which has it in its memory already."""
        options = {name: getattr(other, name) for name in ("condition", "callback", "temporary", "ignore")}
        made = Breakpoint(self, other.number, other.where, list(other.addresses), **options)
        made._enabled = other.enabled
        self.all.append(made)
        self._next = max(self._next, other.number + 1)

    def delete(self, breakpoint: Breakpoint) -> None:
        """Takes one out."""
        if breakpoint in self.all:
            self.all.remove(breakpoint)
            self.lay()

    def _check(self, addresses: list[int]) -> None:
        maps = self._tracee.maps()
        for address in addresses:
            mapping = mapping_at(maps, address)
            if mapping is None:
                raise BreakpointError(f"no breakpoint at {address:#x}: nothing is mapped there; maps shows what is")
            if "x" not in mapping.permissions:
                what = f"{mapping.path or 'anonymous memory'} ({mapping.permissions})"
                raise BreakpointError(f"no breakpoint at {address:#x}: {what} is not executable")

    def lay(self) -> None:
        """Makes memory hold exactly those that are enabled. Nothing is done to a process that runs or is gone."""
        memory = self._tracee.memory
        if memory is None:
            return
        wanted = {address for one in self.all if one.enabled for address in one.addresses}
        for address in set(memory.patches) - wanted:
            memory.lift(address)
        for address in wanted - set(memory.patches):
            memory.patch(address, INT3)

    def resolve(self, find: Callable[[str], list[int]]) -> None:
        """Looks for the places of those that are pending. Those whose file is still missing go on waiting."""
        for one in self.all:
            if one.pending and isinstance(one.where, str):
                try:
                    one.addresses = find(one.where)
                except SelftraceError:
                    continue
        self.lay()

    def forget(self) -> None:
        """After an exec: names are looked up again, addresses of the former program mean nothing."""
        for one in self.all:
            one.addresses = []
        self.all = [one for one in self.all if one.number > 0]
        for one in self.all:
            if isinstance(one.where, int):
                one._enabled = False

    def hit(self, task: Task, address: int) -> Stop | None:
        """What a thread that has come to an address is to do: None is to go on."""
        stop = None
        for one in [each for each in self.all if address in each.addresses and each.enabled]:
            if one.tid is None or one.tid == task.tid:
                stop = self._counted(one, task) or stop
        return stop

    def _counted(self, one: Breakpoint, task: Task) -> Stop | None:
        stop = Stop("breakpoint", self._tracee, task.tid, breakpoint=one)
        if one.condition is not None:
            try:
                if not self._holds(one, task, stop):
                    return None
            except (SelftraceError, ArithmeticError, LookupError, TypeError, ValueError, NameError, AttributeError) as error:
                return Stop("breakpoint", self._tracee, task.tid, breakpoint=one, text=f"its condition failed: {error}")
        one.hits += 1
        if one.ignore > 0:
            one.ignore -= 1
            return None
        if one.temporary:
            self.delete(one)
        if one.callback is not None:
            with interruptible():
                return stop if one.callback(stop) else None
        return stop

    def _holds(self, one: Breakpoint, task: Task, stop: Stop) -> bool:
        if isinstance(one.condition, str):
            from selftrace.ptrace.expressions import evaluate

            with self._tracee.looking_at(task.tid):
                return bool(evaluate(self._tracee, one.condition, {"hits": one.hits}))
        assert one.condition is not None
        with interruptible():
            return bool(one.condition(stop))
