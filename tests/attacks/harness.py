"""Runs attack programs under plans, whole or with one rule's floor taken away."""

from __future__ import annotations

import sys
from pathlib import Path

from selftrace._native import ffi

from selftrace import Policy, Result
from selftrace.job import Job, make_program
from selftrace.policy.compile import compile as compile_plan
from selftrace.policy.plan import LandlockSpec, Plan
from selftrace.policy.terms import Features
from selftrace.record import replace
from selftrace.session import Options, Run
from tests.waiting import PATIENCE_S

PRELUDE = (Path(__file__).parent / "prelude.py").read_text()
GATE_CALL = ffi.offsetof("struct st_blob", "gate_call")


def without_call(plan: Plan, sysno: int) -> Plan:
    """The plan with every refusal of one call taken away."""

    def keep(numbers: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(number for number in numbers if number != sysno)

    rules = tuple(
        replace(rule, sysnos=keep(rule.sysnos)) if rule.decision.kind in ("deny", "errno") else rule for rule in plan.filter.rules
    )
    calls = {number: gates for number, gates in plan.native.calls.items() if number != sysno}
    spec = replace(plan.filter, rules=tuple(rule for rule in rules if rule.sysnos))
    return replace(plan, filter=spec, native=replace(plan.native, calls=calls))


def without(plan: Plan, row_id: str) -> Plan:
    """The plan with one row's floor off: its filter rules, its gates in the interposer, its part of Landlock or identity."""
    rows = {index for index, row in enumerate(plan.rows) if row.id == row_id}
    assert rows, f"no row {row_id}: {[row.id for row in plan.rows]}"
    rules = tuple(
        rule for rule in plan.filter.rules if not (rule.decision.kind in ("deny", "errno") and rule.decision.rule in rows)
    )
    calls = {n: tuple(g for g in gates if g.row not in rows) for n, gates in plan.native.calls.items()}
    plan = replace(
        plan,
        filter=replace(plan.filter, rules=rules),
        native=replace(plan.native, calls={n: gates for n, gates in calls.items() if gates}),
    )
    landlock = plan.landlock or LandlockSpec()
    if row_id in ("fs.default", "fs.tmp"):
        landlock = replace(landlock, fs=None)
    if row_id == "net.ports":
        landlock = replace(landlock, tcp_connect=None, tcp_bind=None)
    if row_id == "process.signals":
        landlock = replace(landlock, scopes=landlock.scopes - {"signal"})
        plan = replace(plan, drop_identity=False)
    if row_id.startswith("limits."):
        plan = replace(plan, limits=replace(plan.limits, **{row_id.removeprefix("limits."): None}))
    return replace(plan, landlock=landlock)


def attack(
    code: str,
    *,
    route: str = "libc",
    policy: str | Policy = "builtin:untrusted-script",
    off: str | tuple[str, ...] = (),
    off_call: int | None = None,
    abi: int | None = None,
    backend: str = "trap",
    identity: bool = True,
    landlock: bool = True,
    timeout_s: float = PATIENCE_S,
    args: tuple[str, ...] = (),
    allow_degraded: tuple[str, ...] = (),
) -> Result:
    """The attack's Result. off: rows whose floors are taken away. abi: Landlock masked to this version.
    landlock False: no rule set at all. identity False: root's rights are kept, so that what remains is the rule itself."""
    chosen = policy if isinstance(policy, Policy) else Policy.load(policy)
    chosen = chosen.with_grants(limits={"wall_seconds": timeout_s}, allow_degraded=allow_degraded)
    job = Job("code", f"{PRELUDE}\n{code}", (route, str(GATE_CALL), *args), sys.executable)
    run = Run(chosen, job, Options(backend=backend))
    with run:  # whatever fails in between, the directory goes
        plan = run.prepared.plan
        if abi is not None:
            from selftrace.session import make_context

            context = make_context(job, run.directory, run.directory, run.installation)
            plan = compile_plan(chosen.model(context), masked(plan.features, abi))
        for row_id in (off,) if isinstance(off, str) else off:
            plan = without(plan, row_id)
        if off_call is not None:
            plan = without_call(plan, off_call)
        if not landlock:
            plan = replace(plan, landlock=None)
        if not identity:
            plan = replace(plan, drop_identity=False)
        run.use_plan(plan)
        return run.session.run()


def with_a_blind_interposer(argv: list[str]) -> Result:
    """A program under builtin:untrusted-program, whose interposer looks at no path: what is refused, the kernel refuses."""
    run = Run(Policy.builtin("untrusted-program"), make_program(argv), Options())
    with run as session:
        plan = session.prepared.plan
        run.use_plan(replace(plan, native=replace(plan.native, fs_closed=False)))
        return run.session.run()


def masked(features: Features, abi: int) -> Features:
    """The features of a kernel whose Landlock is older."""
    return replace(features, landlock_abi=min(abi, features.landlock_abi))


def breached(result: Result) -> bool:
    """Whether the attack had its effect. One that did not come to its end proves nothing either way."""
    assert b"BREACH" in result.stdout or b"held" in result.stdout or result.reason != "exit", (
        result.reason,
        result.exit_code,
        result.stdout,
        result.stderr,
    )
    return b"BREACH" in result.stdout
