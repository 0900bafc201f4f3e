"""strace's command line: the same letters, the same meaning. Options end at the first word that is none."""

from __future__ import annotations

from selftrace.calls import Table, nearest, table
from selftrace.errors import CommandError
from selftrace.record import fresh, mutable, record
from selftrace.trace.sets import call_set, fd_set, signal_set, status_set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Literal

    from selftrace.trace.faults import Condition, Fault

    Need = Literal["no", "yes", "may"]

_DETAILS = ("path", "socket", "dev", "pidfd", "eventfd", "signalfd")
_QUIET = ("attach", "exit", "path-resolution", "personality", "thread-execve", "superseded")
_HEX = ("none", "non-ascii-chars", "non-ascii", "all")
_PRECISIONS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_STYLES = ("raw", "abbrev", "verbose")
_PIDS = ("comm", "pidns")
BACKENDS = ("auto", "trap", "ptrace", "inject")
FORMATS = ("strace", "summary", "json", "perfetto", "html")


@mutable
class TraceOptions:
    """What `selftrace trace` was asked for. Sets of calls are numbers; None: all of them.

    Precisions are digits after the second (0, 3, 6, 9), None where no such time is printed.
    """

    calls: frozenset[int] | None = None
    signals: frozenset[int] | None = None
    statuses: frozenset[str] | None = None
    paths: list[str] = fresh(default_factory=list)
    fds: frozenset[int] | None = None
    faults: list[Fault] = fresh(default_factory=list)
    read_fds: frozenset[int] = frozenset()
    write_fds: frozenset[int] = frozenset()
    abbrev: frozenset[int] | None = None
    verbose: frozenset[int] | None = None
    raw: frozenset[int] = frozenset()
    decode_fds: frozenset[str] = frozenset()
    decode_pids: frozenset[str] = frozenset()
    string_limit: int = 32
    hex: str = "none"
    style: str = "abbrev"
    columns: int = 40
    output: str = ""
    append: bool = False
    follow: bool = True
    separate: bool = False
    summary: str = ""
    """"": none, "only", "both"."""
    summary_sort: str = "time"
    summary_columns: str = ""
    summary_wall: bool = False
    summary_overhead: str = ""
    absolute: str = "none"
    """none, time or unix."""
    absolute_precision: int = 0
    relative_precision: int | None = None
    times_precision: int | None = None
    instruction_pointer: bool = False
    argv0: str = ""
    always_pid: bool = False
    percentiles: tuple[float, ...] = ()
    histogram: bool = False
    stack_sources: bool = False
    stack_frames: int = 0
    """At most as many; 0: all that there are."""
    stack_trace: str = ""
    """"": none, "native" or "python"."""
    numbers: bool = False
    arg_names: bool = False
    quiet: frozenset[str] = frozenset()
    environment: list[str] = fresh(default_factory=list)
    user: str = ""
    pids: list[int] = fresh(default_factory=list)
    backend: str = "auto"
    detach: bool = False
    """Take the interposer out of the process again."""
    seccomp: bool = True
    """With ptrace: programs that are started have a filter, and stop only where they have to."""
    pinned: bool = True
    """With ptrace: we run on the program's processor."""
    syscall_limit: int | None = None
    json: str = ""
    format: str = "strace"
    on_full: str = "block"
    slower_ns: int = 0
    errors: frozenset[int] | None = None
    arguments: list[Condition] = fresh(default_factory=list)
    vdso: bool = True
    stap: bool = False
    ignored: list[str] = fresh(default_factory=list)
    """Options of strace that were accepted and have no effect here."""
    help: bool = False
    version: bool = False
    command: list[str] = fresh(default_factory=list)


@record
class Form:
    """One option: its letter, its long name, whether it takes a value, and what it does."""

    letter: str
    name: str
    need: Need
    apply: Callable[[TraceOptions, str, Table], None]
    help: str


def _fail(message: str) -> CommandError:
    return CommandError(message, 125)


def _choice(value: str, known: Sequence[str], what: str) -> str:
    if value not in known:
        raise ValueError(f"invalid {what} '{value}'{nearest(value, known)}; known: {', '.join(known)}")
    return value


def _some(value: str, known: Sequence[str], what: str) -> frozenset[str]:
    negated = value.startswith("!")
    body = value[1:] if negated else value
    if body == "all":
        found = set(known)
    elif body == "none":
        found = set()
    else:
        found = {_choice(word, known, what) for word in body.split(",")}
    return frozenset(set(known) - found if negated else found)


def _number(value: str, what: str, least: int = 0) -> int:
    if not value.isdigit() or int(value) < least:
        raise ValueError(f"invalid {what} argument: '{value}'")
    return int(value)


def _precision(value: str, default: int) -> int:
    if not value:
        return default
    return _PRECISIONS[_choice(value.removeprefix("precision:"), tuple(_PRECISIONS), "precision")]


def _absolute(options: TraceOptions, value: str, of: Table) -> None:
    if options.absolute == "none":
        options.absolute = "time"
    for word in filter(None, value.split(",")):
        name = word.removeprefix("format:").removeprefix("precision:")
        if name in _PRECISIONS:
            options.absolute_precision = _PRECISIONS[name]
        else:
            options.absolute = _choice(name, ("none", "time", "unix"), "timestamp format")


def _t(options: TraceOptions, value: str, of: Table) -> None:
    """-t, -tt, -ttt: each letter says more."""
    if options.absolute == "none":
        options.absolute, options.absolute_precision = "time", 0
    elif options.absolute == "time" and options.absolute_precision == 0:
        options.absolute_precision = 6
    else:
        options.absolute, options.absolute_precision = "unix", 6


def _x(options: TraceOptions, value: str, of: Table) -> None:
    options.hex = "all" if options.hex == "non-ascii" else "non-ascii"


def _y(options: TraceOptions, value: str, of: Table) -> None:
    options.decode_fds = frozenset(_DETAILS if options.decode_fds else ("path",))


def _q(options: TraceOptions, value: str, of: Table) -> None:
    levels: tuple[frozenset[str], ...]
    levels = (frozenset(), frozenset({"attach", "personality"}), frozenset({"attach", "personality", "exit"}), frozenset(_QUIET))
    at = levels.index(options.quiet) if options.quiet in levels else 0
    options.quiet = levels[min(at + 1, 3)]


def _quiet(options: TraceOptions, value: str, of: Table) -> None:
    options.quiet = _some(value or "attach,personality", _QUIET, "message")


def _f(options: TraceOptions, value: str, of: Table) -> None:
    """Forks are followed by default; the second f asks for a file for each."""
    options.follow = True
    if "f" in options.ignored:
        options.separate = True
    options.ignored.append("f")


def _follow(options: TraceOptions, value: str, of: Table) -> None:
    options.follow = _choice(value or "yes", ("yes", "none", "output-separately"), "way to follow") != "none"
    if options.follow:
        options.ignored.append("f")
    options.separate = options.separate or value == "output-separately"


def _sort(options: TraceOptions, value: str, of: Table) -> None:
    from selftrace.reports.summary import sort_key

    sort_key(value)
    options.summary_sort = value


def _overhead(options: TraceOptions, value: str, of: Table) -> None:
    from selftrace.trace.sinks import overhead

    overhead(value)
    options.summary_overhead = value


def _columns(options: TraceOptions, value: str, of: Table) -> None:
    from selftrace.reports.summary import columns

    columns(value)
    options.summary_columns = value


def _inject(options: TraceOptions, value: str, of: Table) -> None:
    from selftrace.trace.faults import parse_inject

    options.faults.append(parse_inject(value))


def _fault(options: TraceOptions, value: str, of: Table) -> None:
    from selftrace.trace.faults import parse_inject

    options.faults.append(parse_inject(value, must_answer=True))


def _errors(options: TraceOptions, value: str, of: Table) -> None:
    from selftrace.calls import errno_value

    options.errors = frozenset(int(word) if word.isdigit() else errno_value(word.upper()) for word in value.split(","))
    if not all(0 < error < 4096 for error in options.errors):
        raise ValueError(f"invalid errno in '{value}'")


def _argument(options: TraceOptions, value: str, of: Table) -> None:
    """NAME=V, as arg.NAME=V in faults."""
    from selftrace.trace.faults import check_condition, condition

    name, equals, wanted = value.removeprefix("arg.").partition("=")
    if not (name and equals and wanted):
        raise ValueError(f"'{value}' is no condition: write NAME=VALUE, e.g. flags&=O_CREAT")
    found = condition(name, wanted)
    check_condition(found, sorted(of.by_name), of)
    options.arguments.append(found)


def _trace(options: TraceOptions, value: str, of: Table) -> None:
    options.calls = call_set(value, of)


QUALIFIERS: dict[str, str] = {
    name: name
    for name in (
        "trace",
        "signal",
        "status",
        "abbrev",
        "verbose",
        "raw",
        "read",
        "write",
        "fd",
        "quiet",
        "decode-fds",
        "decode-pids",
        "inject",
        "fault",
        "kvm",
        "errno",
    )
}
QUALIFIERS.update(
    {
        "t": "trace",
        "a": "abbrev",
        "v": "verbose",
        "x": "raw",
        "s": "signal",
        "signals": "signal",
        "r": "read",
        "reads": "read",
        "w": "write",
        "writes": "write",
        "silent": "quiet",
        "silence": "quiet",
        "q": "quiet",
        "decode-fd": "decode-fds",
        "decode-pid": "decode-pids",
        "fds": "fd",
        "trace-fd": "fd",
        "trace-fds": "fd",
    }
)


def _expression(options: TraceOptions, value: str, of: Table) -> None:
    """-e: NAME=VALUE, or a set of calls alone."""
    name, equals, rest = value.partition("=")
    if not equals:
        return _trace(options, value, of)
    if name.startswith("arg."):
        return _argument(options, value, of)
    kind = QUALIFIERS.get(name)
    if kind is None:
        if "," in name or name.startswith(("!", "/", "%")):
            return _trace(options, value, of)
        raise ValueError(f"unknown expression '{name}='{nearest(name, QUALIFIERS)}")
    _BY_NAME[kind].apply(options, rest, of)
    return None


def _set(attribute: str, convert: Callable[[str, Table], object]) -> Callable[[TraceOptions, str, Table], None]:
    def apply(options: TraceOptions, value: str, of: Table) -> None:
        setattr(options, attribute, convert(value, of))

    return apply


def _flag(attribute: str, value: object = True) -> Callable[[TraceOptions, str, Table], None]:
    def apply(options: TraceOptions, given: str, of: Table) -> None:
        setattr(options, attribute, value)

    return apply


def _add(attribute: str, convert: Callable[[str], object] = str) -> Callable[[TraceOptions, str, Table], None]:
    def apply(options: TraceOptions, value: str, of: Table) -> None:
        getattr(options, attribute).append(convert(value))

    return apply


def _ignore(name: str) -> Callable[[TraceOptions, str, Table], None]:
    def apply(options: TraceOptions, value: str, of: Table) -> None:
        options.ignored.append(name)

    return apply


def _pids(options: TraceOptions, value: str, of: Table) -> None:
    for word in value.replace(",", " ").split():
        options.pids.append(_number(word, "process id", 1))


def _stack(options: TraceOptions, value: str, of: Table) -> None:
    """-k, and -kk: with the place in the source."""
    again = not value and options.stack_trace == "native"
    word = _choice(value or "native", ("native", "symbol", "source", "python"), "stack")
    options.stack_sources = options.stack_sources or again or word == "source"
    options.stack_trace = "python" if word == "python" else "native"


def _percentiles(options: TraceOptions, value: str, of: Table) -> None:
    from selftrace.reports.summary import percentiles

    options.percentiles = percentiles(value or "50,90,99")


def _slower(options: TraceOptions, value: str, of: Table) -> None:
    from selftrace.policy.actions import parse_duration_us

    options.slower_ns = parse_duration_us(value) * 1000


FORMS: tuple[Form, ...] = (
    Form(
        "e",
        "",
        "yes",
        _expression,
        "KIND=VALUE with trace, signal, status, inject, fault, fd, read, write, quiet and others below",
    ),
    Form("", "trace", "yes", _trace, "calls to show: names, %classes, @groups, /regular expressions, !…"),
    Form("", "signal", "yes", _set("signals", lambda v, _: signal_set(v)), "signals to show"),
    Form("", "status", "yes", _set("statuses", lambda v, _: status_set(v)), "show calls that ended so"),
    Form("z", "successful-only", "no", _flag("statuses", frozenset({"successful"})), "only calls that succeeded"),
    Form("Z", "failed-only", "no", _flag("statuses", frozenset({"failed"})), "only calls that failed"),
    Form("", "failing-only", "no", _flag("statuses", frozenset({"failed"})), "the same"),
    Form("P", "trace-path", "yes", _add("paths"), "only calls on PATH"),
    Form("", "fd", "yes", _set("fds", lambda v, _: fd_set(v)), "only calls on these descriptors"),
    Form("", "fds", "yes", _set("fds", lambda v, _: fd_set(v)), "the same"),
    Form("", "trace-fds", "yes", _set("fds", lambda v, _: fd_set(v)), "the same"),
    Form(
        "",
        "inject",
        "yes",
        _inject,
        "SET:error=E|retval=V|data=T:short=N:signal=S:delay_enter=T:poke_exit=@argN=HEX:when=1+2:prob=P:path=P …",
    ),
    Form("", "fault", "yes", _fault, "the same; error=ENOSYS if nothing else is said"),
    Form("", "errno", "yes", _errors, "only calls that failed with one of these, e.g. ENOENT,EACCES"),
    Form("", "arg", "yes", _argument, "only calls with NAME=VALUE (also != >= <=; &=: any of these bits), e.g. flags&=O_CREAT"),
    Form("", "slower", "yes", _slower, "only calls that took longer, e.g. 10ms"),
    Form("f", "", "no", _f, "follow forks: done without it too; -ff writes a file for each process"),
    Form("", "follow-forks", "may", _follow, "the same; =none: the first thread alone, as strace"),
    Form("", "output-separately", "no", _flag("separate"), "a file for each process: FILE.PID"),
    Form("o", "output", "yes", _set("output", lambda v, _: v), "write to FILE; FILE.strc: a capture for `selftrace report`"),
    Form("A", "output-append-mode", "no", _flag("append"), "append to FILE"),
    Form("a", "columns", "yes", _set("columns", lambda v, _: _number(v, "-a")), "column of the result (40)"),
    Form("s", "string-limit", "yes", _set("string_limit", lambda v, _: _number(v, "-s")), "bytes of strings that are shown (32)"),
    Form("v", "no-abbrev", "no", _flag("abbrev", frozenset()), "structures in full"),
    Form("", "abbrev", "yes", _set("abbrev", call_set), "calls whose structures are shortened"),
    Form("", "verbose", "yes", _set("verbose", call_set), "calls whose structures are shown"),
    Form("", "raw", "yes", _set("raw", call_set), "calls whose arguments are shown as numbers"),
    Form("x", "", "no", _x, "strings that are not ASCII in hexadecimal; -xx: all"),
    Form("", "strings-in-hex", "may", _set("hex", lambda v, _: _choice(v or "all", _HEX, "kind of strings")), "the same"),
    Form(
        "X",
        "const-print-style",
        "yes",
        _set("style", lambda v, _: _choice(v, _STYLES, "style")),
        "raw, abbrev or verbose constants",
    ),
    Form("y", "", "no", _y, "paths of descriptors; -yy: what they are"),
    Form("", "decode-fds", "may", _set("decode_fds", lambda v, _: _some(v or "path", _DETAILS, "detail")), "the same"),
    Form("Y", "", "no", _flag("decode_pids", frozenset({"comm"})), "names of processes"),
    Form("", "decode-pids", "yes", _set("decode_pids", lambda v, _: _some(v, _PIDS, "detail")), "the same"),
    Form("", "read", "yes", _set("read_fds", lambda v, _: fd_set(v)), "dump what is read from these descriptors"),
    Form("", "write", "yes", _set("write_fds", lambda v, _: fd_set(v)), "dump what is written to these descriptors"),
    Form("t", "", "no", _t, "the time of day; -tt: with us; -ttt: as Unix time"),
    Form("", "absolute-timestamps", "may", _absolute, "[format:]none|time|unix,[precision:]s|ms|us|ns"),
    Form("", "timestamps", "may", _absolute, "the same"),
    Form(
        "r", "relative-timestamps", "may", _set("relative_precision", lambda v, _: _precision(v, 6)), "time since the line before"
    ),
    Form("T", "syscall-times", "may", _set("times_precision", lambda v, _: _precision(v, 6)), "time spent in calls"),
    Form("i", "instruction-pointer", "no", _flag("instruction_pointer"), "where the call was made"),
    Form("n", "syscall-number", "no", _flag("numbers"), "numbers of calls"),
    Form("N", "arg-names", "no", _flag("arg_names"), "names of arguments"),
    Form("k", "stack-trace", "may", _stack, "the stack of each call; -kk: with the place in the source"),
    Form("", "stack-traces", "may", _stack, "the same"),
    Form(
        "",
        "stack-trace-frame-limit",
        "yes",
        _set("stack_frames", lambda v, _: _number(v, "--stack-trace-frame-limit", 1)),
        "at most N functions of a stack",
    ),
    Form("", "always-show-pid", "no", _flag("always_pid"), "whose a line is, also where there is one process"),
    Form("c", "summary-only", "no", _flag("summary", "only"), "count time, calls and errors"),
    Form("C", "summary", "no", _flag("summary", "both"), "the same, after the trace"),
    Form("S", "summary-sort-by", "yes", _sort, "sort the summary by time, calls, errors, name, …"),
    Form("U", "summary-columns", "yes", _columns, "columns of the summary"),
    Form("", "percentiles", "may", _percentiles, "with -c: times that 50, 90, 99 % of the calls stay below, in µs"),
    Form("", "histogram", "no", _flag("histogram"), "with -c: how many calls took how long"),
    Form("w", "summary-wall-clock", "no", _flag("summary_wall"), "time from beginning to end of calls"),
    Form("O", "summary-syscall-overhead", "yes", _overhead, "time to take off each call"),
    Form("q", "", "no", _q, "fewer messages; -qq, -qqq: fewer still"),
    Form("", "quiet", "may", _quiet, "the same"),
    Form("", "silent", "may", _quiet, "the same"),
    Form("", "silence", "may", _quiet, "the same"),
    Form("", "argv0", "yes", _set("argv0", lambda v, _: v), "what the program is told that it is called"),
    Form("E", "env", "yes", _add("environment"), "set VAR=VALUE, or remove VAR"),
    Form("u", "user", "yes", _set("user", lambda v, _: v), "run as USER"),
    Form("p", "attach", "yes", _pids, "trace a process that runs, with all its threads; PID,PID… for several"),
    Form(
        "",
        "backend",
        "yes",
        _set("backend", lambda v, _: _choice(v, BACKENDS, "backend")),
        "trap: the program traces itself (auto, but for -p); ptrace: from outside; inject: -p PID traces itself from then on",
    ),
    Form("", "detach", "no", _flag("detach"), "with -p PID --backend inject: take out what a tracer that was killed left in it"),
    Form("", "no-seccomp-bpf", "no", _flag("seccomp", False), "with ptrace: stop at every call, not only where it is asked for"),
    Form("", "no-pin", "no", _flag("pinned", False), "with ptrace: do not move to the program's processor"),
    Form(
        "",
        "syscall-limit",
        "yes",
        _set("syscall_limit", lambda v, _: _number(v, "--syscall-limit", 1)),
        "stop tracing after N calls",
    ),
    Form("", "json", "yes", _set("json", lambda v, _: v), "JSON lines to FILE, - for stdout"),
    Form(
        "", "format", "yes", _set("format", lambda v, _: _choice(v, FORMATS, "format")), "strace, summary, json, perfetto or html"
    ),
    Form("", "style", "yes", _set("stap", lambda v, _: _choice(v, ("strace", "stap"), "style") == "stap"), "strace or stap"),
    Form(
        "",
        "on-full",
        "yes",
        _set("on_full", lambda v, _: _choice(v, ("block", "drop"), "answer")),
        "what a full ring does: block the program, or drop events",
    ),
    Form("", "no-vdso", "no", _flag("vdso", False), "make calls of what the vDSO would answer"),
    Form("", "kvm", "yes", _ignore("kvm"), "without effect"),
    Form("F", "", "no", _ignore("F"), "without effect: forks are followed"),
    Form("I", "interruptible", "yes", _ignore("I"), "without effect: the program is not stopped by us"),
    Form("b", "detach-on", "yes", _ignore("b"), "without effect"),
    Form("D", "", "no", _ignore("D"), "without effect: the tracer is no parent that could be seen"),
    Form("", "daemonize", "may", _ignore("D"), "the same"),
    Form("d", "debug", "no", _ignore("d"), "without effect"),
    Form("", "seccomp-bpf", "no", _ignore("seccomp-bpf"), "without effect: it is always so"),
    Form("", "kill-on-exit", "no", _ignore("kill-on-exit"), "without effect"),
    Form("", "tips", "may", _ignore("tips"), "without effect"),
    Form("h", "help", "no", _flag("help"), "this text"),
    Form("V", "version", "no", _flag("version"), "the version"),
)
_BY_LETTER = {form.letter: form for form in FORMS if form.letter}
_BY_NAME = {form.name: form for form in FORMS if form.name}


def _long_form(name: str) -> Form:
    """By its name or by a beginning that no other has."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    found = [known for known in _BY_NAME if known.startswith(name)]
    if len(found) == 1:
        return _BY_NAME[found[0]]
    if found:
        raise _fail(f"--{name} could be {', '.join('--' + known for known in found)}")
    hint = nearest(f"--{name}", [f"--{known}" for known in _BY_NAME])
    raise _fail(f'unknown option "--{name}"{hint}; selftrace trace --help lists them')


def _apply(form: Form, value: str, options: TraceOptions, of: Table) -> None:
    try:
        form.apply(options, value, of)
    except ValueError as error:
        raise _fail(str(error)) from None


def _long(word: str, rest: list[str], options: TraceOptions, of: Table) -> None:
    name, equals, value = word[2:].partition("=")
    form = _long_form(name)
    if form.need == "no" and equals:
        raise _fail(f"--{form.name} takes no value")
    if form.need == "yes" and not equals:
        if not rest:
            raise _fail(f"--{form.name} needs a value")
        value = rest.pop(0)
    _apply(form, value, options, of)


def _letters(word: str, rest: list[str], options: TraceOptions, of: Table) -> None:
    at = 1
    while at < len(word):
        form = _BY_LETTER.get(word[at])
        if form is None:
            raise _fail(f'unknown option "-{word[at]}"; selftrace trace --help lists them')
        at += 1
        if form.need != "yes":  # what a letter may take is written with its long name only
            _apply(form, "", options, of)
            continue
        value = word[at:]
        if not value:
            if not rest:
                raise _fail(f"-{form.letter} needs a value")
            value = rest.pop(0)
        _apply(form, value, options, of)
        return


def parse(words: Iterable[str], of: Table | None = None) -> TraceOptions:
    """Raises CommandError: unknown options name the nearest, bad values what is accepted."""
    source, options, rest = of or table(), TraceOptions(), list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            rest.insert(0, word)
            break
        if word.startswith("--"):
            _long(word, rest, options, source)
        else:
            _letters(word, rest, options, source)
    options.command = rest
    return options


def usage() -> str:
    """Help, from the table."""
    lines = [
        "usage: selftrace trace [options] [--] PROG [ARGS]",
        "",
        "       selftrace trace [options] -p PID",
        "",
        "Traces a program's system calls, in the program itself or from outside. Options are strace's:",
        "",
    ]
    for form in FORMS:
        names = ", ".join(filter(None, (f"-{form.letter}" if form.letter else "", f"--{form.name}" if form.name else "")))
        lines.append(f"  {names:<34}{form.help}")
    return "\n".join(lines)
