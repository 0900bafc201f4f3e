"""The words of faults that do more than answer a call: pokes, data, probabilities, the call that is made instead.

All raise ValueError with a sentence that says what is accepted.
"""

from __future__ import annotations

import re

from selftrace.calls import expand_group, table
from selftrace.policy.model import When
from selftrace.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from selftrace.calls import Table

    Pokes = tuple[tuple[int, bytes], ...]
    """Argument (from 0), bytes for where it points."""

_POKE = re.compile(r"@arg([1-7])=((?:[0-9A-Fa-f]{2})+)")
_MOST_POKED = 1024
_ESCAPE = re.compile(rb"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
_NAMED = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"0": b"\0"}


def parse_pokes(value: Any) -> Pokes:
    """strace's @argN=HEX,@argM=HEX: N counts from 1. What a seventh argument points at nobody has."""
    found: dict[int, bytes] = {}
    for part in str(value).split(","):
        match = _POKE.fullmatch(part)
        if match is None:
            raise ValueError(f"'{part}' is no poke: write @argN=HEX, N from 1 to 6, two digits a byte")
        at, data = int(match[1]) - 1, bytes.fromhex(match[2])
        if at in found:
            raise ValueError(f"argument {at + 1} is poked twice")
        if len(data) > _MOST_POKED:
            raise ValueError(f"a poke of {len(data)} bytes: at most {_MOST_POKED} are taken")
        found[at] = data
    return tuple(found.items())


def unescape(text: str) -> bytes:
    r"""The bytes of a command line's data=: \n \t \r \0 \xHH; a backslash before anything else leaves that."""

    def one(match: re.Match[bytes]) -> bytes:
        word = match[1]
        return bytes.fromhex(word[1:].decode()) if len(word) == 3 else _NAMED.get(word, word)

    return _ESCAPE.sub(one, text.encode("utf-8", "surrogateescape"))


def parse_probability(value: Any) -> float:
    """More than 0, at most 1."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = 0.0
    if not 0 < found <= 1:
        raise ValueError(f"prob={value} is no probability: write a number above 0 and up to 1")
    return found


def parse_seed(value: Any) -> int:
    """A number of 64 bits."""
    text = str(value)
    if not text.isdigit() or int(text) >= 1 << 64:
        raise ValueError(f"seed={value} is no number of 64 bits")
    return int(text)


def drawn(values: Mapping[str, Any], when: When | None) -> When | None:
    """The counter with prob=P[,seed=N], and seed=N: the calls that it names, but only some of them."""
    if "prob" not in values:
        if "seed" in values:
            raise ValueError("seed is for prob: it says which of the calls are meant")
        return when
    text, _, seed = str(values["prob"]).partition(",")
    if seed and not seed.startswith("seed="):
        raise ValueError(f"'{seed}' after prob={text}: only seed=N may follow")
    number = parse_seed(seed[5:] if seed else values.get("seed", 0))
    return replace(when or When(), chance=parse_probability(text), seed=number)


def parse_size(value: Any) -> int:
    """short=N: bytes, at least one; a call that moves none has no short form."""
    text = str(value)
    if isinstance(value, bool) or not text.isdigit() or not 0 < int(text) < 1 << 31:
        raise ValueError(f"short={value} is no number of bytes: write 1 or more")
    return int(text)


def parse_replacement(value: Any, of: Table | None = None) -> str:
    """A call that may be made in another's place: one without arguments and effect, as in strace."""
    pure = expand_group("%pure", of or table())
    if value not in pure:
        raise ValueError(f"syscall={value} would have effects of its own: it may be {', '.join(sorted(pure))}")
    return str(value)
