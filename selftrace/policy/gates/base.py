"""What the parts of the policy compiler share: rows, refusals, problems, and what has been compiled so far."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from selftrace.calls import Table, table
from selftrace.errors import Problem
from selftrace.policy import integrity
from selftrace.policy.addresses import compile_address
from selftrace.policy.model import Entry, PolicyModel, Position
from selftrace.policy.patterns import compile_pattern
from selftrace.policy.plan import (
    AddrPattern,
    CallGate,
    Condition,
    Decision,
    Enforcement,
    FilterRule,
    Gate,
    Handler,
    NativeRule,
    NativeSpec,
    PathPattern,
    Row,
)
from selftrace.policy.rules import calls_named
from selftrace.policy.terms import Features
from selftrace.record import replace

EPERM, EACCES, ENOSYS = 1, 13, 38


class GateCompiler:
    """State of one compilation."""

    def __init__(self, model: PolicyModel, features: Features, *, outside: bool = False) -> None:
        self.model = model
        self.features = features
        self.outside = outside
        self.table: Table = table(features.arch)
        self.rows: list[Row] = []
        self.filter: list[FilterRule] = integrity.first_rules(self.table)
        self.gates: dict[int, list[CallGate]] = {}
        self.trapped: list[tuple[int, tuple[Condition, ...], int]] = []
        self.native_rules: list[NativeRule] = []
        self.handlers: list[Handler] = []
        self.problems: list[Problem] = []
        self.degraded: list[str] = []
        self.lost: list[tuple[Row, str, str]] = []
        self.kernel_only: set[int] = set()
        self.ended: dict[int, bool] = {}
        self.fs_parts: dict[str, tuple[PathPattern, ...]] = {}
        self.native = NativeSpec()

    # ---- small helpers ---------------------------------------------------------------------------

    def number(self, name: str) -> int:
        return self.table.by_name[name].sysno

    def row(
        self,
        id: str,
        gate: Gate,
        decision: str,
        subject: str,
        enforcement: Enforcement | None,
        where: Position | None = None,
        note: str = "",
        remedy: str = "",
    ) -> int:
        self.rows.append(Row(id, gate, decision, subject, enforcement, where, note, remedy))
        return len(self.rows) - 1

    def fail(self, where: Position | None, message: str) -> None:
        place = where or Position(self.model.name, 0, 0)
        self.problems.append(Problem(place.file, place.line, place.column, message))

    def deny(
        self,
        sysnos: Iterable[int],
        errno: int,
        row: int,
        conditions: tuple[Condition, ...] = (),
        *,
        quiet: bool = False,
        kill: bool = False,
    ) -> None:
        numbers = tuple(sorted(set(sysnos)))
        self.filter.append(FilterRule(numbers, conditions, Decision("deny", errno, row)))
        for sysno in numbers:
            self.gates.setdefault(sysno, []).append(CallGate(errno, row, kill=kill, quiet=quiet, conditions=conditions))

    def trap(self, sysnos: Iterable[int], row: int, conditions: tuple[Condition, ...] = ()) -> None:
        self.trapped += [(sysno, conditions, row) for sysno in sysnos]

    def numbers(self, entries: Sequence[Entry]) -> set[int]:
        return {sysno for entry in entries for sysno in calls_named(entry.text, self.table)}

    def patterns(self, entries: Sequence[Entry]) -> tuple[PathPattern, ...]:
        found: list[PathPattern] = []
        for entry in entries:
            try:
                found += compile_pattern(entry.text)
            except ValueError as error:
                self.fail(entry.where, str(error))
        return tuple(dict.fromkeys(found))

    def addresses(self, entries: Sequence[Entry]) -> tuple[AddrPattern, ...]:
        found: list[AddrPattern] = []
        for entry in entries:
            try:
                found += compile_address(entry.text)
            except ValueError as error:
                self.fail(entry.where, str(error))
        return tuple(dict.fromkeys(found))

    def lose(self, row: int, why: str, remedy: str) -> None:
        self.lost.append((self.rows[row], why, remedy))
        if self.rows[row].id in self.model.allow_degraded:
            self.rows[row] = replace(self.rows[row], enforcement="advisory", note=f"{why}: accepted by allow_degraded")
            self.degraded.append(f"{self.rows[row].id}: {why}; {self.rows[row].subject}: advisory only")
