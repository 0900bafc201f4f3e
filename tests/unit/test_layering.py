"""Dependencies point one way, and commands import only what they need."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import selftrace

PACKAGE = Path(selftrace.__file__).parent
LAYERS = {
    "record": 0,
    "cache": 0,
    "errors": 0,
    "result": 1,
    "calls": 1,
    "policy": 2,
    "kernel": 3,
    "ptrace": 4,
    "prompt": 5,
    "events": 3,
    "tracee": 3,
    "job": 3,
    "startas": 3,
    "prepared": 4,
    "backends": 4,
    "compiling": 5,
    "monitor": 5,
    "rundir": 1,
    "plans": 5,
    "session": 6,
    "trace": 6,
    "tracer": 6,
    "outside": 7,
    "injected": 7,
    "running": 7,
    "doctor": 8,
    "comparison": 8,
    "learning": 8,
    "cli": 9,
    "reports": 4,
    "manual": 0,
    "inprocess": 7,
    "testing": 8,
    "pytest_plugin": 9,
}
"""Higher rooms may import lower ones, and themselves."""
NEVER_IN_TRACEE = ("session", "backends", "reports", "logging", "psutil", "ptrace", "pyseccomp")


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            if node.module == "selftrace":
                found |= {f"selftrace.{alias.name}" for alias in node.names}
    return found


def room(name: str) -> str:
    return name.split(".")[1] if name.startswith("selftrace.") else ""


def test_dependencies_point_one_way() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        here = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if here in ("__init__", "__main__"):
            continue
        for name in imports_of(path):
            there = room(name)
            if there in ("_native", "__version__", "") or there not in LAYERS:
                continue
            if LAYERS[there] > LAYERS[here]:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert wrong == []


def test_nothing_imports_the_command_line() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name != "cli" and path.name != "__main__.py":
            assert not any(room(name) == "cli" for name in imports_of(path)), path


def test_python_ptrace_is_imported_in_one_place() -> None:
    importing = [path for path in PACKAGE.rglob("*.py") if any(name.split(".")[0] == "ptrace" for name in imports_of(path))]
    assert importing == [PACKAGE / "ptrace" / "mended.py"]


def test_what_runs_inside_the_tracee_imports_next_to_nothing() -> None:
    for path in (PACKAGE / "tracee").rglob("*.py"):
        for name in imports_of(path):
            assert not name.startswith(NEVER_IN_TRACEE), (path, name)
            assert not name.startswith("selftrace."), (path, name)


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import selftrace", "selftrace.session tomllib dataclasses psutil ptrace pyseccomp asyncio rich cffi selftrace._native"),
        (
            "from selftrace.cli.main import main; main(['run', '-c', '1'])",
            "psutil ptrace pyseccomp asyncio rich logging subprocess",
        ),
        ("from selftrace.cli.main import main; main(['policy', 'list'])", "selftrace.session psutil asyncio selftrace._native"),
    ],
)
def test_import_budget(code: str, absent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    program = f"import sys\n{code}\nprint([n for n in {absent.split()!r} if n in sys.modules])"
    subprocess.run(
        [sys.executable, "-c", "from selftrace.cli.main import main; main(['run', '-c', '1'])"], check=True
    )  # fills the cache
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]"


def test_every_public_name_is_there() -> None:
    for name in selftrace.__all__:
        assert getattr(selftrace, name).__doc__, name
    with pytest.raises(AttributeError):
        selftrace.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("system", "machine", "release"), [("darwin", "arm64", "25.0"), ("linux", "aarch64", "6.1.0"), ("linux", "x86_64", "5.10.0")]
)
def test_elsewhere_it_is_refused_with_a_remedy(system: str, machine: str, release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    from selftrace.kernel import features
    from selftrace.policy.compile import compile as compile_plan
    from selftrace.policy.terms import Context

    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("os.uname", lambda: types.SimpleNamespace(machine=machine, release=release))
    with pytest.raises(selftrace.UnsupportedError) as info:
        selftrace.run(code="1")
    assert "explain" in info.value.remedy
    context = Context(script_dir="/s", home="/h", tmp="/t", cwd="/s", python=("/p",), site=("/q",))
    assert compile_plan(selftrace.Policy.builtin("untrusted-script").model(context), features.assumed()).rows
