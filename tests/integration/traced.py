"""A program under `selftrace trace`, and under strace: what each has seen, as multisets of (call, errno, first path)."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from selftrace.calls import table
from selftrace.events.capture import Capture
from selftrace.events.event import TraceEvent
from selftrace.events.pairing import Pairing
from tests.waiting import PATIENCE_S

Seen = Counter[tuple[str, str, str]]
WITH_PATH = {call.name for call in table().by_name.values() if any(arg.role == "path" for arg in call.args[:2])}
TRACE = [sys.executable, "-m", "selftrace", "trace"]
RESTART = 4


def events_of(capture: Path) -> list[TraceEvent]:
    """All events of a capture, which must be whole."""
    with Capture(capture) as file:
        found = list(Pairing(file.metadata).events(file))
        assert not file.remark, file.remark
    return found


def _plain(path: str) -> str:
    """Without what differs from run to run: process numbers, temporary names."""
    return re.sub(r"\d{3,}", "N", re.sub(r"/proc/\d+|/tmp/cc\w{6}", "/proc/N", path))


def by_us(
    command: Sequence[str], place: Path, *, backend: str = "trap", **options: object
) -> tuple[subprocess.CompletedProcess[bytes], Seen]:
    """Runs it under us."""
    capture = place / "ours.strc"
    words = [*TRACE, "--backend", backend, "-s", "1000", "-o", str(capture), *command]
    done = subprocess.run(words, capture_output=True, timeout=PATIENCE_S, **options)  # type: ignore[call-overload]
    found: Seen = Counter()
    for event in events_of(capture):
        if event.kind != "call":
            continue
        error = "?" if event.result is None or event.flags & RESTART else event.error or ""
        path = event.path if event.name in WITH_PATH else None
        found[event.name, error, _plain(path or "")] += 1
    return done, found


def by_strace(command: Sequence[str], place: Path, **options: object) -> tuple[subprocess.CompletedProcess[bytes], Seen]:
    """Runs it under strace -f."""
    text = place / "strace.txt"
    done = subprocess.run(
        ["strace", "-f", "-s", "1000", "-o", str(text), *command], capture_output=True, timeout=PATIENCE_S, **options
    )  # type: ignore[call-overload]
    found: Seen = Counter()
    begun: dict[str, str] = {}
    for line in text.read_text(errors="replace").splitlines():
        pid, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.startswith(("---", "+++")):
            continue
        if rest.endswith("<unfinished ...>"):
            begun[pid] = rest.removesuffix("<unfinished ...>")
            continue
        resumed = re.match(r"<\.\.\. \w+ resumed>(.*)$", rest)
        _count(begun.pop(pid, "") + resumed[1] if resumed else rest, found)
    for rest in begun.values():
        _count(rest + " = ?", found)
    return done, found


def _count(line: str, found: Seen) -> None:
    call = re.match(r"(\w+)\((.*)$", line)
    if call is None:
        return
    name, rest = call.groups()
    failed = re.search(r"= -1 (E\w+) \(", rest)
    error = "?" if "ERESTART" in rest or rest.endswith("= ?") else failed[1] if failed else ""
    path = re.match(r'(?:AT_FDCWD, |\d+, )?"((?:[^"\\]|\\.)*)"', rest)
    found[name, error, _plain(path[1]) if path and name in WITH_PATH else ""] += 1
