"""What a policy decides: one line for each rule, with who makes it hold; or, with --call, which line decides a call."""

from __future__ import annotations

import argparse
import json
import os
import sys

from selftrace.cli.grants import BACKEND_OPTION, POLICY_OPTIONS, policy_of
from selftrace.cli.output import JSON_OPTION, write_json
from selftrace.cli.words import add_options
from selftrace.errors import CommandError, UnsupportedError


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `explain`."""
    parser.add_argument("name", metavar="POLICY", nargs="?", help="like --policy")
    add_options(parser, (*POLICY_OPTIONS, BACKEND_OPTION))
    parser.add_argument("--call", metavar="CALL", help="e.g. 'openat(\"/etc/passwd\", O_RDONLY)'")
    parser.add_argument("--script", metavar="SCRIPT.py", help="the script that ${SCRIPT} and ${SCRIPT_DIR} stand for")
    add_options(parser, [JSON_OPTION])


def execute(arguments: argparse.Namespace) -> int:
    """Compiles for this kernel, starts nothing."""
    from selftrace.job import Job, interpreter
    from selftrace.kernel.features import assumed, probe
    from selftrace.policy import explain
    from selftrace.policy.compile import compile as compile_plan
    from selftrace.session import make_context

    if arguments.name is not None:
        if arguments.policy is not None:
            raise CommandError("give the policy once", 2)
        arguments.policy = arguments.name
    policy = policy_of(arguments)
    here = os.getcwd()
    script = os.path.abspath(arguments.script) if arguments.script else None
    job = Job("script", script) if script else Job("code", "")
    try:
        features = probe()
    except UnsupportedError as error:
        print(f"selftrace: {error.feature}: explained for a current kernel", file=sys.stderr)
        features = assumed()
    tmp = os.path.join(os.path.realpath(os.environ.get("TMPDIR", "/tmp")), "selftrace-RUN")
    model = policy.model(make_context(job, tmp, here, interpreter(job.python)))
    plan = compile_plan(model, features, backend=arguments.backend)
    if arguments.call is not None:
        try:
            _, sentence = explain.explain_call(plan, arguments.call)
        except ValueError as error:
            raise CommandError(str(error), 2) from None
        print(sentence)
    elif arguments.json is None:
        print(explain.table(plan))
    if arguments.json is not None:
        write_json(json.dumps(explain.plan_dict(plan), indent=2), arguments.json)
    return 0
