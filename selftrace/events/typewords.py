"""What the decoder's table (native/generate/data/decode.txt) says of arguments: named values and structures."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module

from selftrace.events.structures import LAYOUTS, siginfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Value = Callable[[int, dict[int, bytes]], Any]

_SIGNED = frozenset({"d", "fd", "dirfd", "pid"})


class Name(str):
    """A named value, such as SEEK_SET: it is written without quotes."""

    __slots__ = ()


def _or_bytes(decode: Callable[[bytes], Any]) -> Value:
    """What is pointed at, decoded; as bytes if they are too few."""

    def value_of(value: int, memory: dict[int, bytes]) -> Any:
        data = memory.get(value)
        if data is None:
            return value or None
        found = decode(data)
        return data if found is None else found

    return value_of


class TypeWords:
    """The table of an architecture; knows nothing where there is none."""

    def __init__(self, arch: str) -> None:
        try:
            module: Any = import_module(f"selftrace.calls._decode_{arch}")
        except ModuleNotFoundError:
            module = None
        self._calls: Mapping[int, tuple[str, Any, Any]] = module.CALLS if module else {}
        self._sets: Mapping[str, tuple[bool, Mapping[str, int]]] = module.SETS if module else {}
        self._structs: Mapping[str, tuple[int, Any]] = module.STRUCTS if module else {}

    def value(self, sysno: int, position: int, width: int) -> Value | None:
        """What makes a value of an argument of `width` bytes; None if the table has no own word for it."""
        words = self._calls.get(sysno, ("",))[0].split()
        word = words[position] if position < len(words) else ""
        name = word.partition(":")[0]
        if name in self._sets:
            named, mask = self.named(name), (1 << width * 8) - 1
            return lambda value, _memory: named(value & mask)
        if word[:1] not in ("<", ">"):
            return None
        name, star, _ = word.lstrip("<>").partition("*")
        if name == "@siginfo":
            return _or_bytes(siginfo)
        if name.startswith("["):
            return _or_bytes(lambda data: self._numbers(name[1:-1], data))
        if name not in self._structs or name in LAYOUTS:
            return None
        if star:
            return _or_bytes(lambda data: self._array(name, data))
        return _or_bytes(lambda data: self.structure(name, data))

    def named(self, name: str) -> Callable[[int], Any]:
        """A number of the set → its name, or for a set of bits a tuple of names, the last what is left in hexadecimal."""
        bits, values = self._sets[name]
        names = {number: word for word, number in reversed(list(values.items()))}

        @lru_cache(maxsize=256)
        def of(value: int) -> Any:
            if not bits:
                return Name(names[value]) if value in names else value
            found = [names[0]] if value == 0 and 0 in names else []
            for word, number in values.items():
                if number and value & number == number:
                    found.append(word)
                    value &= ~number
            return (*found, hex(value)) if value else tuple(found)

        return of

    def structure(self, name: str, data: bytes) -> dict[str, Any] | None:
        """Field → value; None if the bytes are too few."""
        size, fields = self._structs[name]
        if len(data) < size:
            return None
        found: dict[str, Any] = {}
        for label, word, offset, width, count in fields:
            items = [self._field(word, data[at : at + width]) for at in range(offset, offset + width * count, width)]
            found[label] = items if count > 1 else items[0]
        return found

    def _array(self, name: str, data: bytes) -> list[Any]:
        size = self._structs[name][0]
        return [self.structure(name, data[at : at + size]) for at in range(0, len(data) - size + 1, size)]

    def _field(self, word: str, data: bytes) -> Any:
        if word[:1] == ".":
            return self.structure(word[1:], data)
        if word in ("chars", "text"):
            return data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
        if len(data) > 8 or word == "blob":
            return data
        number = int.from_bytes(data, "little", signed=word.rstrip("[]") in _SIGNED)
        return self.named(word)(number) if word in self._sets else number

    def _numbers(self, word: str, data: bytes) -> Any:
        """[d], [u8] …: a number, or several."""
        width = int(word[-1]) if word[-1:].isdecimal() else 8 if word == "p" else 4
        signed = word.rstrip("0123456789") in _SIGNED
        found = [int.from_bytes(data[at : at + width], "little", signed=signed) for at in range(0, len(data) - width + 1, width)]
        return (found[0] if len(found) == 1 else found) if found else None
