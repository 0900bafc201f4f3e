"""From the files of several runs to patterns: holes for what is volatile or differs, and siblings of one extension."""

from __future__ import annotations

from selftrace.learning.names import HOLE, extension, is_pattern, matcher, merged, parent, with_holes, without_covered
from selftrace.learning.places import is_guarded, is_literal, is_variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

READS, WRITES, CROWD, MOST, NEVER = 2, 3, 4, 256, 1 << 30
"""So many siblings make a pattern; MOST: pairs of names that are compared."""


def generalised(runs: Sequence[Iterable[str]], siblings: int) -> dict[str, set[str]]:
    """Pattern, or the path itself → the paths that it was made of. runs: the paths of each run."""
    plain = sorted({path for run in runs for path in run})
    holes = _directories({path: path if is_literal(path) else _guarded(path, with_holes(path)) for path in plain})
    pairs = _pairs([{holes[path] for path in run} for run in runs], whole=siblings == READS)
    made: dict[str, set[str]] = {}
    for path in plain:
        for pattern in pairs.get(holes[path], [holes[path]]):
            made.setdefault(pattern, set()).add(path)
    kept = without_covered([*made, *_siblings(made, siblings)])
    return {pattern: _below(pattern, plain) if is_pattern(pattern) else {pattern} for pattern in kept}


def _below(pattern: str, paths: Iterable[str]) -> set[str]:
    regex = matcher(pattern)
    return {path for path in paths if regex.fullmatch(path)}


def _guarded(path: str, pattern: str) -> str:
    """The pattern without holes that would stand directly in a guarded directory."""
    given, made = path.split("/"), pattern.split("/")
    for at, part in enumerate(made):
        if is_pattern(part) and is_guarded("/".join(made[:at])):
            made[at] = given[at]
    return "/".join(made)


def _directories(holes: dict[str, str]) -> dict[str, str]:
    """What became a hole inside a path is one where the directory itself is spoken of."""
    inner: dict[str, str] = {}
    for path, pattern in holes.items():
        while path and is_pattern(parent(pattern)):
            path, pattern = parent(path), parent(pattern)
            inner[path] = pattern
    return {path: inner.get(path, pattern) for path, pattern in holes.items()}


def _pairs(runs: Sequence[set[str]], whole: bool) -> dict[str, list[str]]:
    """Path of one run → patterns that it makes with paths that only another run has, and that differ in one place.

    whole: a name of which nothing is shared may become a hole, if it is the only one of its kind.
    """
    found: dict[str, set[str]] = {}
    for index, run in enumerate(runs):
        for other in runs[index + 1 :]:
            for one, two, pattern in _differences(run - other, other - run, whole):
                found.setdefault(one, set()).add(pattern)
                found.setdefault(two, set()).add(pattern)
    return {path: sorted(patterns) for path, patterns in found.items()}


def _masked(paths: Iterable[str]) -> dict[tuple[int, str, str], list[str]]:
    """(place, path without the component there, what the name ends with) → paths."""
    found: dict[tuple[int, str, str], list[str]] = {}
    for path in sorted(paths):
        parts = path.split("/")
        for at in range(1, len(parts)):
            found.setdefault((at, "/".join((*parts[:at], *parts[at + 1 :])), extension(path)), []).append(path)
    return found


def _differences(ours: set[str], theirs: set[str], whole: bool) -> list[tuple[str, str, str]]:
    masked, found = _masked(theirs), []
    for key, mine in _masked(ours).items():
        others = masked.get(key, [])
        if len(mine) * len(others) > MOST:  # so many siblings are a pattern anyway
            continue
        alone = whole and len(mine) == len(others) == 1 and not is_variable(parent(mine[0]))
        for one in mine:
            for two in others:
                pattern = _difference(one, two, key[0], alone)
                if pattern:
                    found.append((one, two, pattern))
    return found


def _difference(one: str, two: str, at: int, alone: bool) -> str:
    """The pattern of two paths that differ in component `at`; empty if they have nothing to do with one another."""
    parts, others = one.split("/"), two.split("/")
    if is_literal(one) or is_guarded("/".join(parts[:at])):
        return ""
    pattern, shared = merged(parts[at], others[at])
    if not (shared or alone or at < len(parts) - 1):
        return ""
    return "/".join((*parts[:at], pattern, *parts[at + 1 :]))


def _siblings(made: Mapping[str, set[str]], least: int) -> list[str]:
    """The pattern of a directory and an extension of which there are so many names; one with a hole counts once."""
    groups: dict[tuple[str, str], set[str]] = {}
    for pattern in made:
        directory, ending = parent(pattern), extension(pattern)
        if ending and not is_literal(pattern) and not is_guarded(directory):
            groups.setdefault((directory, ending), set()).add(pattern)
    return [f"{directory}/{HOLE}.{ending}" for (directory, ending), names in groups.items() if len(names) >= least]


def _names(paths: Iterable[str]) -> set[str]:
    return {path.rpartition("/")[2] for path in paths}


def crowds(made: Mapping[str, set[str]]) -> list[str]:
    """For names that are not there: where several are missing in one directory, whatever they are called."""
    groups: dict[str, set[str]] = {}
    for pattern, paths in made.items():
        directory = parent(pattern)
        if not (is_literal(pattern) or is_guarded(directory) or is_variable(directory)):
            groups.setdefault(directory, set()).update(paths)
    return [f"{directory}/{HOLE}" for directory, paths in groups.items() if len(_names(paths)) >= CROWD]
