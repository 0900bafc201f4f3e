"""Each probe of INTERPOSER.md that this step can run: the same output plain and interposed."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import selftrace
from selftrace import Policy

HERE = Path(__file__).resolve().parent
PROBES = re.findall(r"^void (probe_\w+)\(void\)", (HERE / "probes.c").read_text(), re.M)
DIFFER = {
    "probe_clones": "the default policy counts tasks and filters clone's flags, not its sharing of memory",
}


@pytest.fixture(scope="module")
def library() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="probes-"))
    directory.chmod(0o755)
    target = directory / "probes.so"
    subprocess.run(["gcc", "-O1", "-w", "-shared", "-fPIC", "-pthread", "-o", str(target), str(HERE / "probes.c")], check=True)
    target.chmod(0o755)
    yield target
    shutil.rmtree(directory)


@pytest.mark.parametrize(
    ("policy", "backend"),
    [("builtin:untrusted-script", "trap"), ("builtin:observe", "trap"), ("builtin:untrusted-script", "ptrace")],
)
@pytest.mark.parametrize("probe", PROBES)
def test_same_as_plain(probe: str, policy: str, backend: str, library: Path) -> None:
    code = f"import ctypes; ctypes.CDLL({str(library)!r}).{probe}()"
    chosen = Policy.load(policy).with_grants(
        read=[f"{library.parent}/**"], limits={"tasks": 64, "open_files": 1024, "wall_seconds": 3000, "cpu_seconds": 3000}
    )
    plain, interposed = (selftrace.run(code=code, policy=chosen, backend=one) for one in ("none", backend))
    assert plain.reason == "exit" and plain.exit_code == 0, (plain.reason, plain.signal, plain.stderr)
    assert plain.stdout
    assert (interposed.reason, interposed.exit_code, interposed.signal) == ("exit", 0, None), (
        interposed.stdout,
        interposed.stderr,
    )
    assert interposed.stdout == plain.stdout


def test_the_list_of_probes_is_whole() -> None:
    assert len(PROBES) >= 20


SIGNALLED = {
    "abort": "import os; os.abort()",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "call through null": "import ctypes; ctypes.CFUNCTYPE(None)(0)()",
    "bus error": "import mmap, os\nf = open('x', 'w+b'); f.truncate(4096); m = mmap.mmap(f.fileno(), 4096); f.truncate(0); m[0]",
    "own SIGSYS": "import os; os.kill(os.getpid(), 31)",
    "division": "import ctypes; p = ctypes.CDLL(None); p.raise_ = getattr(p, 'raise'); p.raise_(8)",
    "faulthandler": "import faulthandler, ctypes; faulthandler.enable(); ctypes.string_at(0)",
}


@pytest.mark.parametrize("name", SIGNALLED)
def test_deaths_are_the_same(name: str) -> None:
    plain, interposed = (selftrace.run(code=SIGNALLED[name], backend=backend) for backend in ("none", "trap"))
    assert plain.reason == "signal"
    assert (interposed.reason, interposed.signal) == (plain.reason, plain.signal)
    if name == "faulthandler":
        assert b"Segmentation fault" in interposed.stderr and b"string_at" in interposed.stderr


def test_stop_and_continue() -> None:
    """nanosleep goes on with the rest of its time over SIGSTOP and SIGCONT."""
    code = (
        "import os, signal, time\np = os.fork()\nif p == 0:\n    s = time.monotonic(); time.sleep(0.4); os._exit(0 if 0.39 < time.monotonic() - s < 3 else 1)\n"
        "time.sleep(0.1); os.kill(p, signal.SIGSTOP); time.sleep(0.1); os.kill(p, signal.SIGCONT); print(os.wait()[1])"
    )
    assert selftrace.run(code=code).check().stdout == b"0\n"


def test_threads_that_open_files_at_once() -> None:
    """A child's first call may come before its parent is back from clone: neither takes the other's registers."""
    code = "import threading\nfor _ in range(40):\n    t = [threading.Thread(target=lambda: open('/dev/null').close()) for _ in range(12)]\n    [x.start() for x in t]; [x.join() for x in t]\nprint('done')"
    for _ in range(6):
        assert selftrace.run(code=code).check().stdout == b"done\n"
