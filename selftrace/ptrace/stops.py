"""Why a tracee has stopped, and the thread in which it did."""

from __future__ import annotations

import os
from typing import Any

from selftrace.calls import signal_name
from selftrace.ptrace import mended
from selftrace.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from selftrace.ptrace.breakpoints import Breakpoint
    from selftrace.ptrace.calls import TracedCall
    from selftrace.ptrace.tracee import Tracee


class Task:
    """One traced thread. tid: its number; running: whether it was let go and has not stopped since."""

    def __init__(self, tid: int, tracee: Tracee) -> None:
        self.tid = tid
        self.tracee = tracee
        self.running = False
        self.held = False  # in the kernel until its vfork child is done: it cannot be stopped before
        self.status: int | None = None  # of a stop that nobody has looked at
        self.trapped: int | None = None  # the breakpoint that this stop is at
        self.unfinished: tuple[int, int] | None = None  # a breakpoint that was counted, but not yet passed: address, stack
        self.signal = 0  # to be delivered when it is let go
        self.group_stopped = False
        self.stepping = False  # it was let go for one instruction
        self.call: TracedCall | None = None  # that it is in

    def registers(self) -> Any:
        """python-ptrace's structure. Raises mended.Gone while it runs."""
        return mended.registers_of(self.tid)

    def set_registers(self, values: Any) -> None:
        """Writes them all."""
        mended.set_registers(self.tid, values)

    @property
    def name(self) -> str:
        """The thread's own name; empty if it is gone."""
        try:
            with open(f"/proc/{self.tid}/comm", encoding="utf-8", errors="replace") as file:
                return file.read().rstrip("\n")
        except OSError:
            return ""

    def __repr__(self) -> str:
        return f"<Task {self.tid} {'runs' if self.running else 'stopped'}>"


@record
class Stop:
    """Why the tracee has stopped.

    kind: entry, breakpoint, step, finished, signal, syscall-entry, syscall-exit, fork, vfork, clone, exec, interrupted,
    thread-exited, exited (exit_code), killed (signal), released (text says why it was let go).
    tid: the thread. value: what a function that finished has returned (rax).
    """

    kind: str
    tracee: Tracee
    tid: int
    signal: int = 0
    exit_code: int | None = None
    breakpoint: Breakpoint | None = None
    call: TracedCall | None = None
    child: Tracee | None = None
    value: int | None = None
    text: str = ""

    @property
    def is_end(self) -> bool:
        """Whether the process is no longer there, or no longer ours."""
        return self.kind in ("exited", "killed", "released")

    def __str__(self) -> str:
        pid = self.tracee.pid
        who = f"{pid}" if self.tid == pid else f"{pid} thread {self.tid}"
        if self.kind == "exited":
            return f"{pid} exited with {self.exit_code}"
        if self.kind == "killed":
            return f"{pid} was killed by {signal_name(self.signal)}"
        if self.kind == "released":
            return f"{pid} was let go: {self.text}"
        if self.kind == "signal":
            return f"{who} received {signal_name(self.signal)}{self.text and f' ({self.text})'}"
        if self.breakpoint is not None:
            return f"{who} at {self.breakpoint}{self.text and f' ({self.text})'}"
        if self.call is not None:
            return f"{who} {self.kind}: {self.call}"
        if self.child is not None:
            return f"{who} {self.kind}: new process {self.child.pid}"
        if self.value is not None:
            return f"{who} {self.kind}: returned {self.value:#x}"
        return f"{who} {self.kind}" + (f": {self.text}" if self.text else "")


def exit_of(tracee: Tracee, status: int) -> Stop:
    """The end that a wait status tells of."""
    if os.WIFSIGNALED(status):
        return Stop("killed", tracee, tracee.pid, signal=os.WTERMSIG(status))
    return Stop("exited", tracee, tracee.pid, exit_code=os.WEXITSTATUS(status))
