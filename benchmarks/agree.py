"""Whether comparisons of one program agree: `python benchmarks/agree.py [--runs 3] [--rounds 7] -- PROG ARGS`, or of files that
`selftrace compare --json` wrote: `python benchmarks/agree.py A.json B.json C.json`. Ends with 1 where two mechanisms that are
surely more than a tenth apart in one run are the other way round in another."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import selftrace
from selftrace import Comparison
from selftrace.comparison.result import CONDITIONS
from selftrace.comparison.statistics import contradictions


def _samples(run: Comparison, condition: str) -> dict[str, list[float]]:
    return {row.name: row.measured[condition].programs for row in run.rows if condition in row.measured}


def report(runs: list[Comparison]) -> int:
    """Prints each run's ranking, and what contradicts."""
    wrong = 0
    for condition in CONDITIONS:
        print(CONDITIONS[condition])
        for run in runs:
            base = run.row("none").measured[condition].program_s
            ranks = [f"{name} {value / base:.2f}" for name, value in run.medians(condition).items()]
            print(f"  load {run.metadata['load']}: {' < '.join(ranks)}")
        for slow, fast in contradictions([_samples(run, condition) for run in runs]):
            shaky = [name for name in (slow, fast) if any(run.row(name).measured[condition].unstable for run in runs)]
            print(f"  not agreed: {slow} slower than {fast}{' (unstable: ' + ', '.join(shaky) + ')' if shaky else ''}")
            wrong += 1
    print(f"{len(runs)} runs, {wrong} contradictions")
    return 1 if wrong else 0


def main() -> int:
    """Measures or reads, and compares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="mechanisms, separated by commas")
    parser.add_argument("words", nargs="+", help="files, or -- and a program")
    arguments = parser.parse_args()
    if all(word.endswith(".json") for word in arguments.words):
        return report([Comparison.from_json(Path(name).read_text()) for name in arguments.words])
    only = [name for name in arguments.only.split(",") if name]
    return report([selftrace.compare(arguments.words, rounds=arguments.rounds, only=only) for _ in range(arguments.runs)])


if __name__ == "__main__":
    sys.exit(main())
