"""A call that nobody waits for: what each way of interposing adds to it."""

from __future__ import annotations

from typing import Any

from selftrace import Policy

NAME, UNIT, COUNT = "getppid", "ns", 200_000
OPEN = 'policy = 1\n[default]\naction = "allow"\n'
LOGGED = OPEN + '[[rule]]\ncalls = ["getppid"]\naction = "retval"\nretval = 1\nwhen = "1000000000"\n'
HANDLER = """
from selftrace import Policy
p = Policy.parse('''{policy}''')
@p.on("getppid")
def pass_it(call):
    return None
"""


def measure(tools: Any) -> dict[str, float]:
    """none: the loop in Python's process, uninterposed."""
    floor = Policy.builtin("no-network")
    handler = tools.handlers("getppid_handler", HANDLER.format(policy=OPEN))
    tries = {
        "none": tools.in_python("getppid", COUNT, floor, backend="none"),
        "floor only (not trapped)": tools.in_python("getppid", COUNT, Policy.builtin("untrusted-script")),
        "trap + native rule": tools.in_python("getppid", COUNT, Policy.parse(LOGGED)),
        "trap + Python handler": tools.in_python("getppid", COUNT // 10, handler),
        "ptrace, a call that no rule speaks of": tools.in_python(
            "getppid", COUNT, Policy.builtin("untrusted-script"), backend="ptrace"
        ),
        "ptrace + native rule": tools.in_python("getppid", COUNT // 10, Policy.parse(LOGGED), backend="ptrace"),
        "C, alone": tools.in_c("plain", "getppid", COUNT),
        "C, user notification, same core": tools.in_c("notify", "getppid", COUNT // 20),
        "C, user notification, free": tools.in_c("notify", "getppid", COUNT // 50, pinned=False),
        "C, ptrace RET_TRACE, same core": tools.in_c("ptrace", "getppid", COUNT // 20),
        "C, ptrace RET_TRACE, free": tools.in_c("ptrace", "getppid", COUNT // 50, pinned=False),
        "C, ptrace SYSCALL, same core": tools.in_c("ptrace-syscall", "getppid", COUNT // 20),
    }
    found: dict[str, float] = tools.interleaved(tries)
    return found
