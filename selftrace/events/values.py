"""Arguments of a call as Python values, by the tables of `selftrace.calls` and what was captured of the program's memory."""

from __future__ import annotations

import sys
from functools import lru_cache
from struct import iter_unpack

from selftrace.calls import flag_names
from selftrace.calls import table as table_of
from selftrace.calls.format import shown
from selftrace.calls.names import signal_name
from selftrace.calls.table import Arg, Call, Table
from selftrace.events import structures
from selftrace.events.typewords import Name, TypeWords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Memory = dict[int, bytes]
    Value = Callable[[int, Memory], Any]

_FUTEX = ((0x80, "FUTEX_PRIVATE_FLAG"), (0x100, "FUTEX_CLOCK_REALTIME"))
_SIGNED = frozenset({"pid", "offset", "int"})


def text(data: bytes) -> str:
    """As os.fsdecode does, on systems too whose paths are no bytes."""
    return data.decode(sys.getfilesystemencoding(), "surrogateescape")


def encoded(value: str) -> bytes:
    """What `text` was made of."""
    return value.encode(sys.getfilesystemencoding(), "surrogateescape")


def _number(arg: Arg, *, signed: bool) -> Value:
    mask, sign = (1 << arg.width * 8) - 1, 1 << arg.width * 8 - 1
    if not signed:
        return lambda value, _memory: value & mask
    return lambda value, _memory: ((value & mask) ^ sign) - sign


def _string(value: int, memory: Memory) -> Any:
    data = memory.get(value)
    if data is None:
        return value or None
    return text(data.split(b"\0", 1)[0])


def _pointer(value: int, memory: Memory) -> Any:
    return memory.get(value, value or None)


def _strings(value: int, memory: Memory) -> Any:
    """argv: a NULL-terminated array of strings."""
    data = memory.get(value)
    if data is None:
        return value or None
    found = [at for (at,) in iter_unpack("<Q", data[: len(data) & ~7]) if at]
    if found and found[0] not in memory:
        return value  # such as execve's environment: only its addresses are captured
    return [_string(at, memory) for at in found]


def _iovec(value: int, memory: Memory) -> Any:
    data = memory.get(value)
    if data is None:
        return value or None
    pairs = iter_unpack("<QQ", data[: len(data) & ~15])
    return [{"iov_base": memory[base][:size] if base in memory else base or None, "iov_len": size} for base, size in pairs]


def _integers(value: int, memory: Memory) -> Any:
    """int *: a number, or both of pipe's and socketpair's."""
    data = memory.get(value)
    if data is None:
        return value or None
    found = [number for (number,) in iter_unpack("<i", data[: len(data) & ~3])]
    return found[0] if len(found) == 1 else found


def _cut(item: Any, limit: int) -> Any:
    return text(encoded(item)[:limit]) if type(item) is str and len(item) >= limit else item


class Values:
    """Makes values of arguments. string_limit: bytes of a buffer that were captured at most."""

    def __init__(self, arch: str, string_limit: int = 32) -> None:
        """Raises ModuleNotFoundError for an architecture without tables."""
        self.table: Table = table_of(arch)
        self._words = TypeWords(arch)
        self._limit = string_limit
        self._plans: dict[int, tuple[tuple[str, Value], ...]] = {}
        self._paths: dict[int, tuple[int, ...]] = {}
        self._family = self._flags(Arg("family", "int", 2, False, "flags", "socket_domain"))

    def name(self, sysno: int) -> str:
        """The name of a call; syscall_0x… for an unknown one."""
        call = self.table.by_number.get(sysno)
        return call.name if call else f"syscall_{sysno & 0xFFFFFFFF:#x}"

    def args(self, sysno: int, args: Sequence[int], memory: Memory) -> dict[str, Any]:
        """Name → value, in order; a0 to a5 as numbers for an unknown call."""
        call = self.table.by_number.get(sysno)
        if call is None:
            return {f"a{index}": value for index, value in enumerate(args)}
        plan = self._plans.get(sysno)
        if plan is None:
            plan = self._plans[sysno] = tuple(
                (arg.name, self._words.value(sysno, at, arg.width) or self._value(call, arg)) for at, arg in enumerate(call.args)
            )
        count = shown(call, args)
        return {name: value(number, memory) for (name, value), number in zip(plan[:count], args, strict=False)}

    def path_args(self, sysno: int) -> tuple[int, ...]:
        """The positions of arguments that are paths."""
        found = self._paths.get(sysno)
        if found is None:
            call = self.table.by_number.get(sysno)
            roles = [arg.role for arg in call.args] if call else []
            found = self._paths[sysno] = tuple(at for at, role in enumerate(roles) if role == "path")
        return found

    def _value(self, call: Call, arg: Arg) -> Value:
        if arg.role == "path":
            return _string
        if arg.role == "text" or (arg.role == "pointer" and arg.ctype == "const char *"):
            return self._limited(_string)
        if arg.role == "mode":
            return _number(arg, signed=False)
        if arg.role == "signal":
            return lambda value, _memory: Name(signal_name(value & 0xFFFFFFFF)) if value & 0xFFFFFFFF else 0
        if arg.role == "sockaddr":
            return self._sockaddr
        if arg.role == "buffer":
            return lambda value, memory: memory[value][: self._limit] if value in memory else value or None
        if arg.flags and self.table.flag_sets.get(arg.flags):
            return self._flags(arg)
        if arg.role == "pointer":
            return self._pointed_at(call, arg)
        if arg.role in ("fd", "dirfd"):
            return lambda value, _memory: ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
        return _number(arg, signed=arg.role in _SIGNED and (arg.signed or arg.role != "int"))

    def _flags(self, arg: Arg) -> Value:
        mask, flagset, table = (1 << arg.width * 8) - 1, arg.flags or "", self.table
        enum = flagset in table.enums

        @lru_cache(maxsize=256)
        def named(value: int) -> Any:
            if flagset == "futex_op":
                return (flag_names(flagset, value & 0x7F, table), *[word for bit, word in _FUTEX if value & bit])
            if flagset == "clone_flags" and value & 0xFF:
                rest = flag_names(flagset, value & ~0xFF, table).split("|") if value & ~0xFF else ()
                return (*rest, signal_name(value & 0xFF))
            names = flag_names(flagset, value, table)
            if enum:
                return value if names.startswith("0x") else Name(names)
            return () if names == "0" else tuple(names.split("|"))

        return lambda value, _memory: named(value & mask)

    def _limited(self, made: Value) -> Value:
        """One byte more than the limit is captured, to tell what was cut: it is not shown."""

        def value_of(value: int, memory: Memory) -> Any:
            found = made(value, memory)
            if type(found) is str:
                return _cut(found, self._limit)
            return [_cut(item, self._limit) for item in found] if type(found) is list else found

        return value_of

    def _sockaddr(self, value: int, memory: Memory) -> Any:
        data = memory.get(value)
        if data is None or len(data) < 2:
            return value or None
        return structures.sockaddr(data, text, lambda family: self._family(family, memory))

    def _message(self, value: int, memory: Memory) -> Any:
        """A msghdr."""
        data = memory.get(value)
        if data is None or len(data) < 56:
            return value or None
        fields = [int.from_bytes(data[at : at + 8], "little") for at in range(0, 56, 8)]
        name = self._sockaddr(fields[0], memory) if fields[1] & 0xFFFFFFFF else None
        flags = fields[6] & 0xFFFFFFFF
        return {
            "msg_name": name,
            "msg_iov": _iovec(fields[2], memory),
            "msg_iovlen": fields[3],
            "msg_control": _pointer(fields[4], memory),
            "msg_controllen": fields[5],
            "msg_flags": flags,
        }

    def _pointed_at(self, call: Call, arg: Arg) -> Value:
        bare = arg.ctype.replace("const ", "").replace(" ", "")
        if bare in ("structiovec*", "structuser_msghdr*"):
            return _iovec if bare == "structiovec*" else self._message
        if arg.ctype == "const char *const *":
            return self._limited(_strings)
        if bare == "int*":
            return _integers
        layout = structures.layout_of(arg.ctype, arg.name)
        if not layout:
            return _pointer
        several = layout in structures.ARRAYS or (layout == "epoll_event" and call.name != "epoll_ctl")

        def value_of(value: int, memory: Memory) -> Any:
            data = memory.get(value)
            if data is None:
                return value or None
            return structures.array(layout, data) if several else structures.structure(layout, data) or data

        return value_of
