"""The exceptions of selftrace.

    SelftraceError
    ├── PolicyError        a policy that cannot be used; carries every mistake found
    ├── BuildError         a native part is missing or of another version
    ├── UnsupportedError   this platform or kernel lacks something; names it and the remedy
    ├── TraceFileError     a capture that cannot be read
    ├── RunError           a run that did not end as asked; carries its Result
    └── CommandError       a command line that cannot be carried out; carries the exit code

A failure of the kernel itself stays an OSError with the call's name in it.
"""

from __future__ import annotations

from selftrace.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class SelftraceError(Exception):
    """Base of everything that selftrace raises on purpose."""


@record
class Problem:
    """One mistake in a policy, where it stands (line and column count from 1; 0 is unknown)."""

    file: str
    line: int
    column: int
    message: str
    severity: str = "error"

    def __lt__(self, other: Problem) -> bool:
        return (self.file, self.line, self.column, self.message) < (other.file, other.line, other.column, other.message)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: "
        return f"{place}{self.severity}: {self.message}"


class PolicyError(SelftraceError):
    """A policy that cannot be used. `problems` holds every mistake, sorted by place."""

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        if isinstance(problems, str):
            problems = [Problem("policy", 0, 0, problems)]
        self.problems: tuple[Problem, ...] = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))

    @property
    def file(self) -> str:
        """The file of the first mistake."""
        return self.problems[0].file if self.problems else ""

    @property
    def line(self) -> int:
        """The line of the first mistake, from 1; 0 is unknown."""
        return self.problems[0].line if self.problems else 0


class BuildError(SelftraceError):
    """A native part is missing, does not load, or is of another version."""


class UnsupportedError(SelftraceError):
    """Something this platform or kernel does not have.

    feature: what is missing, e.g. "Landlock".
    remedy: what the user can do about it.
    """

    def __init__(self, feature: str, remedy: str) -> None:
        self.feature = feature
        self.remedy = remedy
        super().__init__(f"{feature}; {remedy}")

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.feature, self.remedy))


class TraceFileError(SelftraceError):
    """A capture that cannot be read: truncated, corrupt, or of a newer version."""


class RunError(SelftraceError):
    """Raised by Result.check() for a run that did not exit with 0. `result` is the Result."""

    def __init__(self, result: Any) -> None:
        self.result = result
        super().__init__(f"the run ended by {result.reason} (exit code {result.exit_code})")


class CommandError(SelftraceError):
    """A command line that cannot be carried out. `exit_code` is what the command ends with."""

    def __init__(self, message: str, exit_code: int = 125) -> None:
        self.exit_code = exit_code
        super().__init__(message)
