"""What the cases share: the C loop, runs under hand-made policies, the median of several tries."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import selftrace
from selftrace import Policy
from selftrace.policy.api import load

HERE = Path(__file__).resolve().parent


class Tools:
    """rounds: tries of each measurement; the median is taken."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.directory = Path(tempfile.mkdtemp(prefix="bench-"))
        self.directory.chmod(0o755)
        self.loop = self.directory / "calls"
        self.library = self.directory / "calls.so"
        subprocess.run(["gcc", "-O2", "-o", str(self.loop), str(HERE / "calls.c")], check=True)
        source = (HERE / "calls.c").read_text().replace("static double measure", "double measure")
        shared = self.directory / "calls_shared.c"
        shared.write_text(source)
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(self.library), str(shared)], check=True)

    def close(self) -> None:
        """Removes what was built."""
        shutil.rmtree(self.directory)

    def median(self, once: Callable[[], float]) -> float:
        """Of `rounds` tries."""
        return statistics.median(once() for _ in range(self.rounds))

    def in_c(self, how: str, what: str, count: int, *, pinned: bool = True) -> float:
        """Nanoseconds a call in a C process, alone or under a C supervisor; pinned: both on one core."""
        words = [str(self.loop), how, what, str(count)]
        if pinned:
            words = ["taskset", "-c", str(min(os.sched_getaffinity(0))), *words]
        return self.median(lambda: float(subprocess.run(words, capture_output=True, text=True, check=True).stdout))

    def in_python(self, what: str, count: int, policy: Policy | Path, *, backend: str = "trap") -> float:
        """Nanoseconds a call of the same C loop inside a Python process under a policy."""
        code = (
            f"import ctypes; f = ctypes.CDLL({str(self.library)!r}).measure; f.restype = ctypes.c_double\n"
            f"f.argtypes = ctypes.c_char_p, ctypes.c_long; f({what.encode()!r}, 1000); print(f({what.encode()!r}, {count}))"
        )

        def once() -> float:
            granted = load(policy).with_grants(read=[f"{self.directory}/**"])
            return float(selftrace.run(code=code, policy=granted, backend=backend).check().stdout)

        return self.median(once)

    def handlers(self, name: str, text: str) -> Path:
        """A handler file."""
        path = self.directory / f"{name}.py"
        path.write_text(text)
        return path

    def wall_and_cpu(self, words: Sequence[str], env: dict[str, str] | None = None) -> tuple[float, float]:
        """(milliseconds of wall clock, of processor time of the whole tree), medians, after one run to warm up."""

        def once() -> tuple[float, float]:
            import time

            before, start = os.times(), time.perf_counter()
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
            after, end = os.times(), time.perf_counter()
            spent = after.children_user + after.children_system - before.children_user - before.children_system
            return (end - start) * 1e3, spent * 1e3

        once()
        tries = [once() for _ in range(self.rounds * 3)]
        # processor time comes in ticks of 10 ms: its mean is finer than its median
        return statistics.median(wall for wall, _ in tries), statistics.mean(cpu for _, cpu in tries)


def found(program: str) -> str | None:
    """A program's path, or None where it is not installed."""
    return shutil.which(program) or shutil.which(program, path=os.path.dirname(sys.executable))
