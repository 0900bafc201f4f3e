"""What may be said of a few noisy samples: medians, how far they spread, whether two are different at all, ranks."""

from __future__ import annotations

import math
from itertools import permutations
from statistics import median

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    Verdict = Literal["slower", "faster", "equal", "unknown"]

UNSTABLE = 0.10
"""A spread above it: the median is not to be relied on."""
CHANCE = 0.001
"""How likely chance alone may be to show the difference that is called one."""
LEAST = 0.05
"""Medians that are nearer to each other than this are called equal, however certain the difference is."""


def spread(values: Sequence[float]) -> float:
    """Half the distance between the quartiles, as a share of the median; 0.0 for one value.

    Outliers, of which a shared machine has some, do not move it as they move a standard deviation.
    """
    if len(values) < 2:
        return 0.0
    return (_quantile(values, 0.75) - _quantile(values, 0.25)) / 2 / median(values)


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def chance(first: Sequence[float], second: Sequence[float]) -> float:
    """How likely samples of one and the same thing are to be at least so far apart in rank (Mann and Whitney's test, exact,
    two-sided). Ties count half, towards the middle."""
    n, m = len(first), len(second)
    wins = sum((a > b) + (a == b) / 2 for a in first for b in second)
    extreme = math.ceil(min(wins, n * m - wins))
    ways = _ways(n, m)
    return min(1.0, 2 * sum(ways[: extreme + 1]) / sum(ways))


def _ways(n: int, m: int) -> list[int]:
    """How many orders of n and m things have each number of wins: Gauss's binomial coefficient, as a polynomial."""
    ways = [1] + [0] * (n * m)
    for i in range(1, n + 1):
        for at in range(n * m, m + i - 1, -1):
            ways[at] -= ways[at - m - i]
        for at in range(i, n * m + 1):
            ways[at] += ways[at - i]
    return ways


def verdict(values: Sequence[float], base: Sequence[float]) -> Verdict:
    """Whether it takes longer than the base. unknown: so few samples that chance can never be ruled out."""
    if 2 / math.comb(len(values) + len(base), len(base)) >= CHANCE:
        return "unknown"
    ratio = median(values) / median(base)
    if abs(ratio - 1) <= LEAST or chance(values, base) >= CHANCE:
        return "equal"
    return "slower" if ratio > 1 else "faster"


def paired_excess(values: Sequence[float], base: Sequence[float]) -> float:
    """The median of what each round took beyond the base in the same round, so that a noisy minute is both's."""
    return median([a - b for a, b in zip(values, base, strict=True)])


def apart(slow: Sequence[float], fast: Sequence[float], *, by: float = 1.10) -> bool:
    """Whether one is slower, surely and by so much that it matters."""
    return median(slow) > median(fast) * by and chance(slow, fast) < CHANCE


def contradictions(runs: Sequence[Mapping[str, Sequence[float]]]) -> list[tuple[str, str]]:
    """Pairs (slower, faster) that are `apart` in one run, and whose medians in another are the other way round.

    runs: name → samples, of each run.
    """
    found: dict[tuple[str, str], None] = {}
    for run in runs:
        for slow, fast in permutations(run, 2):
            others = [other for other in runs if slow in other and fast in other]
            if any(median(other[slow]) <= median(other[fast]) for other in others) and apart(run[slow], run[fast]):
                found[slow, fast] = None
    return list(found)
