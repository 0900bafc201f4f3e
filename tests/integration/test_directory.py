"""The private directory, inputs and outputs, environment, standard input."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import selftrace
from selftrace import rundir

Script = Callable[..., str]


def test_inputs_and_outputs(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    code = "open('out.txt', 'w').write(open('data.csv').read().upper()); open('sub.bin', 'wb').write(open('d/x', 'rb').read())"
    result = selftrace.run(
        code=code, inputs={"data.csv": tmp_path / "data.csv", "d/x": b"\xff\0"}, outputs=["*.txt", "*.bin", "none*"]
    )
    assert result.check().outputs == {"out.txt": b"A,B\n1,2\n", "sub.bin": b"\xff\0"}


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "a/../b", "./x", "a//b"])
def test_input_names_stay_inside(name: str) -> None:
    with pytest.raises(ValueError, match="input name"):
        selftrace.run(code="1", inputs={name: b""})


def test_an_input_that_does_not_exist() -> None:
    with pytest.raises(FileNotFoundError):
        selftrace.run(code="1", inputs={"x": "/nowhere/x"})


def test_outputs_of_every_kind_that_are_no_files() -> None:
    code = (
        "import os\nos.symlink('/etc/passwd', 'link.txt'); os.mkfifo('pipe.txt'); os.mkdir('dir.txt')\n"
        "open('a.txt', 'w').write('x'); os.link('a.txt', 'b.txt'); os.symlink('/etc', 'etc')\n"
        "os.makedirs('deep/er'); open('deep/er/y.txt', 'w').write('y'); open('good.txt', 'w').write('g')"
    )
    result = selftrace.run(code=code, outputs=["**/*.txt", "etc/passwd"])
    assert result.check().outputs == {"deep/er/y.txt": b"y", "good.txt": b"g"}
    assert sum("was not taken" in note for note in result.notes) == 4


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*.png", "a.png", True),
        ("*.png", "d/a.png", False),
        ("**/*.png", "a.png", True),
        ("**/*.png", "d/e/a.png", True),
        ("d/**", "d/e/f", True),
        ("./a", "a", True),
        ("?", "ab", False),
        ("*", ".hidden", False),
        (".*", ".hidden", True),
        ("**/*", ".git/x", False),
        ("**", "a/b", True),
    ],
)
def test_globs(pattern: str, name: str, expected: bool) -> None:
    assert rundir.matches(name, [pattern]) is expected


def test_it_is_private_new_and_removed() -> None:
    code = "import os; print(os.getcwd(), os.environ['HOME'], os.environ['TMPDIR'], os.listdir('.'), oct(os.stat('.').st_mode))"
    words = selftrace.run(code=code).check().stdout.decode().split()
    assert words[0] == words[1] == words[2]
    assert words[3:] == ["[]", "0o40700"]
    assert not os.path.exists(words[0])


def test_removal_copes_with_depth_modes_and_names() -> None:
    code = (
        "import os\nd = os.getcwd(); print(d)\nos.mkdir('zero'); open('zero/f', 'w').close(); os.chmod('zero', 0)\n"
        "os.mkdir(b'\\xff\\n'); open('x' * 255, 'w').close(); os.symlink('/etc', 'l')\n"
        "for n in range(1500):\n    os.mkdir('d'); os.chdir('d')"
    )
    result = selftrace.run(code=code)
    assert not os.path.exists(result.check().stdout.decode().strip())
    assert os.path.exists("/etc/passwd")


def test_a_directory_of_the_callers_is_kept(tmp_path: Path) -> None:
    directory = Path(rundir.make(None))
    try:
        (directory / "old").write_text("1")
        code = "print(open('old').read()); open('new', 'w').write('2')"
        result = selftrace.run(code=code, cwd=directory)
        assert result.check().stdout == b"1\n"
        assert (directory / "new").read_text() == "2"
    finally:
        rundir.remove(str(directory))


def test_a_hint_for_a_file_that_was_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.csv").touch()
    monkeypatch.chdir(tmp_path)
    result = selftrace.run(code="open('data.csv')")
    assert result.exit_code == 1
    assert any("--input data.csv" in note for note in result.notes)


def test_the_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s3")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    code = "import os; print(sorted(os.environ)); print(os.environ['MINE'], os.environ['TZ'])"
    names, mine = selftrace.run(code=code, env={"MINE": "1"}).check().stdout.decode().splitlines()
    assert "SECRET" not in names
    assert "SELFTRACE" not in names
    assert "PYTHONPATH" not in names
    assert mine == "1 Asia/Tokyo"


def test_standard_input() -> None:
    code = "import sys; data = sys.stdin.buffer.read(); print(len(data))"
    assert selftrace.run(code=code).check().stdout == b"0\n"
    assert selftrace.run(code=code, stdin=b"x" * 100_000).check().stdout == b"100000\n"


def test_no_descriptor_is_inherited() -> None:
    inherited = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    try:
        code = "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:-1])"
        assert selftrace.run(code=code).check().stdout == b"[0, 1, 2]\n"
    finally:
        os.close(inherited)


def test_the_session_is_its_own() -> None:
    code = "import os; print(os.getsid(0) == os.getpid(), os.umask(0o22))"
    assert selftrace.run(code=code).check().stdout == b"True 63\n"


def test_what_python_shows_of_itself_is_as_without(script: Script) -> None:
    text = (
        "import sys\nprint(sys.argv[1:], sys.path[0], sys.flags, sorted(m for m in sys.modules if 'selftrace' in m or 'cffi' in m))\n"
        "print(sys.orig_argv[1:], sys._xoptions, __name__, __file__)"
    )
    path = script(text)
    plain = selftrace.run(path, "a", "--b", backend="none", env={"PYTHONDONTWRITEBYTECODE": "1"})
    interposed = selftrace.run(path, "a", "--b", env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert plain.check().stdout == interposed.check().stdout


def test_a_full_disk_in_the_private_directory() -> None:
    """/dev/full says what a full disk says."""
    result = selftrace.run(code="f = open('/dev/full', 'wb'); f.write(b'x' * 1_000_000)")
    assert (result.reason, result.exit_code) == ("exit", 1)
    assert b"No space left on device" in result.stderr


def test_a_name_that_is_no_text() -> None:
    code = "import os\ntry: open(b'/etc/\\xff\\xfe')\nexcept OSError as e: print(e.errno)\nopen(b'\\xff.out', 'w').write('1')"
    result = selftrace.run(code=code, outputs=["*.out"])
    assert result.check().stdout == b"13\n"
    assert list(result.outputs.values()) == [b"1"]
    assert "\\377" in result.violations[0].text
    assert result.to_json()


def test_an_unreadable_pointer_and_a_long_path() -> None:
    code = (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "for p in (ctypes.c_void_p(8), b'/' + b'x' * 5000, b'/x' * 2047):\n    print(libc.open(p, 0), ctypes.get_errno())"
    )
    assert selftrace.run(code=code).check().stdout == b"-1 14\n-1 36\n-1 13\n"
