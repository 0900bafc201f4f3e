"""Writes a policy from what a program is seen to do, here and unprotected: files, calls, addresses, processes.

A further run with --add teaches which parts of names are another each time. What was seen stays beside the policy, in
P.toml.seen. Files in ~/.ssh and the like are named, and not granted.

exit: the program's own code (128+N by signal N, 124 time limit) · 2 bad input, nothing is written"""

from __future__ import annotations

import os
import sys

from selftrace.cli.words import Option, Words, add_options, read
from selftrace.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

    from selftrace.learning.generalise import Learned
    from selftrace.learning.observation import Observation
    from selftrace.learning.observe import Training

FORMS = "selftrace learn -o P.toml|--add P.toml [OPTIONS] -- PROG [ARGS…] | SCRIPT.py [ARGS…] | -m MODULE … | -c CODE …"


def _options() -> tuple[Option, ...]:
    from selftrace.cli.grants import POLICY_OPTIONS
    from selftrace.cli.run import OPTIONS

    shared = {option.names[0]: option for option in (*OPTIONS, *POLICY_OPTIONS)}
    return (
        Option(("-o", "--output"), "write the policy to P.toml, and what was seen to P.toml.seen", "P.toml", dest="policy_file"),
        Option(("--add",), "widen a learned policy by this run (with -o, written there)", "P.toml"),
        Option(("--cwd",), "work in DIR (default: here)", "DIR"),
        *(shared[name] for name in ("--env", "--python", "--timeout", "-q", "-m", "-c")),
    )


def plain(words: Sequence[str]) -> Words | None:
    """The command line read without argparse, which would take the program's options for ours."""
    return read(words, _options(), "script")


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `learn`."""
    import argparse

    parser.usage = FORMS
    add_options(parser, _options())
    parser.add_argument("script", metavar="PROG", nargs=argparse.REMAINDER, help="what is to be learned from, and its arguments")


def execute(arguments: Any) -> int:
    """Runs it, generalises, writes."""
    from selftrace.cli.run import environment_of, job_of
    from selftrace.learning import store

    target = arguments.policy_file or arguments.add
    if target is None:
        raise CommandError(f"where is the policy to go? {FORMS}", 2)
    if arguments.script in ([], ["--"]) and arguments.module is None and arguments.code is None:
        raise CommandError(f"what is to be learned from? {FORMS}", 2)
    known = _known(arguments, target)
    try:
        job, env = job_of(arguments), environment_of(arguments.env)
    except CommandError as error:
        raise CommandError(str(error), 2) from None
    if os.path.realpath(arguments.cwd or ".") == os.path.realpath(os.path.expanduser("~")):
        raise CommandError("your home directory is no place to learn in: use --cwd DIR, a directory of its own", 2)
    store.check_writable(target)
    training = _train(job, env, arguments)
    if training.result.reason not in ("exit", "signal", "timeout"):
        raise CommandError("; ".join(training.result.notes) or "the program did not run", 2)
    if training.result.reason == "exit":
        _write(training, known, target, arguments)
    return _ending(training)


def _known(arguments: Any, target: str) -> tuple[Observation, ...]:
    from selftrace.learning import store

    if arguments.add is not None:
        return store.load(arguments.add)
    if os.path.exists(target) and not os.path.isdir(target) and not os.path.exists(target + store.SUFFIX):
        raise CommandError(f"{target}: exists and was not learned; give another name, or remove it", 2)
    return ()


def _train(job: Any, env: dict[str, str], arguments: Any) -> Training:
    from selftrace.cli.run import Reporter
    from selftrace.learning.observe import observe
    from selftrace.session import Options

    if not arguments.quiet:
        print("selftrace: learning: nothing is refused, the program runs unprotected", file=sys.stderr)
    reporter = Reporter(arguments.quiet, False)
    options = Options(env=env, cwd=arguments.cwd or os.getcwd(), on_output=reporter.output)
    return observe(job, options, timeout_s=arguments.timeout)


def _write(training: Training, known: tuple[Observation, ...], target: str, arguments: Any) -> None:
    from selftrace.learning import store
    from selftrace.learning.generalise import generalise
    from selftrace.learning.writer import to_toml

    observations = store.joined(known, training.observation)
    learned = generalise(observations)
    beside = os.path.basename(target) + store.SUFFIX
    text = to_toml(learned, training.variables, beside)
    before = to_toml(generalise(known), training.variables, beside) if known else None
    store.write(target, text, store.dump(observations, text))
    _warn(training, learned)
    if not arguments.quiet:
        _tell(target, learned, text, before, arguments.cwd or ".")


def _warn(training: Training, learned: Learned) -> None:
    from selftrace.learning.writer import printable

    for path, why in learned.refused:
        print(f"selftrace: not granted: {printable(path)} ({why}); add it yourself if it must be", file=sys.stderr)
    if training.lost:
        print(f"selftrace: {training.lost} observations were lost: learn again with --add", file=sys.stderr)


def _tell(path: str, learned: Learned, text: str, before: str | None, cwd: str) -> None:
    number = sum(map(len, learned.files.values())) + len(learned.calls) + len(learned.connect) + len(learned.bind)
    news = "nothing new: " if text == before else ""
    where = f"--cwd {cwd} " if "${CWD}" in text else ""
    print(f"selftrace: {news}{path}: {number} grants; use it with: selftrace run --policy {path} {where}…", file=sys.stderr)


def _ending(training: Training) -> int:
    from selftrace.cli.run import exit_code

    result, code = training.result, exit_code(training.result)
    if result.reason != "exit":
        how = f"signal {result.signal}" if result.reason == "signal" else "its time limit"
        print(f"selftrace: the program was ended by {how}: nothing is written", file=sys.stderr)
    elif code:
        print(f"selftrace: the program ended with {code}: the policy is what it needs to fail so", file=sys.stderr)
    return code
