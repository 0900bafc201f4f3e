"""What the cases share: the C loop, runs under hand-made policies, the median of several tries."""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
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
        self.core = str(min(os.sched_getaffinity(0)))
        self.loop = self.directory / "calls"
        self.library = self.directory / "calls.so"
        subprocess.run(["gcc", "-O2", "-pthread", "-o", str(self.loop), str(HERE / "calls.c")], check=True)
        self.timer = self.directory / "timed"
        subprocess.run(["gcc", "-O2", "-o", str(self.timer), str(HERE / "timed.c")], check=True)
        source = (HERE / "calls.c").read_text().replace("static double measure", "double measure")
        shared = self.directory / "calls_shared.c"
        shared.write_text(source)
        subprocess.run(["gcc", "-O2", "-pthread", "-shared", "-fPIC", "-o", str(self.library), str(shared)], check=True)

    def close(self) -> None:
        """Removes what was built."""
        shutil.rmtree(self.directory)

    def interleaved(self, tries: Mapping[str, Callable[[], float]]) -> dict[str, float]:
        """The median of each: one try of all, then the next, so that a noisy minute is everybody's."""
        found: dict[str, list[float]] = {name: [] for name in tries}
        for _ in range(self.rounds):
            for name, once in tries.items():
                found[name].append(once())
        return {name: statistics.median(values) for name, values in found.items()}

    def in_c(self, how: str, what: str, count: int, *, pinned: bool = True) -> Callable[[], float]:
        """Measures nanoseconds a call in a C process, alone or under a C supervisor; pinned: both on one core."""
        words = [str(self.loop), how, what, str(count)]
        if pinned:
            words = ["taskset", "-c", self.core, *words]
        return lambda: float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)

    def tracers(self) -> dict[str, list[str]]:
        """What to put before a command: nothing, selftrace with each call counted, strace where it is installed."""
        selftrace = [str(Path(sys.executable).with_name("selftrace")), "run", "-q", "--policy", "builtin:observe"]
        ways = {"plain": [], "selftrace run": [*selftrace, "--cwd", str(self.directory), "--"]}
        if found("strace"):
            ways["strace -f"] = ["strace", "-f", "-qq", "-o", "/dev/null"]
            some = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "openat", "-o", "/dev/null"]  # it wants a choice
            ways["strace -f --seccomp-bpf -e openat"] = some
        return ways

    def timed(self, prefix: Sequence[str], count: int, command: Sequence[str]) -> Callable[[], float]:
        """Measures milliseconds of a command inside a tracer that is running already."""
        words = [*prefix, str(self.timer), str(count), *command]
        return lambda: float(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)

    def in_python(self, what: str, count: int, policy: Policy | Path, *, backend: str = "trap") -> Callable[[], float]:
        """Measures nanoseconds a call of the same C loop inside a Python process under a policy."""
        code = (
            f"import ctypes; f = ctypes.CDLL({str(self.library)!r}).measure; f.restype = ctypes.c_double\n"
            f"f.argtypes = ctypes.c_char_p, ctypes.c_long; f({what.encode()!r}, 1000); print(f({what.encode()!r}, {count}))"
        )

        def once() -> float:
            granted = load(policy).with_grants(read=[f"{self.directory}/**"])
            return float(selftrace.run(code=code, policy=granted, backend=backend).check().stdout)

        return once

    def handlers(self, name: str, text: str) -> Path:
        """A handler file."""
        path = self.directory / f"{name}.py"
        path.write_text(text)
        return path

    def wall_and_cpu(self, commands: Mapping[str, Sequence[str]]) -> dict[str, tuple[float, float]]:
        """(ms of wall clock, ms of processor time of the whole tree) of each: medians of interleaved runs."""

        def once(words: Sequence[str]) -> tuple[float, float]:
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            after, end = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            return (end - start) * 1e3, spent * 1e3

        tries = [{name: once(words) for name, words in commands.items()} for _ in range(self.rounds * 4 + 1)][1:]
        return {
            name: (statistics.median(t[name][0] for t in tries), statistics.median(t[name][1] for t in tries))
            for name in commands
        }


def found(program: str) -> str | None:
    """A program's path, or None where it is not installed."""
    return shutil.which(program) or shutil.which(program, path=os.path.dirname(sys.executable))
