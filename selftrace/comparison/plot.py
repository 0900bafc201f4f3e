"""A comparison as a plot: how many times longer the program takes under each mechanism. Needs matplotlib, the extra `bench`."""

from __future__ import annotations

from selftrace.comparison.result import CONDITIONS
from selftrace.comparison.table import heading
from selftrace.errors import CommandError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from selftrace.comparison.result import Comparison

_COLOURS = {"pinned": "#2f7d4f", "free": "#9aa5b1"}


def check(path: str) -> None:
    """Whether it can be written there. Raises CommandError for another kind of file, UnsupportedError without matplotlib."""
    if not path.endswith(".svg"):
        raise CommandError(f"--plot {path}: a name that ends in .svg is wanted", 2)
    _library()


def _library() -> Any:
    """matplotlib, which keeps a list of fonts below the home directory: without one it makes the list anew, and would say so."""
    import logging

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        import matplotlib
    except ImportError:
        raise UnsupportedError("a plot needs matplotlib, which is not installed", "pip install 'selftrace[bench]'") from None
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "selftrace"  # the same comparison, the same file
    import matplotlib.pyplot

    return matplotlib.pyplot


def write(comparison: Comparison, path: str, *, title: str = "") -> None:
    """Writes it as SVG. title: instead of the program's words and numbers. Raises UnsupportedError, OSError."""
    pyplot = _library()
    rows = [row for row in comparison.rows if row.measured]
    figure, axes = pyplot.subplots(figsize=(9, 0.8 + 0.42 * len(rows)), layout="constrained")
    height = 0.8 / len(CONDITIONS)
    for at, (condition, label) in enumerate(CONDITIONS.items()):
        places, times = [], []
        for number, row in enumerate(rows):
            if condition in row.measured:
                places.append(number + (at - (len(CONDITIONS) - 1) / 2) * height)
                times.append(comparison.times(row.name, condition))
        bars = axes.barh(places, [max(value, 1.001) for value in times], height * 0.9, color=_COLOURS[condition], label=label)
        axes.bar_label(bars, [f"{value:.2f}" if value < 10 else f"{value:.0f}" for value in times], padding=3, fontsize=8)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(left=0.9)
    axes.margins(x=0.15)
    axes.set_xlabel("× the program alone (logarithmic)")
    axes.set_title(title or heading(comparison), fontsize=10, loc="left")
    axes.legend(fontsize=8, loc="upper right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
