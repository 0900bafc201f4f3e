"""Comparing: every mechanism tried, then measured in turn, round after round, and each run's result looked at."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import tempfile

from selftrace.comparison import mechanisms, outcome
from selftrace.comparison.measuring import Entry, Measurement, too_slow
from selftrace.comparison.metadata import machine
from selftrace.comparison.result import CONDITIONS, Comparison, ComparisonRow, Measured
from selftrace.errors import SelftraceError
from selftrace.job import make_program
from selftrace.kernel.features import require_platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from selftrace.comparison.measuring import OnProgress
    from selftrace.comparison.outcome import Outcome


def _all_rounds(work: Measurement, entries: Sequence[Entry], rounds: int) -> None:
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


def _differences(entry: Entry, expected: Outcome, varies: set[str]) -> tuple[str, ...]:
    """Each part that was not as it should be, once."""
    found: dict[str, str] = {}
    for result in entry.outcomes:
        for name in sorted(result.differs_in(expected) - varies - set(found)):
            found[name] = outcome.sentence(name, result, expected)
    return tuple(found.values())


def _rows(entries: Sequence[Entry], rounds: int) -> tuple[tuple[ComparisonRow, ...], set[str]]:
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
    share = min((row.seen or 0) / max(calls, 1), 1.0)
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
        work = Measurement(job, place, stdin=os.fspath(stdin), prepare=prepare, timeout_s=timeout_s, on_progress=on_progress)
        entries = [Entry(mechanism) for mechanism in listed]
        work.survey()
        for entry in entries:
            work.attempt(entry)
        if entries[0].reason:
            raise SelftraceError(f"the program alone cannot be measured: {entries[0].reason}")
        _all_rounds(work, entries, rounds)
    if entries[0].overdue:
        raise too_slow(timeout_s)
    rows, varies = _rows(entries, rounds)
    partial = tuple(_partial(row, sum(work.calls.values())) for row in rows if row.seen and row.measured)
    notes = partial + _notes(varies, entries[0].outcomes[0].status, about["load"], about["pyperf"] is not None)
    about["load_after"] = round(os.getloadavg()[0], 2)
    about["platform"] = sys.platform
    return Comparison(tuple(map(os.fsdecode, argv)), rounds, work.calls, rows, notes, about)
