"""The test suites of four projects that nobody here wrote: where their sources are, and what of them can run without a network."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SDISTS = Path(os.environ.get("SELFTRACE_SDISTS", ROOT / "build" / "sdists"))
OFFLINE_REQUESTS = (
    *(f"tests/test_{name}.py" for name in "utils structures hooks help packages adapters lowlevel requests".split()),
    "-k",
    # the others look up names, or connect to addresses that must not answer
    "not test_requests or HTTP_200 or cookie or POST or redirect or auth or CaseInsensitive or Morsel",
)
OURS = ("-p", "no:asyncio", "-p", "no:pytest_cov", "-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning")
"""Plugins that our own tests need, and the warning about an editable install's import hook: some suites make warnings errors."""
SUITES: dict[str, tuple[str, ...]] = {
    "attrs": (),
    "click": ("-W", "ignore::pytest.PytestRemovedIn10Warning", "-W", "ignore::DeprecationWarning"),
    "jinja2": (),
    "requests": OFFLINE_REQUESTS,
}


def unpacked(name: str, place: Path) -> Path:
    """The sources of a project, in the directory `place`."""
    archives = list(SDISTS.glob(f"{name}-*.tar.gz"))
    assert archives, f"no source of {name} in {SDISTS}: README's second command downloads it"
    with tarfile.open(archives[0]) as archive:
        archive.extractall(place)
    (source,) = place.iterdir()
    return source


def environment(source: Path) -> dict[str, str]:
    """What a suite runs with; nothing is written but by the tests."""
    return {
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(source / "src"),
        "COLUMNS": "200",
        "HYPOTHESIS_STORAGE_DIRECTORY": "/dev/null",
    }
