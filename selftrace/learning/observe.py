"""One training run: the program at work, unprotected, and what it did."""

from __future__ import annotations

from os.path import realpath

from selftrace.learning.observation import POLICY, Collector, Observation
from selftrace.learning.places import variables
from selftrace.policy.api import Policy
from selftrace.record import record, replace
from selftrace.session import Options, Run, make_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from selftrace.job import Job
    from selftrace.learning.places import Variables
    from selftrace.result import Result
    from selftrace.session import Session


@record
class Training:
    """observation; result: how the run ended; variables: what it called its directories; lost: observations that were."""

    observation: Observation
    result: Result
    variables: Variables
    lost: int


def observe(job: Job, options: Options, *, timeout_s: float | None = None) -> Training:
    """Runs the job under audit. Nothing is refused. Raises what `Run` raises."""
    policy = Policy.parse(POLICY, name="learning")
    if timeout_s is not None:
        policy = policy.with_grants(limits={"wall_seconds": timeout_s})
    collector = Collector({})
    with Run(policy, job, replace(options, on_use=collector.add, as_enforced=True)) as session:
        collector.names = session.prepared.calls
        result = session.run()
        known = _variables(job, session)
        calls = set(result.usage.calls)
        if job.kind == "program":  # the launcher's own exec of it is no call of the program's, but a policy has to speak of it
            collector.uses.setdefault(realpath(job.target), set()).add("exec")
            calls.add("execve")
        traits = {event.rule for event in result.events if event.kind == "log"}
        argv = job.args if job.kind == "program" else (job.kind, job.target, *job.args)
        observation = collector.finish(argv, calls, traits, known)
    return Training(observation, result, known, result.violations_dropped + collector.cut)


def _variables(job: Job, session: Session) -> Variables:
    """${PYTHON} and ${SITE} only for a script's own interpreter: a program may be another one."""
    context = make_context(job, session.directory, session.cwd, session.installation)
    python, site = (context.python, context.site) if job.kind != "program" else ((), ())
    return variables(
        tmp=context.tmp,
        home=context.home,
        cwd=context.cwd,
        script=context.script,
        script_dir=job.script_directory,
        python=python,
        site=site,
    )
