"""Writes what became of each test, in each phase, into the file $VERDICTS; under xdist, the controller does."""

from __future__ import annotations

import json
import os

import pytest

_found: dict[str, list[list[object]]] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    seen = dict(report.user_properties).get("syscalls")
    _found.setdefault(report.nodeid, []).append([report.when, report.outcome, hasattr(report, "wasxfail"), seen])


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        with open(os.environ["VERDICTS"], "w", encoding="utf-8") as file:
            json.dump(_found, file)
