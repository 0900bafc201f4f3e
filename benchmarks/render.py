"""README's numbers, from the JSON that is committed in benchmarks/results: text, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selftrace import Comparison

Results = Mapping[str, Mapping[str, Any]]
PROGRAMS = {"git-status": "git status", "python": "a Python script", "redis": "redis-benchmark and its server"}
"""What is compared, and how it is called."""
SLOW = "python-ptrace"
"""Half a minute for each run of many processes: left out where there are many."""
PLOTTED = "git-status"
PLOT = "overhead.svg"
ROWS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("getppid, not trapped: floor only", "getppid", ("floor only (not trapped)",)),
    ("getppid, trapped, native rule / Python handler", "getppid", ("trap + native rule", "trap + Python handler")),
    ("open+close under builtin:untrusted-script's path rules", "open+close", ("trap + native path rules",)),
    (
        "open+close with a native path filter / with a Python handler behind it",
        "open+close",
        ("trap + handler whose path filter does not match", "trap + Python handler"),
    ),
    (
        "lseek with 1 / 10 / 100 / 200 rules on numbers",
        "number of rules: on numbers, lseek",
        tuple(f"{n} rules" for n in (1, 10, 100, 200)),
    ),
    (
        "open+close with 1 / 10 / 100 / 200 rules on paths",
        "number of rules: on paths, open+close",
        tuple(f"{n} rules" for n in (1, 10, 100, 200)),
    ),
    (
        "100 forks and execs from sh, each call counted (strace -f)",
        "exec: sh, 100 forks and execs",
        ("selftrace run", "strace -f"),
    ),
    ("`ls -laR /usr/lib`, counted (strace -f)", "exec: ls -laR /usr/lib", ("selftrace run", "strace -f")),
)
"""Label, result, and its values as multiples of the baseline."""
_C = (
    "C, user notification, same core",
    "C, user notification, free",
    "C, ptrace RET_TRACE, same core",
    "C, ptrace RET_TRACE, free",
)


def times(value: float) -> str:
    """A multiple, with as many digits as it deserves."""
    return f"{value:.0f} ×" if value >= 20 else f"{value:.1f} ×"


def _ratio(result: Mapping[str, Any], name: str) -> float:
    return float(result["values"][name] / result["values"][result["baseline"]])


def micro_table(results: Results) -> list[str]:
    """The microbenchmarks' part; what was not measured is left out."""
    lines = ["| one call, one exec, one start | to the same without selftrace |", "|---|---|"]
    for label, name, of in ROWS:
        if name in results and all(what in results[name]["values"] for what in of):
            lines.append(f"| {label} | {' / '.join(times(_ratio(results[name], what)) for what in of)} |")
    return [*lines, *_absolute(results), *_programs(results)]


def _absolute(results: Results) -> list[str]:
    """What is better told in milliseconds and bytes."""
    lines = []
    if start := results.get("start-up"):
        of = start["values"]
        cpu = of["selftrace run -c pass: processor time"] - of["python -c pass: processor time"]
        lines.append(f"| `selftrace run -c pass`, processor time of all processes, to `python3 -c pass` | +{cpu:.0f} ms |")
        api = of["selftrace.run from Python"] - of["plain subprocess.run from Python"]
        lines.append(f"| `selftrace.run` from Python, to `subprocess.run` of the same script | +{api:.1f} ms |")
    if memory := results.get("memory"):
        kib = memory["values"]["interposed"] - memory["values"]["none"]
        lines.append(f"| memory of a run, dirty private pages | +{kib / 1024:.1f} MiB |")
    return lines


def _group(results: Results, name: str) -> dict[str, Mapping[str, float]]:
    """The things of one case, by name."""
    return {key.removeprefix(f"{name}: "): value["values"] for key, value in results.items() if key.startswith(f"{name}: ")}


def recording_table(results: Results) -> list[str]:
    """Every call of real programs recorded: ours beside strace's and python-ptrace's."""
    lines = []
    if traces := _group(results, "trace"):
        lines += [
            "| every call recorded: our overhead as a share of strace -f's | capture, one core | text, one core | text, free |"
        ]
        lines += ["|---|--:|--:|--:|"]
        keys = ("% capture of strace's overhead", "% text of strace's overhead", "% text, free")
        lines += [f"| {name} | {' | '.join(f'{of[key]:.0f} %' for key in keys)} |" for name, of in traces.items()]
    if theirs := _group(results, "beside python-ptrace"):
        lines += [
            "",
            "| every call recorded: python-ptrace's strace.py's overhead, one core | to our capture's | to our text's |",
        ]
        lines += ["|---|--:|--:|"]
        keys = ("× theirs to our capture's", "× theirs to our text's")
        lines += [f"| {name} | {' | '.join(times(of[key]) for key in keys)} |" for name, of in theirs.items()]
        lines += ["", "As soon as python-ptrace has two processes to wait for, it polls and sleeps."]
    return lines


def mechanism_table(results: Results) -> list[str]:
    """One call under each mechanism."""
    found = _group(results, "a call by mechanism")
    if not found:
        return []
    lines = ["| one getppid under each mechanism, ns | one core | left to the scheduler |", "|---|--:|--:|"]
    names = next(iter(found.values()))
    return lines + [f"| {name} | {' | '.join(f'{of[name]:,.0f}' for of in found.values())} |" for name in names]


def _programs(results: Results) -> list[str]:
    found = _group(results, "programs")
    if not found:
        return []
    ours = " / ".join(f"{of['selftrace run'] / of['plain']:.1f}" for of in found.values())
    theirs = " / ".join(f"{of['strace -f'] / of['plain']:.1f}" for of in found.values() if "strace -f" in of)
    return [f"| {' / '.join(found)}, each call counted | {ours} × (strace -f {theirs} ×) |"]


def _cell(comparison: Comparison, name: str, condition: str) -> str:
    if name not in comparison.medians(condition):
        return "–"
    row = comparison.row(name)
    marks = ("†" if row.differences else "") + ("~" if row.measured[condition].unstable else "")
    value = comparison.times(name, condition)
    shown = f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    if name == "none":
        return f"{comparison.row(name).measured[condition].program_s * 1e3:.1f} ms{marks}"
    return f"{shown}{marks}"


def compare_table(comparisons: Mapping[str, Comparison]) -> list[str]:
    """Every program under every mechanism, as multiples of the program alone."""
    titles = [f"{PROGRAMS[key]}, {found.call_count:,} calls" for key, found in comparisons.items()]
    lines = [f"| | {' | '.join(f'{title}: one core | free' for title in titles)} |", "|---|" + "--:|" * (2 * len(titles))]
    first = next(iter(comparisons.values()))
    for row in first.rows:
        cells = [_cell(found, row.name, condition) for found in comparisons.values() for condition in ("pinned", "free")]
        if any(cell != "–" for cell in cells):
            lines.append(f"| {row.title} | {' | '.join(cells)} |")
    lines += ["", "~ unstable: the quartiles lie more than 10 % from the median. † the program's result was another one:"]
    wrong = [
        f"{PROGRAMS[key]} under {row.name}: {text}"
        for key, found in comparisons.items()
        for row in found.rows
        for text in row.differences
    ]
    missing = dict.fromkeys(f"{row.name}: {row.reason}" for found in comparisons.values() for row in found.rows if row.reason)
    lines[-1] += f" {'; '.join(wrong)}." if wrong else " none here."
    if any(SLOW not in [row.name for row in found.rows] for found in comparisons.values()):
        lines[-1] += f" {SLOW} takes half a minute for a run of many processes, and is left out there."
    return lines + ([f"Not available: {'; '.join(missing)}."] if missing else [])


def machine_line(metadata: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    """Where and when it was measured. last: metadata of what was measured at the end."""
    return (
        f"Measured by `python benchmarks/readme.py --measure` on {metadata['cores']} cores ({metadata['cpu']}), Linux "
        f"{metadata['kernel']},\nPython {metadata['python']}, selftrace {metadata['selftrace']}, from {metadata['time']} "
        f"(load {metadata['load']}) to {last['time']}\n(load {last['load_after']}), niceness {metadata['niceness']}. "
        "Ratios travel, nanoseconds do not."
    )


def block(micro: Mapping[str, Any], comparisons: Mapping[str, Comparison]) -> str:
    """What stands between README's markers."""
    last = list(comparisons.values())[-1].metadata
    lines = [
        machine_line(micro["metadata"], last),
        "",
        *micro_table(micro["results"]),
        "",
        *mechanism_table(micro["results"]),
        "",
        *recording_table(micro["results"]),
        "",
    ]
    lines += [f"`selftrace compare` on three programs; how many times longer each takes:\n\n![{PROGRAMS[PLOTTED]} under each "]
    lines[-1] += f"mechanism](benchmarks/results/{PLOT})\n"
    lines += compare_table(comparisons)
    return "\n".join(lines) + "\n"
