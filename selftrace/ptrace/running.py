"""What lets a tracee run: going on, steps, breakpoints, signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from selftrace.calls import signal_value
from selftrace.errors import SelftraceError
from selftrace.ptrace.breakpoints import Breakpoint, Breakpoints
from selftrace.ptrace.group import Group
from selftrace.ptrace.stops import Stop, Task
from selftrace.ptrace.symbols import SymbolError
from selftrace.ptrace.viewing import Viewing

# Sent so often, or so much in passing, that nobody wants to stop at them: gdb's list.
_QUIET = {signal.SIGALRM, signal.SIGURG, signal.SIGIO, signal.SIGVTALRM, signal.SIGPROF, signal.SIGCHLD, signal.SIGWINCH, 32, 33}
_OURS = {signal.SIGINT, signal.SIGTRAP}


class TraceeError(SelftraceError):
    """What cannot be done now: the tracee has ended, or is not ours any more."""


class Running(Viewing):
    """The running half of Tracee."""

    group: Group
    breakpoints: Breakpoints
    _signals: dict[int, tuple[bool, bool]]

    def _watch_linker(self) -> None:
        raise NotImplementedError

    @property
    def alive(self) -> bool:
        """Whether it is there and ours."""
        return self.pid in self.group.tracees and self.group.owner == os.getpid()

    @property
    def task(self) -> Task:
        """The current thread. Raises TraceeError after the end."""
        threads = sorted(self.group.of(self), key=lambda task: (task.running, task.tid != self.tid, task.tid != self.pid))
        if not threads:
            raise TraceeError(f"process {self.pid} is not there any more: {self.stop}")
        found = threads[0]  # the current one, unless that is a zombie while others live
        self.tid = found.tid
        return found

    @property
    def threads(self) -> list[Task]:
        """Its threads."""
        return sorted(self.group.of(self), key=lambda task: task.tid)

    def _note(self, stop: Stop) -> Stop:
        for one in {self, stop.tracee}:
            one.stop = stop if one is stop.tracee or self.alive else one.stop
        stop.tracee.tid = stop.tid
        return stop

    def cont(self, number: int | str | None = None) -> Stop:
        """Lets it run, with all that is traced together with it, until the next stop.

        number: a signal to be delivered first, by number or name; 0 suppresses the one that it stopped at; None leaves
        that to handle_signal. Raises TraceeError if it has ended, KeyboardInterrupt with everything stopped.
        """
        task = self.task
        if number is not None:
            task.signal = signal_value(number) if isinstance(number, str) else number
        return self._note(self.group.run())

    def step(self) -> Stop:
        """One instruction of the current thread; into calls."""
        return self._note(self.group.run(self.task, step=True))

    def step_over(self) -> Stop:
        """One instruction; a call is one. All threads run while it is carried out."""
        task = self.task
        before = task.registers()
        stop = self.step()
        if stop.kind != "step" or not self.alive:
            return stop
        after = task.registers()
        nearby = range(before.rip + 2, before.rip + 16)
        if after.rsp != before.rsp - 8 or after.rip in nearby:
            return stop
        back = self.words.word(after.rsp)
        return self._run_to([back], above=after.rsp, kind="step") if back in nearby else stop

    def next_line(self) -> Stop:
        """Until another source line of this function, or its caller. Raises SelftraceError without line numbers."""
        here = self.describe(self.registers["rip"])
        if here.line is None:
            raise SelftraceError(f"no line numbers at {here}; step goes by instructions")
        while True:
            stop = self.step_over()
            if stop.kind != "step" or not self.alive:
                return stop
            now = self.describe(self.registers["rip"])
            if now.line is None and now.symbol != here.symbol:
                stop = self.finish()
                if stop.kind != "finished":
                    return stop
            elif (now.file, now.line) != (here.file, here.line):
                return stop

    def until(self, where: int | str) -> Stop:
        """Until the current thread reaches a place (or something else stops it)."""
        return self._run_to(self.addresses_of(where), above=None, kind="step")

    def finish(self) -> Stop:
        """Until the current function returns; the Stop has its value (rax). Raises SelftraceError in the outermost one."""
        frames = self.backtrace(2)
        if len(frames) < 2:
            raise SelftraceError("the outermost function does not return; cont lets the program run")
        stop = self._run_to([frames[1].pc], above=frames[0].cfa - 8, kind="finished")
        if stop.kind == "finished":
            stop = Stop("finished", stop.tracee, stop.tid, value=self.registers["rax"])
            self.stop = stop
        return stop

    def _run_to(self, addresses: list[int], *, above: int | None, kind: str) -> Stop:
        def reached(stop: Stop) -> bool:
            return above is None or self.registers["rsp"] > above

        mark = self.breakpoints.add("a temporary place", addresses, internal=True, tid=self.task.tid, callback=reached)
        try:
            stop = self.cont()
        finally:
            if self.alive:
                mark.delete()
        return self._note(Stop(kind, stop.tracee, stop.tid)) if stop.breakpoint is mark else stop

    def next_syscall(self) -> Stop:
        """Until the next entry or exit of a system call of any thread."""
        self.calls.stop_at_next = True
        try:
            return self.cont()
        finally:
            self.calls.stop_at_next = False

    # ---- breakpoints, signals ----------------------------------------------------------------------

    def breakpoint(
        self,
        where: int | str,
        *,
        condition: str | Callable[[Stop], Any] | None = None,
        callback: Callable[[Stop], Any] | None = None,
        temporary: bool = False,
        ignore: int = 0,
        tid: int | None = None,
        pending: bool = False,
    ) -> Breakpoint:
        """Sets a breakpoint.

        where: an address, "main", "libc.so.6:write", "file.c:12", "$rip+8". condition: an expression, or a function of
        the Stop. callback(stop): called at each hit; the program goes on unless it returns something true. ignore: this
        many hits first. tid: only that thread. pending: a place in a file that is not mapped yet is waited for.
        Raises SymbolError (with the nearest name), BreakpointError (not mapped, not executable).
        """
        try:
            addresses = self.addresses_of(where)
        except SymbolError as error:
            if not (pending and error.object_missing):
                raise
            addresses = []
        made = self.breakpoints.add(
            where, addresses, condition=condition, callback=callback, temporary=temporary, ignore=ignore, tid=tid
        )
        if not addresses:
            self._watch_linker()
        return made

    def handle_signal(self, number: int | str, *, stop: bool, deliver: bool) -> None:
        """What is done with a signal: whether it stops the tracee, whether the program gets it."""
        value = signal_value(number) if isinstance(number, str) else number
        self._signals[value] = (stop, deliver)

    def send(self, number: int | str) -> None:
        """Sends it a signal, which it reports when it runs."""
        os.kill(self.pid, signal_value(number) if isinstance(number, str) else number)

    def signal_policy(self, number: int) -> tuple[bool, bool]:
        """(whether it stops for the user, whether the program gets it)."""
        return self._signals.get(number, (number not in _QUIET, number not in _OURS))
