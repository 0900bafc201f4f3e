"""Commands about breakpoints, threads and processes."""

from __future__ import annotations

import os
import re

from selftrace.prompt.base import Base, Mistake, words_of
from selftrace.ptrace.attaching import name_of
from selftrace.ptrace.breakpoints import Breakpoint
from selftrace.ptrace.tracee import Tracee


class Stopping(Base):
    """break, tbreak, breakpoints, delete, enable, disable, ignore, attach, detach, proclist, switch, threads, thread."""

    def do_break(self, text: str) -> None:
        """break PLACE [if EXPRESSION]: main, prog.c:12, $rip+8, 0x401000, lib.so:name (which is waited for if not yet mapped)."""
        self._set(text, temporary=False)

    def do_tbreak(self, text: str) -> None:
        """tbreak PLACE [if EXPRESSION]: a breakpoint that goes when it is hit."""
        self._set(text, temporary=True)

    def _set(self, text: str, *, temporary: bool) -> None:
        place, _, condition = re.sub(r"\s+if\s+", "\0", text.strip(), count=1).partition("\0")
        if not place:
            raise Mistake("break where? break PLACE [if EXPRESSION]")
        waits = bool(re.match(r"[\w.+-]+\.so[\w.]*:", place))
        made = self.tracee.breakpoint(place, condition=condition or None, temporary=temporary, pending=waits)
        self.say(f"{made}{self._places(made)}")

    def _places(self, one: Breakpoint) -> str:
        if one.pending:
            return ", pending: waits for its file" if one.enabled else ", of a former program"
        return "".join(f"\n  {self.tracee.describe(address)}" for address in one.addresses)

    def do_breakpoints(self, _: str) -> None:
        """breakpoints: all of them, with their hits."""
        listed = [(tracee, one) for tracee in self.alive for one in tracee.breakpoints.listed]
        for tracee, one in listed:
            notes = [f"{one.hits} hits"] + (["disabled"] if not one.enabled else []) + (["temporary"] if one.temporary else [])
            notes += [f"if {one.condition}"] if one.condition else []
            notes += [f"ignored {one.ignore} times"] if one.ignore else []
            self.say(f"{tracee.pid}: {one} ({', '.join(notes)}){self._places(one)}")
        if not listed:
            self.say("no breakpoints")

    def _find(self, text: str) -> list[Breakpoint]:
        """By number, else by place; all, if nothing is said."""
        listed = self.tracee.breakpoints.listed
        text = text.strip()
        if not text:
            return listed
        found = [one for one in listed if text == str(one.number) or text == one.where]
        if not found:
            address = self.value(text)
            found = [one for one in listed if address in one.addresses]
        if not found:
            raise Mistake(f"no breakpoint {text}; breakpoints lists them")
        return found

    def do_delete(self, text: str) -> None:
        """delete [NUMBER|PLACE]: a breakpoint, or all."""
        for one in self._find(text):
            one.delete()
            self.say(f"deleted {one}")

    def do_enable(self, text: str) -> None:
        """enable [NUMBER|PLACE]: a breakpoint, or all."""
        for one in self._find(text):
            one.enabled = True

    def do_disable(self, text: str) -> None:
        """disable [NUMBER|PLACE]: a breakpoint, or all."""
        for one in self._find(text):
            one.enabled = False

    def do_ignore(self, text: str) -> None:
        """ignore NUMBER COUNT: the next COUNT hits do not stop."""
        words = text.split()
        if len(words) != 2:
            raise Mistake("ignore NUMBER COUNT")
        for one in self._find(words[0]):
            one.ignore = self.value(words[1])

    # ---- processes and threads ---------------------------------------------------------------------

    def do_attach(self, text: str) -> None:
        """attach PID: take another running process, with all its threads; it runs and stops together with the others."""
        if not text.strip().isdigit():
            raise Mistake("attach PID")
        group = self.alive[0].group if self.alive else None
        made = Tracee.attach(int(text), group=group)
        self.known.append(made)
        self.current = made
        self.say(f"attached to {name_of(made.pid)}, {len(made.threads)} threads")
        self.here()

    def do_detach(self, _: str) -> None:
        """detach: let the process run on, without breakpoints."""
        tracee = self.tracee
        tracee.detach()
        assert tracee.stop is not None
        self.after(tracee.stop)

    def do_proclist(self, _: str) -> None:
        """proclist: the traced processes; * is the current one."""
        for one in self.alive:
            self.say(f"{'*' if one is self.current else ' '} {name_of(one.pid)}, {len(one.threads)} threads, {one.stop}")

    def do_switch(self, text: str) -> None:
        """switch [PID]: make another process the current one; without PID the next."""
        alive = self.alive
        if not text.strip():
            if len(alive) < 2:
                raise Mistake("there is only one process")
            chosen = alive[(alive.index(self.tracee) + 1) % len(alive)]
        else:
            found = [one for one in alive if str(one.pid) == text.strip()]
            if not found:
                raise Mistake(f"process {text.strip()} is not traced; proclist lists those that are")
            chosen = found[0]
        self.current = chosen
        self.say(f"switched to process {name_of(chosen.pid)}")
        self.here()

    def do_threads(self, _: str) -> None:
        """threads: those of the process; * is the current one."""
        tracee = self.tracee
        for task in tracee.threads:
            if task.running:
                self.say(f"  {task.tid} {task.name} (in the kernel, or a zombie)")
                continue
            place = tracee.describe(int(task.registers().rip))
            self.say(f"{'*' if task is tracee.task else ' '} {task.tid} {task.name} {place}")

    def do_thread(self, text: str) -> None:
        """thread TID: registers, stacks and steps are about this thread."""
        if text.strip() not in {str(task.tid) for task in self.tracee.threads}:
            raise Mistake(f"there is no thread {text.strip()}; threads lists them")
        self.tracee.tid = int(text)
        self.here()

    def do_followfork(self, text: str) -> None:
        """followfork on|off: whether new processes are traced too."""
        if text.strip() not in ("on", "off"):
            raise Mistake("followfork on, or followfork off")
        self.tracee.follow_fork = text.strip() == "on"

    def do_dbginfo(self, _: str) -> None:
        """dbginfo: the debugger itself."""
        from importlib.metadata import version

        self.say(f"selftrace {version('selftrace')}, process {os.getpid()}, python-ptrace {version('python-ptrace')}")

    def complete_break(self, text: str, _line: str, _begin: int, _end: int) -> list[str]:
        """Symbols."""
        return words_of(self.current, text)

    complete_tbreak = complete_break

    def complete_delete(self, text: str, _line: str, _begin: int, _end: int) -> list[str]:
        """Numbers of breakpoints."""
        return [str(one.number) for one in self.tracee.breakpoints.listed if str(one.number).startswith(text)]

    complete_enable = complete_disable = complete_ignore = complete_delete
