"""What all tests share: a check that nothing is left behind, and what a skip may be about."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from selftrace.kernel.features import probe
from selftrace.policy.terms import Features

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job: what we start would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _descendants() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No process and no descriptor more than before; `.ci/run` looks for directories when all tests are over."""
    processes, descriptors = _descendants(), len(os.listdir("/proc/self/fd"))
    yield
    assert _descendants() <= processes
    assert len(os.listdir("/proc/self/fd")) <= descriptors


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What runs keep for the next one is kept for the tests only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def features() -> Features:
    """This kernel's."""
    return probe()


@pytest.fixture
def script(tmp_path: Path) -> Iterator[object]:
    """Makes a script of a text, where any user can read it."""
    directory = Path(tempfile.mkdtemp(prefix="script-"))
    directory.chmod(0o755)

    def make(text: str, name: str = "job.py") -> str:
        path = directory / name
        path.write_text(text)
        path.chmod(0o644)
        return str(path)

    yield make
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
