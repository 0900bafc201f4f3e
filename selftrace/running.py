"""`run` and `arun`: what users call."""

from __future__ import annotations

import os
import sys

from selftrace.job import Job, make_job, make_program
from selftrace.policy.api import DEFAULT_PROGRAM, Policy, load
from selftrace.result import Result, Violation
from selftrace.session import Options, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from selftrace.session import OnOutput, OnViolation


def _prepare(
    script: str | os.PathLike[str] | None,
    args: Sequence[str],
    *,
    code: str | None,
    module: str | None,
    argv: Sequence[str] | None,
    policy: Policy | str | Path | None,
    python: str,
    timeout_s: float | None,
    memory: int | str | None,
) -> tuple[Policy, Job]:
    if argv is not None:
        if (script, code, module) != (None, None, None) or args:
            raise ValueError("give exactly one of script, code, module, argv; arguments of a program stand in argv")
        job = make_program(argv)
    else:
        job = make_job(script, args, code=code, module=module, python=python)
    limits: dict[str, Any] = {}
    if timeout_s is not None:
        if not timeout_s > 0:
            raise ValueError(f"timeout_s must be positive, not {timeout_s}")
        limits["wall_seconds"] = timeout_s if timeout_s != float("inf") else None
    if memory is not None:
        limits["memory"] = memory
    chosen = load(policy if policy is not None or argv is None else DEFAULT_PROGRAM)
    return (chosen.with_grants(limits=limits) if limits else chosen), job


def run(
    script: str | os.PathLike[str] | None = None,
    *args: str,
    code: str | None = None,
    module: str | None = None,
    argv: Sequence[str] | None = None,
    policy: Policy | str | Path | None = None,
    python: str = sys.executable,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    inputs: Mapping[str, bytes | str | os.PathLike[str]] | None = None,
    outputs: Sequence[str] = (),
    cwd: str | os.PathLike[str] | None = None,
    timeout_s: float | None = None,
    memory: int | str | None = None,
    backend: str = "auto",
    on_output: OnOutput | None = None,
    on_violation: OnViolation | None = None,
) -> Result:
    """Runs a script (or code, a module, a program) that nobody trusts, and waits for it.

    argv: any program and its arguments, in place of a script. args: for a script's sys.argv. policy: a Policy,
    "builtin:NAME", a file; None is builtin:untrusted-script, for programs builtin:untrusted-program. stdin: what it reads.
    env: variables besides the clean environment. inputs: name → bytes or a file to copy into its private directory.
    outputs: globs of files to bring back. cwd: a directory of yours to work in: read, written and kept. timeout_s: wall
    clock in seconds, in place of the policy's. memory: bytes or "512M", likewise. on_output(stream, bytes) and
    on_violation(violation) are called while it runs, from this thread. Usable from any thread; changes nothing in the
    caller. Raises PolicyError, UnsupportedError, ValueError, OSError; how the program ends is in the Result.
    """
    chosen, job = _prepare(
        script, args, code=code, module=module, argv=argv, policy=policy, python=python, timeout_s=timeout_s, memory=memory
    )
    options = Options(
        stdin=stdin,
        env=env or {},
        inputs=inputs or {},
        outputs=outputs,
        cwd=None if cwd is None else os.fspath(cwd),
        backend=backend,
        on_output=on_output,
        on_violation=on_violation,
    )
    with Run(chosen, job, options) as session:
        return session.run()


async def arun(
    script: str | os.PathLike[str] | None = None,
    *args: str,
    on_output: OnOutput | None = None,
    on_violation: OnViolation | None = None,
    **options: Any,
) -> Result:
    """`run`, awaitable: the waiting is done by a thread of its own. on_output and on_violation are called in the event
    loop. Cancelling ends the whole run before it returns."""
    import asyncio
    import threading

    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()
    holder: dict[str, Any] = {"cancelled": False}
    lock = threading.Lock()

    def started(session: Any) -> None:
        with lock:
            holder["session"] = session
            if holder["cancelled"]:
                session.cancel()

    def deliver(setter: Any, value: Any) -> None:
        if not done.done():
            setter(value)

    def work() -> None:
        try:
            result = _run_observed(script, args, started, _in_loop(loop, on_output), _in_loop(loop, on_violation), options)
        except BaseException as error:
            loop.call_soon_threadsafe(deliver, done.set_exception, error)
        else:
            loop.call_soon_threadsafe(deliver, done.set_result, result)

    thread = threading.Thread(target=work, name="selftrace-run", daemon=True)
    thread.start()
    try:
        result = await asyncio.shield(done)
    except asyncio.CancelledError:
        with lock:
            holder["cancelled"] = True
            session = holder.get("session")
            if session is not None:
                session.cancel()
        thread.join()
        if done.done() and not done.cancelled():
            done.exception()  # it has been asked for: asyncio need not complain
        raise
    thread.join()
    return result


def _in_loop(loop: Any, callback: Any) -> Any:
    if callback is None:
        return None
    return lambda *values: loop.call_soon_threadsafe(callback, *values)


def _run_observed(
    script: Any, args: Sequence[str], started: Any, on_output: OnOutput | None, on_violation: Any, given: Mapping[str, Any]
) -> Result:
    rest = dict(given)
    names = ("code", "module", "argv", "policy", "timeout_s", "memory")
    mine = {name: rest.pop(name, None) for name in names}
    chosen, job = _prepare(script, args, python=rest.pop("python", sys.executable), **mine)
    options = Options(on_output=on_output, on_violation=on_violation)
    for name, value in rest.items():
        if not hasattr(options, name):
            raise TypeError(f"arun() got an unexpected keyword argument {name!r}")
        setattr(options, name, value if name != "cwd" or value is None else os.fspath(value))
    with Run(chosen, job, options) as session:
        started(session)
        return session.run()


__all__ = ["Violation", "arun", "run"]
