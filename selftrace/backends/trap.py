"""The in-process backend: seccomp RET_TRAP, armed by tracee/bootstrap.py before the script's first line."""

from __future__ import annotations

import fcntl
import os

from selftrace.backends import bundle
from selftrace.backends.base import Launch, native_directory, words
from selftrace.errors import UnsupportedError
from selftrace.job import Job
from selftrace.kernel import landlock
from selftrace.prepared import Prepared

SPEC_FD, BLOB_FD, PLAN_FD, RING_FD, RULESET_FD = 3, 4, 5, 6, 7
"""Numbers that bootstrap.py finds its descriptors under."""
KEPT_BLOB_FD, KEPT_PLAN_FD, KEPT_RING_FD, KEPT_BUNDLE_FD, KEPT_PROGRAM_FD = 1000, 1001, 1002, 1003, 1004
"""The same where programs may be started: ST_KEPT_* of native/selftrace.h, open in every process of the run."""
_NO_FD = -1

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def sealed(name: str, data: bytes) -> int:
    """A sealed memory file that holds `data`, open for reading from its start; the caller closes it."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.truncate(fd, len(data))
    os.pwrite(fd, data, 0)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd


def _numbers(prepared: Prepared) -> tuple[int, int, int]:
    """Where the tracee finds blob, plan and ring."""
    return (KEPT_BLOB_FD, KEPT_PLAN_FD, KEPT_RING_FD) if prepared.hosts else (BLOB_FD, PLAN_FD, RING_FD)


def prepare(prepared: Prepared, job: Job, ring_fd: int, env: dict[str, str]) -> Launch:
    """The start of a script or program under a plan.

    ring_fd: the shared ring; stays the caller's. env: the tracee's environment.
    Raises BuildError without the native part; OSError if the kernel refuses the rule set; UnsupportedError for what the
    plan cannot host.
    """
    blob, plan, ring = _numbers(prepared)
    launch = _start_of_program(prepared, job, env) if job.kind == "program" else start_of_python(job, env)
    launch.fds[ring] = ring_fd
    try:

        def hand(target: int, fd: int) -> None:
            launch.owned.append(fd)
            launch.fds[target] = fd

        if prepared.ruleset is not None:
            hand(RULESET_FD, landlock.build(prepared.ruleset))
        if job.kind != "program":
            descriptors = (*_numbers(prepared), RULESET_FD if prepared.ruleset is not None else _NO_FD)
            hand(SPEC_FD, sealed("selftrace-spec", bundle.specification(prepared, descriptors)))
        if prepared.hosts:
            python = prepared.handlers and (job.kind == "program" or bundle.shared_library())
            hand(KEPT_BUNDLE_FD, sealed("selftrace-bundle", bundle.make(prepared) if python else b""))
        hand(plan, sealed("selftrace-plan", prepared.table))
        interposer = os.path.join(native_directory(), "_interposer")
        hand(blob, os.open(interposer, os.O_RDONLY | os.O_CLOEXEC))
        if prepared.hosts:  # the loader replaces it by the program that it starts; until then the number must be taken
            launch.fds[KEPT_PROGRAM_FD] = launch.fds[blob]
    except BaseException:
        for fd in launch.owned:
            os.close(fd)
        raise
    return launch


def start_of_python(job: Job, env: dict[str, str]) -> Launch:
    start = os.path.join(bundle.PACKAGE, "tracee", "start")
    path = os.pathsep.join([start, *filter(None, [env.get("PYTHONPATH")])])
    return Launch(argv=[job.python, *words(job)], env={**env, "PYTHONPATH": path})


def _start_of_program(prepared: Prepared, job: Job, env: dict[str, str]) -> Launch:
    """The loader is started, and starts the program: native/interposer/loader.c reads the first word."""
    if not prepared.hosts:
        raise UnsupportedError("this policy starts no program", "use builtin:untrusted-program, or [process] exec = true")
    from selftrace._native import lib

    ruleset = RULESET_FD if prepared.ruleset is not None else _NO_FD
    orders = f"selftrace-first {lib.ST_ABI} {ruleset}"
    loader = os.path.join(native_directory(), "_interposer")
    return Launch(argv=[orders, job.target, *job.args], env=env, program=loader)
