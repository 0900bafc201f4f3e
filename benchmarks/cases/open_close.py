"""open and close of /dev/null: path rules, a Python handler behind a native path filter, and sandlock where installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

from selftrace import Policy

NAME, UNIT, COUNT = "open+close", "ns", 50_000
HANDLER = """
from selftrace import Policy
p = Policy.parse('''policy = 1
[default]
action = "allow"
''')
@p.on("openat", path="{path}")
def pass_it(call):
    return None
"""
SANDLOCK = Path(__file__).resolve().parent.parent / "sandlock_open.py"


def measure(tools: Any) -> dict[str, float]:
    """none: the loop in Python's process, uninterposed."""
    matching = tools.handlers("open_handler", HANDLER.format(path="/dev/null"))
    other = tools.handlers("other_handler", HANDLER.format(path="/dev/zero"))
    floor = Policy.builtin("no-network")
    tries = {
        "none": tools.in_python("open", COUNT, floor, backend="none"),
        "floor only (not trapped)": tools.in_python("open", COUNT, floor),
        "trap + native path rules": tools.in_python("open", COUNT, Policy.builtin("untrusted-script")),
        "ptrace + native path rules": tools.in_python("open", COUNT // 5, Policy.builtin("untrusted-script"), backend="ptrace"),
        "trap + handler whose path filter does not match": tools.in_python("open", COUNT, other),
        "trap + Python handler": tools.in_python("open", COUNT // 5, matching),
        "C, alone": tools.in_c("plain", "open", COUNT),
        "C, user notification, same core": tools.in_c("notify", "open", COUNT // 10),
        "C, ptrace RET_TRACE, same core": tools.in_c("ptrace", "open", COUNT // 10),
    }
    if importlib.util.find_spec("sandlock") is not None:
        words = [sys.executable, str(SANDLOCK), str(tools.loop), str(COUNT // 20)]
        tries["sandlock, Python handler"] = lambda: float(
            subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-1]
        )
    found: dict[str, float] = tools.interleaved(tries)
    return found
