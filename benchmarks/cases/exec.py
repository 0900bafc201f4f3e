"""What the loader adds to an exec, measured inside one run: `true` alone, 100 of them from a shell, and a program with many
calls of which each is counted in C."""

from __future__ import annotations

from typing import Any

NAME, UNIT = "exec", "ms"
LOOP = "n=0; while [ $n -lt 100 ]; do /bin/true; n=$((n + 1)); done"
COMMANDS = {
    "true, vfork and exec": (200, ["/bin/true"]),
    "sh, 100 forks and execs": (3, ["/bin/sh", "-c", LOOP]),
    "ls -laR /usr/lib": (1, ["/bin/ls", "-laR", "/usr/lib"]),
}


def measure(tools: Any) -> dict[str, dict[str, float]]:
    """Each command plain, under selftrace and under strace."""
    return {
        name: tools.interleaved({how: tools.timed(prefix, count, words) for how, prefix in tools.tracers().items()})
        for name, (count, words) in COMMANDS.items()
    }
