"""From records to what a person reads: which rule of the plan, which call, which line of the script."""

from __future__ import annotations

import os
from collections.abc import Sequence

from selftrace.calls import errno_name, format_call, table
from selftrace.events.addresses import as_policy
from selftrace.events.ring import Record
from selftrace.policy.capabilities import covered_by_landlock
from selftrace.policy.evaluate import grants_of
from selftrace.policy.plan import Plan, Row
from selftrace.policy.variables import escape
from selftrace.record import fresh, mutable, replace
from selftrace.result import Event, Frame, Violation

VIOLATION, LOG, ERROR, NOTE = 1, 2, 3, 5
_AUDIT, _KILLED = 1, -4096
_AT_FDCWD = 0xFFFFFF9C
_NO_ROW = Row("integrity", "integrity", "refuse", "", "advisory")


def frames_of(stack: bytes, hidden: str) -> tuple[Frame, ...]:
    """Frames, innermost first, without those of the hook (file `hidden`) and what they called."""
    found: list[Frame] = []
    for line in stack.decode("utf-8", "replace").splitlines():
        rest, _, function = line.rpartition(":")
        file, _, number = rest.rpartition(":")
        frame = Frame(file, int(number) if number.isdigit() else 0, function)
        found = [] if file == hidden else [*found, frame]
    return tuple(found)


@mutable
class Interpreter:
    """Makes Violations and Events of a run's records.

    libraries: directories whose frames are not the script's own. cwd: what relative paths are relative to. unlisted:
    paths that the interpreter itself looks into: refused, but not worth a line.
    """

    plan: Plan
    cwd: str
    libraries: Sequence[str] = ()
    hook: str = ""
    unlisted: Sequence[str] = ()
    limit: int = 1000
    """Different violations that are kept; the others are counted."""
    violations: dict[tuple[object, ...], Violation] = fresh(default_factory=dict)
    events: list[Event] = fresh(default_factory=list)
    dropped: int = 0
    killed: bool = False

    def feed(self, record: Record) -> Violation | Event | None:
        """What is new in it; None for repetitions, and what is beyond the limit."""
        if record.kind == VIOLATION:
            return self._violation(record)
        if record.kind not in (LOG, ERROR, NOTE) or len(self.events) >= self.limit:
            self.dropped += 1
            return None
        kind = {LOG: "log", ERROR: "error", NOTE: "note"}[record.kind]
        note = record.note.decode("utf-8", "replace")
        row = self._row(record)
        event = Event(kind, self._text(record), note, row.id, record.pid, record.tid, record.time_ns, self._place(record))  # type: ignore[arg-type]
        self.events.append(event)
        return event

    def _row(self, record: Record) -> Row:
        if record.row >= len(self.plan.rows):
            return _NO_ROW
        row = self.plan.rows[record.row]
        if row.id == "fs.default" and not covered_by_landlock(record.sysno, record.args):
            return next((other for other in self.plan.rows if other.id == "fs.metadata"), row)
        return row

    def _frames(self, record: Record) -> tuple[Frame, ...]:
        return frames_of(record.stack, self.hook)

    def _place(self, record: Record) -> Frame | None:
        frames = self._frames(record)
        for frame in frames:
            library = frame.file.startswith(("<frozen", *(f"{path}/" for path in self.libraries)))
            if not library:
                return frame
        return frames[0] if frames else None

    def _strings(self, record: Record) -> dict[int, bytes]:
        strings: dict[int, bytes] = {}
        uses = self.plan.native.path_uses.get(record.sysno, ())
        for use, path in zip(uses, (record.path, record.path2), strict=False):
            if path:
                strings[use.path] = path
        address = self.plan.native.addr_uses.get(record.sysno)
        if address is not None and record.address and address.length >= 0:
            strings[address.addr] = record.address
        return strings

    def _text(self, record: Record) -> str:
        return format_call(record.sysno, record.args, self._strings(record), short=True)

    def _path(self, record: Record) -> str:
        """The path that was refused: the second where the first is granted."""
        path = os.fsdecode(record.path)
        if record.path2 and path and self._granted(record, 0, path):
            path = os.fsdecode(record.path2)
        return os.path.normpath(os.path.join(self.cwd, path)) if path else ""

    def _granted(self, record: Record, which: int, path: str) -> bool:
        from selftrace.policy.patterns import matches

        raw = os.fsencode(os.path.normpath(os.path.join(self.cwd, path)))
        return any(matches(pattern, raw) for pattern in self.plan.native.fs_write)

    def _remedy(self, row: Row, record: Record, path: str) -> str:
        if not row.remedy:
            return ""
        call = table(self.plan.features.arch).by_number.get(record.sysno)
        uses = self.plan.native.path_uses.get(record.sysno, ())
        grants = (
            sorted(grants_of(uses[0], record.args)) if uses else ["connect" if call is None or call.name != "bind" else "bind"]
        )
        grant = "write" if "write" in grants else grants[0]
        address = as_policy(record.address)
        if "{addr}" in row.remedy and not address:
            return ""
        if "{path}" in row.remedy and not path:
            return ""
        text = row.remedy.replace("{grant}", grant).replace("{call}", call.name if call else f"nr:{record.sysno}")
        return text.replace("{path}", _quoted(escape(path))).replace("{addr}", address)

    def _violation(self, record: Record) -> Violation | None:
        self.killed = self.killed or (record.result == _KILLED and not record.flags & _AUDIT)
        key = (record.row, record.sysno, record.result, record.path, record.path2, record.address, record.stack, record.note)
        held = self.violations.get(key)
        if held is not None:
            self.violations[key] = replace(held, count=held.count + 1)
            return None
        if len(self.violations) >= self.limit:
            self.dropped += 1
            return None
        row = self._row(record)
        path = self._path(record)
        if path in self.unlisted and row.gate == "fs":
            return None
        call = table(self.plan.features.arch).by_number.get(record.sysno)
        violation = Violation(
            call=call.name if call else f"syscall_{record.sysno:#x}",
            text=self._text(record),
            error="killed"
            if record.result == _KILLED
            else errno_name(-record.result)
            if record.result < 0
            else str(record.result),
            rule=row.id,
            where=f"{os.path.basename(row.where.file)}:{row.where.line}" if row.where else "",
            enforcement=row.enforcement or "",
            remedy=self._remedy(row, record, path),
            stack=self._frames(record),
            place=self._place(record),
            path=path,
            note=record.note.decode("utf-8", "replace"),
            pid=record.pid,
            tid=record.tid,
            time_ns=record.time_ns,
            audit=bool(record.flags & _AUDIT),
        )
        self.violations[key] = violation
        return violation


def _quoted(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode().replace("\\", "\\\\").replace('"', '\\"')
