"""Shows a program's system calls, and injects faults into them. Options are strace's; the program traces itself."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time

from selftrace import __version__
from selftrace.calls import table
from selftrace.errors import CommandError, SelftraceError, UnsupportedError
from selftrace.record import replace
from selftrace.trace.options import TraceOptions, parse, usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from selftrace.events.capture import Metadata
    from selftrace.events.select import Selection
    from selftrace.injected import InjectedTracer
    from selftrace.job import Job
    from selftrace.outside import OutsideTracer
    from selftrace.prepared import Prepared
    from selftrace.trace.sinks import Sink
    from selftrace.tracer import Tracer

    AnyTracer = Tracer | OutsideTracer | InjectedTracer

OURS = 125
_PRESENTED = ("perfetto", "html")
_WITHOUT_EFFECT = {"f"}


def _job(options: TraceOptions) -> Job:
    job = _named_job(options)
    return replace(job, args=(options.argv0, *job.args[1:])) if options.argv0 else job


def _named_job(options: TraceOptions) -> Job:
    from selftrace.job import Job, make_program

    name = options.command[0]
    if "/" in name and os.path.lexists(name):  # whether it can be executed is for the kernel to say, and to be seen
        return Job("program", name, tuple(options.command))
    try:
        return make_program(options.command)
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}", 127 if isinstance(error, FileNotFoundError) else 126) from None


def _check(options: TraceOptions) -> None:
    if options.backend == "inject" and (options.command or len(options.pids) != 1):
        raise CommandError("--backend inject is for one process that runs: -p PID", OURS)
    if options.detach and options.backend != "inject":
        raise CommandError("--detach takes out what -p PID --backend inject has put in", OURS)
    if options.backend == "inject" and options.stack_trace:
        raise UnsupportedError("--backend inject shows no stacks", "leave it out: ptrace does")
    if options.pids and options.backend == "trap":
        raise CommandError("-p traces from outside: leave out --backend trap", OURS)
    if options.user:
        _check_user(options)
    if (options.percentiles or options.histogram) and not options.summary and options.format != "summary":
        raise CommandError("--percentiles and --histogram are parts of a summary: say -c or -C too", OURS)
    if not options.command and not options.pids:
        raise CommandError("what is to be traced? selftrace trace [options] PROG [ARGS], or -p PID", OURS)
    if options.separate and not options.output:
        options.separate = False  # as strace: there is no file to add the number to
    if options.json and options.format != "strace":
        raise CommandError("one format at a time: --json or --format", OURS)
    if options.format in _PRESENTED and not options.output:
        raise CommandError(f"--format {options.format} needs -o FILE", OURS)


def _check_user(options: TraceOptions) -> None:
    from selftrace.startas import identity

    if _from_outside(options):
        raise UnsupportedError("-u goes without -p and --backend ptrace", f"use setpriv --reuid {options.user} …")
    try:
        identity(options.user)
    except ValueError as error:
        raise CommandError(str(error), OURS) from None


def _environment(options: TraceOptions) -> dict[str, str]:
    found = dict(os.environ)
    for item in options.environment:
        name, equals, value = item.partition("=")
        if equals:
            found[name] = value
        else:
            found.pop(name, None)
    return found


def _metadata(options: TraceOptions) -> Metadata:
    from selftrace.events.capture import Metadata

    return Metadata(
        selftrace=__version__,
        command=tuple(options.command) or ("-p", ",".join(map(str, options.pids))),
        monotonic_ns=time.monotonic_ns(),
        realtime_ns=time.time_ns(),
        string_limit=options.string_limit,
        stack=options.stack_trace,
    )


def _sinks(options: TraceOptions, presented: str) -> list[Sink]:
    """presented: a capture that is made something else of at the end; empty: none."""
    from selftrace.trace import sinks
    from selftrace.trace.shown import shown_calls, unknown_calls

    if presented:
        return [sinks.CaptureSink(presented, _metadata(options))]
    if options.json:
        return [sinks.JsonSink(options.json, _metadata(options))]
    if options.format == "json":
        return [sinks.JsonSink(options.output or "-", _metadata(options))]
    if options.output.endswith(".strc"):
        return [sinks.CaptureSink(options.output, _metadata(options))]
    if options.format == "summary":
        options.summary = "only"
    found: list[Sink] = []
    if options.summary != "only":
        found.append(sinks.TextSink(options, shown_calls(options, table()) | unknown_calls(table())))
    if options.summary:
        found.append(sinks.SummarySink(options))
    return found


def _counts_cpu_time(options: TraceOptions) -> bool:
    """-c counts the time that the processor spent in calls; times that are shown are those of a clock."""
    shown = options.absolute != "none" or options.relative_precision is not None or options.times_precision is not None
    return bool(options.summary) and not options.summary_wall and not shown


def _from_outside(options: TraceOptions) -> bool:
    return options.backend == "ptrace" or bool(options.pids)


def _outside(options: TraceOptions) -> OutsideTracer:
    from selftrace.outside import OutsideTracer
    from selftrace.trace.outside import make_watch

    try:
        watch = make_watch(options, cpu_time=_counts_cpu_time(options))
    except ValueError as error:
        raise CommandError(str(error), OURS) from None
    job = _job(options) if options.command else None
    return OutsideTracer(watch, job, _environment(options), pids=options.pids, say=_say, quiet="attach" in options.quiet)


def _say(text: str) -> None:
    print(f"selftrace: {text}", file=sys.stderr, flush=True)


def _injected(options: TraceOptions) -> InjectedTracer:
    from selftrace.injected import InjectedTracer

    return InjectedTracer(
        _prepared(options),
        options.pids[0],
        block=options.on_full == "block",
        cpu_time=_counts_cpu_time(options),
        say=_say,
        quiet="attach" in options.quiet,
    )


def _prepared(options: TraceOptions) -> Prepared:
    from selftrace.trace.kept import prepare

    try:
        return prepare(options)
    except ValueError as error:
        raise CommandError(str(error), OURS) from None


def _tracer(options: TraceOptions) -> Tracer:
    from selftrace.tracer import Tracer

    return Tracer(
        _prepared(options),
        _job(options),
        _environment(options),
        block=options.on_full == "block",
        follow=options.follow,
        cpu_time=_counts_cpu_time(options),
        user=options.user,
    )


def _chosen(options: TraceOptions) -> AnyTracer:
    if options.backend == "inject":
        return _injected(options)
    return _outside(options) if _from_outside(options) else _tracer(options)


class _Stop(Exception):
    """A signal that ends us, not the program."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop(number: int, frame: object) -> None:
    raise _Stop(number)


def _our_name() -> str:
    """Whoever calls us strace expects to hear it."""
    return sys.argv[0] if os.path.basename(sys.argv[0]) == "strace" else "selftrace"


def _feed(sink: Sink, batch: memoryview, failed: set[int], output: str) -> None:
    """An output that can no longer be written is given up, and said so; the program goes on."""
    if id(sink) in failed:
        return
    try:
        sink.feed(batch)
    except OSError as error:
        failed.add(id(sink))
        print(f"{_our_name()}: {output or 'the output'}: {error.strerror}", file=sys.stderr)


def _follow(
    tracer: AnyTracer,
    sinks: Sequence[Sink],
    selection: Selection | None,
    limit: int | None,
    failed: set[int],
    output: str,
) -> None:
    for batch in tracer.batches():
        for sink in sinks:
            _feed(sink, batch, failed, output)
        if limit is not None and selection is not None and selection.shown >= limit:
            return


def _selection(options: TraceOptions, *, shown_by_c: bool) -> Selection | None:
    """What the reader selects; a path counts by its name and by what it leads to. shown_by_c: the lines know paths."""
    from selftrace.events.select import Selection
    from selftrace.trace.faultrules import wanted
    from selftrace.trace.shown import mapping_calls, shown_calls

    given = () if shown_by_c else options.paths
    mapping = mapping_calls(options, table())
    chosen = options.fds is not None or options.errors is not None or options.arguments
    if not (given or chosen or options.slower_ns or options.syscall_limit or mapping):
        return None
    paths = list(dict.fromkeys(path for name in given for path in (name, os.path.realpath(name))))
    arguments = {
        call.sysno: sum(1 << at for at, arg in enumerate(call.args) if arg.role == "path") for call in table().by_number.values()
    }
    return Selection(
        paths=paths,
        fds=options.fds,
        slower_ns=options.slower_ns,
        arguments=arguments,
        mapping=mapping,
        unshown=mapping - shown_calls(options, table()),
        errors=options.errors,
        wanted=[one for condition in options.arguments for one in wanted(condition, table())],
    )


def _let_go(options: TraceOptions) -> None:
    """The program's input and output end when it closes them: ours are not to keep them open."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    if options.json != "-" and not (options.format == "json" and not options.output):
        os.dup2(null, 1)
    os.close(null)


def _trace(options: TraceOptions, presented: str) -> int:
    """Runs it to the end. SIGTERM is ours, and programs go on without us; a terminal's Ctrl-C is the business of a program that
    we started, and ours where there is none."""
    from selftrace.trace.sinks import TextSink
    from selftrace.tracer import Tracer

    ours = [signal.SIGTERM, signal.SIGHUP, *([] if options.command else [signal.SIGINT, signal.SIGQUIT])]
    sinks = _sinks(options, presented)
    tracer = _chosen(options)
    detached, number = False, 0
    failed: set[int] = set()
    try:
        selection = _selection(options, shown_by_c=all(isinstance(sink, TextSink) for sink in sinks))
        if selection is not None:
            tracer.select(selection)
        try:
            for item in ours:
                if signal.getsignal(item) != signal.SIG_IGN:  # what is ignored is so for the program too
                    signal.signal(item, _stop)
            tracer.start()
            if options.command:
                _let_go(options)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.signal(signal.SIGQUIT, signal.SIG_IGN)
            _follow(tracer, sinks, selection, options.syscall_limit, failed, options.output)
        except _Stop as stop:
            detached, number = True, stop.number
            for item in ours:  # another one ends us at once
                signal.signal(item, signal.SIG_DFL)
        for sink in sinks:
            if id(sink) not in failed:
                sink.close(detached=detached)
    finally:
        tracer.close()
    if isinstance(tracer, Tracer) and "exit" not in options.quiet:
        for pid in tracer.unknown:
            print(f"{_our_name()}: Exit of unknown pid {pid} ignored", file=sys.stderr)
    for note in tracer.notes:
        print(f"selftrace: {note}", file=sys.stderr)
    if tracer.lost:
        print(f"selftrace: {tracer.lost} events were lost: the ring was full or a writer was killed", file=sys.stderr)
    if number:
        return 128 + number
    return _exit_code(tracer, options)


def _exit_code(tracer: AnyTracer, options: TraceOptions) -> int:
    if tracer.start_error:
        print(f"selftrace: {options.command[0]}: {os.strerror(tracer.start_error)}", file=sys.stderr)
        return 127 if tracer.start_error == 2 else 126
    if tracer.status is None:
        return 0
    code = os.waitstatus_to_exitcode(tracer.status)
    if code >= 0:
        return code
    return 128 - code


def _present(options: TraceOptions, capture: str) -> None:
    from selftrace.cli.main import parser_for

    words = [capture, "--format", options.format, "-o", options.output]
    arguments = parser_for("report").parse_args(words)
    arguments.execute(arguments)


def execute(words: Sequence[str]) -> int:
    """Runs the command."""
    if os.path.basename(sys.argv[0]) == "strace":
        words = ["--follow-forks=none", *words]
        try:
            return _as_strace(_execute(words))
        except SelftraceError as error:  # who calls us by its name expects to hear it
            print(f"{sys.argv[0]}: {error}", file=sys.stderr)
            return 1
    return _execute(words)


def _as_strace(code: int) -> int:
    """strace ends as its program did, by the same signal."""
    if not 128 < code <= 128 + signal.NSIG or code - 128 not in signal.valid_signals():
        return code
    number = code - 128
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    return code


def _detach(options: TraceOptions) -> int:
    from selftrace.injected import take_out

    take_out(options.pids[0])
    if "attach" not in options.quiet:
        _say(f"Process {options.pids[0]} detached")
    return 0


def _execute(words: Sequence[str]) -> int:
    options = parse(words)
    if options.help:
        print(usage())
        return 0
    if options.version:
        print(f"selftrace {__version__}")
        return 0
    _check(options)
    if options.detach:
        return _detach(options)
    for name in sorted(set(options.ignored) - _WITHOUT_EFFECT):
        if name in ("b", "D", "kvm", "tips", "kill-on-exit"):
            print(f"selftrace: -{name} has no effect here: selftrace help trace says why", file=sys.stderr)
    if options.arg_names and (options.summary == "only" or options.format == "summary"):
        print(f"{_our_name()}: -N/--arg-names has no effect with -c/--summary-only", file=sys.stderr)
    if options.format not in _PRESENTED:
        return _trace(options, "")
    import tempfile

    with tempfile.TemporaryDirectory(prefix="selftrace-") as directory:
        capture = os.path.join(directory, "trace.strc")
        code = _trace(options, capture)
        _present(options, capture)
    return code
