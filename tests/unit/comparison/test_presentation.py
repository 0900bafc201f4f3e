"""What a comparison says, in each of its forms; on numbers that nobody measured."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from unit.comparison.synthetic import comparison

from selftrace import Comparison, UnsupportedError
from selftrace.comparison import plot
from selftrace.comparison.page import as_page
from selftrace.comparison.table import as_text, beside, show
from selftrace.errors import CommandError


def test_figures() -> None:
    found = comparison()
    assert found.call_count == 1000
    assert found.times("strace", "pinned") == pytest.approx(6.0)
    assert found.per_call_s("strace", "pinned") == pytest.approx(50e-6)
    assert found.row("trace").measured["pinned"].start_s == pytest.approx(0.08)
    assert found.row("shaky").measured["free"].unstable and not found.row("trace").measured["free"].unstable
    assert found.verdict("strace", "free") == "slower" and found.verdict("odd", "free") == "equal"
    assert list(found.medians("free")) == ["none", "odd", "trace", "shaky", "strace"]
    assert not found.identical
    with pytest.raises(KeyError):
        found.row("nothing")


def test_json_there_and_back() -> None:
    found = comparison()
    text = found.to_json()
    data = json.loads(text)
    assert data["schema"] == 1 and data["rows"][1]["measured"]["pinned"]["samples"][0]["program_s"] == pytest.approx(0.0188)
    assert data["rows"][5]["measured"] == {} and data["rows"][5]["reason"]
    assert Comparison.from_json(text) == found
    with pytest.raises(ValueError, match="schema 9"):
        Comparison.from_json('{"schema": 9}')


def test_text() -> None:
    text = as_text(comparison())
    lines = text.splitlines()
    assert lines[0] == "prog a b: 1,000 system calls, 7 rounds, medians"
    (row, other) = [line.split() for line in lines if line.startswith("  strace ")]
    assert row == ["strace", "60.0", "3%", "6.00", "50.00", "16,667", "1.0", "61.0", "60.5"]
    assert other[3] == "17.67"
    assert sum("unstable" in line for line in lines) == 2
    assert "odd: OTHER RESULT: exit status 1 instead of 0" in lines
    assert "gone: not available: it is not installed" in lines
    assert "note: stdout varies" in lines
    assert str(comparison()) == text


def test_outside_tracers_are_set_beside_ours_under_the_same_condition() -> None:
    found = comparison()
    assert "strace 5.0 ×" in beside(found, "pinned")
    assert "strace 25.0 ×" in beside(found, "free")


def test_colour_only_where_it_is_wanted() -> None:
    plain, coloured = io.StringIO(), io.StringIO()
    show(comparison(), plain, colour=False)
    assert plain.getvalue() == as_text(comparison()) + "\n"
    show(comparison(), coloured, colour=True)
    assert "strace" in coloured.getvalue() and coloured.getvalue() != plain.getvalue()


class _Balanced(HTMLParser):
    """Every element that has to be closed is, and nothing is fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page() -> None:
    page = as_page(comparison())
    reader = _Balanced()
    reader.feed(page)
    assert reader.open == [] and reader.fetched == []
    assert "b &amp; &lt;b&gt;" in page and "<b>" not in page
    assert re.search(r'<tr class="yours different">.*odd', page)
    assert "exit status 1 instead of 0" in page and "it is not installed" in page
    assert not re.search(r"https?:", page)


def test_plot(tmp_path: Path) -> None:
    """In a process of its own: matplotlib keeps its fonts open."""
    (tmp_path / "found.json").write_text(comparison().to_json())
    code = (
        "from selftrace import Comparison; from selftrace.comparison import plot\n"
        "found = Comparison.from_json(open('found.json').read())\n"
        "plot.write(found, 'a.svg'); plot.write(found, 'b.svg')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={**os.environ, "MPLCONFIGDIR": str(tmp_path)})
    first = (tmp_path / "a.svg").read_text()
    assert first == (tmp_path / "b.svg").read_text()
    assert first.startswith("<?xml") and first.rstrip().endswith("</svg>")


def test_plot_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(UnsupportedError, match=r"needs matplotlib.*selftrace\[bench\]"):
        plot.check("a.svg")
    with pytest.raises(CommandError, match=r"ends in \.svg"):
        plot.check("a.png")
