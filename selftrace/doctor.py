"""What this machine can enforce: features asked of the kernel, and each denial tried in a throw-away run."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from selftrace.errors import SelftraceError
from selftrace.record import fresh, mutable, to_dict

_TRIES = r"""
import ctypes, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)
found = {}

def attempt(name, function):
    try:
        result = function()
        found[name] = "allowed" if result is None or result >= 0 else os.strerror(ctypes.get_errno())
    except BaseException as error:
        found[name] = getattr(error, "strerror", None) or str(error)

def opened(path, flags):
    os.close(os.open(path, flags, 0o600))

attempt("reading a file outside the lists", lambda: opened("/etc/passwd", os.O_RDONLY))
attempt("writing outside the run's directory", lambda: opened("/tmp/selftrace-doctor", os.O_WRONLY | os.O_CREAT))
attempt("listing a home directory", lambda: os.listdir("/root") and None)
attempt("another process's environment", lambda: opened("/proc/1/environ", os.O_RDONLY))
attempt("a TCP socket", lambda: socket.socket().close())
attempt("a UDP socket", lambda: socket.socket(type=socket.SOCK_DGRAM).close())
attempt("a netlink socket", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close())
attempt("starting a program", lambda: os.execv("/bin/true", ["true"]))
attempt("a user namespace", lambda: libc.unshare(0x10000000))
attempt("tracing", lambda: libc.ptrace(16, 1, 0, 0))
attempt("io_uring", lambda: libc.syscall(425, 8, 0))
attempt("mounting", lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, 0))
attempt("signals to other processes", lambda: os.kill(os.getppid(), 0))
print(json.dumps(found))
"""


_SCOPES = {
    1: " (own children only: ptrace_scope is 1)",
    2: " (root only: ptrace_scope is 2)",
    3: " (nobody: ptrace_scope is 3)",
}


@mutable
class Diagnosis:
    """features: as the kernel said; denials: attempt → what came of it; uses: one sentence for each."""

    features: dict[str, Any] = fresh(default_factory=dict)
    denials: dict[str, str] = fresh(default_factory=dict)
    uses: dict[str, str] = fresh(default_factory=dict)
    notes: list[str] = fresh(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether untrusted scripts can be run, and everything that was tried was refused."""
        return self.uses.get("sandbox", "").startswith("yes")

    def to_json(self) -> str:
        """Schema 1."""
        return json.dumps({"schema": 1, **to_dict(self)}, indent=2)


def _try_denials(found: Diagnosis) -> None:
    from selftrace.running import run

    result = run(code=_TRIES, policy="builtin:untrusted-script", timeout_s=20)
    found.notes += result.notes
    if result.reason != "exit" or result.exit_code:
        text = result.stderr.decode("utf-8", "replace").strip().splitlines()
        raise SelftraceError(f"a run ended by {result.reason}: {text[-1] if text else 'no output'}")
    found.denials = json.loads(result.stdout)


def _trace_sentence() -> str:
    words = [sys.executable, "-m", "selftrace", "trace", "-e", "trace=execve", "true"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    if not done.returncode and "execve(" in done.stderr:
        return "yes"
    lines = done.stderr.strip().splitlines()
    return f"no, because {lines[-1] if lines else f'true ended with {done.returncode}'}"


def _tracing_sentence() -> str:
    from selftrace.inprocess.engine import known_problem

    problem = known_problem()
    return f"no, because {problem}" if problem else "yes"


def _attach_sentence() -> str:
    from selftrace.ptrace.tracee import Tracee

    with subprocess.Popen(["sleep", "20"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as child:
        try:
            Tracee.attach(child.pid).detach()
        except (SelftraceError, OSError) as error:
            return f"no, because {error}"
        finally:
            child.kill()
    return "yes" + _SCOPES.get(_ptrace_scope(), "")


def _ptrace_scope() -> int:
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def _try(sentence: Callable[[], str]) -> str:
    """Never raises for something that is missing."""
    try:
        return sentence()
    except (SelftraceError, OSError, subprocess.SubprocessError, ImportError) as error:
        return f"no, because {error}"


def diagnose() -> Diagnosis:
    """Asks and tries. Never raises for something that is missing: it says so."""
    found = Diagnosis()
    found.features = {
        "system": sys.platform,
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
    try:
        from selftrace.kernel.features import has_gs_base, probe

        found.features.update(to_dict(probe()))
        if not found.features["libseccomp"]:
            found.notes.append("libseccomp.so.2 is absent: our own compiler makes the number-only floor too")
        if not found.features["mseal"]:
            found.notes.append("the kernel has no mseal (6.10): the interposer's pages are not sealed")
        if not has_gs_base():
            found.notes.append("the kernel lets no program set GS (FSGSBASE): under trace every call costs a signal")
        _try_denials(found)
    except (SelftraceError, OSError) as error:
        found.uses["sandbox"] = f"no, because {error}"
    else:
        open_doors = [name for name, outcome in found.denials.items() if outcome == "allowed"]
        found.uses["sandbox"] = (
            f"no, because this was not refused: {', '.join(open_doors)}"
            if open_doors
            else "yes: everything that was tried was refused"
        )
    found.uses["trace"] = _try(_trace_sentence)
    found.uses["tracing in process"] = _try(_tracing_sentence)
    found.uses["attach"] = _try(_attach_sentence)
    if os.geteuid() == 0:
        found.notes.append("started as root: runs get a uid of their own")
    return found
