"""What every program looks for: its refusal is no line of a report, so an answer of its own is no line of a policy."""

from __future__ import annotations

import os


def is_quiet(path: str) -> bool:
    """Whether a refusal of it is not reported."""
    from selftrace.policy.patterns import matches
    from selftrace.policy.quiet import quiet_patterns

    return any(matches(pattern, os.fsencode(path)) for pattern in quiet_patterns())
