"""What each kind of stop of a thread means: new threads and processes, execs, breakpoints, calls, signals, ends."""

from __future__ import annotations

import os
import signal

from selftrace.backends.refusals import is_32_bit, status_of
from selftrace.ptrace import mended, waiting
from selftrace.ptrace.memory import Memory
from selftrace.ptrace.reasons import reason
from selftrace.ptrace.stops import Stop, Task, exit_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from selftrace.ptrace.group import Group
    from selftrace.ptrace.tracee import Tracee

_NAMES = {mended.EVENT_FORK: "fork", mended.EVENT_VFORK: "vfork", mended.EVENT_CLONE: "clone", mended.EVENT_EXEC: "exec"}


class Events:
    """Digests the wait statuses of a group's threads."""

    def __init__(self, group: Group) -> None:
        self._group = group

    def digest(self, task: Task) -> Stop | None:
        """Takes a thread's status. None: nothing for the user, the thread may be let go."""
        status, task.status = task.status, None
        assert status is not None
        if waiting.is_exit(status):
            return self._ended(task, status)
        try:
            event = status >> 16
            if event == mended.EVENT_STOP:
                return None
            if event:
                return self._event(task, event)
            number = os.WSTOPSIG(status)
            if number == signal.SIGTRAP | 0x80:
                return task.tracee.calls.reached(task)
            if task.trapped is not None:
                address, task.trapped = task.trapped, None
                return self.hit(task, address)
            return self._signal(task, number)
        except mended.Gone:
            task.running = True  # killed meanwhile: its end is reported in turn
            return None

    def hit(self, task: Task, address: int) -> Stop | None:
        """A thread is at a breakpoint: all others are stopped before anything of the user's is called."""
        again, task.unfinished = task.unfinished, None
        if again == (address, int(task.registers().rsp)):
            return None  # counted before, but a signal came between
        self._group.stop_all()
        with task.tracee.looking_at(task.tid):
            return task.tracee.breakpoints.hit(task, address)

    def swallows(self, task: Task) -> bool:
        """Whether this SIGINT is the terminal's Ctrl-C that was for us."""
        if not self._group.swallow_interrupt or mended.signal_info(task.tid).code != mended.SI_KERNEL:
            return False
        self._group.swallow_interrupt = False
        return True

    def _signal(self, task: Task, number: int) -> Stop | None:
        if number == signal.SIGINT and self.swallows(task):
            return None
        stops, passes = task.tracee.signal_policy(number)
        task.signal = number if passes else 0
        return Stop("signal", task.tracee, task.tid, signal=number, text=reason(task)) if stops else None

    # ---- ends --------------------------------------------------------------------------------------

    def _ended(self, task: Task, status: int) -> Stop | None:
        self._group.remove(task)
        tracee = task.tracee
        others = list(self._group.of(tracee))
        if task.tid != tracee.pid and others:
            return None
        for other in others:
            self._group.remove(other)
        stop = exit_of(tracee, status)
        tracee.is_over(stop)
        return stop

    # ---- new threads and processes -----------------------------------------------------------------

    def _event(self, task: Task, event: int) -> Stop | None:
        tracee = task.tracee
        if event == mended.EVENT_EXEC:
            return self._exec(task)
        if event == mended.EVENT_VFORK_DONE:
            task.held = False
            tracee.breakpoints.lay()
            return None
        if event not in _NAMES:
            return None
        child = self._born(task, event)
        if event == mended.EVENT_VFORK:
            task.held = True
        if _NAMES[event] not in tracee.stop_on:
            return None
        return Stop(_NAMES[event], tracee, task.tid, child=child, text="" if child else str(mended.event_message(task.tid)))

    def _born(self, task: Task, event: int) -> Tracee | None:
        new = mended.event_message(task.tid)
        _, status = os.waitpid(new, waiting.WALL)
        if waiting.is_exit(status):
            return None
        tracee = task.tracee
        if event == mended.EVENT_CLONE and status_of(new).get("Tgid") == str(tracee.pid):
            self._adopt(new, tracee, status)
            return None
        if tracee.follow_fork:
            child = tracee.forked(new, shares_memory=event == mended.EVENT_VFORK)
            self._adopt(new, child, status)
            return child
        self._release(tracee, new, vfork=event == mended.EVENT_VFORK)
        return None

    def _adopt(self, tid: int, tracee: Tracee, status: int) -> None:
        task = self._group.tasks[tid] = Task(tid, tracee)
        if not waiting.is_plain_stop(status):
            self._group.arrived(task, status)

    def _release(self, tracee: Tracee, pid: int, *, vfork: bool) -> None:
        """A child that is not followed: our breakpoints are taken out of its memory, or of the one that it borrows."""
        memory = tracee.memory
        if memory is not None and memory.patches:
            if vfork:
                for address in list(memory.patches):
                    memory.lift(address)
            else:
                own = Memory(pid)
                for address, original in memory.patches.items():
                    own.raw_write(address, original)
                own.close()
        try:
            mended.request(mended.DETACH, pid)
        except mended.Gone:
            pass  # killed in its first moment

    def _exec(self, task: Task) -> Stop | None:
        tracee = task.tracee
        for other in self._group.of(tracee):
            if other is not task:
                self._group.remove(other)
        task.held, task.call, task.unfinished = False, None, None
        if is_32_bit(tracee.pid):
            return self._foreign(tracee)
        tracee.execed()
        return Stop("exec", tracee, task.tid, text=tracee.program) if "exec" in tracee.stop_on else None

    def _foreign(self, tracee: Tracee) -> Stop:
        text = f"it executes {tracee.program}, a 32-bit program, which selftrace cannot debug"
        stop = Stop("released", tracee, tracee.pid, text=text)
        tracee.let_go(stop)
        return stop
