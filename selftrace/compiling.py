"""From a policy to what a run needs of it: read, compiled for this kernel, encoded."""

from __future__ import annotations

import os
import pickle

from selftrace.backends.base import native_directory
from selftrace.calls import table as calls_table
from selftrace.kernel import landlock
from selftrace.kernel.bpf import Gate, compile_filter, number_floor
from selftrace.policy.compile import compile as compile_plan
from selftrace.policy.encode import encode
from selftrace.policy.model import PolicyModel
from selftrace.policy.patterns import fixed_prefix
from selftrace.policy.plan import LandlockRule, LandlockSpec, Plan
from selftrace.policy.terms import Features
from selftrace.prepared import Prepared
from selftrace.record import replace


def encoded(plan: Plan) -> bytes:
    """The plan as the interposer's table, filters included."""
    from selftrace._native import lib

    if plan.outside:
        return encode(plan, filter_program=compile_filter(plan.filter, None).to_bytes())
    gate = Gate(lib.ST_GATE_LO, lib.ST_GATE_HI, lib.ST_GATE_MASK, lib.ST_GATE_VALUE)
    floor = number_floor(plan.filter) if plan.mode == "enforce" else None
    return encode(plan, filter_program=compile_filter(plan.filter, gate).to_bytes(), floor=floor or b"")


def _shapes(plan: Plan) -> dict[int, tuple[str, tuple[tuple[str, str, int], ...]]]:
    """Names and roles of the arguments of the calls that have handlers: what hook.py decodes by."""
    by_number = calls_table(plan.features.arch).by_number
    sysnos = {sysno for rule in plan.native.rules if rule.handler >= 0 for sysno in rule.sysnos}
    calls = [by_number[sysno] for sysno in sorted(sysnos)]
    return {call.sysno: (call.name, tuple((a.name, a.role, a.width) for a in call.args)) for call in calls}


def _guarantees(plan: Plan) -> tuple[tuple[str, ...], ...]:
    if plan.mode == "audit":
        return ()
    return tuple(
        (row.id, row.decision, row.subject, str(row.enforcement), str(row.where) if row.where else "", row.note)
        for row in plan.rows
        if row.enforcement is not None
    )


def _with_loader(plan: Plan) -> LandlockSpec | None:
    """The kernel starts only the loader, which reads what it is to start."""
    spec = plan.landlock
    if spec is None or spec.fs is None or not plan.native.hosts or plan.outside:
        return spec
    loader = os.path.join(native_directory(), "_interposer")
    return replace(spec, fs=(*spec.fs, LandlockRule(loader, frozenset({"execute", "read_file"}))))


def prepared_of(plan: Plan) -> Prepared:
    """The plan made ready for runs."""
    enforced = plan.mode == "enforce"
    grants = [fixed_prefix(pattern) for pattern in plan.native.fs_read]
    return Prepared(
        name=plan.name,
        mode=plan.mode,
        degraded=plan.degraded,
        limits=plan.limits,
        table=encoded(plan),
        ruleset=landlock.ruleset(_with_loader(plan), plan.features.landlock_abi) if enforced else None,
        give_up=plan.drop_identity and plan.features.root,
        needed=tuple(path for path in dict.fromkeys(grants) if path != "/" and not path.startswith(("/proc", "/dev"))),
        written=tuple(path for path in plan.mounts_writable if not path.startswith(("/dev", "/proc"))),
        guarantees=_guarantees(plan),
        calls={number: call.name for number, call in calls_table(plan.features.arch).by_number.items()},
        handlers=tuple((handler.module, handler.function, handler.row) for handler in plan.handlers),
        shapes=_shapes(plan) if plan.handlers else {},
        handler_files=plan.handler_files,
        kill_on_error=plan.native.kill_on_error,
        hosts=plan.native.hosts,
        pickled=pickle.dumps(plan, pickle.HIGHEST_PROTOCOL),
    )


def compiled(model: PolicyModel, features: Features, *, backend: str = "trap") -> tuple[Prepared, tuple[str, ...]]:
    """The policy made ready, and the paths whose existence it rests on. Raises PolicyError, UnsupportedError."""
    plan = compile_plan(model, features, backend=backend)
    native = plan.native
    patterns = (*native.fs_read, *native.fs_write, *native.fs_exec)
    named = dict.fromkeys(fixed_prefix(pattern) for pattern in patterns)
    return prepared_of(plan), tuple(path for path in named if not path.startswith("/proc/") and os.path.isabs(path))
