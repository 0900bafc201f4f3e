"""One comparison at work: a program surveyed, mechanisms tried, single runs made and looked at."""

from __future__ import annotations

import contextlib
import os
import shutil

from selftrace.backends.base import Launch
from selftrace.comparison import mechanisms, outcome, process
from selftrace.comparison.interposed import Survey, Trapped
from selftrace.comparison.result import Sample
from selftrace.errors import SelftraceError
from selftrace.record import fresh, mutable, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selftrace.comparison.mechanisms import Mechanism, Place
    from selftrace.comparison.outcome import Outcome
    from selftrace.comparison.process import Streams
    from selftrace.job import Job

    OnProgress = Callable[[str], None]

_TRY_S = 30.0


@mutable
class Entry:
    """A mechanism while it is measured."""

    mechanism: Mechanism
    reason: str = ""
    outcomes: list[Outcome] = fresh(default_factory=list)
    samples: dict[str, list[Sample]] = fresh(default_factory=dict)
    overdue: bool = False
    seen: int | None = None

    @property
    def goes_on(self) -> bool:
        """Whether there is anything to measure."""
        return not self.reason and not self.overdue


class Measurement:
    """Paths of everything that it writes are below `place.directory`."""

    def __init__(
        self, job: Job, place: Place, *, stdin: str, prepare: str, timeout_s: float, on_progress: OnProgress | None
    ) -> None:
        self.job, self.place, self.timeout_s, self.prepare = job, place, timeout_s, prepare
        self.streams: Streams = process.Streams(stdin, place.file("stdout"), place.file("stderr"))
        self.words = mechanisms.stopwatch(place, job.target, job.args)
        self.true = shutil.which("true") or "/bin/true"
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
        if self._look_at(Launch(list(self.job.args), self.place.env, program=self.job.target)) == process.OVERDUE:
            raise too_slow(self.timeout_s)
        self.say("counting calls")
        with contextlib.closing(Trapped()) as trapped:
            self._look_at(trapped.launch(words, self.place.env))
            self.calls = trapped.calls()
        self.say("looking for files")
        with contextlib.closing(Survey.begin()) as survey:
            self._look_at(survey.launch(words, self.place.env), survey.look)
            survey.look()
            self.files = tuple(survey.written)

    def _look_at(self, launch: Launch, meanwhile: Callable[[], None] | None = None) -> int:
        with _owned(launch):
            self._prepare()
            return process.timed(launch, self.streams, core=None, timeout_s=self.timeout_s, meanwhile=meanwhile)[0]

    def attempt(self, entry: Entry) -> None:
        """Tries a mechanism out on a program that does nothing: where that fails, it says why. A command of the user's may
        end as it likes, if it can be started."""
        self.say(f"trying {entry.mechanism.name}")
        entry.reason = entry.mechanism.reason
        if entry.reason:
            return
        try:
            status, _ = self._timed(entry.mechanism, mechanisms.stopwatch(self.place, self.true, [self.true]), None, _TRY_S)
        except (SelftraceError, OSError) as error:
            entry.reason = str(error)
            return
        if status in (126, 127) or (status and entry.mechanism.family != "yours"):
            entry.reason = f"tried on {self.true}: {_last_line(self.streams.stderr) or f'exit status {status}'}"

    def _timed(self, mechanism: Mechanism, words: list[str], core: int | None, timeout_s: float) -> tuple[int, Sample]:
        launch = mechanism.start(words, self.place)
        with _owned(launch):
            return process.timed(launch, self.streams, core=core, timeout_s=timeout_s)

    def once(self, entry: Entry, condition: str, *, kept: bool) -> None:
        """One run. kept: its times count; its result is looked at in any case."""
        self._prepare()
        stopped = self.place.file("timed")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(stopped)
        before = outcome.stamps(self.files)
        core = self.core if condition == "pinned" else None
        status, sample = self._run(entry.mechanism, core)
        entry.seen = entry.mechanism.seen() if entry.mechanism.seen is not None else None
        entry.outcomes.append(outcome.take(status, self.streams, before))
        if status == process.OVERDUE:
            entry.overdue = True
        elif entry.seen == 0:
            entry.reason = "it sees none of the program's calls: is it static?"
        elif kept:
            entry.samples.setdefault(condition, []).append(_with_program(sample, stopped))

    def _run(self, mechanism: Mechanism, core: int | None) -> tuple[int, Sample]:
        """The program once. Without a stopwatch inside, what the mechanism takes for a program that does nothing is its start."""
        if mechanism.inside:
            return self._timed(mechanism, self.words, core, self.timeout_s)
        _, nothing = self._timed(mechanism, [self.true], core, _TRY_S)
        status, sample = self._timed(mechanism, [self.job.target, *self.job.args[1:]], core, self.timeout_s)
        return status, replace(sample, program_s=max(sample.wall_s - nothing.wall_s, 1e-6))


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


def too_slow(timeout_s: float) -> SelftraceError:
    """There is nothing to compare with."""
    return SelftraceError(f"the program alone did not end within {timeout_s:g} s; --timeout allows more")
