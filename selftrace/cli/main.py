"""The `selftrace` command: finds the command's module, and turns errors into one line and an exit code."""

from __future__ import annotations

import os
import sys

from selftrace import __version__
from selftrace.errors import CommandError, PolicyError, SelftraceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

COMMANDS = {
    "run": "run a Python script that nobody trusts, under a policy",
    "explain": "what a policy decides, by which line, and what that rests on",
    "check": "look for mistakes in policy files",
    "learn": "write a policy from what a program is seen to do",
    "policy": "list, show and describe the shipped policies",
    "trace": "show a program's system calls, and inject faults into them: strace's options",
    "report": "present a capture: strace's text, a table, JSON lines, Perfetto, a page",
    "compare": "what each mechanism of this machine costs, on your own program",
    "preload": "what puts a policy into a program that somebody else starts",
    "debug": "breakpoints, steps, memory, stacks and system calls of a running program",
    "doctor": "what this machine can enforce, tried out",
    "help": "read the manual",
}
FOUND, BAD_INPUT, OURS = 1, 2, 125


def _overview() -> str:
    lines = ["usage: selftrace COMMAND …", "", "Traces, judges and rewrites a program's own system calls.", "", "commands:"]
    lines += [f"  {name:<10}{text}" for name, text in COMMANDS.items()]
    lines += ["", "selftrace COMMAND --help tells more; selftrace help lists the manual's topics."]
    return "\n".join(lines)


def parser_for(name: str) -> argparse.ArgumentParser:
    """The parser of one command."""
    from importlib import import_module

    from selftrace.cli.parser import Parser

    module = import_module(f"selftrace.cli.{name}")
    parser = Parser(
        prog=f"selftrace {name}",
        description=module.__doc__,
    )
    module.configure(parser)
    parser.set_defaults(execute=module.execute)
    return parser


def _dispatch(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0 if words else BAD_INPUT
    name, *rest = words
    if name in ("-V", "--version"):
        print(f"selftrace {__version__}")
        return 0
    if name not in COMMANDS:
        from selftrace.calls import nearest

        raise CommandError(f'unknown command "{name}"{nearest(name, COMMANDS)}; selftrace --help lists them', BAD_INPUT)
    if name == "run":
        from selftrace.cli import run

        arguments = run.plain(rest)
        if arguments is not None:
            return run.execute(arguments)
    if name == "trace":
        from selftrace.cli import trace

        return trace.execute(rest)
    if name == "learn":
        from selftrace.cli import learn

        arguments = learn.plain(rest)
        if arguments is not None:
            return learn.execute(arguments)
    if name == "check":
        from selftrace.cli import check

        arguments = check.plain(rest)
        if arguments is not None:
            return check.execute(arguments)
    parsed = parser_for(name).parse_args(rest)
    return int(parsed.execute(parsed))


def main(words: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    words = sys.argv[1:] if words is None else words
    ours = OURS if words[:1] in (["run"], ["trace"]) else BAD_INPUT
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except CommandError as error:
        message, code = str(error), error.exit_code
    except PolicyError as error:
        print(error, file=sys.stderr)
        return ours
    except SelftraceError as error:
        message, code = str(error), ours
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains while it shuts down
        return 141
    except OSError as error:
        message, code = _os_message(error), ours
    except KeyboardInterrupt:
        return 130
    print(f"selftrace: {message}", file=sys.stderr)
    return code


def entry() -> int:
    """The installed command. A run has nothing to tear down afterwards that would be worth the 2 ms it takes."""
    code = main()
    if sys.argv[1:2] in (["run"], ["trace"]):
        sys.stderr.flush()
        os._exit(code)
    return code


def _os_message(error: OSError) -> str:
    name = f"{error.filename}: " if error.filename else ""
    return f"{name}{error.strerror or error}"
