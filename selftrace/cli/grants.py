"""Options that name a policy and add to it, shared by `run` and `explain`."""

from __future__ import annotations

import argparse
import os

from selftrace.policy.api import Policy, load
from selftrace.policy.variables import escape


def add_policy_options(parser: argparse.ArgumentParser) -> None:
    """--policy, --var, --allow-*, --timeout, --memory, --audit, --allow-degraded."""
    add = parser.add_argument
    add(
        "--policy",
        metavar="P",
        help="a policy: builtin:NAME, FILE.toml, or FILE.py with handlers (default: builtin:untrusted-script)",
    )
    add("--var", metavar="NAME=VALUE", action="append", default=[], help="a variable of the policy's [vars]")
    add("--allow-read", metavar="PATH", action="append", default=[], help="let it read a file, or a directory with all in it")
    add("--allow-write", metavar="PATH", action="append", default=[], help="let it write there, and read")
    add("--allow-net", metavar="ADDR", action="append", default=[], help="let it connect: HOST:PORT, [V6]:PORT, unix:/PATH")
    add("--timeout", metavar="S", type=_seconds, help="wall clock in seconds, in place of the policy's")
    add("--memory", metavar="N", help="memory, e.g. 512M, in place of the policy's")
    add("--audit", action="store_true", help="refuse nothing, report everything: the script runs unprotected")
    add("--allow-degraded", metavar="RULE", action="append", default=[], help="accept that this kernel cannot hold a rule")


def _seconds(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def _patterns(paths: list[str]) -> list[str]:
    """A path as a person gives it → patterns: itself, or the tree below a directory. Patterns stay what they are."""
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


def policy_of(arguments: argparse.Namespace) -> Policy:
    """The policy that the options describe. Raises PolicyError."""
    pairs = [item.partition("=") for item in arguments.var]
    policy = load(arguments.policy, vars={name: value for name, _, value in pairs} or None)
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
