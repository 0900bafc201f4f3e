"""What faults found in projects that nobody here wrote; `selftrace help tutorial-pytest` tells of it.

Each test says how the pinned version behaves. One that fails has been mended there: pin the next version, and another finding.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib.metadata import version
from pathlib import Path

import click
import jinja2
import pytest

import selftrace
from selftrace.inprocess.engine import known_problem

pytestmark = pytest.mark.skipif(bool(known_problem()), reason=known_problem() or "available")
ROWS = [f"row {n}\n" * 2000 for n in range(40)]
"""More than a buffer holds (128 KiB from Python 3.14 on): several writes."""


def pinned(name: str) -> str:
    lines = (Path(__file__).parents[1] / "foreign.txt").read_text().split()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{name}=="))


@pytest.mark.parametrize("name", ["click", "jinja2"])
def test_the_versions_are_those_that_are_spoken_of(name: str) -> None:
    assert version(name) == pinned(name) == {"click": "8.2.1", "jinja2": "3.1.4"}[name]


def save(path: Path) -> None:
    with click.open_file(str(path), "w", encoding="utf-8", atomic=True) as file:
        for row in ROWS:
            file.write(row)


# What is left in Python 3.14's buffer is written again when the file is closed: that fails too, and the good file stays.
@pytest.mark.parametrize("when", ["1", "2", *(["2+"] if sys.version_info < (3, 14) else [])])
def test_clicks_atomic_file_replaces_a_good_file_by_a_part_when_the_disk_is_full(when: str, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("the good list\n")
    with (
        selftrace.inject("write", error="ENOSPC", when=when, path=f"{os.path.realpath(tmp_path)}/**") as fault,
        pytest.raises(OSError, match="No space left"),
    ):
        save(path)
    assert fault.fired >= 1
    text = path.read_text()
    assert text != "the good list\n"  # what `atomic=True` is for
    assert len(text) < len("".join(ROWS))
    assert [entry.name for entry in tmp_path.iterdir()] == ["list.txt"]


def test_clicks_atomic_file_keeps_the_good_file_when_it_cannot_be_renamed_but_leaves_the_other(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("the good list\n")
    with (
        selftrace.inject("rename", error="ENOSPC", path=f"{os.path.realpath(tmp_path)}/**") as fault,
        pytest.raises(OSError, match="No space left"),
    ):
        save(path)
    assert fault.fired == 1
    assert path.read_text() == "the good list\n"
    left = sorted(entry.name for entry in tmp_path.iterdir())
    assert len(left) == 2 and left[0].startswith(".__atomic-write")


@pytest.mark.parametrize(("call", "handled"), [("openat", False), ("write", False), ("rename", True)])
def test_a_full_disk_under_jinja2s_cache_fails_the_page(call: str, handled: bool, tmp_path: Path) -> None:
    """A cache that cannot be written costs time only; where the last step fails, jinja2 sees it so."""
    cache = jinja2.FileSystemBytecodeCache(str(tmp_path))
    pages = jinja2.Environment(loader=jinja2.DictLoader({"page": "hello {{ name }}"}), bytecode_cache=cache)
    with selftrace.inject(call, error="ENOSPC", path=f"{os.path.realpath(tmp_path)}/**") as fault:
        if handled:
            assert pages.get_template("page").render(name="x") == "hello x"
        else:
            with pytest.raises(OSError) as caught:
                pages.get_template("page")
            assert caught.value.errno == errno.ENOSPC
    assert fault.fired == 1
    assert list(tmp_path.iterdir()) == []
