"""No interposition at all: the baseline that benchmarks compare with."""

from __future__ import annotations

from selftrace.backends.base import Launch, words
from selftrace.job import Job


def prepare(job: Job, env: dict[str, str]) -> Launch:
    """The plain start of a script."""
    return Launch(argv=[job.python, *words(job)], env=env)
