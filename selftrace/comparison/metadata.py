"""The machine that a comparison was made on: what a reader needs to judge the numbers."""

from __future__ import annotations

import os
import platform
import sys
import time

from selftrace import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        models = []
    return models[0] if models else platform.machine()


def _pyperf() -> dict[str, Any] | None:
    try:
        import pyperf
    except ImportError:
        return None
    found: dict[str, Any] = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    return dict(sorted(found.items()))


def machine() -> dict[str, Any]:
    """Ours, and pyperf's as "pyperf": null where that is not installed."""
    return {
        "selftrace": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "niceness": os.nice(0),
        "load": round(os.getloadavg()[0], 2),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "invoked": list(sys.argv),
        "pyperf": _pyperf(),
    }
