"""Programs and test suites that nobody here wrote, unedited, plain and interposed: the same verdicts."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from foreign_suites import OURS, SUITES, environment, unpacked

import selftrace
from selftrace import Result

NOTHING = r"(?!)"
STARTS_PROGRAMS = {
    "attrs": NOTHING,
    "click": r"test_echo_via_pager|test_edit|test_fast_edit|test_light_imports",
    "jinja2": NOTHING,
    "requests": NOTHING,
}
"""Tests that start another program, which builtin:python refuses: a pager, an editor, a second Python."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that any user may enter."""
    directory = Path(tempfile.mkdtemp(prefix="foreign-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def verdicts(result: Result) -> set[str]:
    """Failed and erring tests, and the closing line without its time."""
    lines = result.stdout.decode("utf-8", "replace").splitlines()
    named = {line.split(" - ")[0] for line in lines if line.startswith(("FAILED", "ERROR"))}
    return named | {re.sub(r" in [\d.]+s.*", "", lines[-1]).strip("= ")}


@pytest.mark.parametrize("name", SUITES)
def test_suites(name: str, place: Path) -> None:
    source = unpacked(name, place)
    found = {}
    for backend in ("none", "trap"):
        found[backend] = selftrace.run(
            None,  # type: ignore[arg-type]
            *("-q", "-p", "no:cacheprovider", "-rfE", "--no-header", *OURS, *SUITES[name]),
            module="pytest",
            cwd=source,
            policy="builtin:python",
            backend=backend,
            env=environment(source),
        )
        assert found[backend].reason == "exit", found[backend].stderr[-2000:]
        assert re.search(rb"\d+ passed", found[backend].stdout), found[backend].stdout[-2000:]
    different = {line for line in verdicts(found["trap"]) ^ verdicts(found["none"]) if line.startswith(("FAILED", "ERROR"))}
    assert {line for line in different if not re.search(STARTS_PROGRAMS[name], line)} == set()
    if STARTS_PROGRAMS[name] == NOTHING:
        assert verdicts(found["trap"]) == verdicts(found["none"])


def both(*args: str, **options: object) -> tuple[Result, Result]:
    plain, interposed = (selftrace.run(None, *args, backend=backend, **options) for backend in ("none", "trap"))  # type: ignore[arg-type]
    return plain, interposed


def same(*args: str, expected: bytes, **options: object) -> None:
    plain, interposed = both(*args, **options)
    assert expected in plain.check().stdout
    assert interposed.check().stdout == plain.stdout
    assert interposed.outputs == plain.outputs


def test_json_tool() -> None:
    same("in.json", module="json.tool", inputs={"in.json": b'{"a": [1, 2]}'}, expected=b'"a": [')


def test_zipfile() -> None:
    """But for the time of the input, which the two runs copy one after the other."""
    contents = []
    for result in both("-c", "out.zip", "a.txt", module="zipfile", inputs={"a.txt": b"text"}, outputs=["out.zip"]):
        with zipfile.ZipFile(io.BytesIO(result.check().outputs["out.zip"])) as archive:
            contents.append([(item.filename, item.external_attr, item.CRC, archive.read(item)) for item in archive.infolist()])
    assert contents[0] == contents[1]
    assert [(name, data) for name, _, _, data in contents[0]] == [("a.txt", b"text")]


def test_tarfile() -> None:
    same("-v", "-c", "out.tar", "a.txt", module="tarfile", inputs={"a.txt": b"text"}, expected=b"")


def test_timeit() -> None:
    plain, interposed = both("-n", "10", "-r", "1", "pass", module="timeit")
    assert b"best of 1" in plain.check().stdout
    assert b"best of 1" in interposed.check().stdout


def test_compileall() -> None:
    same("-q", "a.py", module="compileall", inputs={"a.py": b"x = 1\n"}, outputs=["__pycache__/none"], expected=b"")


def test_http_server() -> None:
    """The module itself, in a thread, asked from the same run: what `python -m http.server` serves."""
    code = (
        "import io, re, runpy, sys, threading, time, urllib.request\n"
        "open('page.txt', 'w').write('served')\nsys.argv = ['http.server', '--bind', '127.0.0.1', '0']\n"
        "sys.stdout = said = io.StringIO()\n"
        "threading.Thread(target=lambda: runpy.run_module('http.server', run_name='__main__'), daemon=True).start()\n"
        "while not (found := re.search(r'port (\\d+) ', said.getvalue())): time.sleep(0.01)\n"
        "page = urllib.request.urlopen(f'http://127.0.0.1:{found[1]}/page.txt').read()\n"
        "print(page, file=sys.__stdout__)\n"
    )
    for backend in ("none", "trap"):
        assert b"b'served'\n" in selftrace.run(code=code, policy="builtin:python", backend=backend).check().stdout


def test_this_and_calendar() -> None:
    same("2026", "11", module="calendar", expected=b"November 2026")


def test_tokenize_and_ast() -> None:
    same("a.py", module="ast", inputs={"a.py": b"x = 1\n"}, expected=b"Module(")
    same("a.py", module="tokenize", inputs={"a.py": b"x = 1\n"}, expected=b"NAME")


def test_the_interpreters_own_tests() -> None:
    """Parts of CPython's suite that need no other program, where this Python brings its tests."""
    if not (Path(os.__file__).parent / "test" / "test_json").is_dir():
        pytest.skip(f"{sys.executable} comes without CPython's test package")
    names = [
        "test_json",
        "test_fcntl",
        "test_mmap",
        "test_poll",
        "test_epoll",
        "test_select",
        "test_threadsignals",
        "test_zlib",
        "test_sqlite3",
    ]
    reports = {}
    for backend in ("none", "trap"):
        result = selftrace.run(None, "-v", *names, module="test", policy="builtin:python", backend=backend, memory="4G")  # type: ignore[arg-type]
        lines = (result.stdout + result.stderr).decode("utf-8", "replace").splitlines()
        reports[backend] = {line for line in lines if re.match(r"(FAIL|ERROR): ", line)}
        assert any(re.match(r"(Tests r|R)esult: ", line) for line in lines), lines[-20:]
    different = reports["trap"] ^ reports["none"]
    assert {line for line in different if not re.search(STARTS_PYTHON, line)} == set()


STARTS_PYTHON = r"test_json\.test_tool|MultiprocessTests|SelectTestCase.test_select|PollTests.test_poll2"
"""Tests that start another interpreter or a shell, which builtin:python refuses."""
