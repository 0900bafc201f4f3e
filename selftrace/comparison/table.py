"""A comparison on a terminal: in colour through rich where there is one, plain text elsewhere."""

from __future__ import annotations

from selftrace.comparison.result import CONDITIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from selftrace.comparison.result import Comparison, ComparisonRow

HEAD = ("", "program ms", "±", "×", "µs a call", "calls/s", "start ms", "whole ms", "CPU ms", "")
_WIDTH = 100


def cells(comparison: Comparison, row: ComparisonRow, condition: str) -> tuple[str, ...]:
    """What a row says under one condition, in HEAD's order."""
    of = row.measured[condition]
    base = row.name == "none"
    return (
        row.name,
        f"{of.program_s * 1e3:.1f}",
        f"{of.spread:.0%}",
        f"{comparison.times(row.name, condition):.2f}",
        "" if base else f"{comparison.per_call_s(row.name, condition) * 1e6:.2f}",
        f"{comparison.call_count / of.program_s:,.0f}",
        f"{of.start_s * 1e3:.1f}",
        f"{of.wall_s * 1e3:.1f}",
        f"{of.cpu_s * 1e3:.1f}",
        "; ".join(remarks(comparison, row, condition)),
    )


def remarks(comparison: Comparison, row: ComparisonRow, condition: str) -> list[str]:
    """Words beside the numbers."""
    found = []
    if row.differences:
        found.append("OTHER RESULT")
    if row.family == "yours":
        word = comparison.verdict(row.name, condition)
        found.append({"unknown": "too few rounds to tell", "equal": "equal to the program alone"}.get(word, word))
    if row.measured[condition].unstable:
        found.append("unstable")
    return found


def beside(comparison: Comparison, condition: str) -> str:
    """What outside tracers add to the program's time, as multiples of what `selftrace trace` adds; empty if that is not known."""
    rows = {row.name: row for row in comparison.rows if condition in row.measured}
    if "trace" not in rows or (ours := comparison.excess_s("trace", condition)) <= 0:
        return ""
    outside = [row for row in rows.values() if row.family == "outside" and row.name not in ("strace-bpf", "ptrace-seccomp")]
    times = {row.name: comparison.excess_s(row.name, condition) / ours for row in outside}
    parts = [f"{name} {value:.1f} ×" for name, value in times.items() if value > 0]
    return f"beside selftrace trace, in what is added to the program's time: {', '.join(parts)}" if parts else ""


def heading(comparison: Comparison) -> str:
    """What was compared."""
    calls = f"{comparison.call_count:,} system call{'s' if comparison.call_count != 1 else ''}"
    rounds = f"{comparison.rounds} round{'s' if comparison.rounds != 1 else ''}"
    return f"{' '.join(comparison.command)}: {calls}, {rounds}, medians"


def tail(comparison: Comparison) -> list[str]:
    """What follows the tables: differences, mechanisms that are not there, notes."""
    lines = [f"{row.name}: OTHER RESULT: {text}" for row in comparison.rows for text in row.differences]
    lines += [f"{row.name}: not available: {row.reason}" for row in comparison.rows if row.reason]
    lines += [f"note: {text}" for text in comparison.notes]
    return lines


def _conditions(comparison: Comparison) -> list[str]:
    return [name for name in CONDITIONS if any(name in row.measured for row in comparison.rows)]


def _listed(comparison: Comparison, condition: str) -> list[ComparisonRow]:
    return [row for row in comparison.rows if condition in row.measured]


def as_text(comparison: Comparison) -> str:
    """Plain text."""
    lines = [heading(comparison)]
    for condition in _conditions(comparison):
        table = [HEAD, *(cells(comparison, row, condition) for row in _listed(comparison, condition))]
        widths = [max(len(row[at]) for row in table) for at in range(len(HEAD))]
        lines += ["", CONDITIONS[condition]]
        for row in table:
            parts = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True))]
            lines.append(f"  {'  '.join(parts)}  {row[-1]}".rstrip())
        lines += [f"  {text}"] if (text := beside(comparison, condition)) else []
    if rest := tail(comparison):
        lines += ["", *rest]
    return "\n".join(lines)


def show(comparison: Comparison, file: TextIO, *, colour: bool) -> None:
    """Writes it to a file. colour: with rich, where that is installed."""
    if colour:
        try:
            _rich(comparison, file)
        except ImportError:
            pass
        else:
            return
    print(as_text(comparison), file=file)


def _rich(comparison: Comparison, file: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=file)
    console.print(Text(heading(comparison), style="bold"))
    for condition in _conditions(comparison):
        table = Table(title=CONDITIONS[condition], title_justify="left", box=None, header_style="dim")
        for at, name in enumerate(HEAD):
            table.add_column(name, justify="left" if at in (0, len(HEAD) - 1) else "right", no_wrap=at == 0)
        for row in _listed(comparison, condition):
            unstable = row.measured[condition].unstable
            style = "red" if row.differences else "yellow" if unstable else "green" if row.family == "self" else ""
            table.add_row(*cells(comparison, row, condition), style=style)
        console.print()
        console.print(table)
        if text := beside(comparison, condition):
            console.print(Text(text))
    for line in tail(comparison):
        console.print(Text(line, style="red" if "OTHER RESULT" in line else "dim"))
