"""The in-process backend: seccomp RET_TRAP, armed by tracee/bootstrap.py before the script's first line."""

from __future__ import annotations

import fcntl
import importlib.util
import marshal
import os
from functools import lru_cache
from pathlib import Path

from selftrace.backends.base import Launch, words
from selftrace.calls import table as calls_table
from selftrace.errors import BuildError
from selftrace.job import Job
from selftrace.kernel import landlock
from selftrace.kernel.bpf import Gate, compile_filter, number_floor
from selftrace.policy.encode import encode
from selftrace.policy.plan import Plan

SPEC_FD, BLOB_FD, PLAN_FD, RING_FD, RULESET_FD = 3, 4, 5, 6, 7
"""Numbers that bootstrap.py finds its descriptors under."""

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_PACKAGE = Path(__file__).resolve().parent.parent


@lru_cache(maxsize=1)
def native_directory() -> Path:
    """The directory that holds the built objects. Raises BuildError if they are missing."""
    found = importlib.util.find_spec("selftrace._native")
    if found is None or found.origin is None:
        raise BuildError("the native part is not built: run pip install . (needs gcc and python3-dev)")
    return Path(found.origin).parent


def sealed(name: str, data: bytes) -> int:
    """A sealed memory file that holds `data`, open for reading from its start; the caller closes it."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.truncate(fd, len(data))
    os.pwrite(fd, data, 0)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd


def encoded(plan: Plan) -> bytes:
    """The plan as the interposer's table, filters included."""
    from selftrace._native import lib

    gate = Gate(lib.ST_GATE_LO, lib.ST_GATE_HI, lib.ST_GATE_MASK, lib.ST_GATE_VALUE)
    floor = number_floor(plan.filter) if plan.mode == "enforce" else None
    return encode(plan, filter_program=compile_filter(plan.filter, gate).to_bytes(), floor=floor or b"")


def _shapes(plan: Plan) -> dict[int, tuple[str, tuple[tuple[str, str, int], ...]]]:
    """Names and roles of the arguments of the calls that have handlers: what hook.py decodes by."""
    by_number = calls_table(plan.features.arch).by_number
    sysnos = {sysno for rule in plan.native.rules if rule.handler >= 0 for sysno in rule.sysnos}
    calls = [by_number[sysno] for sysno in sorted(sysnos)]
    return {call.sysno: (call.name, tuple((a.name, a.role, a.width) for a in call.args)) for call in calls}


def _specification(plan: Plan, *, landlocked: bool) -> bytes:
    import _cffi_backend

    from selftrace import _native

    return marshal.dumps(
        {
            "native": os.fspath(_native.__file__),
            "cffi": os.fspath(_cffi_backend.__file__),
            "tracee": os.fspath(_PACKAGE / "tracee"),
            "handlers": tuple((handler.module, handler.function, handler.row) for handler in plan.handlers),
            "handler_files": plan.handler_files,
            "shapes": _shapes(plan) if plan.handlers else {},
            "kill_on_error": plan.native.kill_on_error,
            "audit": plan.native.audit,
            "landlock": landlocked,
            "own_proc": landlock.own_proc_access(plan.landlock) if landlocked and plan.landlock is not None else 0,
        }
    )


def prepare(plan: Plan, job: Job, ring_fd: int, env: dict[str, str], table: bytes | None = None) -> Launch:
    """The start of a script under `plan`.

    ring_fd: the shared ring; stays the caller's. env: the tracee's environment. table: `encoded(plan)`, if it is there
    already.
    Raises BuildError without the native part; OSError if the kernel refuses the rule set.
    """
    owned: list[int] = []
    try:
        ruleset = -1
        if plan.landlock is not None and plan.mode == "enforce":
            ruleset, _missing = landlock.build(plan.landlock, plan.features.landlock_abi)
        fds = {RING_FD: ring_fd}
        if ruleset >= 0:
            owned.append(ruleset)
            fds[RULESET_FD] = ruleset
        for target, name, data in (
            (SPEC_FD, "selftrace-spec", _specification(plan, landlocked=ruleset >= 0)),
            (PLAN_FD, "selftrace-plan", table if table is not None else encoded(plan)),
        ):
            owned.append(sealed(name, data))
            fds[target] = owned[-1]
        owned.append(os.open(native_directory() / "_interposer", os.O_RDONLY | os.O_CLOEXEC))
        fds[BLOB_FD] = owned[-1]
    except BaseException:
        for fd in owned:
            os.close(fd)
        raise
    start = os.fspath(_PACKAGE / "tracee" / "start")
    path = os.pathsep.join([start, *filter(None, [env.get("PYTHONPATH")])])
    argv = [job.python, "-X", "frozen_modules=off", *words(job)]  # or a frozen site would hide ours
    return Launch(argv=argv, env={**env, "PYTHONPATH": path}, fds=fds, owned=owned)
