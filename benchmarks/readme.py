"""README's numbers: `python benchmarks/readme.py` writes them from benchmarks/results, `--check` ends with 1 where they are not
what benchmarks/results says (CI), `--measure` measures everything anew first (a quarter of an hour; a quiet machine, root,
`pip install -e '.[bench]'`, and the programs of benchmarks/cases/programs.py)."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))  # behind what is installed
from benchmarks import render
from selftrace import Comparison
from selftrace.comparison.mechanisms import builtin

HERE = Path(__file__).resolve().parent
README, RESULTS = HERE.parent / "README.md", HERE / "results"
BEGIN, END = "<!-- overhead: begin -->\n", "<!-- overhead: end -->\n"
STAMP = "<!-- {name}: sha256 {digest} -->\n"
PYTHON = "/usr/bin/python3"
LEAST = 7
"""Rounds of a comparison: fewer cannot rule chance out."""


def rendered() -> str:
    """The block. Raises FileNotFoundError."""
    micro = json.loads((RESULTS / "micro.json").read_text())
    found = {name: Comparison.from_json((RESULTS / f"{name}.json").read_text()) for name in render.PROGRAMS}
    return render.block(micro, found)


def with_block(text: str, block: str) -> str:
    """README with another block. Raises ValueError without the markers."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no {BEGIN.strip()} … {END.strip()}")
    return head + begin + block + end + tail


def stamp() -> str:
    """What the plot ends with: of which JSON it was drawn."""
    name = f"{render.PLOTTED}.json"
    return STAMP.format(name=name, digest=hashlib.sha256((RESULTS / name).read_bytes()).hexdigest())


def draw() -> None:
    """The plot."""
    from selftrace.comparison import plot

    found = Comparison.from_json((RESULTS / f"{render.PLOTTED}.json").read_text())
    title = f"{render.PROGRAMS[render.PLOTTED]}, {found.call_count:,} calls"
    plot.write(found, str(RESULTS / render.PLOT), title=title)
    with (RESULTS / render.PLOT).open("a") as file:
        file.write(stamp())


def wrong() -> list[str]:
    """Sentences about what is not as it should be."""
    found = []
    text = README.read_text()
    if BEGIN not in text or END not in text:
        return [f"README.md has no {BEGIN.strip()} … {END.strip()}"]
    if text != with_block(text, rendered()):
        found.append("README.md's overhead block is not what benchmarks/results says")
    if not (RESULTS / render.PLOT).read_text().endswith(stamp()):
        found.append(f"benchmarks/results/{render.PLOT} was drawn of other numbers")
    return found


def _compare(name: str, words: list[str], rounds: int, directory: str, *, without: str = "") -> None:
    only = ",".join(mechanism.name for mechanism in builtin() if mechanism.name != without)
    command = [sys.executable, "-m", "selftrace", "compare", "--rounds", str(rounds), "--timeout", "120", "--only", only]
    print(f"==== {name}", flush=True)
    done = subprocess.run([*command, "--json", str(RESULTS / f"{name}.json"), "--", *words], cwd=directory, check=False)
    if done.returncode not in (0, 1):  # 1: another result under some mechanism, which is a finding
        raise SystemExit(done.returncode)


def _repository(directory: str) -> None:
    """Something for git status to look at: /usr/share/perl, committed."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", directory]
    subprocess.run(["cp", "-r", "/usr/share/perl/.", directory], check=True)
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *words], check=True)


def measure(rounds: int, cases: list[str]) -> None:
    """Everything, the microbenchmarks first. cases: a part of these, with what was measured before kept for the rest."""
    RESULTS.mkdir(exist_ok=True)
    before = json.loads((RESULTS / "micro.json").read_text()) if cases and (RESULTS / "micro.json").exists() else None
    words = [sys.executable, str(HERE / "run.py"), "--rounds", str(rounds), "--json", str(RESULTS / "micro.json")]
    subprocess.run([*words, *cases], check=True)
    if before is not None:
        now = json.loads((RESULTS / "micro.json").read_text())
        now["results"] = {**before["results"], **now["results"]}
        (RESULTS / "micro.json").write_text(json.dumps(now, indent=1) + "\n")
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        _repository(directory)
        rounds = max(rounds, LEAST)
        _compare("git-status", ["git", "-c", "core.preloadindex=false", "status", "--short"], rounds, directory)
        _compare("python", [PYTHON, str(HERE / "programs" / "work.py")], rounds, directory)
        _compare("redis", ["sh", str(HERE / "programs" / "redis.sh")], rounds, directory, without=render.SLOW)


def main() -> int:
    """Measures, writes or checks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; 1 where something is not as it should be")
    parser.add_argument("--measure", action="store_true", help="measure first")
    parser.add_argument("--rounds", type=int, default=7, help="of each measurement (default: 7)")
    parser.add_argument("--cases", nargs="*", default=[], help="with --measure: these microbenchmarks only")
    arguments = parser.parse_args()
    if arguments.check:
        found = wrong()
        for text in found:
            print(f"{text}: run python benchmarks/readme.py", file=sys.stderr)
        return 1 if found else 0
    if arguments.measure:
        print(f"load {os.getloadavg()[0]:.2f} on {len(os.sched_getaffinity(0))} cores", flush=True)
        measure(arguments.rounds, arguments.cases)
    README.write_text(with_block(README.read_text(), rendered()))
    draw()
    return 0


if __name__ == "__main__":
    sys.exit(main())
