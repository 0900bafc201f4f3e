"""What a call costs by the number of rules that are asked about it and do not match."""

from __future__ import annotations

from typing import Any

from selftrace import Policy

NAME, UNIT, COUNT = "number of rules", "ns", 100_000
NUMBERS = (1, 10, 100, 200)
HEAD = 'policy = 1\n[default]\naction = "allow"\n'


def _by_number(count: int) -> Policy:
    """Scalar conditions, each true of no call that is made: the kernel's filter decides."""
    rules = "".join(
        f'[[rule]]\nid = "r{n}"\ncalls = ["lseek"]\nmatch = {{ offset = {n + 100} }}\naction = "error"\nerror = "EIO"\n'
        for n in range(count)
    )
    return Policy.parse(HEAD + rules, name=f"{count} rules on numbers")


def _by_path(count: int) -> Policy:
    """Paths, none of which is opened: the interposer decides."""
    rules = "".join(
        f'[[rule]]\nid = "r{n}"\ncalls = ["openat"]\nmatch = {{ "@path" = "/srv/{n}/**" }}\naction = "error"\nerror = "EIO"\n'
        for n in range(count)
    )
    return Policy.parse(HEAD + rules, name=f"{count} rules on paths")


def measure(tools: Any) -> dict[str, dict[str, float]]:
    """lseek with numbers, open and close with paths."""
    none = Policy.builtin("no-network")
    numbers = {"none": tools.in_python("three", COUNT, none, backend="none")}
    numbers.update({f"{n} rules": tools.in_python("three", COUNT, _by_number(n)) for n in NUMBERS})
    paths = {"none": tools.in_python("open", COUNT // 4, none, backend="none")}
    paths.update({f"{n} rules": tools.in_python("open", COUNT // 4, _by_path(n)) for n in NUMBERS})
    return {"on numbers, lseek": tools.interleaved(numbers), "on paths, open+close": tools.interleaved(paths)}
