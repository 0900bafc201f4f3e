"""The ways to have a program's system calls looked at, and how each is started on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sys

from selftrace.backends.base import Launch, native_directory
from selftrace.comparison.interposed import Dispatched, Trapped
from selftrace.errors import CommandError, SelftraceError
from selftrace.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Start = Callable[[list[str], "Place"], Launch]

ONE_CALL = "openat"
"""What a filter is measured with: a call that programs make, but do not live on."""
_SHELL = re.compile(r"[;&|<>()$`\\\"'*?\[\]#~=%\n{}]")


@record
class Place:
    """Where tracers write what they see (a directory of ours), the environment of everything, and what is let go at the end."""

    directory: str
    env: dict[str, str]
    held: contextlib.ExitStack

    def file(self, name: str) -> str:
        """A path in it."""
        return os.path.join(self.directory, name)


@record
class Mechanism:
    """name, title, family: as in ComparisonRow. start: from the program's words to what is to be started; they begin with an
    absolute path. reason: why it is not available here; empty: it has to be tried."""

    name: str
    title: str
    family: str
    start: Start
    reason: str = ""
    seen: Callable[[], int] | None = None
    """Calls that it saw of the last run; None: all."""
    inside: bool = True
    """Whether the stopwatch may run inside, as the program's parent. Else the start is that of a program that does nothing."""


def stopwatch(place: Place, path: str, words: Sequence[str]) -> list[str]:
    """The program in a stopwatch of ours, which runs inside the mechanism."""
    return [native("_mechanism"), "timed", place.file("timed"), path, *words]


def native(name: str) -> str:
    """A built program of ours. Raises BuildError."""
    return os.path.join(native_directory(), name)


# ---- starting ----------------------------------------------------------------------------------------


def _behind(*prefix: str, output: str = "") -> Start:
    """Put before the program's words; {} in the prefix is a file for what is seen."""

    def start(words: list[str], place: Place) -> Launch:
        return Launch([word.replace("{}", place.file(output)) for word in prefix] + words, place.env)

    return start


def _plain(how: str) -> Start:
    """One of our plain C forms, which take path and argv apart."""
    return lambda words, place: Launch([native("_mechanism"), how, words[0], *words], place.env)


class _Dispatch:
    """Made when it is first needed: what it counts has to be asked."""

    def __init__(self) -> None:
        self._made: Dispatched | None = None

    def start(self, words: list[str], place: Place) -> Launch:
        if self._made is None:
            self._made = place.held.enter_context(contextlib.closing(Dispatched(place.directory)))
        return self._made.launch(words, place.env)

    def seen(self) -> int:
        return self._made.seen() if self._made is not None else 0


def _dispatch() -> Mechanism:
    way = _Dispatch()
    return Mechanism("dispatch", "selftrace: the same by Syscall User Dispatch", "self", way.start, seen=way.seen)


def _trapped() -> Start:
    made: list[Trapped] = []

    def start(words: list[str], place: Place) -> Launch:
        if not made:
            made.append(place.held.enter_context(contextlib.closing(Trapped())))
        return made[0].launch(words, place.env)

    return start


def _installed(name: str, title: str, program: str, *options: str) -> Mechanism:
    """Somebody else's tracer."""
    found = _find(program)
    prefix = [*found, *options]
    reason = "" if found else f"{program} is not installed"
    return Mechanism(name, title, "outside", _behind(*prefix, output=f"{name}.txt"), reason)


def _find(program: str) -> list[str]:
    """The words that start it: also a script beside our own Python; none if it is not there."""
    beside = os.path.join(os.path.dirname(sys.executable), program)
    if program.endswith(".py"):
        return [sys.executable, beside] if os.path.isfile(beside) else []
    path = shutil.which(program)
    return [path] if path else []


# ---- the list ----------------------------------------------------------------------------------------

_SELFTRACE = (sys.executable, "-m", "selftrace", "trace")


def _ptrace(name: str, title: str, *options: str) -> Mechanism:
    start = _behind(*_SELFTRACE, "--backend", "ptrace", *options, "-f", "-o", "{}", output=f"{name}.txt")
    return Mechanism(name, title, "outside", start)


def builtin() -> tuple[Mechanism, ...]:
    """Every mechanism that is known, the program alone first; that each works here is still to be tried."""
    one = ("-e", f"trace={ONE_CALL}")
    text = ("-f", "-o", "{}")
    return (
        Mechanism("none", "the program alone", "base", _behind()),
        Mechanism("floor", "a seccomp filter in the kernel that allows", "self", _plain("floor")),
        Mechanism("trap", "selftrace: each call trapped and passed on in the process", "self", _trapped()),
        _dispatch(),
        Mechanism("capture", "selftrace trace -o FILE.strc", "self", _behind(*_SELFTRACE, "-o", "{}", output="capture.strc")),
        Mechanism("trace", "selftrace trace -f -o FILE", "self", _behind(*_SELFTRACE, *text, output="trace.txt")),
        Mechanism(
            "trace-one", f"selftrace trace -e {ONE_CALL}", "self", _behind(*_SELFTRACE, *one, *text, output="trace-one.txt")
        ),
        Mechanism("notify", "user notification, a supervisor in C", "outside", _plain("notify")),
        _ptrace("ptrace", "selftrace trace --backend ptrace", "--no-seccomp-bpf"),
        _ptrace("ptrace-seccomp", f"selftrace trace --backend ptrace -e {ONE_CALL}", *one),
        _installed("strace", "strace -f -o FILE", "strace", *text),
        _installed("strace-bpf", f"strace -f --seccomp-bpf -e {ONE_CALL}", "strace", "--seccomp-bpf", *one, *text),
        # With more than one process it polls, and sleeps: a stopwatch as the program's parent would make it 50 times slower.
        replace(_installed("python-ptrace", "python-ptrace's strace.py -f", "strace.py", "-f", "-o", "{}", "--"), inside=False),
    )


def own(text: str) -> Mechanism:
    """A mechanism of the user's: "NAME=COMMAND", where {} in the command stands for the program and its arguments.

    A command with signs that mean something to a shell is given to sh. Raises CommandError.
    """
    name, equals, command = text.partition("=")
    name, command = name.strip(), command.strip()
    if not equals or not name or not command:
        raise CommandError(f"--with \"{text}\": NAME='COMMAND {{}}' is wanted", 2)
    if "{}" not in command:
        raise CommandError(f'--with "{text}": the command has no {{}}, which stands for the program', 2)
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", name):
        raise CommandError(f'--with "{text}": a name is made of letters, digits and _ . + -', 2)
    start = _by_shell(command) if _SHELL.search(command.replace("{}", "")) or "{}" not in command.split() else _by_words(command)
    return Mechanism(name, command, "yours", start)


def _by_shell(command: str) -> Start:
    return lambda words, place: Launch(["/bin/sh", "-c", command.replace("{}", shlex.join(words))], place.env)


def _by_words(command: str) -> Start:
    def start(words: list[str], place: Place) -> Launch:
        found = [word for part in command.split() for word in (words if part == "{}" else [part])]
        path = shutil.which(found[0])
        if path is None:
            raise SelftraceError(f"{found[0]} is not installed")
        return Launch(found, place.env, program=os.path.abspath(path))

    return start


def chosen(only: Sequence[str], extra: Sequence[str]) -> tuple[Mechanism, ...]:
    """Those that are asked for, and always the program alone. only: names; empty: all. extra: as `own` takes them.

    Raises CommandError for an unknown name, or one that is there twice.
    """
    from selftrace.calls import nearest

    known = builtin()
    names = [mechanism.name for mechanism in known]
    for name in only:
        if name not in names:
            raise CommandError(f'unknown mechanism "{name}"{nearest(name, names)}; known: {", ".join(names)}', 2)
    wanted = [mechanism for mechanism in known if not only or mechanism.name in only or mechanism.name == "none"]
    for text in extra:
        mechanism = own(text)
        if mechanism.name in [*names, *(other.name for other in wanted)]:
            raise CommandError(f'--with "{text}": there is a mechanism "{mechanism.name}" already', 2)
        wanted.append(mechanism)
    return tuple(wanted)
