"""The in-process backend: seccomp RET_TRAP, armed by tracee/bootstrap.py before the script's first line."""

from __future__ import annotations

import fcntl
import marshal
import os

from selftrace.backends.base import Launch, words
from selftrace.errors import BuildError
from selftrace.job import Job
from selftrace.kernel import landlock
from selftrace.prepared import Prepared

SPEC_FD, BLOB_FD, PLAN_FD, RING_FD, RULESET_FD = 3, 4, 5, 6, 7
"""Numbers that bootstrap.py finds its descriptors under."""

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_PACKAGE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def native_directory() -> str:
    """The directory that holds the built objects. Raises BuildError if they are missing."""
    try:
        from selftrace import _native
    except ImportError as error:
        raise BuildError(f"the native part does not load ({error}): run pip install . (needs gcc and python3-dev)") from None
    return os.path.dirname(os.path.abspath(str(_native.__file__)))


def sealed(name: str, data: bytes) -> int:
    """A sealed memory file that holds `data`, open for reading from its start; the caller closes it."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.truncate(fd, len(data))
    os.pwrite(fd, data, 0)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd


def _specification(prepared: Prepared, *, landlocked: bool) -> bytes:
    import _cffi_backend

    from selftrace import _native

    return marshal.dumps(
        {
            "native": _native.__file__,
            "cffi": _cffi_backend.__file__,
            "tracee": os.path.join(_PACKAGE, "tracee"),
            "handlers": prepared.handlers,
            "handler_files": prepared.handler_files,
            "shapes": prepared.shapes,
            "kill_on_error": prepared.kill_on_error,
            "audit": prepared.mode == "audit",
            "landlock": landlocked,
            "own_proc": prepared.ruleset.own_proc if landlocked and prepared.ruleset else 0,
        }
    )


def prepare(prepared: Prepared, job: Job, ring_fd: int, env: dict[str, str]) -> Launch:
    """The start of a script under a plan.

    ring_fd: the shared ring; stays the caller's. env: the tracee's environment.
    Raises BuildError without the native part; OSError if the kernel refuses the rule set.
    """
    owned: list[int] = []
    try:
        fds = {RING_FD: ring_fd}
        if prepared.ruleset is not None:
            owned.append(landlock.build(prepared.ruleset))
            fds[RULESET_FD] = owned[-1]
        for target, name, data in (
            (SPEC_FD, "selftrace-spec", _specification(prepared, landlocked=prepared.ruleset is not None)),
            (PLAN_FD, "selftrace-plan", prepared.table),
        ):
            owned.append(sealed(name, data))
            fds[target] = owned[-1]
        owned.append(os.open(os.path.join(native_directory(), "_interposer"), os.O_RDONLY | os.O_CLOEXEC))
        fds[BLOB_FD] = owned[-1]
    except BaseException:
        for fd in owned:
            os.close(fd)
        raise
    start = os.path.join(_PACKAGE, "tracee", "start")
    path = os.pathsep.join([start, *filter(None, [env.get("PYTHONPATH")])])
    return Launch(argv=[job.python, *words(job)], env={**env, "PYTHONPATH": path}, fds=fds, owned=owned)
