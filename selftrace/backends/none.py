"""No interposition at all: the baseline that benchmarks compare with."""

from __future__ import annotations

from selftrace.backends.base import Launch, words
from selftrace.job import Job


def prepare(job: Job, env: dict[str, str]) -> Launch:
    """The plain start of a script or program."""
    if job.kind == "program":
        return Launch(argv=list(job.args), env=env, program=job.target)
    return Launch(argv=[job.python, *words(job)], env=env)
