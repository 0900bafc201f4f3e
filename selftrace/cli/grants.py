"""Options that name a policy and add to it, shared by `run` and `explain`."""

from __future__ import annotations

import os

from selftrace.cli.words import Option
from selftrace.policy.api import DEFAULT, Policy, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _seconds(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise ValueError(f"{text} is not positive")
    return value


def _backend(text: str) -> str:
    if text not in ("auto", "trap", "ptrace"):
        raise ValueError(f'"{text}" is none of auto, trap, ptrace')
    return text


BACKEND_OPTION = Option(
    ("--backend",),
    "who judges: trap (in the program, the default) or ptrace (a supervisor outside)",
    "B",
    default="auto",
    convert=_backend,
)
POLICY_OPTIONS = (
    Option(
        ("--policy",),
        "a policy: builtin:NAME, FILE.toml, FILE.py with handlers (default: builtin:untrusted-script; -program for programs)",
        "P",
    ),
    Option(("--var",), "a variable of the policy's [vars]", "NAME=VALUE", many=True),
    Option(("--allow-read",), "let it read a file, or a directory with all in it", "PATH", many=True),
    Option(("--allow-write",), "let it write there, and read", "PATH", many=True),
    Option(("--allow-net",), "let it connect: HOST:PORT, [V6]:PORT, unix:/PATH", "ADDR", many=True),
    Option(("--timeout",), "wall clock in seconds, in place of the policy's", "S", convert=_seconds),
    Option(("--memory",), "memory, e.g. 512M, in place of the policy's", "N"),
    Option(("--audit",), "refuse nothing, report everything: the script runs unprotected"),
    Option(("--allow-degraded",), "accept that this kernel cannot hold a rule", "RULE", many=True),
)


def _patterns(paths: list[str]) -> list[str]:
    """A path as a person gives it → patterns: itself, or the tree below a directory. Patterns stay what they are."""
    if not paths:
        return []
    from selftrace.policy.variables import escape

    found = []
    for path in paths:
        absolute = os.path.abspath(os.path.expanduser(path))
        if os.path.isdir(absolute):
            found.append(f"{escape(absolute)}/**" if absolute != "/" else "/**")
        elif os.path.lexists(absolute) or not any(c in path for c in "*?{"):
            found.append(escape(absolute))
        else:
            found.append(absolute)
    return found


def policy_of(arguments: Any, default: str = DEFAULT) -> Policy:
    """The policy that the options describe. Raises PolicyError."""
    pairs = [item.partition("=") for item in arguments.var]
    policy = load(arguments.policy or default, vars={name: value for name, _, value in pairs} or None)
    limits = {"wall_seconds": arguments.timeout, "memory": arguments.memory}
    writable = _patterns(arguments.allow_write)
    return policy.with_grants(
        read=[*_patterns(arguments.allow_read), *writable],
        write=writable,
        connect=arguments.allow_net,
        limits={key: value for key, value in limits.items() if value is not None},
        audit=True if arguments.audit else None,
        allow_degraded=arguments.allow_degraded,
    )
