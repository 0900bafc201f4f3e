"""What the prompt's commands share: the current tracee, printing, reading of arguments."""

from __future__ import annotations

import cmd
import shlex
from collections.abc import Callable
from typing import Any

from selftrace.calls import signal_value
from selftrace.errors import SelftraceError, UnsupportedError
from selftrace.ptrace.expressions import number
from selftrace.ptrace.stops import Stop
from selftrace.ptrace.tracee import Tracee


class Mistake(SelftraceError):
    """A command that cannot be carried out as typed."""


class Base(cmd.Cmd):
    """A prompt about one process at a time; `known` are all that it has started, attached to or followed."""

    def __init__(self, tracee: Tracee | None, **files: Any) -> None:
        super().__init__(**files)
        self.current = tracee
        self.known: list[Tracee] = [tracee] if tracee is not None else []
        self.followed: list[bytes] = []

    def say(self, text: object) -> None:
        """One line, or several."""
        print(text, file=self.stdout, flush=True)

    @property
    def tracee(self) -> Tracee:
        """The one that commands are about. Raises Mistake if there is none."""
        if self.current is None:
            raise Mistake("there is no process: attach PID takes one, quit ends")
        return self.current

    @property
    def alive(self) -> list[Tracee]:
        """The processes that are still traced: also those that were born since."""
        for one in list(self.known):
            self.known += [child for child in one.children if child not in self.known]
        return [one for one in self.known if one.alive]

    def value(self, text: str) -> int:
        """An address or number as typed."""
        if not text.strip():
            raise Mistake("an address or expression is missing: $rip+8, main, prog.c:12, 0x401000")
        return number(self.tracee, text)

    def values(self, text: str) -> list[int]:
        """Several, separated by blanks."""
        return [self.value(word) for word in shlex.split(text)]

    def signal(self, text: str) -> int:
        """A signal's number. Raises ValueError that names the nearest."""
        return 0 if text.strip() == "0" else signal_value(text.strip().upper())

    def integer(self, text: str, default: int) -> int:
        """A number of times, lines or frames."""
        return self.value(text) if text.strip() else default

    def after(self, stop: Stop) -> None:
        """Says why the tracee has stopped, and where; a process that has ended is replaced by another one, if there is one."""
        self.say(stop)
        self.alive  # noqa: B018
        if stop.tracee.alive:
            if stop.tracee is not self.current:
                self.say(f"switched to process {stop.tracee.pid}")
            self.current = stop.tracee
            self.here()
        elif stop.tracee is self.current:
            left = self.alive
            self.current = left[0] if left else None
            if left:
                self.say(f"switched to process {left[0].pid}")

    def here(self) -> None:
        """The current place: its source line, or its instruction."""
        tracee = self.tracee
        try:
            place = tracee.describe(tracee.registers["rip"])
        except UnsupportedError as error:  # without pyelftools
            self.say(f"  {tracee.registers['rip']:#x} ({error})")
            return
        self.say(f"  {place}")
        text = source_line(place.file, place.line)
        if text is None:
            try:
                text = str(tracee.disassemble(count=1)[0])
            except (SelftraceError, IndexError):  # without capstone, or where nothing is mapped
                return
        self.say(f"  {text}")


def source_line(path: str | None, line: int | None) -> str | None:
    """The text of a line; None where the source is not at hand."""
    if path is None or line is None:
        return None
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for number_, text in enumerate(file, 1):
                if number_ == line:
                    return f"{line}\t{text.rstrip()}"
    except OSError:
        pass
    return None


def words_of(tracee: Tracee | None, prefix: str) -> list[str]:
    """Symbols that begin so: the program's, or if there is none, everybody's."""
    if tracee is None or not tracee.alive:
        return []
    for one in tracee.symbols.loaded:
        found = sorted(name for name in one.elf.symbols if name.startswith(prefix))
        if found:
            return found[:200]
    return []


Completer = Callable[[str, str, int, int], list[str]]
