"""Every policy case on every backend: the same verdicts, the same reports. What differs stands in exceptions.py,
with its reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import selftrace
from selftrace import Policy
from selftrace.result import Result
from tests.conformance.cases import CASES, PRELUDE, Case
from tests.conformance.exceptions import POLICIES, shown
from tests.waiting import PATIENCE_S

BACKENDS = ("none", "trap", "dispatch", "ptrace")


def reports_of(result: Result) -> list[tuple[str, str, str]]:
    """(call, errno or kind, rule) of all that was reported, sorted, each as often as it came."""
    found = [(one.call, one.error, one.rule) for one in result.violations for _ in range(one.count)]
    return sorted([*found, *((one.text.partition("(")[0], one.kind, one.rule) for one in result.events)])


def in_process(case: Case, place: Path) -> str:
    """What the script prints where the policy is in force around it, in its own process."""
    body = "".join(f"    {line}\n" for line in case.body.splitlines())
    code = (
        f"import selftrace\n{PRELUDE}\npolicy = selftrace.Policy.parse({case.rules!r})\nwith selftrace.tracing(policy):\n{body}"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, cwd=place, stdin=subprocess.DEVNULL
    )
    assert done.returncode == (-9 if case.reason == "violation" else 0), done.stderr
    return done.stdout.strip("\n")


ALL = [(case, backend) for case in CASES for backend in BACKENDS if (case.name, backend) not in POLICIES]


@pytest.mark.parametrize(("case", "backend"), ALL, ids=[f"{case.name}-{backend}" for case, backend in ALL])
def test_a_policy(case: Case, backend: str, tmp_path: Path) -> None:
    if backend == "dispatch":
        assert in_process(case, tmp_path) == case.held
        return
    result = selftrace.run(code=PRELUDE + case.body, policy=Policy.parse(case.rules), backend=backend, timeout_s=PATIENCE_S)
    printed = result.stdout.decode().strip("\n")
    if backend == "none":
        assert not result.violations and not result.events
        assert case.plain is None or printed == case.plain, result.stderr.decode()
        return
    assert printed == case.held, (result.stderr.decode(), result.violations, result.notes)
    assert reports_of(result) == sorted(case.reports)
    assert result.reason == case.reason


def test_the_exceptions_are_of_cases_that_there_are() -> None:
    assert {name for name, _ in POLICIES} <= {case.name for case in CASES}
    assert {backend for _, backend in POLICIES} <= {*BACKENDS}


def test_the_manual_shows_the_exceptions() -> None:
    manual = (Path(selftrace.__file__).parent / "manual" / "guarantees.md").read_text()
    assert shown() in manual
