"""selftrace: traces, judges and rewrites a program's own system calls.

    import selftrace
    result = selftrace.run("job.py", timeout_s=10)
    print(result.reason, result.stdout, result.violations)

Names are loaded when they are first used: importing the package costs next to nothing and works on every platform.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # as type checkers know it; typing itself costs a command 3 ms
if TYPE_CHECKING:
    from typing import Any

    from selftrace.comparison.compare import compare
    from selftrace.comparison.result import Comparison, ComparisonRow
    from selftrace.errors import (
        BuildError,
        CommandError,
        PolicyError,
        RunError,
        SelftraceError,
        TraceFileError,
        UnsupportedError,
    )
    from selftrace.events.event import TraceEvent
    from selftrace.events.trace import Trace
    from selftrace.inprocess.faults import inject
    from selftrace.inprocess.tracing import tracing
    from selftrace.policy.api import Policy
    from selftrace.policy.kill import Kill
    from selftrace.result import Event, Frame, Guarantee, Result, Usage, Violation
    from selftrace.running import arun, run
    from selftrace.tracee.hook import Call

_HOMES = {
    "BuildError": "errors",
    "Call": "tracee.hook",
    "CommandError": "errors",
    "Comparison": "comparison.result",
    "ComparisonRow": "comparison.result",
    "Event": "result",
    "Frame": "result",
    "Guarantee": "result",
    "Kill": "policy.kill",
    "Policy": "policy.api",
    "PolicyError": "errors",
    "Result": "result",
    "RunError": "errors",
    "SelftraceError": "errors",
    "Trace": "events.trace",
    "TraceEvent": "events.event",
    "TraceFileError": "errors",
    "UnsupportedError": "errors",
    "Usage": "result",
    "Violation": "result",
    "arun": "running",
    "compare": "comparison.compare",
    "inject": "inprocess.faults",
    "run": "running",
    "tracing": "inprocess.tracing",
}

__all__ = [
    "BuildError",
    "Call",
    "CommandError",
    "Comparison",
    "ComparisonRow",
    "Event",
    "Frame",
    "Guarantee",
    "Kill",
    "Policy",
    "PolicyError",
    "Result",
    "RunError",
    "SelftraceError",
    "Trace",
    "TraceEvent",
    "TraceFileError",
    "UnsupportedError",
    "Usage",
    "Violation",
    "arun",
    "compare",
    "inject",
    "run",
    "tracing",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'selftrace' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"selftrace.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
