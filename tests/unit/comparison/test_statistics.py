"""Medians, spreads, chance and ranks, on numbers whose answers are known."""

from __future__ import annotations

import itertools
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selftrace.comparison.statistics import chance, contradictions, paired_excess, spread, verdict


def test_spread() -> None:
    assert spread([5.0]) == 0.0
    assert spread([1.0, 1.0, 1.0]) == 0.0
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(1 / 3)
    assert spread([1.0, 2.0, 3.0, 4.0, 5000.0]) == pytest.approx(1 / 3)


def by_listing(first: list[float], second: list[float]) -> float:
    """The same by trying every way to deal the samples out."""

    def wins(chosen: tuple[int, ...]) -> int:
        others = [n for n in range(len(first) + len(second)) if n not in chosen]
        return sum(a > b for a in chosen for b in others)

    total = len(first) * len(second)
    seen = sum(a > b for a in first for b in second)
    extreme = min(seen, total - seen)
    counts = [wins(chosen) for chosen in itertools.combinations(range(len(first) + len(second)), len(first))]
    return min(1.0, 2 * sum(count <= extreme for count in counts) / len(counts))


@given(st.permutations(range(8)), st.integers(1, 7))
def test_chance_is_exact(order: list[int], at: int) -> None:
    first, second = [float(n) for n in order[:at]], [float(n) for n in order[at:]]
    assert chance(first, second) == pytest.approx(by_listing(first, second))


def test_chance_of_seven_against_seven() -> None:
    low, high = [1.0 + n / 100 for n in range(7)], [2.0 + n / 100 for n in range(7)]
    assert chance(low, high) == pytest.approx(2 / 3432)
    assert chance(low, low) == pytest.approx(1.0)


def test_verdict() -> None:
    base = [1.00, 1.01, 0.99, 1.02, 0.98, 1.03, 0.97]
    assert verdict([value + 0.1 for value in base], base) == "slower"
    assert verdict([value - 0.1 for value in base], base) == "faster"
    assert verdict(base, base) == "equal"
    assert verdict([value * 1.04 for value in base], base) == "equal"
    assert verdict([5.0, 0.5, 5.0, 0.5, 5.0, 5.0, 0.5], base) == "equal", "apart, but not surely"
    assert verdict([value + 9 for value in base[:6]], base[:6]) == "unknown", "six rounds cannot rule chance out"


def test_what_is_added_is_taken_round_by_round() -> None:
    base = [1.0, 1.0, 5.0]
    assert paired_excess([2.0, 2.0, 6.0], base) == 1.0
    assert paired_excess([2.0, 1.5, 9.0], base) == median([1.0, 0.5, 4.0])


def around(*values: float) -> dict[str, list[float]]:
    """Seven samples around each value, of mechanisms a, b, c …"""
    return {"abcdef"[at]: [value * (1 + n / 100) for n in range(-3, 4)] for at, value in enumerate(values)}


def test_contradictions() -> None:
    assert contradictions([around(1, 2, 20), around(1.1, 1.9, 25)]) == []
    assert contradictions([around(1, 2, 20), around(1, 21, 20)]) == [("c", "b")]
    assert contradictions([around(1, 1.05), around(1.05, 1)]) == [], "less than a tenth apart"
    assert contradictions([around(1, 2), around(1)]) == []
    scattered = {"a": [1.0, 9, 1, 9, 1, 1, 9], "b": [2.0, 1, 9, 2, 9, 2, 1]}
    assert contradictions([scattered, around(3, 1)]) == [("a", "b")]
    assert contradictions([scattered, around(1, 3)]) == [], "more than a tenth apart, but not surely"
