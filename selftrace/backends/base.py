"""What every backend gives the session: the program to start in the tracee, and what it inherits."""

from __future__ import annotations

import os

from selftrace.errors import BuildError
from selftrace.job import Job
from selftrace.record import fresh, record


@record
class Launch:
    """A tracee's start.

    argv, env: for execve. program: what is executed, an absolute path; empty: argv[0].
    fds: target number → descriptor of ours; the child has exactly these and 0, 1, 2.
    owned: descriptors of ours to close once the child is started. guard: a program's supervisor, in the monitor's words.
    """

    argv: list[str]
    env: dict[str, str]
    fds: dict[int, int] = fresh(default_factory=dict)
    owned: list[int] = fresh(default_factory=list)
    program: str = ""
    guard: dict[str, int] = fresh(default_factory=dict)


def words(job: Job) -> list[str]:
    """What follows the interpreter on its command line."""
    how = {"script": [], "module": ["-m"], "code": ["-c"]}[job.kind]
    return [*how, job.target, *job.args]


def native_directory() -> str:
    """The directory that holds the built objects. Raises BuildError if they are missing."""
    try:
        from selftrace import _native
    except ImportError as error:
        raise BuildError(f"the native part does not load ({error}): run pip install . (needs gcc and python3-dev)") from None
    return os.path.dirname(os.path.abspath(str(_native.__file__)))
