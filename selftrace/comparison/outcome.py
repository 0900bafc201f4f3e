"""What a program left behind: exit status, output, files. Two runs that differ in it were not the same run."""

from __future__ import annotations

import hashlib
import os
import stat

from selftrace.comparison.process import OVERDUE
from selftrace.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from selftrace.comparison.process import Streams

_SHOWN = 80
_HEAD = 1 << 16
Stamp = tuple[int, int, int]


@record
class Content:
    """Of a file or a stream. kind: "file", "directory", …, or "nothing"; digest: of its bytes or of what it points at; head: its
    beginning; written: whether the run has changed it."""

    kind: str
    digest: str = ""
    head: bytes = b""
    written: bool = True


@record
class Outcome:
    """status: as a shell has it. parts: "stdout", "stderr" and the paths of files → what they hold."""

    status: int
    parts: dict[str, Content]

    def differs_in(self, other: Outcome) -> set[str]:
        """The names of the parts that are not the same, "status" among them."""
        names = {name for name in self.parts if self.parts[name] != other.parts[name]}
        return names | ({"status"} if self.status != other.status else set())


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def stamps(paths: Sequence[str]) -> dict[str, Stamp | None]:
    """By which it is seen afterwards which of them a run has written."""
    return {path: _stamp(path) for path in paths}


def _content(path: str, before: Stamp | None) -> Content:
    try:
        mode = os.lstat(path).st_mode
        written = _stamp(path) != before
        if stat.S_ISREG(mode):
            with open(path, "rb") as file:
                head = file.read(_HEAD)
                digest = hashlib.sha256(head)
                while block := file.read(_HEAD):
                    digest.update(block)
            return Content("file", f"{stat.S_IMODE(mode):o} {digest.hexdigest()}", head, written)
        if stat.S_ISLNK(mode):
            return Content("link", os.readlink(path), written=written)
        if stat.S_ISDIR(mode):
            return Content("directory", f"{stat.S_IMODE(mode):o} {sorted(os.listdir(path))}")
        return Content("special file", f"{mode:o}")
    except FileNotFoundError:
        return Content("nothing")
    except OSError as error:
        return Content(f"unreadable ({error.strerror})")


def take(status: int, streams: Streams, before: dict[str, Stamp | None]) -> Outcome:
    """What a run that has just ended left. before: `stamps` of the files, taken before it."""
    parts = {name: _content(path, None) for name, path in (("stdout", streams.stdout), ("stderr", streams.stderr))}
    return Outcome(status, {**parts, **{path: _content(path, stamp) for path, stamp in before.items()}})


def sentence(name: str, found: Outcome, expected: Outcome) -> str:
    """What is different in one part."""
    if name == "status":
        if found.status == OVERDUE:
            return "it did not end in time"
        return f"exit status {found.status} instead of {expected.status}"
    here, there = found.parts[name], expected.parts[name]
    if here.kind != there.kind:
        return f"{name}: {here.kind} instead of {there.kind}"
    if here.digest == there.digest:
        return f"{name}: was not written"
    if here.kind != "file":
        return f"{name}: other content"
    return f"{name}: {_first_difference(here.head, there.head)}"


def _first_difference(here: bytes, there: bytes) -> str:
    ours, theirs = here.splitlines(), there.splitlines()
    for number, (a, b) in enumerate(zip(ours, theirs, strict=False), 1):
        if a != b:
            return f"line {number} is {_text(a)}, not {_text(b)}"
    if len(ours) > len(theirs):
        return f"line {len(theirs) + 1} is one too many: {_text(ours[len(theirs)])}"
    if len(ours) < len(theirs):
        return f"ends before line {len(ours) + 1}: {_text(theirs[len(ours)])}"
    return "other content or mode"


def _text(line: bytes) -> str:
    shown = ascii(line.decode("utf-8", "replace"))
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
