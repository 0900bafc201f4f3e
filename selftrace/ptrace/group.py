"""Running processes that are traced together, and what becomes of each of their stops.

All of them run, or all of them are stopped: when one thread stops for the user, the others are told to (PTRACE_INTERRUPT),
and what they have to report waits until they are let go again. Requests must come from the thread that has attached.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

from selftrace.backends.refusals import status_of
from selftrace.ptrace import mended, waiting
from selftrace.ptrace.events import Events
from selftrace.ptrace.stops import Stop, Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from selftrace.ptrace.tracee import Tracee

_GROUP_STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


class Group:
    """The threads of all processes that are traced together, by their number."""

    def __init__(self) -> None:
        self.owner = os.getpid()  # a forked child has all this in its memory, but nothing of it is its own
        self.tasks: dict[int, Task] = {}
        self.tracees: dict[int, Tracee] = {}
        self.swallow_interrupt = False  # the terminal's Ctrl-C was for us; the tracee has got it too
        self._events = Events(self)

    def of(self, tracee: object) -> Iterator[Task]:
        """The threads of one process."""
        return (task for task in list(self.tasks.values()) if task.tracee is tracee)

    def remove(self, task: Task) -> None:
        """A thread that is gone."""
        if self.tasks.get(task.tid) is task:
            del self.tasks[task.tid]

    def ended(self, task: Task) -> Stop:
        """Digests the end of a thread; the process's, if it was the last one."""
        return self._events.digest(task) or Stop("thread-exited", task.tracee, task.tid)

    # ---- letting go ------------------------------------------------------------------------------

    def run(self, only: Task | None = None, *, step: bool = False) -> Stop:
        """Lets all threads go, or one; returns when one has stopped for the user, with all stopped.

        step: one instruction of `only`. Raises KeyboardInterrupt, with all stopped.
        """
        with waiting.uninterrupted():
            try:
                while True:
                    stop = self._step(only) if step and only is not None else self._resume(only)
                    stop = stop or self._next(only)
                    if stop is not None:
                        return stop
            except KeyboardInterrupt:
                self.swallow_interrupt = True
                raise
            finally:
                self.stop_all()

    def _resume(self, only: Task | None) -> Stop | None:
        ready = [task for task in self.tasks.values() if not task.running and task.status is None and only in (None, task)]
        on_breakpoints = [task for task in ready if self._stands_on_breakpoint(task)]
        if on_breakpoints:
            self.stop_all()
        for task in on_breakpoints:
            self._pass_breakpoint(task)
        for task in ready:
            if task.status is None and task.tid in self.tasks and not task.running:
                self._let_go(task)
        return None

    def _let_go(self, task: Task) -> None:
        command = mended.SYSCALL if task.tracee.calls.are_wanted else mended.CONT
        number, task.signal = task.signal, 0
        if task.group_stopped:
            command, number = mended.LISTEN, 0
        self._request(task, command, number)

    def _request(self, task: Task, command: int, number: int) -> None:
        task.running = True
        try:
            mended.request(command, task.tid, 0, number)
        except mended.Gone:
            pass  # killed meanwhile: its end is reported in turn

    def _stands_on_breakpoint(self, task: Task) -> bool:
        memory = task.tracee.memory
        if memory is None or not memory.patches or task.group_stopped:
            return False
        try:
            return int(task.registers().rip) in memory.patches
        except mended.Gone:
            return False

    def _pass_breakpoint(self, task: Task) -> bool:
        """One instruction of a thread, with the program's own byte in place, while all others are stopped. False if
        something came between, which is then the thread's status."""
        memory = task.tracee.memory
        assert memory is not None
        try:
            registers = task.registers()
        except mended.Gone:
            task.running = True
            return False
        place = (int(registers.rip), int(registers.rsp))
        covered = place[0] in memory.patches
        if covered:
            memory.lift(place[0])
        done = False
        try:
            done = self._one_instruction(task)
        finally:
            if not done and covered:
                task.unfinished = place
            if task.running:
                self.stop_all()  # Ctrl-C while the instruction waits in the kernel
            if covered and task.tracee.memory is memory:
                task.tracee.breakpoints.lay()
        return done

    def _one_instruction(self, task: Task) -> bool:
        while True:
            number, task.signal = task.signal, 0
            task.stepping = True
            self._request(task, mended.SINGLESTEP, number)
            _, status = waiting.any_of([task])
            self.arrived(task, status)
            task.stepping = False
            if waiting.is_plain_stop(status) and not task.group_stopped:
                task.status = None  # a former PTRACE_INTERRUPT: nothing was executed
                continue
            if status >> 8 != signal.SIGTRAP or task.trapped is not None:
                return False
            code = mended.signal_info(task.tid).code
            if code not in (1, 2, int(signal.SIGTRAP)):  # TRAP_BRKPT, TRAP_TRACE; SIGTRAP: a handler begins
                return False
            task.status = None
            return code != signal.SIGTRAP or number == 0

    def _step(self, task: Task) -> Stop | None:
        if task.status is not None:
            return None
        if not self._pass_breakpoint(task) and (task.status is not None or task.running):
            return None
        address = int(task.registers().rip)
        if address in (task.tracee.memory.patches if task.tracee.memory else ()):
            hit = self._events.hit(task, address)
            if hit is not None:
                return hit
        return Stop("step", task.tracee, task.tid)

    # ---- waiting ---------------------------------------------------------------------------------

    def _next(self, only: Task | None) -> Stop | None:
        for task in list(self.tasks.values()):
            if task.status is not None:
                return self._events.digest(task)
        running = [task for task in self.tasks.values() if task.running]
        if only is not None and only.tid not in self.tasks:
            return Stop("thread-exited", only.tracee, only.tid)
        if not running:
            return Stop("thread-exited", only.tracee, only.tid) if only and only.tid not in self.tasks else None
        task, status = waiting.any_of(running)
        self.arrived(task, status)
        return self._events.digest(task)

    def arrived(self, task: Task, status: int) -> None:
        """Notes a wait status; puts a thread that has run into one of our int3 back onto its address."""
        task.running = False
        task.status = status
        task.trapped = None
        if waiting.is_exit(status):
            return
        if waiting.is_plain_stop(status):
            task.group_stopped = status >> 8 & 0xFF in _GROUP_STOPS
        elif status >> 8 == signal.SIGTRAP and mended.signal_info(task.tid).code == mended.SI_KERNEL:
            registers = task.registers()
            memory = task.tracee.memory
            if memory is not None and registers.rip - 1 in memory.patches:
                registers.rip -= 1
                task.set_registers(registers)
                task.trapped = int(registers.rip)

    def stop_all(self) -> None:
        """Stops every thread that runs; what else they report waits in their `status`."""
        told = [task for task in self.tasks.values() if task.running and not task.held and self._told(task)]
        for task, status in waiting.collect(told):
            self.arrived(task, status)
            if waiting.is_plain_stop(status) or (status >> 8 == signal.SIGINT and self._events.swallows(task)):
                task.status = None
            if task.status is None and self._trap_is_on_its_way(task):
                self._fetch(task)
            self._drop_trap(task)

    def _trap_is_on_its_way(self, task: Task) -> bool:
        """PTRACE_INTERRUPT is served first: a thread that has just run into an int3, or finished a step, has yet to be told."""
        if not task.stepping and (task.tracee.memory is None or not task.tracee.memory.patches):
            return False
        return bool(int(status_of(task.tid).get("SigPnd", "0"), 16) >> signal.SIGTRAP - 1 & 1)

    def _fetch(self, task: Task) -> None:
        self._request(task, mended.CONT, 0)
        _, status = waiting.any_of([task])
        self.arrived(task, status)

    def _drop_trap(self, task: Task) -> None:
        """A step into a call that waits, and was interrupted, has ended in the kernel's eyes: its SIGTRAP would kill the program
        if we were gone by then."""
        stepping, task.stepping = task.stepping, False
        if stepping and task.status is not None and task.status >> 8 == signal.SIGTRAP and task.trapped is None:
            task.status = None

    def _told(self, task: Task) -> bool:
        try:
            mended.request(mended.INTERRUPT, task.tid)
        except (mended.Gone, OSError):
            return os.path.exists(f"/proc/{task.tid}")
        return True
