"""A comparison as one page of HTML that needs nothing else: tables with bars, what differs, the machine, every sample."""

from __future__ import annotations

import math
from html import escape

from selftrace.comparison.result import CONDITIONS
from selftrace.comparison.table import HEAD, beside, cells, heading, tail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from selftrace.comparison.result import Comparison, ComparisonRow

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; color: #222; background: #fff }
h1 { font-size: 1.3em } h2 { font-size: 1.1em; margin-top: 2em }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .25em .6em; text-align: right; border-bottom: 1px solid #e4e4e4; white-space: nowrap }
th:first-child, td:first-child, th:last-child, td:last-child { text-align: left }
td.bar { width: 30%; padding: .25em 0 } td.bar div { height: .8em; border-radius: 2px; background: #9aa5b1 }
tr.self div { background: #2f7d4f } tr.outside div { background: #b5651d } tr.yours div { background: #4a69bd }
tr.different td { color: #b00020; font-weight: bold } tr.unstable td { color: #8a6d00 }
.quiet { color: #666 } .wrong { color: #b00020 }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #16181c } th, td { border-color: #333 } .quiet { color: #999 }
  tr.different td, .wrong { color: #ff7b86 } tr.unstable td { color: #e0b94d }
}
"""


def _share(times: float, most: float) -> float:
    """The length of a bar, 0 to 100: logarithmic, because mechanisms lie powers of ten apart."""
    if most <= 1:
        return 100.0 if times >= 1 else 0.0
    return max(1.0, 100 * math.log(max(times, 1.0) * 1.05) / math.log(most * 1.05))


def _row(comparison: Comparison, row: ComparisonRow, condition: str, most: float) -> str:
    values = cells(comparison, row, condition)
    kind = [row.family, "different" if row.differences else "unstable" if row.measured[condition].unstable else ""]
    bar = f'<td class="bar"><div style="width:{_share(comparison.times(row.name, condition), most):.1f}%"></div></td>'
    inner = "".join(f"<td>{escape(value)}</td>" for value in values[1:])
    name = f'<td title="{escape(row.title)}">{escape(row.name)}</td>'
    return f'<tr class="{" ".join(filter(None, kind))}">{name}{bar}{inner}</tr>'


def _table(comparison: Comparison, condition: str) -> str:
    rows = [row for row in comparison.rows if condition in row.measured]
    most = max(comparison.times(row.name, condition) for row in rows)
    head = f"<th>mechanism</th><th>× (logarithmic)</th>{''.join(f'<th>{escape(name)}</th>' for name in HEAD[1:])}"
    body = "\n".join(_row(comparison, row, condition, most) for row in rows)
    note = f"<p>{escape(text)}</p>" if (text := beside(comparison, condition)) else ""
    return f"<h2>{escape(CONDITIONS[condition])}</h2><table><tr>{head}</tr>\n{body}</table>{note}"


def _samples(comparison: Comparison) -> str:
    lines = []
    for row in comparison.rows:
        for condition, of in row.measured.items():
            values = " ".join(f"{value * 1e3:.2f}" for value in of.programs)
            lines.append(f"<tr><td>{escape(row.name)}</td><td>{condition}</td><td>{values}</td></tr>")
    head = "<tr><th>mechanism</th><th></th><th>ms of the program, in the order of the rounds</th></tr>"
    return f"<details><summary>Every sample</summary><table>{head}{''.join(lines)}</table></details>"


def _machine(comparison: Comparison) -> str:
    plain = {name: value for name, value in comparison.metadata.items() if not isinstance(value, (dict, list))}
    cells_ = "".join(f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in plain.items())
    return f"<details><summary>The machine</summary><table>{cells_}</table></details>"


def _mechanisms(comparison: Comparison) -> str:
    lines = "".join(f"<tr><td>{escape(row.name)}</td><td>{escape(row.title)}</td></tr>" for row in comparison.rows)
    return f"<details><summary>The mechanisms</summary><table>{lines}</table></details>"


def as_page(comparison: Comparison) -> str:
    """The page."""
    conditions = [name for name in CONDITIONS if any(name in row.measured for row in comparison.rows)]
    notes = "".join(
        f'<p class="{"wrong" if "OTHER RESULT" in line else "quiet"}">{escape(line)}</p>' for line in tail(comparison)
    )
    title = escape(heading(comparison))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>\n"
        f"{''.join(_table(comparison, name) for name in conditions)}\n{notes}\n"
        f"{_mechanisms(comparison)}{_samples(comparison)}{_machine(comparison)}</html>\n"
    )
