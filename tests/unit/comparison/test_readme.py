"""README's numbers are those of benchmarks/results, and a number that is not is found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def check(root: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(root / "benchmarks" / "readme.py"), "--check"]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the check reads."""
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path


def test_it_is_what_was_measured() -> None:
    done = check(ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_another_number_in_the_text(copy: Path) -> None:
    readme = copy / "README.md"
    text = readme.read_text()
    at = text.index("| `selftrace run -c pass`")
    readme.write_text(text[:at] + text[at:].replace("+", "+1", 1))
    done = check(copy)
    assert done.returncode == 1 and "README.md's overhead block is not what benchmarks/results says" in done.stderr


def test_another_number_in_the_measurement(copy: Path) -> None:
    path = copy / "benchmarks" / "results" / "git-status.json"
    found = json.loads(path.read_text())
    for row in found["rows"]:
        for measured in row["measured"].values():
            for sample in measured["samples"]:
                sample["program_s"] = (sample["program_s"] or 1) * (3 if row["name"] == "strace" else 1)
    path.write_text(json.dumps(found))
    done = check(copy)
    assert done.returncode == 1 and done.stderr.count("run python benchmarks/readme.py") == 2


def test_no_markers(copy: Path) -> None:
    (copy / "README.md").write_text("nothing\n")
    done = check(copy)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "overhead: begin" in done.stderr
