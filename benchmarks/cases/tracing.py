"""Tracing and faults in the program's own process: what a call costs that is seen, and one that only passes by a fault."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import selftrace
from selftrace.inprocess.sites import patch_sites

NAME, UNIT = "in process", "ns a round"
SLICES = 20
"""Of which the fastest counts: on a busy machine somebody else runs in most of them."""
WARM = 10
"""Rounds before the first that counts: a site is patched when its calls have arrived a few times."""


def _file(path: str) -> None:
    with open(path, "rb") as file:
        file.read()


def _document(path: str) -> None:
    with open(path) as file:
        json.dumps(json.load(file))


def _walk(path: str) -> None:
    for entry in os.scandir(path):
        entry.stat()


def _database(path: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as base:
        base.execute("create table if not exists t (x)")
        base.executemany("insert into t values (?)", [(n,) for n in range(100)])
        base.rollback()


def _timed(work: Callable[[], object], rounds: int, around: Callable[[], Any]) -> Callable[[], float]:
    def once() -> float:
        with around():
            for _ in range(WARM):
                work()
            best = float("inf")
            for _ in range(SLICES):
                start = time.perf_counter()
                for _ in range(rounds // SLICES):
                    work()
                best = min(best, time.perf_counter() - start)
            return best / (rounds // SLICES) * 1e9

    return once


@contextlib.contextmanager
def _unpatched() -> Iterator[None]:
    """Every call arrives."""
    patch_sites(False)
    try:
        with selftrace.inject("reboot", error="EPERM"):
            yield
    finally:
        patch_sites(True)


def _ways(work: Callable[[], object], rounds: int) -> dict[str, Callable[[], float]]:
    ways: dict[str, Callable[[], Any]] = {
        "none": contextlib.nullcontext,
        "tracing(), every call": lambda: selftrace.tracing(threads="current"),
        "tracing() of another call": lambda: selftrace.tracing("reboot", threads="current"),
        "inject() on another call": lambda: selftrace.inject("reboot", error="EPERM"),
        "inject(), no site patched": _unpatched,
    }
    return {name: _timed(work, rounds, around) for name, around in ways.items()}


def measure(tools: Any) -> dict[str, dict[str, float]]:
    """none: nothing is mapped and no handler is ours."""
    directory = Path(tools.directory)
    document = directory / "document.json"
    document.write_text(json.dumps([{"name": f"n{n}", "values": list(range(20))} for n in range(40)]))
    tree = directory / "tree"
    tree.mkdir(exist_ok=True)
    for n in range(50):
        (tree / str(n)).touch()
    works: dict[str, tuple[Callable[[], object], int]] = {
        "getppid": (os.getppid, 20000),
        "open, read, close": (lambda: _file(str(document)), 2000),
        "a JSON document read and written": (lambda: _document(str(document)), 300),
        "scandir and stat of 50 files": (lambda: _walk(str(tree)), 300),
        "100 rows into SQLite, rolled back": (lambda: _database(str(directory / "base")), 100),
    }
    entering = {
        "none": lambda: 1.0,
        "tracing(): enter and leave": _entering(lambda: selftrace.tracing(threads="current")),
        "inject(): enter and leave": _entering(lambda: selftrace.inject("openat", error="EIO", when="9")),
    }
    found = {name: tools.interleaved(_ways(work, rounds)) for name, (work, rounds) in works.items()}
    return {**found, "switching": tools.interleaved(entering)}


def _entering(around: Callable[[], Any]) -> Callable[[], float]:
    def once() -> float:
        start = time.perf_counter()
        for _ in range(50):
            with around():
                pass
        return (time.perf_counter() - start) / 50 * 1e9

    return once
