"""Comparing: every mechanism tried, then measured in turn, round after round, and each run's result looked at."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sys
import tempfile

from selftrace.backends.base import Launch
from selftrace.comparison import mechanisms, outcome, process
from selftrace.comparison.interposed import Survey, Trapped
from selftrace.comparison.metadata import machine
from selftrace.comparison.result import CONDITIONS, Comparison, ComparisonRow, Measured, Sample
from selftrace.errors import SelftraceError
from selftrace.job import make_program
from selftrace.kernel.features import require_platform
from selftrace.record import fresh, mutable, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from selftrace.comparison.mechanisms import Mechanism, Place
    from selftrace.comparison.outcome import Outcome
    from selftrace.comparison.process import Streams
    from selftrace.job import Job

    OnProgress = Callable[[str], None]

_TRY_S = 30.0


@mutable
class _Entry:
    """A mechanism while it is measured."""

    mechanism: Mechanism
    reason: str = ""
    outcomes: list[Outcome] = fresh(default_factory=list)
    samples: dict[str, list[Sample]] = fresh(default_factory=dict)
    overdue: bool = False
    seen: int = 0

    @property
    def goes_on(self) -> bool:
        """Whether there is anything to measure."""
        return not self.reason and not self.overdue


class _Measurement:
    """One comparison at work. Paths of everything that it writes are below `place.directory`."""

    def __init__(
        self, job: Job, place: Place, *, stdin: str, prepare: str, timeout_s: float, on_progress: OnProgress | None
    ) -> None:
        self.job, self.place, self.timeout_s, self.prepare = job, place, timeout_s, prepare
        self.streams: Streams = process.Streams(stdin, place.file("stdout"), place.file("stderr"))
        self.words = mechanisms.stopwatch(place, job.target, job.args)
        self.core = min(os.sched_getaffinity(0))
        self.files: tuple[str, ...] = ()
        self.calls: dict[str, int] = {}
        self.say = on_progress or (lambda text: None)

    def _prepare(self) -> None:
        if not self.prepare:
            return
        import subprocess

        done = subprocess.run(self.prepare, shell=True, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            last = done.stderr.decode(errors="replace").strip().splitlines()
            raise SelftraceError(f"--prepare failed with {done.returncode}{': ' + last[-1] if last else ''}: {self.prepare}")

    def survey(self) -> None:
        """Which calls the program makes, and which files it writes."""
        words = [self.job.target, *self.job.args[1:]]
        self.say("a first run")  # which may do what is not to be done again: caches, an index
        self._look_at(Launch(list(self.job.args), self.place.env, program=self.job.target))
        self.say("counting calls")
        with contextlib.closing(Trapped()) as trapped:
            self._look_at(trapped.launch(words, self.place.env))
            self.calls = trapped.calls()
        self.say("looking for files")
        with contextlib.closing(Survey.begin()) as survey:
            self._look_at(survey.launch(words, self.place.env), survey.look)
            survey.look()
            self.files = tuple(survey.written)

    def _look_at(self, launch: Launch, meanwhile: Callable[[], None] | None = None) -> None:
        with _owned(launch):
            self._prepare()
            process.timed(launch, self.streams, core=None, timeout_s=self.timeout_s, meanwhile=meanwhile)

    def attempt(self, entry: _Entry) -> None:
        """Tries a mechanism out on a program that does nothing: where that fails, it says why. A command of the user's may
        end as it likes, if it can be started."""
        self.say(f"trying {entry.mechanism.name}")
        entry.reason = entry.mechanism.reason
        true = shutil.which("true") or "/bin/true"
        if entry.reason:
            return
        try:
            status, _ = self._timed(entry.mechanism, mechanisms.stopwatch(self.place, true, [true]), None, _TRY_S)
        except (SelftraceError, OSError) as error:
            entry.reason = str(error)
            return
        if status in (126, 127) or (status and entry.mechanism.family != "yours"):
            entry.reason = f"tried on {true}: {_last_line(self.streams.stderr) or f'exit status {status}'}"

    def _timed(self, mechanism: Mechanism, words: list[str], core: int | None, timeout_s: float) -> tuple[int, Sample]:
        launch = mechanism.start(words, self.place)
        with _owned(launch):
            return process.timed(launch, self.streams, core=core, timeout_s=timeout_s)

    def once(self, entry: _Entry, condition: str, *, kept: bool) -> None:
        """One run. kept: its times count; its result is looked at in any case."""
        self._prepare()
        stopped = self.place.file("timed")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(stopped)
        before = outcome.stamps(self.files)
        core = self.core if condition == "pinned" else None
        status, sample = self._timed(entry.mechanism, self.words, core, self.timeout_s)
        entry.seen = entry.mechanism.seen() if entry.mechanism.seen is not None else 0
        entry.outcomes.append(outcome.take(status, self.streams, before))
        if status == process.OVERDUE:
            entry.overdue = True
        elif kept:
            entry.samples.setdefault(condition, []).append(_with_program(sample, stopped))


@contextlib.contextmanager
def _owned(launch: Launch) -> Iterator[None]:
    try:
        yield
    finally:
        for fd in launch.owned:
            os.close(fd)


def _with_program(sample: Sample, path: str) -> Sample:
    """The program's part, as the stopwatch has written it."""
    try:
        with open(path) as file:
            elapsed_ns, cpu_us = map(int, file.read().split())
    except (OSError, ValueError):
        return sample
    return replace(sample, program_s=elapsed_ns / 1e9, program_cpu_s=cpu_us / 1e6)


def _last_line(path: str) -> str:
    with open(path, "rb") as file:
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else ""


def _all_rounds(work: _Measurement, entries: Sequence[_Entry], rounds: int) -> None:
    """First each once, for warm caches; then all in turn, in another order each time, so that nobody has the same neighbour."""
    for entry in entries:
        if entry.goes_on:
            work.say(f"warming {entry.mechanism.name}")
            work.once(entry, "free", kept=False)
    order = random.Random(rounds)
    for number in range(rounds):
        turns = [(entry, condition) for entry in entries for condition in CONDITIONS]
        order.shuffle(turns)
        for at, (entry, condition) in enumerate(turns):
            if entry.goes_on:
                work.say(f"round {number + 1} of {rounds}, {at + 1} of {len(turns)}: {entry.mechanism.name}")
                work.once(entry, condition, kept=True)


def _differences(entry: _Entry, expected: Outcome, varies: set[str]) -> tuple[str, ...]:
    """Each part that was not as it should be, once."""
    found: dict[str, str] = {}
    for result in entry.outcomes:
        for name in sorted(result.differs_in(expected) - varies - set(found)):
            found[name] = outcome.sentence(name, result, expected)
    return tuple(found.values())


def _rows(entries: Sequence[_Entry], rounds: int) -> tuple[tuple[ComparisonRow, ...], set[str]]:
    alone = entries[0].outcomes
    expected = alone[0]
    varies = {name for other in alone[1:] for name in other.differs_in(expected)}
    rows = []
    for entry in entries:
        what = entry.mechanism
        differences = _differences(entry, expected, varies)
        measured = {name: Measured(tuple(samples)) for name, samples in entry.samples.items() if len(samples) == rounds}
        rows.append(ComparisonRow(what.name, what.title, what.family, entry.reason, differences, measured, entry.seen))
    return tuple(rows), varies


def _partial(row: ComparisonRow, calls: int) -> str:
    """Of a mechanism that does not see everything."""
    share = min(row.seen / max(calls, 1), 1.0)
    return f"{row.name} sees {share:.0%} of the calls: not the dynamic linker's, a vfork's child's and those of static programs"


def _notes(varies: set[str], expected: int, load: float, pyperf: bool) -> tuple[str, ...]:
    notes = []
    for name in sorted(varies):
        what = "exit status" if name == "status" else name
        notes.append(f"{what} varies from run to run of the program alone, and is not compared")
    if expected and "status" not in varies:
        notes.append(f"the program ends with exit status {expected}")
    if load > len(os.sched_getaffinity(0)) / 2:
        notes.append(f"the machine was busy (load {load:.1f}): expect unstable rows")
    if not pyperf:
        notes.append("pyperf is not installed, its metadata is missing: pip install 'selftrace[bench]'")
    return tuple(notes)


def compare(
    argv: Sequence[str | os.PathLike[str]],
    *,
    rounds: int = 7,
    only: Sequence[str] = (),
    extra: Sequence[str] = (),
    stdin: str | os.PathLike[str] = os.devnull,
    prepare: str = "",
    timeout_s: float = 300.0,
    on_progress: OnProgress | None = None,
) -> Comparison:
    """Runs a program under each mechanism that this machine has, and says what each costs.

    argv: the program and its arguments; it runs in this directory with this environment. rounds: how often each is measured,
    in each of the two conditions; 7 are needed to tell "equal" from "not known". only: names of mechanisms, all if empty; the
    program alone is always measured. extra: mechanisms of your own, "NAME=COMMAND" with {} for the program. stdin: a file, read
    from its beginning by each run. prepare: a shell command before each run, whose time does not count. timeout_s: seconds after
    which a run is ended. on_progress: is told what is being done.
    Raises CommandError for an unknown mechanism or a command without {}; FileNotFoundError, PermissionError for a program that
    cannot be started; ValueError for rounds below 1; UnsupportedError where nothing can be measured; SelftraceError where
    `prepare` fails or the program alone does not end in time; OSError.
    """
    if rounds < 1:
        raise ValueError("rounds: at least 1")
    require_platform()
    job = make_program(argv)
    listed = mechanisms.chosen(only, extra)
    with open(stdin, "rb"):  # not there, not readable: said here, with the name
        pass
    about = machine()
    with tempfile.TemporaryDirectory(prefix="selftrace-compare-") as directory, contextlib.ExitStack() as held:
        place = mechanisms.Place(directory, dict(os.environ), held)
        work = _Measurement(job, place, stdin=os.fspath(stdin), prepare=prepare, timeout_s=timeout_s, on_progress=on_progress)
        entries = [_Entry(mechanism) for mechanism in listed]
        work.survey()
        for entry in entries:
            work.attempt(entry)
        if entries[0].reason:
            raise SelftraceError(f"the program alone cannot be measured: {entries[0].reason}")
        _all_rounds(work, entries, rounds)
    if entries[0].overdue:
        raise SelftraceError(f"the program alone did not end within {timeout_s:g} s; --timeout allows more")
    rows, varies = _rows(entries, rounds)
    partial = tuple(_partial(row, sum(work.calls.values())) for row in rows if row.seen)
    notes = partial + _notes(varies, entries[0].outcomes[0].status, about["load"], about["pyperf"] is not None)
    about["load_after"] = round(os.getloadavg()[0], 2)
    about["platform"] = sys.platform
    return Comparison(tuple(map(os.fsdecode, argv)), rounds, work.calls, rows, notes, about)
