"""A process under the debugger: started or attached to, stopped, looked at, changed, and let go unharmed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from selftrace.backends.refusals import is_32_bit
from selftrace.calls import signal_value
from selftrace.errors import SelftraceError, UnsupportedError
from selftrace.ptrace import attaching, exits, maps, mended, starting, waiting
from selftrace.ptrace.breakpoints import Breakpoint, Breakpoints
from selftrace.ptrace.calls import Calls
from selftrace.ptrace.group import Group
from selftrace.ptrace.memory import Memory
from selftrace.ptrace.registers import Registers
from selftrace.ptrace.stops import Stop, Task
from selftrace.ptrace.symbols import Symbols
from selftrace.ptrace.viewing import Viewing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_AT_ENTRY, _AT_BASE = 9, 7
# Sent so often, or so much in passing, that nobody wants to stop at them: gdb's list.
_QUIET = {signal.SIGALRM, signal.SIGURG, signal.SIGIO, signal.SIGVTALRM, signal.SIGPROF, signal.SIGCHLD, signal.SIGWINCH, 32, 33}
_OURS = {signal.SIGINT, signal.SIGTRAP}


class TraceeError(SelftraceError):
    """What cannot be done now: the tracee has ended, or is not ours any more."""


class Tracee(Viewing):
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
                task = group.tasks[pid] = Task(pid, made)
                group.arrived(task, os.waitpid(pid, waiting.WALL)[1])
                task.status = None
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
                made.memory = Memory(pid)
            except OSError:
                made.close()
                raise
        made.stop = Stop("interrupted", made, pid, text="attached")
        return made

    def _to_entry(self) -> Self:
        entry = maps.auxiliary(self.pid)[_AT_ENTRY]
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
    def alive(self) -> bool:
        """Whether it is there and ours."""
        return self.pid in self.group.tracees

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
            if self.memory is not None and not self.shares_memory:
                for address in list(self.memory.patches):
                    self.memory.lift(address)
            for task in self.group.of(self):
                self._detach(task)
            self.let_go(Stop("released", self, self.pid, text="detached"))

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

    def signal_policy(self, number: int) -> tuple[bool, bool]:
        """(whether it stops for the user, whether the program gets it)."""
        return self._signals.get(number, (number not in _QUIET, number not in _OURS))

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
            entry = maps.auxiliary(self.pid)[_AT_ENTRY]
            self.breakpoints.add(entry, [entry], internal=True, temporary=True, callback=self._look_again)

    def _look_again(self, _: Stop) -> bool:
        self.symbols.refresh()
        self.breakpoints.resolve(self.symbols.find)
        if any(one.pending for one in self.breakpoints.listed):
            self._watch_linker()
        return False

    def _watch_linker(self) -> None:
        """The dynamic linker calls _dl_debug_state whenever it has mapped or unmapped something: that is for debuggers."""
        base = maps.auxiliary(self.pid).get(_AT_BASE, 0)
        linker = self.symbols.object_at(base) if base else None
        symbol = linker.elf.symbols.get("_dl_debug_state") if linker is not None else None
        if linker is not None and symbol is not None:
            address = linker.bias + symbol.address
            if not any(address in one.addresses for one in self.breakpoints.all):
                self.breakpoints.add(address, [address], internal=True, callback=self._look_again)

    # ---- running -----------------------------------------------------------------------------------

    @property
    def task(self) -> Task:
        """The current thread. Raises TraceeError after the end."""
        found = self.group.tasks.get(self.tid) or self.group.tasks.get(self.pid)
        if found is None or found.tracee is not self:
            found = next(self.group.of(self), None)
        if found is None:
            raise TraceeError(f"process {self.pid} is not there any more: {self.stop}")
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
            stop = Stop("finished", self, stop.tid, value=self.registers["rax"])
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
        return self._note(Stop(kind, self, stop.tid)) if stop.breakpoint is mark else stop

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
        from selftrace.ptrace.symbols import SymbolError

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
