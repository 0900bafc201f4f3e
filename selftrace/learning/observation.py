"""What one run was seen to do: calls, files and how they were used, addresses, processes."""

from __future__ import annotations

import os

from selftrace.learning.names import TREE
from selftrace.learning.places import Variables
from selftrace.record import fresh, mutable, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from selftrace.events.ring import Record

POLICY = """policy = 1
name = "learning"
mode = "audit"
[default]
action = "allow"
[fs]
read = ["/**"]
write = ["/**"]
exec = ["/**"]
[[rule]]
id = "clone3"
calls = ["clone3"]
action = "retval"
retval = -38
[[rule]]
id = "threads"
calls = ["clone"]
match = { clone_flags = { any = "CLONE_THREAD" } }
action = "log"
when = "1"
count_by = "tree"
[[rule]]
id = "fork"
calls = ["clone"]
match = { clone_flags = { none = "CLONE_THREAD" } }
action = "log"
when = "1"
count_by = "tree"
[[rule]]
id = "old fork"
calls = ["fork", "vfork"]
action = "log"
when = "1"
count_by = "tree"
[[rule]]
id = "sockets"
calls = ["socket"]
match = { family = { in = ["AF_UNIX", "AF_INET", "AF_INET6"] } }
action = "allow"
[[rule]]
id = "other sockets"
calls = ["socket"]
action = "log"
when = "1"
count_by = "tree"
"""
"""Nothing is refused, every path is resolved. clone3's flags lie in memory: without it libc falls back to clone, whose
flags tell threads from processes, as under a policy that lists calls."""

_READ, _WRITE, _EXEC, _ABSENT, _LOOKED = 1, 2, 4, 16, 32
_MAKERS = frozenset(
    "open openat openat2 creat mkdir mkdirat mknod mknodat symlink symlinkat link linkat rename renameat renameat2".split()
)
_CREATE = {"open": 1, "openat": 2}
_O_CREAT, _O_TMPFILE = 0x40, 0x400000
_BIND, _UDP = 1, 17


@record
class Observation:
    """One run. Paths as `Variables.shown` writes them. uses: path → of "read" "look" "write" "exec". absent: looked for
    and not there. present: made as a directory, and there already."""

    argv: tuple[str, ...]
    calls: frozenset[str] = frozenset()
    uses: Mapping[str, frozenset[str]] = fresh(default_factory=dict)
    absent: frozenset[str] = frozenset()
    present: frozenset[str] = frozenset()
    connect: frozenset[str] = frozenset()
    bind: frozenset[str] = frozenset()
    traits: frozenset[str] = frozenset()
    """Of "fork" "old fork" "threads" "other sockets"."""

    def paths(self, *hows: str) -> set[str]:
        """Those that were used in one of these ways."""
        return {path for path, used in self.uses.items() if not used.isdisjoint(hows)}

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        plain = {name: sorted(getattr(self, name)) for name in ("calls", "absent", "present", "connect", "bind", "traits")}
        return {"argv": list(self.argv), **plain, "uses": {path: sorted(how) for path, how in sorted(self.uses.items())}}


def from_dict(data: Mapping[str, Any]) -> Observation:
    """What `to_dict` made. Raises KeyError, TypeError, AttributeError for anything else."""
    names = ("calls", "absent", "present", "connect", "bind", "traits")
    sets = {name: frozenset(map(str, data[name])) for name in names}
    uses = {str(path): frozenset(map(str, how)) for path, how in data["uses"].items()}
    return Observation(argv=tuple(map(str, data["argv"])), uses=uses, **sets)


@mutable
class Collector:
    """Takes the records of a run. names: calls by number."""

    names: Mapping[int, str]
    uses: dict[str, set[str]] = fresh(default_factory=dict)
    absent: set[str] = fresh(default_factory=set)
    uncertain: set[str] = fresh(default_factory=set)
    """Opened to be written, without O_CREAT, and not there."""
    present: set[str] = fresh(default_factory=set)
    connect: set[str] = fresh(default_factory=set)
    bind: set[str] = fresh(default_factory=set)
    cut: int = 0
    """Paths that were too long for a record."""

    def add(self, use: Record) -> None:
        """Takes one record of kind USE."""
        if use.address:
            self._address(use)
        elif use.note.startswith(b"/"):
            self.cut += bool(use.flags & 2)
            self._path(use, os.fsdecode(use.note).removesuffix(" (deleted)"))

    def _address(self, use: Record) -> None:
        from selftrace.events.addresses import as_policy

        address = as_policy(use.address)
        if address:
            scheme = "udp://" if use.result & 255 == _UDP and not address.startswith("unix:") else ""
            (self.bind if use.result >> 8 == _BIND else self.connect).add(scheme + address)

    def _path(self, use: Record, path: str) -> None:
        name, how, absent = self.names.get(use.sysno, ""), use.result, use.result & _ABSENT
        if how & _WRITE and name in ("mkdir", "mkdirat") and not absent:
            self.present.add(path)
            return
        if absent and not how & _WRITE:
            self.absent.add(path)
            return
        if absent and not self._makes(use, name):
            (self.uncertain if name in _CREATE else self.absent).add(path)
            return
        found = self.uses.setdefault(path, set())
        if how & _READ:
            found.add("look" if how & _LOOKED else "read")
        if how & _WRITE:
            found.add("write")
        if how & _EXEC:
            found.add("exec")

    def _makes(self, use: Record, name: str) -> bool:
        if name in _CREATE:
            return bool(use.args[_CREATE[name]] & (_O_CREAT | _O_TMPFILE))
        return name in _MAKERS

    def finish(self, argv: Iterable[str], calls: Iterable[str], traits: Iterable[str], variables: Variables) -> Observation:
        """The observation, once the run is over: what failed for want of permission is left out."""
        for path in self.uncertain:
            if os.path.lexists(path):
                self.uses.setdefault(path, set()).add("write")
            else:
                self.absent.add(path)
        kept: dict[str, frozenset[str]] = {}
        for path, used in _by_their_links(self.uses).items():
            could = frozenset(how for how in used if _could(path, how))
            if could:
                kept[variables.shown(path)] = could
        for path in variables.above(kept):  # may be looked at in any case
            if kept.get(path) == frozenset({"look"}):
                del kept[path]
        absent = {variables.shown(path) for path in _topmost(self.absent)}
        present = {variables.shown(path) for path in self.present}
        return Observation(
            argv=tuple(argv),
            calls=frozenset(calls),
            uses=kept,
            absent=frozenset(absent - kept.keys()),
            present=frozenset(path for path in present if "write" not in kept.get(path, ())),
            connect=frozenset(filter(_answers, self.connect)),
            bind=frozenset(self.bind),
            traits=frozenset(traits),
        )


def _by_their_links(uses: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Programs under the name of the link that led to them, where one was looked at: the name that stays."""
    found = {path: set(used) for path, used in uses.items()}
    for link in sorted(path for path, used in uses.items() if used == {"look"} and os.path.islink(path)):
        target = os.path.realpath(link)
        if "exec" in found.get(target, ()) and "write" not in found[target]:
            found[link] = found.pop(target) | {"look"}
    return found


def _topmost(paths: Iterable[str]) -> set[str]:
    """Where several are below a directory that is not there either, its tree."""
    below: dict[str, set[str]] = {}
    for path in paths:
        top = path
        while not os.path.lexists(os.path.dirname(top)):
            top = os.path.dirname(top)
        below.setdefault(top, set()).add(path)
    return {top + TREE if len(found) > 1 else path for top, found in below.items() for path in found}


def _could(path: str, how: str) -> bool:
    """Whether the run, which had our own rights, can have succeeded. What is gone meanwhile was there."""
    if how == "look" or path.startswith("/proc/self") or not os.path.exists(path):
        return True
    if how == "write":
        return os.access(path, os.W_OK) or os.access(os.path.dirname(path), os.W_OK)
    return os.access(path, os.X_OK if how == "exec" else os.R_OK)


def _answers(address: str) -> bool:
    return not address.startswith("unix:") or os.path.exists(address[5:])
