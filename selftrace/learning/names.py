"""Names and the parts of them that are another in every run. A hole is a NUL, one unknown letter a \\x01: no path has them."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HOLE, LETTER = "\0", "\1"
TREE = f"/{HOLE}{HOLE}"
_VOLATILE = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"  # a UUID
    r"|(?<![0-9A-Za-z])(?=[0-9a-f]*[0-9])[0-9a-f]{8,}(?![0-9A-Za-z])"  # a digest
    r"|(?<![0-9])[0-9]{4,}(?![0-9])"  # a process, a date, a time
    r"|(?<=tmp)[a-z0-9_]{8}(?![a-z0-9_])"  # Python's tempfile
    r"|(?<=[._-])(?=[A-Za-z0-9]*[0-9])(?=[A-Za-z0-9]*[A-Z])[A-Za-z0-9]{6}(?=\.|$)"  # mkstemp
)
_TOKEN = re.compile(r"[A-Za-z]+|[0-9]+|.", re.S)
_DIGEST = re.compile(r"[0-9a-f]{30,}")
_PAIR = re.compile(r"[0-9a-f]{2}")


def with_holes(path: str) -> str:
    """The path with a hole for each volatile part."""
    parts = path.split("/")
    for at in range(len(parts) - 1):
        if _PAIR.fullmatch(parts[at]) and _DIGEST.fullmatch(parts[at + 1]):  # git's objects, and other stores by digest
            parts[at] = 2 * LETTER
    return "/".join(_VOLATILE.sub(HOLE, part) for part in parts)


def is_volatile(path: str) -> bool:
    """Whether a part of it is likely to be another the next time."""
    return with_holes(path) != path


def is_text(path: str) -> bool:
    """Whether a policy can write it down: TOML is UTF-8, and a \\x01 of its own would be a hole."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return LETTER not in path


def merged(one: str, other: str) -> tuple[str, bool]:
    """Two names with a hole where they differ, and whether they share a word."""
    a, b = _TOKEN.findall(one), _TOKEN.findall(other)
    shortest = min(len(a), len(b))
    front = next((i for i in range(shortest) if a[i] != b[i]), shortest)
    back = next((i for i in range(shortest - front) if a[-1 - i] != b[-1 - i]), shortest - front)
    head, tail = a[:front], a[len(a) - back :]
    shared = any(token.isalnum() for token in (*head, *tail))
    return "".join((*head, HOLE, *tail)), shared


def extension(path: str) -> str:
    """What stands behind the last dot of the name; empty if that is a number, or there is none."""
    stem, dot, last = path.rpartition("/")[2].rpartition(".")
    return last if dot and stem and not last.isdigit() and HOLE not in last else ""


def parent(path: str) -> str:
    """The directory; of "/a" the empty string."""
    return path.rpartition("/")[0]


def matcher(pattern: str) -> re.Pattern[str]:
    """What a path, or another pattern, is matched with."""
    text = "".join(
        ".*" if part == HOLE * 2 else "[^/]*" if part == HOLE else "[^/]" if part == LETTER else re.escape(part)
        for part in re.split(f"({HOLE}{HOLE}|{HOLE}|{LETTER})", pattern)
    )
    if pattern.endswith(TREE):  # the directory itself is of the tree
        text = text.removesuffix("/.*") + "(?:/.*)?"
    return re.compile(text, re.S)


def is_pattern(text: str) -> bool:
    """Whether it has holes."""
    return HOLE in text or LETTER in text


def without_covered(patterns: Iterable[str], also: Sequence[str] = ()) -> list[str]:
    """Those that no other one, and none of `also`, covers; sorted."""
    kept: list[str] = []
    wide = [(pattern, matcher(pattern)) for pattern in sorted({*patterns, *also}) if is_pattern(pattern)]
    literal = set(also)
    for pattern in sorted(set(patterns)):
        if pattern in literal or any(other != pattern and regex.fullmatch(pattern) for other, regex in wide):
            continue
        kept.append(pattern)
    return kept


def overlap(one: str, other: str) -> bool:
    """Whether some path may be of both patterns; never False where one is."""
    a, b = one.removesuffix(TREE).split("/"), other.removesuffix(TREE).split("/")
    if (len(a) > len(b) and not other.endswith(TREE)) or (len(a) < len(b) and not one.endswith(TREE)):
        return False
    return all(_alike(x, y) for x, y in zip(a, b, strict=False))


def _alike(one: str, other: str) -> bool:
    """The same for one component each: what is fixed at their ends agrees."""
    if not is_pattern(one) and not is_pattern(other):
        return one == other
    ends = [re.split(f"[{HOLE}{LETTER}]", part) for part in (one, other)]
    (first, last), (front, back) = ((parts[0], parts[-1]) for parts in ends)
    fits = first.startswith(front) or front.startswith(first)
    return fits and (last.endswith(back) or back.endswith(last))
