"""When two runs of a program had the same result, and what is said when they had not."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from selftrace.comparison import outcome
from selftrace.comparison.mechanisms import Place, chosen, own
from selftrace.comparison.outcome import Outcome
from selftrace.comparison.process import OVERDUE, Streams
from selftrace.errors import CommandError


class Runs:
    """Takes outcomes of runs that are acted out."""

    def __init__(self, directory: Path) -> None:
        self.streams = Streams("/dev/null", str(directory / "out"), str(directory / "err"))
        self.file = directory / "made"

    def take(self, status: int = 0, out: bytes = b"", made: bytes | None = None) -> Outcome:
        before = outcome.stamps([str(self.file)])
        Path(self.streams.stdout).write_bytes(out)
        Path(self.streams.stderr).write_bytes(b"")
        if made is not None:
            self.file.unlink(missing_ok=True)
            self.file.write_bytes(made)
        return outcome.take(status, self.streams, before)

    def said(self, found: Outcome, expected: Outcome) -> list[str]:
        return [outcome.sentence(name, found, expected) for name in sorted(found.differs_in(expected))]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_the_same(runs: Runs) -> None:
    assert runs.take(3, b"a\n", b"x").differs_in(runs.take(3, b"a\n", b"x")) == set()


def test_what_is_said(runs: Runs) -> None:
    expected = runs.take(0, b"a\nb\n", b"x\n")
    assert runs.said(runs.take(1, b"a\nb\n", b"x\n"), expected) == ["exit status 1 instead of 0"]
    assert runs.said(runs.take(OVERDUE, b"a\nb\n", b"x\n"), expected) == ["it did not end in time"]
    assert runs.said(runs.take(0, b"a\nc\n", b"x\n"), expected) == ["stdout: line 2 is 'c', not 'b'"]
    assert runs.said(runs.take(0, b"a\n", b"x\n"), expected) == ["stdout: ends before line 2: 'b'"]
    assert runs.said(runs.take(0, b"a\nb\n\xff\n", b"x\n"), expected) == [r"stdout: line 3 is one too many: '\ufffd'"]
    assert runs.said(runs.take(0, b"a\nb\n", b"y\n"), expected) == [f"{runs.file}: line 1 is 'y', not 'x'"]


def test_a_file_of_an_earlier_run_is_no_file_of_this_one(runs: Runs) -> None:
    expected = runs.take(made=b"x")
    assert runs.said(runs.take(), expected) == [f"{runs.file}: was not written"]
    runs.file.unlink()
    assert runs.said(runs.take(), expected) == [f"{runs.file}: nothing instead of file"]


def test_mechanisms_are_chosen_by_name() -> None:
    assert [m.name for m in chosen(["trap", "strace"], [])] == ["none", "trap", "strace"]
    assert [m.name for m in chosen(["none"], ["mine=env {}"])] == ["none", "mine"]
    assert chosen([], [])[0].name == "none" and len(chosen([], [])) > 10
    with pytest.raises(CommandError, match='unknown mechanism "strac"; did you mean "strace"') as info:
        chosen(["strac"], [])
    assert info.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sleep {}", "is wanted"),
        ("=env {}", "is wanted"),
        ("x=", "is wanted"),
        ("x=sleep 1", "has no {}"),
        ("a b=env {}", "a name is made of"),
        ("strace=env {}", "already"),
    ],
)
def test_a_mechanism_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(CommandError, match=message) as info:
        chosen(["none"], [text])
    assert text in str(info.value) and info.value.exit_code == 2


def test_a_mechanism_of_ones_own() -> None:
    place = Place("/tmp", {}, contextlib.ExitStack())
    words = ["/bin/echo", "a b", "$x"]
    assert own("y={}").start(words, place).argv == words
    assert own("y=env -i {}").start(words, place).argv == ["env", "-i", *words]
    shell = own("y=sleep 1; {}").start(words, place)
    assert shell.argv == ["/bin/sh", "-c", "sleep 1; /bin/echo 'a b' '$x'"]
    assert own("y=sudo-like --run={}").start(words, place).argv[:2] == ["/bin/sh", "-c"]
