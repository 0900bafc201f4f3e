"""What a comparison found: a row for each mechanism, with every sample."""

from __future__ import annotations

import json
from statistics import median

from selftrace.comparison import statistics
from selftrace.record import fresh, record, to_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from selftrace.comparison.statistics import Verdict

CONDITIONS = {"pinned": "pinned: program and tracer on one core", "free": "free: left to the scheduler"}
"""Where a tracer sits decides what it costs: each mechanism is measured in both."""
SCHEMA = 1


@record
class Sample:
    """One run. Times in seconds.

    wall_s, cpu_s: of the whole command, tracer included. program_s, program_cpu_s: of the program alone, measured inside the
    mechanism; None where a command of the user's gives no way to do so.
    """

    wall_s: float
    cpu_s: float
    program_s: float | None = None
    program_cpu_s: float | None = None


@record
class Measured:
    """The samples of one mechanism under one condition, in the order of the rounds."""

    samples: tuple[Sample, ...]

    @property
    def walls(self) -> list[float]:
        """Seconds of each whole command."""
        return [sample.wall_s for sample in self.samples]

    @property
    def programs(self) -> list[float]:
        """Seconds of each run of the program; of the whole command where the program's are not known."""
        return [sample.wall_s if sample.program_s is None else sample.program_s for sample in self.samples]

    @property
    def wall_s(self) -> float:
        """Median of the whole command."""
        return median(self.walls)

    @property
    def cpu_s(self) -> float:
        """Median of the processor time of the whole command."""
        return median([sample.cpu_s for sample in self.samples])

    @property
    def program_s(self) -> float:
        """Median of the program's own time."""
        return median(self.programs)

    @property
    def start_s(self) -> float:
        """Median of what the mechanism takes before the program begins and after it has ended."""
        return median([a - b for a, b in zip(self.walls, self.programs, strict=True)])

    @property
    def spread(self) -> float:
        """Half the distance of the quartiles of the program's time, as a share of its median."""
        return statistics.spread(self.programs)

    @property
    def unstable(self) -> bool:
        """Whether the samples lie so far apart that the median is not to be relied on."""
        return self.spread > statistics.UNSTABLE


@record
class ComparisonRow:
    """One mechanism.

    name: as `--only` takes it. title: what was run. family: "base", "self" (the program does it to itself), "outside" (another
    process does it), "yours". reason: why it could not be measured; empty if it was. differences: in what the program's result
    was not that of the program alone, a sentence each. measured: by condition, "pinned" and "free". seen: calls of the program
    that it sees; None: all.
    """

    name: str
    title: str
    family: str
    reason: str = ""
    differences: tuple[str, ...] = ()
    measured: Mapping[str, Measured] = fresh(default_factory=dict)
    seen: int | None = None


@record
class Comparison:
    """A program under each mechanism.

    command: the program's words. rounds: how often each was measured. calls: how many system calls the program makes, by name,
    counted by selftrace. rows: "none" first. notes: what a reader should know of this comparison. metadata: of the machine.
    """

    command: tuple[str, ...]
    rounds: int
    calls: Mapping[str, int]
    rows: tuple[ComparisonRow, ...]
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = fresh(default_factory=dict)

    @property
    def call_count(self) -> int:
        """System calls of one run of the program."""
        return sum(self.calls.values())

    @property
    def identical(self) -> bool:
        """Whether the program did the same under every mechanism."""
        return not any(row.differences for row in self.rows)

    def row(self, name: str) -> ComparisonRow:
        """The row of a mechanism. Raises KeyError."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def _base(self, condition: str) -> Measured:
        return self.row("none").measured[condition]

    def times(self, name: str, condition: str) -> float:
        """The program's time under the mechanism as a multiple of its time alone. Here and below: KeyError where there is no
        such row, or it was not measured."""
        return self.row(name).measured[condition].program_s / self._base(condition).program_s

    def excess_s(self, name: str, condition: str) -> float:
        """Seconds that the mechanism adds to the program's time: the median over the rounds."""
        return statistics.paired_excess(self.row(name).measured[condition].programs, self._base(condition).programs)

    def per_call_s(self, name: str, condition: str) -> float:
        """The same for each of the program's calls that it sees."""
        return self.excess_s(name, condition) / max(self.row(name).seen or self.call_count, 1)

    def verdict(self, name: str, condition: str) -> Verdict:
        """Whether the whole command takes longer than the program alone: "slower", "faster", "equal" (no difference is shown),
        or "unknown" where there are too few rounds to tell (7 are enough)."""
        return statistics.verdict(self.row(name).measured[condition].walls, self._base(condition).walls)

    def medians(self, condition: str) -> dict[str, float]:
        """Mechanism → seconds of the program under it, the fastest first; of those that were measured."""
        found = {row.name: row.measured[condition].program_s for row in self.rows if condition in row.measured}
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def to_json(self) -> str:
        """Everything, as `selftrace compare --json` writes it: schema 1, `selftrace help tutorial-compare` describes it."""
        return json.dumps({"schema": SCHEMA, **self._plain()}, indent=1)

    def _plain(self) -> dict[str, Any]:
        rows = []
        for row in self.rows:
            measured = {
                name: {"samples": [to_dict(s) for s in m.samples], **self._figures(row, name)} for name, m in row.measured.items()
            }
            head: dict[str, Any] = {"name": row.name, "title": row.title, "family": row.family, "reason": row.reason}
            head["seen"] = row.seen
            rows.append({**head, "differences": list(row.differences), "measured": measured})
        about: dict[str, Any] = {
            "command": list(self.command),
            "rounds": self.rounds,
            "call_count": self.call_count,
            "calls": dict(self.calls),
        }
        return {**about, "notes": list(self.notes), "rows": rows, "metadata": dict(self.metadata)}

    def _figures(self, row: ComparisonRow, condition: str) -> dict[str, Any]:
        of = row.measured[condition]
        return {
            "wall_s": of.wall_s,
            "cpu_s": of.cpu_s,
            "program_s": of.program_s,
            "start_s": of.start_s,
            "spread": of.spread,
            "unstable": of.unstable,
            "times": self.times(row.name, condition),
            "per_call_s": self.per_call_s(row.name, condition),
            "verdict": self.verdict(row.name, condition),
        }

    @classmethod
    def from_json(cls, text: str) -> Comparison:
        """The Comparison that to_json wrote. Raises ValueError for another schema."""
        data = json.loads(text)
        if data.get("schema") != SCHEMA:
            raise ValueError(f"schema {data.get('schema')} is not known; known: {SCHEMA}")
        rows = []
        for row in data["rows"]:
            measured = {name: Measured(tuple(Sample(**s) for s in m["samples"])) for name, m in row["measured"].items()}
            head = (row["name"], row["title"], row["family"], row["reason"])
            rows.append(ComparisonRow(*head, tuple(row["differences"]), measured, row["seen"]))
        return cls(tuple(data["command"]), data["rounds"], data["calls"], tuple(rows), tuple(data["notes"]), data["metadata"])

    def __str__(self) -> str:
        from selftrace.comparison.table import as_text

        return as_text(self)
