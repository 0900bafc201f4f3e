"""A process under the debugger: started or attached to, stopped, looked at, changed, and let go unharmed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

from selftrace.backends.refusals import is_32_bit
from selftrace.errors import UnsupportedError
from selftrace.ptrace import attaching, exits, maps, mended, starting, waiting
from selftrace.ptrace.breakpoints import Breakpoints
from selftrace.ptrace.calls import Calls
from selftrace.ptrace.group import Group
from selftrace.ptrace.memory import Memory
from selftrace.ptrace.registers import Registers
from selftrace.ptrace.running import Running
from selftrace.ptrace.stops import Stop, Task
from selftrace.ptrace.symbols import Symbols

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_AT_ENTRY, _AT_BASE = 9, 7


class Tracee(Running):
    """A traced process; Tracee.start(...) or Tracee.attach(pid). Stopped, unless one of its methods is running it.

    As a context manager it is let go at the end, whatever happens: an attached one runs on as it was, a started one is
    killed, unless `at_exit="detach"`. All methods must be called in the thread that has started or attached it: ptrace
    knows threads. Not for use with a child that somebody else waits for.

    pid: the process. tid: the current thread, which registers, stacks and steps are about; the one that stopped last.
    stop: why it stopped last. stop_on: which of "fork", "vfork", "clone", "exec" stop it. follow_fork: whether new
    processes are traced too; they are in `children`, stopped and running together with this one.
    """

    def __init__(self, pid: int, group: Group, *, was_started: bool, at_exit: Literal["kill", "detach"]) -> None:
        self.pid = pid
        self.tid = pid
        self.group = group
        self.was_started = was_started
        self.at_exit = at_exit
        self.stop: Stop | None = None
        self.stop_on: set[str] = set()
        self.follow_fork = False
        self.children: list[Tracee] = []
        self.shares_memory = False  # with a parent in vfork
        self.memory: Memory | None = None
        self.symbols = Symbols(pid)
        self.registers = Registers(self)
        self.breakpoints = Breakpoints(self)
        self.calls = Calls(self)
        self._signals: dict[int, tuple[bool, bool]] = {}
        group.tracees[pid] = self
        exits.opened(self)

    # ---- beginning and end -----------------------------------------------------------------------

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        at_exit: Literal["kill", "detach"] = "kill",
        stop_at: Literal["entry", "exec"] = "entry",
        group: Group | None = None,
    ) -> Self:
        """Starts a program, stopped: at its entry point, with its libraries loaded, or at its exec, before the dynamic linker.

        stdin, stdout, stderr: descriptors; None is ours. group: of another tracee, to run together with it.
        Raises CommandError for what cannot be executed, UnsupportedError for a 32-bit program.
        """
        options = mended.OPTIONS | (mended.O_EXITKILL if at_exit == "kill" else 0)
        group = group or Group()
        with waiting.uninterrupted():
            pid = starting.spawn(command, env=env, cwd=cwd, files=(stdin, stdout, stderr), options=options)
            made = cls(pid, group, was_started=True, at_exit=at_exit)
            try:
                group.tasks[pid] = Task(pid, made)
                if is_32_bit(pid):
                    raise UnsupportedError(f"{command[0]} is a 32-bit program, which selftrace cannot debug", "use gdb")
                made.memory = Memory(pid)
            except BaseException:
                made.close()
                raise
        made.stop = Stop("exec", made, pid)
        try:
            return made if stop_at == "exec" else made._to_entry()
        except BaseException:
            made.close()
            raise

    @classmethod
    def attach(cls, pid: int, *, group: Group | None = None) -> Self:
        """Attaches to a running process with all its threads, and stops it. Raises AttachError with reason and remedy."""
        group = group or Group()
        with waiting.uninterrupted():
            tids = attaching.seize(pid)
            made = cls(pid, group, was_started=False, at_exit="detach")
            for tid in tids:
                task = group.tasks[tid] = Task(tid, made)
                task.running = True
            group.stop_all()
            try:
                living = made.task.tid  # /proc shows nothing of the memory by a first thread that has ended
                made.memory = Memory(living)
                made.symbols.pid = living
            except BaseException:
                made.close()
                raise
        made.stop = Stop("interrupted", made, living, text="attached")
        return made

    def _to_entry(self) -> Self:
        entry = maps.auxiliary(self.task.tid)[_AT_ENTRY]
        reached = self.breakpoints.add(entry, [entry], internal=True, temporary=True)
        while self.stop is None or not (self.stop.is_end or self.stop.breakpoint is reached):
            self._note(self.group.run())
        if self.stop.breakpoint is reached:
            self.stop = Stop("entry", self, self.tid)
            self.symbols.refresh()
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def exit_code(self) -> int | None:
        """Its exit status, minus the signal that killed it, or None while it lives (or was let go)."""
        if self.stop is None or self.stop.kind not in ("exited", "killed"):
            return None
        return self.stop.exit_code if self.stop.kind == "exited" else -self.stop.signal

    def close(self) -> None:
        """Ends it as `at_exit` says, and the children that it has, which run on unless they were started. Never fails."""
        for child in list(self.children):
            child.close()
        if self.alive:
            if self.at_exit == "kill":
                self.kill()
            else:
                self.detach()

    def detach(self) -> None:
        """Takes the breakpoints out and lets it run on. A signal that it has not got yet is delivered."""
        if not self.alive:
            return
        with waiting.uninterrupted():
            self.group.stop_all()
            self._await_vfork()
            if self.memory is not None and not self.shares_memory:
                for address in list(self.memory.patches):
                    self.memory.lift(address)
            for task in self.group.of(self):
                self._detach(task)
            self.let_go(Stop("released", self, self.pid, text="detached"))

    def _await_vfork(self) -> None:
        """A thread whose vfork child has not yet executed its program cannot be detached: that takes a moment."""
        held = [task for task in self.group.of(self) if task.held and task.running]
        for task in held:
            task.held = False
        for task, status in waiting.collect(held):
            self.group.arrived(task, status)

    def _detach(self, task: Task) -> None:
        number = task.signal
        if task.status is not None and not waiting.is_exit(task.status) and task.status >> 16 == 0:
            number = os.WSTOPSIG(task.status) if task.trapped is None else 0
        number = 0 if number in (signal.SIGTRAP, signal.SIGTRAP | 0x80) else number
        self.group.remove(task)
        if task.running or (task.status is not None and waiting.is_exit(task.status)):
            return  # a zombie, or in the kernel until its child is done
        try:
            mended.request(mended.DETACH, task.tid, 0, number)
        except mended.Gone:
            pass

    def kill(self) -> None:
        """Ends it by SIGKILL and waits for its end."""
        if not self.alive:
            return
        with waiting.uninterrupted():
            os.kill(self.pid, signal.SIGKILL)
            while self.alive:
                tasks = list(self.group.of(self))
                for task in tasks:
                    task.running, task.status = True, None
                task, status = waiting.any_of(tasks)
                if waiting.is_exit(status):
                    task.status = status
                    self._note(self.group.ended(task))
                else:
                    mended.let_die(task.tid)

    def is_over(self, stop: Stop) -> None:
        """The engine's word that it has ended."""
        self.stop = stop
        self.group.tracees.pop(self.pid, None)
        if self.memory is not None:
            self.memory.close()
            self.memory = None
        self.symbols.close()
        exits.closed(self)

    def let_go(self, stop: Stop) -> None:
        """It is no longer ours: what is left of its threads is detached."""
        for task in self.group.of(self):
            self._detach(task)
        self.is_over(stop)

    # ---- what the engine asks --------------------------------------------------------------------

    @contextmanager
    def looking_at(self, tid: int) -> Iterator[None]:
        """Registers and stacks are those of another thread meanwhile."""
        before, self.tid = self.tid, tid
        try:
            yield
        finally:
            self.tid = before

    def forked(self, pid: int, *, shares_memory: bool) -> Tracee:
        """A child that is to be followed, with the same breakpoints."""
        child = Tracee(pid, self.group, was_started=self.was_started, at_exit=self.at_exit)
        child.memory = Memory(pid)
        child.memory.patches = dict(self.memory.patches) if self.memory is not None else {}
        child.shares_memory = shares_memory
        child.follow_fork, child.stop_on, child._signals = True, set(self.stop_on), dict(self._signals)
        for one in self.breakpoints.listed:
            child.breakpoints.copy(one)
        child.stop = Stop("fork", child, pid)
        self.children.append(child)
        return child

    def execed(self) -> None:
        """It has become another program: names are looked up again when that has reached its entry."""
        if self.memory is not None:
            self.memory.close()
        self.memory = Memory(self.pid)
        self.shares_memory = False
        self.tid = self.pid
        self.symbols.close()
        self.breakpoints.forget()
        if self.breakpoints.listed:
            entry = maps.auxiliary(self.task.tid)[_AT_ENTRY]
            self.breakpoints.add(entry, [entry], internal=True, temporary=True, callback=self._look_again)

    def _look_again(self, _: Stop) -> bool:
        self.symbols.refresh()
        self.breakpoints.resolve(self.symbols.find)
        if any(one.pending for one in self.breakpoints.listed):
            self._watch_linker()
        return False

    def _watch_linker(self) -> None:
        """The dynamic linker calls _dl_debug_state whenever it has mapped or unmapped something: that is for debuggers."""
        base = maps.auxiliary(self.task.tid).get(_AT_BASE, 0)
        linker = self.symbols.object_at(base) if base else None
        symbol = linker.elf.symbols.get("_dl_debug_state") if linker is not None else None
        if linker is not None and symbol is not None:
            address = linker.bias + symbol.address
            if not any(address in one.addresses for one in self.breakpoints.all):
                self.breakpoints.add(address, [address], internal=True, callback=self._look_again)
