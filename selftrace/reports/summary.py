"""The table of strace -c, column by column, and what people asked for besides: percentiles and a histogram."""

from __future__ import annotations

from selftrace.calls import nearest
from selftrace.events.counts import Count, Counts
from selftrace.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@record
class Column:
    """head: above it; width: at least; value: of a count, given the total."""

    head: str
    width: int
    value: Callable[[Count, Count], str]
    left: bool = False


def _share(count: Count, total: Count) -> str:
    part = 100.0 if count is total else 100 * count.total_ns / total.total_ns if total.total_ns else 0.0
    return f"{part:.2f}"


def _seconds(ns: int) -> str:
    return f"{ns / 1e9:.6f}"


COLUMNS = {
    "time-percent": Column("% time", 6, _share),
    "total-time": Column("seconds", 11, lambda count, _: _seconds(count.total_ns)),
    "min-time": Column("shortest", 8, lambda count, _: _seconds(count.shortest_ns)),
    "max-time": Column("longest", 8, lambda count, _: _seconds(count.longest_ns)),
    "avg-time": Column("usecs/call", 11, lambda count, _: str(count.total_ns // 1000 // max(count.calls, 1))),
    "calls": Column("calls", 9, lambda count, _: str(count.calls)),
    "errors": Column("errors", 9, lambda count, _: str(count.errors or "")),
    "name": Column("syscall", 16, lambda count, _: count.name, left=True),
}
DEFAULT = ("time-percent", "total-time", "avg-time", "calls", "errors", "name")
_WORDS = {
    "time-percent": "time time_percent",
    "total-time": "total_time time-total time_total",
    "min-time": "min_time shortest time-min time_min",
    "max-time": "max_time longest time-max time_max",
    "avg-time": "avg_time time-avg time_avg",
    "calls": "count",
    "errors": "error",
    "name": "syscall syscall-name syscall_name",
    "nothing": "none",
}
_BY_WORD = {word: name for name, words in _WORDS.items() for word in (name, *words.split())}
_KEYS: dict[str, Callable[[Count], object]] = {
    "time-percent": lambda count: -count.total_ns,
    "total-time": lambda count: -count.total_ns,
    "min-time": lambda count: -count.shortest_ns,
    "max-time": lambda count: -count.longest_ns,
    "avg-time": lambda count: -(count.total_ns / max(count.timed, 1)),
    "calls": lambda count: -count.calls,
    "errors": lambda count: -count.errors,
    "name": lambda count: count.name,
    "nothing": lambda count: 0,
}


def sort_key(word: str) -> str:
    """The key that -S names. Raises ValueError that names the nearest."""
    if word not in _BY_WORD:
        raise ValueError(f'cannot sort by "{word}"{nearest(word, _BY_WORD)}')
    return _BY_WORD[word]


def columns(text: str) -> tuple[str, ...]:
    """The columns that -U names; the call's name is the last if it is not among them. Raises ValueError."""
    found = []
    for word in text.split(","):
        name = _BY_WORD.get(word)
        if name is None or name == "nothing":
            raise ValueError(f'unknown column "{word}"{nearest(word, _BY_WORD)}')
        if name in found:
            raise ValueError(f'the column "{word}" is there already')
        found.append(name)
    return tuple(found if "name" in found else [*found, "name"])


def percentiles(text: str) -> tuple[float, ...]:
    """Of "50,90,99.9". Raises ValueError."""
    found = tuple(float(word) for word in text.split(","))
    if not all(0 < value <= 100 for value in found):
        raise ValueError(f'"{text}": percentiles lie above 0 and up to 100')
    return found


def _percentile(percent: float) -> Column:
    return Column(f"p{percent:g}", 9, lambda count, _: f"{count.percentile_ns(percent) / 1000:.1f}")


def table(
    counts: Counts, *, sort: str = "time-percent", show: Sequence[str] = DEFAULT, at: Sequence[float] = ()
) -> Iterator[str]:
    """The lines, without newlines. at: percentiles in µs, each a column before the name."""
    total = counts.total()
    shown = [COLUMNS[name] for name in show]
    where = len(shown) - 1 if show[-1:] == ("name",) else len(shown)
    shown[where:where] = [_percentile(percent) for percent in at]
    rows = [[column.value(count, total) for column in shown] for count in sorted(counts, key=_KEYS[sort])]  # type: ignore[arg-type]
    last = [column.value(total, total) for column in shown]
    widths = [_width(column, [row[at] for row in (*rows, last)]) for at, column in enumerate(shown)]
    if shown[-1].left:
        widths[-1] = shown[-1].width
    rule = " ".join("-" * width for width in widths)
    yield _line([column.head for column in shown], shown, widths)
    yield rule
    yield from (_line(row, shown, widths) for row in rows)
    yield rule
    yield _line(last, shown, widths)


def _width(column: Column, cells: Sequence[str]) -> int:
    return max(column.width, *map(len, cells))


def _line(cells: Sequence[str], shown: Sequence[Column], widths: Sequence[int]) -> str:
    parts = [f"{c:<{w}}" if k.left else f"{c:>{w}}" for c, k, w in zip(cells, shown, widths, strict=True)]
    return " ".join([*parts[:-1], cells[-1] if shown[-1].left else parts[-1]])


def histograms(counts: Counts, *, sort: str = "time-percent") -> Iterator[str]:
    """For each call how many took how long, by powers of two of nanoseconds."""
    for count in sorted(counts, key=_KEYS[sort]):  # type: ignore[arg-type]
        found = dict(count.histogram())
        if not found:
            continue
        yield ""
        yield f"{count.name}: {count.timed} call{'s' if count.timed != 1 else ''}"
        most = max(found.values())
        for power in range(min(found), max(found) + 1):
            number = found.get(power, 0)
            bar = "█" * round(40 * number / most) or ("▏" if number else "")
            yield f"  {_duration(1 << power if power else 0):>8} {number:>9} {bar}".rstrip()


def _duration(ns: int) -> str:
    for unit, size in (("s", 10**9), ("ms", 10**6), ("µs", 10**3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}" if ns < 1000 * size else f"{ns // size} {unit}"
    return f"{ns} ns"
