"""A trace as one page of HTML that needs nothing else: a timeline, the calls to filter, and a summary. page.html is its form."""

from __future__ import annotations

import json
import time
from pathlib import Path

from selftrace.calls import expand_group, quote
from selftrace.calls import table as table_of
from selftrace.calls.table import Table
from selftrace.errors import TraceFileError
from selftrace.events.counts import Count, Counts
from selftrace.events.typewords import Name
from selftrace.events.values import encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from selftrace.events.capture import Metadata
    from selftrace.events.event import TraceEvent

GROUPS = ("process", "network", "memory", "signal", "file", "desc", "other")
"""Colours, the first that a call belongs to; strace's classes."""


def argument_text(value: Any) -> str:
    """A value of TraceEvent.args as people read it, near to strace's spelling."""
    if value is None:
        return "NULL"
    if isinstance(value, Name):
        return value
    if isinstance(value, str):
        return quote(encoded(value))
    if isinstance(value, bytes):
        return quote(value)
    if isinstance(value, tuple):
        return "|".join(value) or "0"
    if isinstance(value, list):
        return f"[{', '.join(map(argument_text, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}={_field(name, item)}' for name, item in value.items())}}}"
    return hex(value) if value > 0xFFFFF else str(value)


def _field(name: str, value: Any) -> str:
    return f"0{value:o}" if name == "st_mode" and type(value) is int else argument_text(value)


def _roles(table: Table) -> dict[tuple[int, str], str]:
    """(number of a call, argument) → its role, where that decides how a number is written."""
    calls = table.by_name.values()
    return {(call.sysno, arg.name): arg.role for call in calls for arg in call.args if arg.role in ("dirfd", "mode")}


def _arguments(event: TraceEvent, roles: dict[tuple[int, str], str]) -> str:
    parts = []
    for name, value in event.args.items():
        role = roles.get((event.sysno, name)) if type(value) is int else None
        if role is None:
            parts.append(argument_text(value))
        elif role == "mode":
            parts.append(f"0{value:o}" if value else "0")
        else:
            parts.append("AT_FDCWD" if value == -100 else str(value))
    return ", ".join(parts)


class _Interned(dict):  # type: ignore[type-arg]
    """Value → its place in a list."""

    def __missing__(self, value: object) -> int:
        number = self[value] = len(self)
        return number


class Page:
    """Collects events. limit: calls in the page; the summary counts all."""

    def __init__(self, metadata: Metadata, limit: int) -> None:
        self._metadata, self._limit = metadata, limit
        self._table = table_of(metadata.arch)
        self._roles = _roles(self._table)
        self._counts = Counts()
        self._rows: list[tuple[Any, ...]] = []
        self._names, self._errors, self._paths, self._threads = _Interned(), _Interned(), _Interned(), _Interned()
        self._errors[""] = self._paths[""] = 0
        self._seen = self._calls = self._failed = self._lost = 0
        self._first_ns: int | None = None
        self._last_ns = 0

    def add(self, event: TraceEvent) -> None:
        """Takes one event."""
        self._counts.add(event)
        self._seen += 1
        self._calls += event.kind == "call"
        self._failed += event.error is not None
        self._lost += event.info.get("count", 0) if event.kind == "lost" else 0
        self._first_ns = event.time_ns if self._first_ns is None else min(self._first_ns, event.time_ns)
        self._last_ns = max(self._last_ns, event.time_ns + (event.duration_ns or 0))
        if len(self._rows) < self._limit:
            self._rows.append(self._row(event))

    def _row(self, event: TraceEvent) -> tuple[Any, ...]:
        call = event.kind == "call"
        values = {} if call else event.info
        shown = [f"{name}={value}" for name, value in values.items() if value is not None]
        text = _arguments(event, self._roles) if call else ", ".join(shown)
        return (
            event.time_ns,
            event.duration_ns,
            self._names[event.name if call else event.name or f"[{event.kind}]"],
            self._threads[event.pid, event.tid],
            event.result,
            self._errors[event.error or ""],
            self._paths[event.path or ""],
            text,
            " ".join(event.marks),
            0 if call else 1,
        )

    def data(self) -> dict[str, Any]:
        """What the page's script works on: columns of equal length, names and paths as numbers."""
        first = self._first_ns or 0
        order = sorted(self._threads)
        place = {self._threads[who]: at for at, who in enumerate(order)}
        rows = sorted(self._rows, key=lambda row: row[0])
        columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(10)]
        columns[0] = [at - first for at in columns[0]]
        columns[3] = [place[number] for number in columns[3]]
        heads = ("time", "duration", "name", "thread", "result", "error", "path", "args", "marks", "kind")
        return {
            **dict(zip(heads, columns, strict=True)),
            "span": self._last_ns - first if self._seen else 0,
            "names": list(self._names),
            "errors": list(self._errors),
            "paths": [path.encode("utf-8", "replace").decode() for path in self._paths],
            "threads": order,
            "groups": GROUPS,
            "group": self._groups(),
            "counts": [_count(count) for count in self._counts],
            "total": _count(self._counts.total()),
            "command": " ".join(self._metadata.command).encode("utf-8", "replace").decode(),
            "facts": self._facts(),
            "notes": self._notes(),
            "footer": self._footer(),
        }

    def _groups(self) -> list[int]:
        numbers = _group_numbers(self._table)
        return [numbers.get(name, len(GROUPS) - 1) for name in self._names]

    def _facts(self) -> list[tuple[str, str]]:
        span = (self._last_ns - (self._first_ns or 0)) / 1e9 if self._seen else 0.0
        return [
            (f"{self._calls:,}", "calls"),
            (f"{self._failed:,}", "failed"),
            (f"{len(self._threads):,}", "threads"),
            (f"{span:.3f}" if span >= 0.1 else f"{span * 1000:.3f}", "seconds" if span >= 0.1 else "ms"),
        ]

    def _notes(self) -> list[str]:
        notes = []
        if self._seen > len(self._rows):
            notes.append(f"The first {len(self._rows):,} of {self._seen:,} events are listed; the summary counts all (--limit).")
        if self._lost:
            notes.append(f"{self._lost:,} events were lost: they did not fit, or were not whole.")
        return notes

    def _footer(self) -> str:
        started = self._metadata.realtime_ns
        when = time.strftime(" · started %Y-%m-%d %H:%M:%S UTC", time.gmtime(started // 10**9)) if 0 < started < 1 << 62 else ""
        return f"selftrace {self._metadata.selftrace} · {self._metadata.arch}{when} · times are wall clock"


def _count(count: Count) -> dict[str, Any]:
    mean = count.total_ns / max(count.timed, 1)
    return {"name": count.name, "calls": count.calls, "errors": count.errors, "total": count.total_ns, "mean": mean}


def _group_numbers(table: Table) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, group in enumerate(GROUPS[:-1]):
        for name in expand_group(f"%{group}", table):
            found.setdefault(name, number)
    return found


def render(metadata: Metadata, events: Iterable[TraceEvent], *, limit: int = 100_000) -> str:
    """The page. Raises TraceFileError if its own form is missing."""
    page = Page(metadata, limit)
    for event in events:
        page.add(event)
    form = Path(__file__).with_name("page.html")
    if not form.exists():
        raise TraceFileError(f"{form} is missing: selftrace is not installed whole")
    text = json.dumps(page.data(), separators=(",", ":")).replace("<", "\\u003c")
    return form.read_text(encoding="utf-8").replace("@DATA@", text)
