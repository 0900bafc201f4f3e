"""A command line read without argparse is what argparse would have read; where it is not plain, argparse is asked."""

from __future__ import annotations

import pytest

from selftrace.cli import run
from selftrace.cli.main import parser_for

PLAIN = [
    ["-c", "pass"],
    ["-c", "pass", "-q", "--json", "x"],
    ["-m", "json.tool", "--help"],
    ["job.py"],
    ["job.py", "--policy", "of the script", "-c"],
    ["-q", "--audit", "job.py"],
    ["--quiet", "--timeout", "1.5", "job.py", "a b"],
    ["--timeout=2", "--memory=1G", "-c", "x"],
    ["--allow-read", "/a", "--allow-read=/b", "--output", "*.png", "--input", "x=y", "job.py"],
    ["--env", "A=b=c", "--var", "X=", "--json", "out", "-m", "mod"],
    ["--policy", "", "-c", ""],
    ["--", "prog", "--policy"],
    ["-q", "--", "prog"],
    [],
]
NOT_PLAIN = [
    ["--help"],
    ["-h"],
    ["--nothing", "job.py"],
    ["-cpass"],
    ["-qc", "pass"],
    ["--timeout", "-1", "job.py"],
    ["--timeout", "soon", "job.py"],
    ["--timeout", "0", "job.py"],
    ["--policy"],
    ["--policy", "-q", "job.py"],
    ["--audit=yes", "job.py"],
    ["-"],
]


@pytest.mark.parametrize("words", PLAIN, ids=" ".join)
def test_the_same_as_argparse(words: list[str]) -> None:
    parsed = vars(parser_for("run").parse_args(words))
    del parsed["execute"]
    read = run.plain(words)
    assert read is not None
    given = dict(vars(read))
    assert {name: value or None for name, value in given.items()} == {name: value or None for name, value in parsed.items()}
    assert (given["code"], given["module"]) == (parsed["code"], parsed["module"])


@pytest.mark.parametrize("words", NOT_PLAIN, ids=" ".join)
def test_argparse_is_asked(words: list[str]) -> None:
    assert run.plain(words) is None
