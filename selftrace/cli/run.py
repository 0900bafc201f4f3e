"""Runs a Python script that nobody trusts, under a policy.

The script works in a private directory that is removed afterwards, with a clean environment and no network. Each call
that the policy refuses is reported on standard error, with the script's line and the line of policy that would allow it.

exit: the script's own code · 124 time limit · 125 ours (usage, policy, kernel) · 126 could not start · 127 not found ·
128+N by signal N · 137 other limits and violations that kill"""

from __future__ import annotations

import os
import sys

from selftrace.cli.grants import BACKEND_OPTION, POLICY_OPTIONS, policy_of
from selftrace.cli.output import JSON_OPTION, write_json
from selftrace.cli.words import Option, Words, add_options, read
from selftrace.errors import CommandError
from selftrace.job import Job, make_job, make_program
from selftrace.policy.api import DEFAULT, DEFAULT_PROGRAM
from selftrace.result import Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

    from selftrace.policy.api import Policy

_SHOWN = 20
FORMS = "selftrace run [OPTIONS] SCRIPT.py [ARGS…] | -m MODULE [ARGS…] | -c CODE [ARGS…] | -- PROG [ARGS…]"


OPTIONS = (
    *POLICY_OPTIONS,
    BACKEND_OPTION,
    Option(("--input",), "copy a file into the private directory (NAME=PATH: under that name)", "PATH", many=True),
    Option(("--output",), "bring files back that match; ** for any depth", "GLOB", many=True),
    Option(("--output-dir",), "where to (default: here)", "DIR"),
    Option(("--cwd",), "work in DIR of yours: read, written and kept", "DIR"),
    Option(("--env",), "set a variable, or hand yours on", "NAME[=V]", many=True),
    Option(("--python",), "another interpreter of the same version", "EXE", default=sys.executable),
    Option(("-q", "--quiet"), "no report on standard error", dest="quiet"),
    JSON_OPTION,
    Option(("-m",), "run a module; the rest are its arguments", "MODULE", rest=True, dest="module"),
    Option(("-c",), "run code; the rest are its arguments", "CODE", rest=True, dest="code"),
)
"""They end at the script."""


def plain(words: Sequence[str]) -> Words | None:
    """The command line read without argparse, if it is a plain one."""
    return read(words, OPTIONS, "script")


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `run`."""
    import argparse

    parser.usage = FORMS
    add_options(parser, OPTIONS)
    parser.add_argument("script", metavar="SCRIPT.py", nargs=argparse.REMAINDER, help="the script, and its arguments")


class Reporter:
    """Prints what the script writes at once, and each new violation up to a number."""

    def __init__(self, quiet: bool, to_stderr: bool) -> None:
        self.quiet = quiet
        self.stdout = sys.stderr if to_stderr else sys.stdout
        self.shown = 0

    def output(self, stream: str, data: bytes) -> None:
        file = self.stdout if stream == "stdout" else sys.stderr
        file.flush()
        file.buffer.write(data)
        file.buffer.flush()

    def line(self, text: Any) -> None:
        if self.quiet:
            return
        self.shown += 1
        if self.shown <= _SHOWN:
            print(f"selftrace: {text}", file=sys.stderr, flush=True)

    def end(self, result: Result) -> None:
        if self.quiet:
            return
        total = sum(v.count for v in result.violations) + result.violations_dropped
        if self.shown > _SHOWN or total > len(result.violations):
            print(
                f"selftrace: {total} violations in all, {len(result.violations)} different ones listed in --json", file=sys.stderr
            )
        for note in result.notes:
            print(f"selftrace: {note}", file=sys.stderr)
        if result.reason not in ("exit", "signal"):
            print(f"selftrace: the run was ended: {_why(result)}", file=sys.stderr)


def _why(result: Result) -> str:
    texts = {
        "timeout": "its time is over ([limits] wall_seconds, --timeout)",
        "cpu": "its processor time is over ([limits] cpu_seconds)",
        "memory": "it uses too much memory ([limits] memory, --memory)",
        "output": f"it writes too much to {' and '.join(result.truncated)} ([limits] output)",
        "disk": "it fills its disk space ([limits] disk, file_size)",
        "violation": "by a rule that kills",
        "error": "it did not start",
    }
    if result.reason == "violation" and any(v.rule == "limits.tasks" for v in result.violations):
        return "it has too many processes and threads ([limits] tasks)"
    return texts[result.reason]


def exit_code(result: Result) -> int:
    """What the command ends with."""
    if result.reason == "exit" or result.reason == "error":
        return 125 if result.exit_code is None else result.exit_code
    if result.reason == "timeout":
        return 124
    return 128 + (result.signal or 0) if result.reason == "signal" else 137


def _inputs(items: list[str]) -> dict[str, str]:
    found = {}
    for item in items:
        name, separator, path = item.partition("=")
        if not separator or os.path.exists(item):
            name, path = os.path.basename(item.rstrip("/")), item
        if not os.path.isfile(path):
            raise CommandError(
                f"--input {item}: " + ("is a directory; give files" if os.path.isdir(path) else "no such file"), 125
            )
        found[name] = path
    return found


def environment_of(items: list[str]) -> dict[str, str]:
    found = {}
    for item in items:
        name, separator, value = item.partition("=")
        if not separator:
            if name not in os.environ:
                raise CommandError(f"--env {name}: your environment has no such variable", 125)
            value = os.environ[name]
        found[name] = value
    return found


def job_of(arguments: Any) -> Job:
    words = list(arguments.script)
    for name in ("module", "code"):
        given = getattr(arguments, name)
        if given is not None:
            if not given:
                raise CommandError(f"-{name[0]} needs a word: {FORMS}", 125)
            return make_job(None, given[1:], python=arguments.python, **{name: given[0]})
    if words[:1] == ["--"]:
        return _program(words[1:])
    if not words:
        raise CommandError(f"what is to be run? {FORMS}", 125)
    script = words[0]
    if script.startswith("-"):
        raise CommandError(f'unknown option "{script}"; selftrace run --help lists them', 125)
    if not os.path.exists(script):
        raise CommandError(f"{script}: no such script; a program is run with selftrace run -- {' '.join(words)}", 127)
    if not script.endswith((".py", ".pyw", ".pyz")) and not _looks_like_python(script):
        raise CommandError(f"{script} is no Python script; a program is run with selftrace run -- {' '.join(words)}", 125)
    return make_job(script, words[1:], python=arguments.python)


def _program(words: list[str]) -> Job:
    if not words:
        raise CommandError(f"what is to be run? {FORMS}", 125)
    try:
        return make_program(words)
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}", 127 if isinstance(error, FileNotFoundError) else 126) from None


def _looks_like_python(path: str) -> bool:
    if os.path.isdir(path):
        return False
    with open(path, "rb") as file:
        head = file.read(4096)
    return b"\0" not in head and (not head.startswith(b"#!") or b"python" in head.split(b"\n", 1)[0])


def _bring_back(result: Result, directory: str) -> None:
    for name, data in result.outputs.items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)


def reported(policy: Policy, job: Job, *, cwd: str, to_stderr: bool) -> Result:
    """A run whose violations are printed as they come: for commands that only look."""
    from selftrace.session import Options, Run

    reporter = Reporter(False, to_stderr)
    options = Options(cwd=cwd, on_output=reporter.output, on_violation=reporter.line, on_event=reporter.line)
    with Run(policy, job, options) as session:
        result = session.run()
    reporter.end(result)
    return result


def execute(arguments: Any) -> int:
    """Runs, reports, brings outputs back."""
    from selftrace.session import Options, Run

    job = job_of(arguments)
    policy = policy_of(arguments, DEFAULT_PROGRAM if job.kind == "program" else DEFAULT)
    reporter = Reporter(arguments.quiet, arguments.json == "-")
    options = Options(
        env=environment_of(arguments.env),
        inputs=_inputs(arguments.input),
        outputs=arguments.output,
        cwd=arguments.cwd,
        backend=arguments.backend,
        on_output=reporter.output,
        on_violation=reporter.line,
        on_event=reporter.line,
    )
    with Run(policy, job, options) as session:
        if session.prepared.mode == "audit" and not arguments.quiet:
            print("selftrace: audit: nothing is refused, the script runs unprotected", file=sys.stderr)
        result = session.run()
    _bring_back(result, arguments.output_dir or ".")
    reporter.end(result)
    if arguments.json is not None:
        write_json(result.to_json(indent=2), arguments.json)
    return exit_code(result)
