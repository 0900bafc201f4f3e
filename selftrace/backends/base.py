"""What every backend gives the session: the program to start in the tracee, and what it inherits."""

from __future__ import annotations

from selftrace.job import Job
from selftrace.record import fresh, record


@record
class Launch:
    """A tracee's start.

    argv, env: for execve; argv[0] is an absolute path.
    fds: target number → descriptor of ours; the child has exactly these and 0, 1, 2.
    owned: descriptors of ours to close once the child is started.
    """

    argv: list[str]
    env: dict[str, str]
    fds: dict[int, int] = fresh(default_factory=dict)
    owned: list[int] = fresh(default_factory=list)


def words(job: Job) -> list[str]:
    """What follows the interpreter on its command line."""
    how = {"script": [], "module": ["-m"], "code": ["-c"]}[job.kind]
    return [*how, job.target, *job.args]
