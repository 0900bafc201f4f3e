"""Records: what the rest relies on of dataclasses."""

from __future__ import annotations

import copy
import pickle

import pytest

from selftrace.record import fields, fresh, mutable, record, replace, to_dict, to_tuple


@record
class Point:
    """Two numbers."""

    x: int
    y: int = 2
    tags: dict[str, int] = fresh(default_factory=dict, compare=False)

    @property
    def total(self) -> int:
        return self.x + self.y


@mutable
class Counter:
    point: Point
    count: int = 0
    seen: list[int] = fresh(default_factory=list)


def test_values_and_defaults() -> None:
    point = Point(1)
    assert (point.x, point.y, point.total) == (1, 2, 3)
    assert Point(1, 5).y == Point(y=5, x=1).y == 5
    assert fields(Point) == ("x", "y", "tags")
    assert to_tuple(point) == (1, 2, {})
    assert repr(point) == "Point(x=1, y=2, tags={})"
    assert Point.__doc__ == "Two numbers."


@pytest.mark.parametrize(
    ("args", "named", "message"),
    [
        ((), {}, "x is missing"),
        ((1, 2, {}, 4), {}, "3 fields"),
        ((1,), {"x": 2}, "twice"),
        ((1,), {"z": 2}, "no field z"),
    ],
)
def test_mistakes(args: tuple[int, ...], named: dict[str, int], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Point(*args, **named)  # type: ignore[arg-type]


def test_equality_and_hash() -> None:
    assert Point(1) == Point(1, 2, {"other": 1})
    assert Point(1) != Point(2)
    assert Point(1) != (1, 2)
    assert len({Point(1), Point(1), Point(2)}) == 2
    with pytest.raises(TypeError):
        hash(Counter(Point(1)))


def test_frozen() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match="does not change"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del point.x
    counter = Counter(point)
    counter.count += 1
    assert counter.count == 1
    with pytest.raises(AttributeError):
        counter.other = 1  # type: ignore[attr-defined]


def test_fresh_values_are_not_shared() -> None:
    first, second = Counter(Point(1)), Counter(Point(1))
    first.seen.append(1)
    assert second.seen == []


def test_copies() -> None:
    point = Point(1, 3)
    assert replace(point, y=4) == Point(1, 4)
    assert pickle.loads(pickle.dumps(point)) == point
    assert copy.deepcopy(point) == point
    assert to_dict(Counter(point, 1, [2])) == {"point": {"x": 1, "y": 3, "tags": {}}, "count": 1, "seen": [2]}
    match point:
        case Point(x, y):
            assert (x, y) == (1, 3)
