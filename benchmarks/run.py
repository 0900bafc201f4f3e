"""All measurements, as ratios to the baseline of the same run: `python benchmarks/run.py [--json FILE] [--rounds N] [CASE…]`.

Machines are shared and noisy: look at ratios, run it twice, and never set a pinned supervisor beside a free one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))  # behind what is installed
from benchmarks.tools import Tools

CASES = ("getppid", "open_close", "start", "memory", "exec", "programs", "tracing", "trace")


def metadata() -> dict[str, Any]:
    """What a reader needs to judge the numbers."""
    import selftrace
    from selftrace.kernel.features import probe

    with open("/proc/cpuinfo") as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return {
        "selftrace": selftrace.__version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "landlock_abi": probe().landlock_abi,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": " ".join(sys.argv),
    }


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
        Path(arguments.json).write_text(json.dumps({"schema": 1, "metadata": metadata(), "results": results}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
