"""Looks for mistakes in policy files, all at once, and for lines that do not do what they seem to.

exit: 0 nothing found · 1 only remarks · 2 mistakes"""

from __future__ import annotations

import argparse
import os
import sys

from selftrace.cli.output import JSON_OPTION, write_json
from selftrace.cli.words import add_options
from selftrace.errors import CommandError, PolicyError, Problem, UnsupportedError


def configure(parser: argparse.ArgumentParser) -> None:
    """The files."""
    parser.usage = "selftrace check [--json FILE|-] FILE…"
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


def execute(arguments: argparse.Namespace) -> int:
    """Checks each file."""
    import json

    if "--" in sys.argv[1:]:
        raise CommandError("check FILE -- CMD is not built yet: it comes with step 2", 2)
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
