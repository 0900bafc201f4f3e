"""Prints the environment that puts a policy into a program somebody else starts: env $(selftrace preload --policy P) PROG.

The policy holds from the program's constructors on, for it and everything below it. Nobody watches such a program: what
only selftrace run can hold is named on standard error."""

from __future__ import annotations

import os

from selftrace.cli.grants import POLICY_OPTIONS, policy_of
from selftrace.cli.words import add_options
from selftrace.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from selftrace.prepared import Prepared

_SPECIAL = frozenset(" \t\n\"'\\$`*?[]{}();&|<>~#!")
_WATCHED = ("wall_seconds", "tasks", "output", "disk")


def configure(parser: argparse.ArgumentParser) -> None:
    """The options: those that make a policy."""
    parser.usage = "env $(selftrace preload --policy P [OPTIONS]) PROG [ARGS…]"
    add_options(parser, POLICY_OPTIONS)


def _plain(path: str, extra: str = "") -> str:
    """A path as `env $(…)` can carry it: the shell splits what a command prints, and reads no quotes in it."""
    bad = sorted(set(path) & (_SPECIAL | set(extra)))
    if bad:
        raise CommandError(f"{path}: a path with {bad[0]!r} in it cannot be put into the environment by $(…)", 2)
    return path


def _kept(data: bytes) -> str:
    """Writes the policy where only we can have written it; the path."""
    import hashlib

    from selftrace import cache

    try:
        return cache.keep(f"preload-{hashlib.sha256(data).hexdigest()[:24]}", data)
    except OSError as error:
        raise CommandError(
            f"{cache.directory()}: the policy cannot be kept there: {error.strerror}; set XDG_CACHE_HOME to a directory of yours",
            2,
        ) from None


def _not_held(prepared: Prepared) -> list[str]:
    """What selftrace run would hold and nobody does here."""
    if prepared.mode == "audit":
        return ["everything: mode = audit refuses nothing, and nobody reads the reports"]
    found = [f"[limits] {name}" for name in _WATCHED if getattr(prepared.limits, name) is not None]
    if prepared.limits.memory is not None:
        found.append("[limits] memory of the tree (each process has its own)")
    if prepared.give_up:
        found.append("the identity (root stays root)")
    return found


def execute(arguments: Any) -> int:
    """Compiles, keeps, prints."""
    import sys

    from selftrace import plans
    from selftrace.backends import bundle
    from selftrace.job import Job, interpreter
    from selftrace.kernel import features
    from selftrace.kernel.limits import rlimits
    from selftrace.session import make_context

    if arguments.policy is None:
        raise CommandError("which policy? selftrace preload --policy P", 2)
    features.require_platform()
    here = os.getcwd()
    job = Job("program", "", ())
    tmp = os.path.realpath(os.environ.get("TMPDIR") or "/tmp")
    prepared = plans.prepare(policy_of(arguments), make_context(job, tmp, here, interpreter(job.python)))
    limits = rlimits(prepared.limits, own_uid=False) if prepared.mode == "enforce" else {}
    path = _plain(_kept(bundle.make(prepared, limits)))
    missing = _not_held(prepared)
    if missing:
        print(f"selftrace: with preload nobody holds: {', '.join(missing)}", file=sys.stderr)
    before = os.environ.get("LD_PRELOAD", "")
    shims = f"{_plain(bundle.shim(), ':')}:{_plain(before)}" if before else _plain(bundle.shim(), ":")
    print(f"LD_PRELOAD={shims} SELFTRACE_POLICY={path}")
    return 0
