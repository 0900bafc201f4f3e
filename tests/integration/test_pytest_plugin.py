"""The pytest plugin, in suites of its own."""

from __future__ import annotations

import importlib.util
import os
import sys

import pytest

from selftrace.inprocess.engine import known_problem

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.skipif(bool(known_problem()), reason=known_problem() or "available")


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A directory for a suite, which any user may enter."""
    os.chmod(pytester.path, 0o755)
    return pytester


def run(suite: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    suite.makepyfile(f"import os, signal, socket, subprocess, sys, threading\nimport pytest\n{text}")
    return suite.runpytest_subprocess("-p", "no:cacheprovider", *options)


def test_a_fault_that_fires_passes(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
@pytest.mark.fault("write", error="ENOSPC", when="2", path="${TMP_PATH}/**")
def test_disk_full(tmp_path):
    fd = os.open(tmp_path / "a", os.O_CREAT | os.O_WRONLY)
    assert os.write(fd, b"x") == 1
    with pytest.raises(OSError, match="No space"):
        os.write(fd, b"y")
    os.close(fd)

@pytest.mark.fault("getcwd:error=EACCES:when=1")
def test_form_of_strace():
    with pytest.raises(PermissionError):
        os.getcwd()
    os.getcwd()

@pytest.mark.fault("getcwd", error="EACCES")
class TestInherited:
    @pytest.mark.fault("getcwd", error="ENOENT", when="1")
    def test_inner_first(self):
        with pytest.raises(FileNotFoundError): os.getcwd()
        with pytest.raises(PermissionError): os.getcwd()

@pytest.mark.fault("fsync", error="EIO", must_fire=False)
def test_that_need_not():
    pass

@pytest.mark.fault("getcwd", error="EACCES")
def test_its_threads():
    found = []
    def work():
        try: os.getcwd()
        except PermissionError: found.append(1)
    thread = threading.Thread(target=work)
    thread.start(); thread.join()
    assert found
""",
    )
    result.assert_outcomes(passed=5)


def test_a_fault_that_never_fires_fails_the_test(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
@pytest.mark.fault("openat", error="EIO", path="/somewhere/else")
def test_near():
    open("/etc/passwd").close()

@pytest.mark.fault("openat", error="EIO", when="7")
def test_count():
    open("/etc/passwd").close()

@pytest.mark.fault("fsync", error="EIO")
def test_nothing():
    pass

@pytest.mark.fault("fsync", error="EIO")
def test_fails_by_itself():
    assert 1 == 2
""",
    )
    result.assert_outcomes(failed=4)
    text = result.stdout.str()
    assert "/etc/passwd" in text
    assert 'its path is not "/somewhere/else"' in text
    assert "it is number 1, the fault is for when=7" in text
    assert "fault fsync:error=EIO never fired: no such call was made" in text
    assert "assert 1 == 2" in text
    assert text.count("never fired") >= 3


@pytest.mark.parametrize(
    ("mark", "part"),
    [
        ('"opennat", error="EIO"', "opennat"),
        ('"openat"', "nothing to inject"),
        ('error="EIO"', "one expression"),
        ('"openat", error="EIO", path="${TMP_PATH}/x"', "tmp_path"),
    ],
)
def test_marks_that_make_no_sense(suite: pytest.Pytester, mark: str, part: str) -> None:
    result = run(suite, f"@pytest.mark.fault({mark})\ndef test_it(): pass\n")
    result.assert_outcomes(failed=1)
    assert part in result.stdout.str()


def test_what_a_test_did(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
@pytest.fixture
def busy():
    open("/etc/hostname").close()
    yield
    open("/etc/hostname").close()

def test_fixtures_and_imports_do_not_count(syscalls, busy, tmp_path):
    import colorsys, wave
    (tmp_path / "a").write_text("x")
    assert syscalls.count("openat") == 1
    assert syscalls.paths("openat") == (str(tmp_path / "a"),)
    syscalls.assert_opens_only(f"{tmp_path}/**")
    syscalls.assert_no_network()

def test_local_sockets_are_no_network(syscalls):
    for one in socket.socketpair(): one.close()
    syscalls.assert_no_network()

def test_network(syscalls):
    socket.socket().close()
    with pytest.raises(AssertionError, match="socket"):
        syscalls.assert_no_network()

def test_opens(syscalls, tmp_path):
    open("/etc/passwd").close()
    with pytest.raises(AssertionError, match="/etc/passwd"):
        syscalls.assert_opens_only(f"{tmp_path}/**")
    syscalls.assert_opens_only("/etc/*")

def test_with_capture(syscalls, capfd):
    os.write(1, b"out")
    assert capfd.readouterr().out == "out"
    assert syscalls.count("write") >= 1

@pytest.mark.fault("getcwd", error="EACCES")
def test_with_faults(syscalls):
    with pytest.raises(PermissionError): os.getcwd()
    assert syscalls.calls("getcwd")[0].injected
""",
    )
    result.assert_outcomes(passed=6)


def test_policies(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
@pytest.fixture
def number(): return 42

@pytest.mark.syscall_policy("builtin:no-network")
def test_holds(number, tmp_path):
    assert number == 42
    (tmp_path / "a").write_text("x")
    with pytest.raises(PermissionError): socket.socket()
    assert subprocess.run(["/bin/echo", "x"], capture_output=True).stdout == b"x\\n"

def test_only_there():
    socket.socket().close()

@pytest.mark.syscall_policy("builtin:no-network")
def test_fails():
    print("said before")
    socket.create_connection(("127.0.0.1", 9))

@pytest.mark.syscall_policy("builtin:no-network")
def test_skips(): pytest.skip("reasons")

@pytest.mark.syscall_policy("builtin:no-network")
def test_dies(): os.kill(os.getpid(), 9)

@pytest.mark.syscall_policy("builtin:nothing")
def test_unknown(): pass
""",
    )
    result.assert_outcomes(passed=2, failed=3, skipped=1)
    text = result.stdout.str()
    assert "said before" in text
    assert "Refused by the policy" in text
    assert "the test's process was killed by signal 9" in text
    assert "builtin:nothing" in text


def test_runs(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
def test_run(selftrace_run):
    result = selftrace_run(code="print(6 * 7)")
    assert result.stdout.split() in (["42"], [b"42"])
""",
    )
    result.assert_outcomes(passed=1)


NO_DISPATCH = "import selftrace.inprocess.engine as module; name = 'engine'"
NO_LINUX = "import selftrace.kernel.features as module; name = 'require_platform'"
NEEDS = {
    "fault": (NO_DISPATCH, '@pytest.mark.fault("fsync", error="EIO")\ndef test_it(): pass'),
    "syscalls": (NO_DISPATCH, "def test_it(syscalls): pass"),
    "syscall_policy": (NO_LINUX, '@pytest.mark.syscall_policy("builtin:no-network")\ndef test_it(): pass'),
    "selftrace_run": (NO_LINUX, 'def test_it(selftrace_run): selftrace_run(code="pass")'),
}


@pytest.mark.parametrize("need", NEEDS)
@pytest.mark.parametrize(("options", "outcome"), [((), "skipped"), (("--selftrace-required",), "errors")])
def test_elsewhere(suite: pytest.Pytester, need: str, options: tuple[str, ...], outcome: str) -> None:
    """Where the platform lacks what a test needs: it says what, and is skipped, or fails. Other tests run."""
    what, test = NEEDS[need]
    suite.makeconftest(
        f"{what}\nfrom selftrace.errors import UnsupportedError\n"
        "def fail(): raise UnsupportedError('kernel 5.4 is too old', 'use 5.11')\nsetattr(module, name, fail)\n"
    )
    result = run(suite, f"{test}\ndef test_other(): pass\n", "-ra", *options)
    result.assert_outcomes(**{"passed": 1, outcome: 1})
    assert "kernel 5.4 is too old" in result.stdout.str()


def test_with_xdist(suite: pytest.Pytester) -> None:
    if importlib.util.find_spec("xdist") is None:
        pytest.skip("pytest-xdist is missing: pip install pytest-xdist")
    result = run(
        suite,
        """
@pytest.mark.parametrize("n", range(20))
@pytest.mark.fault("getcwd", error="EACCES")
def test_it(n, syscalls):
    with pytest.raises(PermissionError): os.getcwd()
    assert syscalls.count("getcwd") == 1

@pytest.mark.parametrize("n", range(4))
@pytest.mark.syscall_policy("builtin:no-network")
def test_policy(n):
    with pytest.raises(PermissionError): socket.socket()
""",
        "-n",
        "2",
    )
    result.assert_outcomes(passed=24)


def test_with_asyncio(suite: pytest.Pytester) -> None:
    if importlib.util.find_spec("pytest_asyncio") is None:
        pytest.skip("pytest-asyncio is missing: pip install pytest-asyncio")
    result = run(
        suite,
        """
import asyncio
@pytest.mark.asyncio
@pytest.mark.fault("getcwd", error="EACCES")
async def test_it(syscalls):
    await asyncio.sleep(0.01)
    with pytest.raises(PermissionError): os.getcwd()
    assert syscalls.count("getcwd") == 1
""",
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("core", ["ctrace", "pytrace", "sysmon"])
def test_with_coverage(suite: pytest.Pytester, core: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On sys.settrace in C and in Python, and on sys.monitoring: no call of coverage's is seen, and it sees each line."""
    if importlib.util.find_spec("pytest_cov") is None:
        pytest.skip("pytest-cov is missing: pip install pytest-cov")
    if core == "sysmon" and sys.version_info < (3, 12):
        pytest.skip("sys.monitoring came with Python 3.12")
    monkeypatch.setenv("COVERAGE_CORE", core)
    suite.makepyfile(work="import os\ndef work(way):\n    if way:\n        os.getppid()\n        return 1\n    return 2\n")
    result = run(
        suite,
        """
from work import work

def test_it(syscalls):
    work(True)
    assert [event.name for event in syscalls.calls() if event.name not in ("mmap", "munmap", "brk", "futex")] == ["getppid"]

@pytest.mark.fault("getppid", retval=7)
def test_fault():
    assert os.getppid() == 7
    work(True)
""",
        "--cov=work",
        "--cov-report=term-missing",
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["work.py*6*1*83%*6"])


def test_unittest_classes(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
import unittest
class TestIt(unittest.TestCase):
    @pytest.mark.fault("getcwd", error="EACCES")
    def test_it(self):
        with self.assertRaises(PermissionError): os.getcwd()
""",
    )
    result.assert_outcomes(passed=1)


def test_a_suite_that_does_not_use_it_does_not_load_it(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
def test_it():
    loaded = [name for name in sys.modules if name.startswith("selftrace")]
    assert sorted(loaded) == ["selftrace", "selftrace.pytest_plugin"]
""",
    )
    result.assert_outcomes(passed=1)
