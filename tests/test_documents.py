"""Every block of TOML and Python in README and the manual is run, and the manual names the whole public interface."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import selftrace
from selftrace import Policy
from selftrace.cli.help import manual
from selftrace.policy.compile import compile as compile_plan
from selftrace.policy.terms import Context, Features

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [path for path in (ROOT / "README.md",) if path.exists()] + list(manual().values())
BLOCK = re.compile(r"^```(toml|python)\n(.*?)^```", re.M | re.S)
CONTEXT = Context(
    script="/srv/job.py", script_dir="/srv", home="/home/u", tmp="/tmp/run", cwd="/srv", python=(sys.prefix,), site=("/usr/lib",)
)


def blocks(language: str) -> list[tuple[str, int, str]]:
    found = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            if match[1] == language:
                found.append((path.name, text.count("\n", 0, match.start()) + 2, match[2]))
    return found


@pytest.mark.parametrize(("name", "line", "text"), blocks("toml"), ids=lambda value: str(value)[:24])
def test_toml(name: str, line: int, text: str, features: Features) -> None:
    policy = Policy.parse(text, name=f"{name}:{line}")
    assert compile_plan(policy.model(CONTEXT), features).rows


@pytest.mark.parametrize(("name", "line", "text"), blocks("python"), ids=lambda value: str(value)[:24])
def test_python(name: str, line: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "@p.on" in text:  # a handler file
        path = tmp_path / "handlers.py"
        path.write_text(text)
        assert Policy.load(path)
        return
    exec(compile("\n" * (line - 1) + text, name, "exec"), {"__name__": "__example__"})


def test_the_manual_names_the_public_interface() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    missing = [name for name in selftrace.__all__ if not re.search(rf"\b{name}\b", text)]
    assert missing == []


def test_every_builtin_documents_itself() -> None:
    from selftrace.cli.policy import summary
    from selftrace.policy.reader import builtin_names

    for name in builtin_names():
        assert len(summary(name)) > 40
        assert summary(name).endswith(".")


def test_readme_names_every_command() -> None:
    from selftrace.cli.main import COMMANDS

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"`selftrace {name}" not in readme] == []
