"""All measurements, as ratios to the baseline of the same run: `python benchmarks/run.py [--json FILE] [--rounds N] [CASE…]`.

Machines are shared and noisy: look at ratios, run it twice, and never set a pinned supervisor beside a free one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))  # behind what is installed
from benchmarks.tools import Tools
from selftrace.comparison.metadata import machine

CASES = (
    *("mechanisms", "getppid", "open_close", "rules", "arguments", "threads", "start", "memory", "exec", "programs"),
    *("tracing", "trace", "python_ptrace", "attach"),
)


def groups(name: str, values: dict[str, Any]) -> dict[str, dict[str, float]]:
    """A case measures one thing in several ways, or several things, each with a baseline of its own."""
    if isinstance(next(iter(values.values()), 0.0), dict):
        return {f"{name}: {what}": of for what, of in values.items()}
    return {name: values}


def table(case: str, unit: str, values: dict[str, float]) -> str:
    """One line a measurement, with its ratio to the first."""
    baseline = next(iter(values.values()))
    width = max(map(len, values))
    lines = [f"{case} ({unit})"]
    lines += [f"  {name:<{width}}  {value:>12,.2f}  {value / baseline:>8.2f} ×" for name, value in values.items()]
    return "\n".join(lines)


def main() -> int:
    """Runs the cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="default: all")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    metadata = {**machine(), "rounds": arguments.rounds}
    tools = Tools(arguments.rounds)
    results = {}
    try:
        for name in arguments.cases or CASES:
            module = import_module(f"benchmarks.cases.{name}")
            for what, values in groups(module.NAME, module.measure(tools)).items():
                results[what] = {"unit": module.UNIT, "values": values, "baseline": next(iter(values))}
                print(table(what, module.UNIT, values), flush=True)
    finally:
        tools.close()
    if arguments.json:
        metadata["load_after"] = round(os.getloadavg()[0], 2)
        Path(arguments.json).write_text(json.dumps({"schema": 1, "metadata": metadata, "results": results}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
