"""Starts a program under a debugger, or attaches to one: breakpoints, steps, memory, registers, stacks, system calls.

selftrace debug [options] -- PROG ARGS
selftrace debug [options] -p PID

exit: 0 good · 1 a command of -x, -ex could not be carried out (with --batch) · 2 bad input"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import contextmanager

from selftrace.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from selftrace.prompt.shell import Prompt
    from selftrace.ptrace import Tracee

BAD_INPUT = 2


class _Command(argparse.Action):
    """-x and -ex are carried out in the order in which they are given."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        namespace.commands = [*(namespace.commands or []), (option, str(values))]


def configure(parser: argparse.ArgumentParser) -> None:
    """Options as gdb has them."""
    add = parser.add_argument
    add("-p", dest="pid", type=int, metavar="PID", help="attach to a running process, with all its threads")
    add("-x", dest="commands", action=_Command, metavar="FILE", help="carry out the commands of a file")
    add("-ex", dest="commands", action=_Command, metavar="CMD", help="carry out a command; may be given again")
    add("--batch", action="store_true", help="end after the commands of -x and -ex, or at the first that fails")
    add("-f", "--follow-fork", action="store_true", help="trace new processes too")
    add("--stop-at", choices=("entry", "exec"), default="entry", help="first stop: at the program's entry point, or at its exec")
    add("--no-stdout", action="store_true", help="the program writes to /dev/null")
    add("--keep", action="store_true", help="let a started program run on at the end, instead of killing it")
    add("command", nargs="*", metavar="PROG ARGS", help="the program, behind --")


def execute(arguments: argparse.Namespace) -> int:
    """Runs the prompt; whatever happens, what is traced is let go."""
    if (arguments.pid is None) == (not arguments.command):
        raise CommandError("what is to be debugged? selftrace debug -- PROG ARGS, or selftrace debug -p PID", BAD_INPUT)
    from selftrace.prompt.shell import Prompt

    tracee = _begin(arguments)
    prompt = Prompt(tracee)
    try:
        with _heartbeat():
            tracee.follow_fork = arguments.follow_fork
            prompt.say(tracee.stop)
            if not _commands(prompt, arguments) and not arguments.batch:
                prompt.cmdloop()
    finally:
        prompt.close()
    return 1 if prompt.failed and arguments.batch else 0


@contextmanager
def _heartbeat() -> Iterator[None]:
    """Python's part of a signal handler runs when a system call that waits is interrupted. A SIGTERM that comes just before
    that call would be seen after the next key; so something comes twice a second."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _begin(arguments: argparse.Namespace) -> Tracee:
    from selftrace.ptrace import Tracee

    if arguments.pid is not None:
        return Tracee.attach(arguments.pid)
    nowhere = os.open(os.devnull, os.O_WRONLY) if arguments.no_stdout else None
    try:
        return Tracee.start(
            arguments.command,
            stdout=nowhere,
            stderr=nowhere,
            at_exit="detach" if arguments.keep else "kill",
            stop_at=arguments.stop_at,
        )
    except CommandError as error:
        raise CommandError(str(error), BAD_INPUT) from None
    finally:
        if nowhere is not None:
            os.close(nowhere)


def _commands(prompt: Prompt, arguments: argparse.Namespace) -> bool:
    for option, value in arguments.commands or []:
        if option == "-x":
            try:
                with sys.stdin if value == "-" else open(value, encoding="utf-8") as file:
                    lines = file.read().splitlines()
            except OSError as error:
                raise CommandError(f"{value}: {error.strerror}", BAD_INPUT) from None
        else:
            lines = [value]
        if prompt.script(lines, ends_at_mistake=arguments.batch):
            return True
    return False
