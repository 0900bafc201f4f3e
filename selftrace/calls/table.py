"""What a system call is: number, name and arguments, by architecture. Another architecture is another data module."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cached_property, lru_cache

from selftrace.record import record


@record
class Arg:
    """One argument.

    width: bytes that the kernel looks at, 4 or 8. role: fd, dirfd, path, text, buffer, length, flags, mode, sockaddr,
    pid, signal, offset, pointer or int. flags: name of its set of named values, None if it has none.
    """

    name: str
    ctype: str
    width: int
    signed: bool
    role: str
    flags: str | None


class Call:
    """A system call: `sysno`, `name`, and `args`, decoded when asked for."""

    __slots__ = ("__dict__", "_text", "name", "sysno")

    def __init__(self, sysno: int, name: str, text: str) -> None:
        self.sysno = sysno
        self.name = name
        self._text = text

    @cached_property
    def args(self) -> tuple[Arg, ...]:
        """The arguments in order."""
        found = []
        for field in filter(None, self._text.split("|")):
            name, ctype, width, signed, role, flags = field.split(":")
            found.append(Arg(name, ctype, int(width), signed == "1", role, flags or None))
        return tuple(found)

    def index(self, name: str) -> int:
        """The position of the argument called `name`, or a0 to a5. Raises KeyError."""
        for position, arg in enumerate(self.args):
            if arg.name == name:
                return position
        if len(name) == 2 and name[0] == "a" and name[1] in "012345":
            return int(name[1])
        raise KeyError(name)

    def __repr__(self) -> str:
        return f"Call({self.sysno}, {self.name!r})"


class Table:
    """The calls of one architecture."""

    def __init__(self, arch: str) -> None:
        module = importlib.import_module(f"selftrace.calls._{arch}")
        self.arch: str = module.ARCH
        self.audit_arch: int = module.AUDIT_ARCH
        self.flag_sets: Mapping[str, Mapping[str, int]] = module.FLAGS
        self.enums: frozenset[str] = module.ENUMS
        self.groups: Mapping[str, str] = module.GROUPS
        self.by_name: Mapping[str, Call] = {name: Call(sysno, name, text) for name, (sysno, text) in module.CALLS.items()}
        self.by_number: Mapping[int, Call] = {call.sysno: call for call in self.by_name.values()}


@lru_cache(maxsize=4)
def table(arch: str = "x86_64") -> Table:
    """The table of an architecture. Raises ModuleNotFoundError for one without data."""
    return Table(arch)
