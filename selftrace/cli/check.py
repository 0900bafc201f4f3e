"""Looks for mistakes in policy files, all at once, and for lines that do not do what they seem to.

With a command it runs that here, in this directory, unprotected, and says what the policy would have refused.

exit: 0 nothing found · 1 only remarks, or something would be refused · 2 mistakes"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from selftrace.cli.output import JSON_OPTION, write_json
from selftrace.cli.words import Words, add_options, read
from selftrace.errors import CommandError, PolicyError, Problem, UnsupportedError

FORMS = "selftrace check [--json FILE|-] FILE… | FILE -- PROG [ARGS…]"


def plain(words: Sequence[str]) -> Words | None:
    """A command line with a program in it, which argparse would take for more files."""
    if "--" not in words:
        return None
    at = words.index("--")
    read_words = read(words[:at], [JSON_OPTION], "files")
    if read_words is None or len(read_words.files) != 1 or at + 1 == len(words):
        raise CommandError(f"one policy and one program are needed: {FORMS}", 2)
    read_words.program = list(words[at + 1 :])
    return read_words


def configure(parser: argparse.ArgumentParser) -> None:
    """The files."""
    parser.usage = FORMS
    parser.add_argument("files", metavar="FILE", nargs="+", help="a policy: FILE.toml, FILE.py or builtin:NAME")
    add_options(parser, [JSON_OPTION])


def _problems(name: str) -> list[Problem]:
    from selftrace.job import Job, interpreter
    from selftrace.kernel.features import assumed, probe
    from selftrace.policy.api import load
    from selftrace.policy.compile import compile as compile_plan
    from selftrace.policy.lint import lint
    from selftrace.session import make_context

    here = os.getcwd()
    try:
        features = probe()
    except UnsupportedError:
        features = assumed()
    try:
        job = Job("script", os.path.join(here, "script.py"))
        context = make_context(job, "/tmp/selftrace-RUN", here, interpreter(job.python))
        model = load(name).model(context)
        plan = compile_plan(model, features)
    except PolicyError as error:
        return list(error.problems)
    except UnsupportedError as error:
        return [Problem(name, 0, 0, str(error))]
    return lint(model, plan)


def execute(arguments: Any) -> int:
    """Checks each file."""
    import json

    if getattr(arguments, "program", None):
        return _try(arguments)
    found = [problem for name in arguments.files for problem in _problems(name)]
    if arguments.json is None:
        for problem in found:
            print(problem)
    else:
        items = [{name: getattr(p, name) for name in ("file", "line", "column", "severity", "message")} for p in found]
        write_json(json.dumps({"schema": 1, "problems": items}, indent=2), arguments.json)
    if any(problem.severity == "error" for problem in found):
        return 2
    return 1 if found else 0


def _try(arguments: Any) -> int:
    """Runs the program under audit, in this directory."""
    from selftrace.cli.run import reported
    from selftrace.job import make_program
    from selftrace.policy.api import load

    try:
        job = make_program(arguments.program)
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}", 2) from None
    policy = load(arguments.files[0]).with_grants(audit=True)
    result = reported(policy, job, cwd=os.getcwd(), to_stderr=arguments.json == "-")
    if arguments.json is not None:
        write_json(result.to_json(indent=2), arguments.json)
    return 1 if result.violations else 0
