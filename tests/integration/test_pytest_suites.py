"""The test suites of projects that nobody here wrote, with `-n 2`: the plugin changes no verdict, loaded or at work."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from foreign_suites import OURS, SUITES, environment, unpacked

from tests.waiting import PATIENCE_S

PLUGINS = Path(__file__).parent / "pytest_plugins"
MODES = {"without": ("-p", "no:selftrace"), "loaded": (), "at work": ("-p", "everywhere")}

PAGER = "tests/test_utils.py::test_echo_via_pager"
UNSTEADY = {"click": ("--dist", "loadfile", "--deselect", f"{PAGER}[test5", "--deselect", f"{PAGER}[test6")}
"""Its tests of the pager share one file, so one process runs them; two of them end the pager while it writes, and pass or fail by
chance, with neither xdist nor us."""


def outcomes(name: str, mode: str, source: Path, place: Path) -> dict[str, list[list[object]]]:
    """Node id → [phase, outcome, whether it was expected to fail, how many calls were seen]."""
    env = {
        **environment(source),
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "TMPDIR": str(place),
        "VERDICTS": str(place / mode),
    }
    env["PYTHONPATH"] += f"{os.pathsep}{PLUGINS}"
    words = [
        "-q",
        "-n",
        "2",
        "-p",
        "no:cacheprovider",
        "-p",
        "verdicts",
        *OURS,
        *MODES[mode],
        *UNSTEADY.get(name, ()),
        *SUITES[name],
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=source, env=env, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode in (0, 1), done.stdout[-4000:] + done.stderr[-4000:]
    found: dict[str, list[list[object]]] = json.loads((place / mode).read_text())
    return found


def verdicts(found: dict[str, list[list[object]]]) -> dict[str, list[list[object]]]:
    return {test: [phase[:3] for phase in phases] for test, phases in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", SUITES)
def test_each_test_has_the_same_verdict(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("xdist") is None:
        pytest.skip("pytest-xdist is missing: pip install pytest-xdist")
    (tmp_path / "source").mkdir()
    source = unpacked(name, tmp_path / "source")
    without, loaded, at_work = (outcomes(name, mode, source, tmp_path) for mode in MODES)
    assert sum(phase[:2] == ["call", "passed"] for phases in without.values() for phase in phases) > 300
    assert verdicts(loaded) == verdicts(without)
    assert verdicts(at_work) == verdicts(without)
    ran = {test for test, phases in at_work.items() if any(phase[0] == "call" for phase in phases)}
    assert {test for test, phases in at_work.items() if phases[-1][3] is not None} >= ran
    assert sum(count for phases in at_work.values() if isinstance(count := phases[-1][3], int)) > len(ran) / 4
