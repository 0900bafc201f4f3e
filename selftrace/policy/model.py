"""What a policy says, after reading and merging and before compiling: plain data.

`reader.py` makes a `PolicyModel` of TOML files, `api.py` adds Python handlers to it, `compile.py`
turns it into a `Plan`. Nothing here looks at a kernel or starts anything.
"""

from __future__ import annotations

from typing import Literal

from selftrace.record import fresh, record

Enforce = Literal["auto", "kernel", "supervisor", "advisory"]
_Answer = Literal["allow", "error", "retval", "content", "data", "kill", "python"]
_Effect = Literal["signal", "log", "delay_enter", "delay_exit", "syscall", "short", "poke_enter", "poke_exit"]
ActionName = Literal[_Answer, _Effect]
CountBy = Literal["thread", "process", "tree"]


@record
class Position:
    """Where something stands in a policy; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@record
class Entry:
    """One string of a list (a path pattern, an address, a call or group name) and its place."""

    text: str
    where: Position | None = None


@record
class When:
    """strace's counter: matches calls first, first+step, … up to last; counts from 1.

    last None: no end. step 0 with last None and first N means exactly the Nth ("5").
    "5" = (5, 5, 1), "5+" = (5, None, 1), "3..9" = (3, 9, 1), "1+2" = (1, None, 2).
    """

    first: int = 1
    last: int | None = None
    step: int = 1
    chance: float = 1.0
    """How many of these, drawn by a hash of seed and number: the same ones in each run."""
    seed: int = 0


@record
class Match:
    """One `match` entry: subject (argument name, "a0".."a5" or "@path" …), operator, operands.

    op: eq ne lt le gt ge between any none only in. Operands are ints for arguments (flag
    expressions already evaluated when the name of the set is known from the call), strings for
    pseudo-arguments (patterns for @path, addresses for @addr).
    """

    subject: str
    op: str
    operands: tuple[int | str, ...]
    where: Position | None = None


@record
class Action:
    """What a rule does. Only the fields that the action's name needs are set."""

    name: ActionName
    error: int = 0
    """errno > 0, for "error"."""
    retval: int = 0
    content: bytes = b""
    signal: int = 0
    delay_us: int = 0
    handler: str = ""
    """"module:function" for "python"."""
    size: int = 0
    """Bytes, for "short"."""
    replacement: str = ""
    """The call that "syscall" makes."""
    pokes: tuple[tuple[int, bytes], ...] = ()
    """Argument (from 0), and what is written to where it points."""


@record
class Rule:
    """One [[rule]] or one handler, in order."""

    id: str
    calls: tuple[Entry, ...]
    matches: tuple[Match, ...]
    action: Action
    when: When | None = None
    count_by: CountBy = "thread"
    enforce: Enforce = "auto"
    where: Position | None = None


@record
class Calls:
    """[calls]. A section that is absent is None in the model."""

    allow: tuple[Entry, ...] | None
    deny: tuple[Entry, ...] = ()
    unknown: int = 38
    where: Position | None = None


@record
class Fs:
    """[fs]: patterns with variables substituted, absolute, in glob syntax."""

    read: tuple[Entry, ...] = ()
    write: tuple[Entry, ...] = ()
    exec: tuple[Entry, ...] = ()
    deny: tuple[Entry, ...] = ()
    tmp: Literal["any", "own"] = "any"
    where: Position | None = None


@record
class Net:
    """[net]: addresses as written."""

    connect: tuple[Entry, ...] = ()
    bind: tuple[Entry, ...] = ()
    where: Position | None = None


@record
class Process:
    """[process]; None: not said."""

    exec: bool | None = None
    fork: bool | None = None
    threads: bool | None = None
    where: Position | None = None


@record
class Limits:
    """[limits]; None: no limit. Places by key in `where`."""

    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    memory: int | None = None
    tasks: int | None = None
    open_files: int | None = None
    file_size: int | None = None
    output: int | None = None
    disk: int | None = None
    where: dict[str, Position] = fresh(default_factory=dict, compare=False)


@record
class Tracing:
    """What `selftrace trace` wants to see: sysno → captures (see plan.Capture), bytes of a string; follow: also of other
    threads than the first, and of other processes; vdso: programs keep theirs; stack: what of it is captured with each call."""

    calls: dict[int, tuple[tuple[int, int, int, int, int], ...]]
    string_limit: int = 32
    follow: bool = True
    vdso: bool = True
    stack: Literal["", "native", "python"] = ""
    names: bool = False
    """Events have the names of the tasks that they are about."""
    watched: bool = False
    """The program is seen and no more: it may have seccomp filters and io_uring of its own."""
    shim: str = ""
    """What reads Python stacks: a path."""


@record
class Default:
    """[default]."""

    action: Literal["allow", "log", "error", "kill"] = "error"
    error: int = 1
    on_error: Literal["deny", "kill"] = "deny"
    where: Position | None = None


@record
class PolicyModel:
    """A whole policy, its bases merged in and its variables substituted."""

    name: str = ""
    mode: Literal["enforce", "audit"] = "enforce"
    require: Literal["kernel", "supervisor", "advisory"] = "advisory"
    allow_degraded: frozenset[str] = frozenset()
    default: Default = Default()
    calls: Calls | None = None
    fs: Fs | None = None
    net: Net | None = None
    process: Process | None = None
    limits: Limits = Limits()
    tracing: Tracing | None = None
    rules: tuple[Rule, ...] = ()
    sources: tuple[str, ...] = ()
    """Files read, the policy's own last."""
    handler_files: tuple[tuple[str, bytes], ...] = ()
    """(module name, source) of handler files that go to the tracee as sealed copies."""
