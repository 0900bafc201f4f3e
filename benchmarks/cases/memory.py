"""Memory of a tracee over plain Python, in KiB of proportional set size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import selftrace

NAME, UNIT = "memory", "KiB"
CODE = "print([line.split()[1] for line in open('/proc/self/smaps_rollup') if line.startswith('Private_Dirty')][0])"


def measure(tools: Any) -> dict[str, float]:
    """Dirty private memory: what a run costs the machine."""

    def of(backend: str) -> Callable[[], float]:
        return lambda: float(selftrace.run(code=CODE, backend=backend).check().stdout)

    found: dict[str, float] = tools.interleaved({"none": of("none"), "interposed": of("trap")})
    return found
