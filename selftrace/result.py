"""What a run comes to: `Result`, `Violation`, `Guarantee`. Frozen, picklable, and as JSON."""

from __future__ import annotations

import os

from selftrace.errors import RunError
from selftrace.record import fields, fresh, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Literal

    Reason = Literal["exit", "signal", "timeout", "cpu", "memory", "output", "disk", "violation", "error"]


@record
class Frame:
    """A line of a Python stack."""

    file: str
    line: int
    function: str


@record
class Violation:
    """A call that was refused (or, under audit, would have been), once for all equal ones.

    text: the call as strace writes it. error: errno's name. rule: its id; where: "file:line" of the rule. enforcement:
    the rule's label. remedy: the policy line that would allow it; empty if none can. stack: innermost first. note: what
    a handler said, or its traceback.
    """

    call: str
    text: str
    error: str
    rule: str
    where: str
    enforcement: str
    remedy: str = ""
    stack: tuple[Frame, ...] = ()
    place: Frame | None = None
    """The innermost frame of the script's own code."""
    path: str = ""
    note: str = ""
    pid: int = 0
    tid: int = 0
    time_ns: int = 0
    count: int = 1
    audit: bool = False
    """It was only noted: the run was an audit."""

    def __str__(self) -> str:
        verb = "would deny" if self.audit else "denied"
        what = " ".join(filter(None, [f"{verb} {self.text}", f"→ {self.error}" if self.error else ""]))
        held = ", ".join(filter(None, [self.where, self.enforcement]))
        parts = [what, f"by {self.rule.replace('.', ' ', 1)}" + (f" ({held})" if held else "")]
        if self.place is not None:
            parts.append(f"at {os.path.basename(self.place.file)}:{self.place.line} in {self.place.function}")
        text = ", ".join(parts)
        if self.note:
            text += f": {self.note}"
        return text + (f"; to allow: {self.remedy}" if self.remedy else "")


@record
class Event:
    """Something that a rule or a handler reports of a call that was not refused: log, note, or a handler's error."""

    kind: Literal["log", "error", "note"]
    text: str
    note: str
    rule: str
    pid: int
    tid: int
    time_ns: int
    place: Frame | None = None

    def __str__(self) -> str:
        place = f" at {os.path.basename(self.place.file)}:{self.place.line}" if self.place else ""
        return f"{self.kind}: {self.text}{place}" + (f": {self.note}" if self.note else "")


@record
class Guarantee:
    """One rule of the policy and what it rests on."""

    rule: str
    decision: str
    subject: str
    enforcement: str
    where: str = ""
    note: str = ""


@record
class Usage:
    """What a run did. calls: trapped calls by name (calls that the kernel's filter lets pass are not counted).
    files: path → of "read" "write" "exec". connections: addresses used. cpu_seconds, peak_tasks: of the tree."""

    calls: Mapping[str, int] = fresh(default_factory=dict)
    files: Mapping[str, tuple[str, ...]] = fresh(default_factory=dict)
    connections: tuple[str, ...] = ()
    cpu_seconds: float = 0.0
    peak_tasks: int = 0


@record
class Result:
    """How a run ended, and what it left.

    reason: "exit", "signal", or the limit that ended it; "violation": a rule or handler that kills, or the tasks limit;
    "error": it could not be started. exit_code: the program's own, None unless reason is "exit". signal: number, if it
    died of one. truncated: names of the streams that were cut at [limits] output. guarantees: one for each rule of the
    policy. notes: sentences about the run: what the kernel lacks, outputs that were not taken, hints.
    """

    reason: Reason
    exit_code: int | None = None
    signal: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    truncated: tuple[str, ...] = ()
    violations: tuple[Violation, ...] = ()
    events: tuple[Event, ...] = ()
    outputs: Mapping[str, bytes] = fresh(default_factory=dict)
    guarantees: tuple[Guarantee, ...] = ()
    notes: tuple[str, ...] = ()
    elapsed_ns: int = 0
    peak_memory_bytes: int = 0
    usage: Usage = fresh(default_factory=Usage)
    policy: str = ""
    mode: str = "enforce"
    violations_dropped: int = 0
    """Violations beyond those listed: reports are limited in number."""

    def check(self) -> Result:
        """Itself, if the program ended with exit code 0. Raises RunError otherwise."""
        if self.reason == "exit" and self.exit_code == 0:
            return self
        raise RunError(self)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; schema 1, described by reports/result.schema.json. Bytes that are no UTF-8 become {"base64": …}."""
        return {
            "schema": 1,
            "policy": self.policy,
            "mode": self.mode,
            "reason": self.reason,
            "exit_code": self.exit_code,
            "signal": self.signal,
            "stdout": _text(self.stdout),
            "stderr": _text(self.stderr),
            "truncated": list(self.truncated),
            "violations": [_violation(v) for v in self.violations],
            "violations_dropped": self.violations_dropped,
            "events": [_event(e) for e in self.events],
            "outputs": {name: _text(data) for name, data in self.outputs.items()},
            "guarantees": [{name: getattr(g, name) for name in fields(Guarantee)} for g in self.guarantees],
            "notes": list(self.notes),
            "elapsed_ns": self.elapsed_ns,
            "peak_memory_bytes": self.peak_memory_bytes,
            "usage": {
                "calls": dict(self.usage.calls),
                "files": {path: list(how) for path, how in self.usage.files.items()},
                "connections": list(self.usage.connections),
                "cpu_seconds": self.usage.cpu_seconds,
                "peak_tasks": self.usage.peak_tasks,
            },
        }

    def to_json(self, *, indent: int | None = None) -> str:
        """`to_dict` as JSON text."""
        import json

        return json.dumps(self.to_dict(), indent=indent)


def _text(data: bytes) -> str | dict[str, str]:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        import base64

        return {"base64": base64.b64encode(data).decode("ascii")}


def _frame(frame: Frame | None) -> dict[str, Any] | None:
    return None if frame is None else {"file": frame.file, "line": frame.line, "function": frame.function}


def _event(event: Event) -> dict[str, Any]:
    found = {name: getattr(event, name) for name in ("kind", "text", "note", "rule", "pid", "tid", "time_ns")}
    return {**found, "place": _frame(event.place)}


def _violation(violation: Violation) -> dict[str, Any]:
    names = "call text error rule where enforcement remedy path note pid tid time_ns count audit".split()
    found = {name: getattr(violation, name) for name in names}
    return {**found, "place": _frame(violation.place), "stack": [_frame(frame) for frame in violation.stack]}
