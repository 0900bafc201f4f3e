"""`@pytest.mark.syscall_policy(...)`: the test's body in a forked child that takes the policy on for good.

The fork comes when fixtures are set up, so that the test has them; the child has one thread, as arming needs. What a policy
says of limits and of another user is for runs of their own (`selftrace_run`), and not done here.
"""

from __future__ import annotations

import json
import os
import sys

import pytest

from selftrace.backends import trap
from selftrace.backends.base import native_directory
from selftrace.compiling import compiled
from selftrace.errors import SelftraceError, UnsupportedError
from selftrace.events.ring import Ring
from selftrace.inprocess.engine import engine
from selftrace.inprocess.plan import context
from selftrace.kernel import landlock
from selftrace.kernel.features import probe
from selftrace.policy.api import load
from selftrace.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from selftrace.prepared import Prepared

_CHUNK = 1 << 16


def _prepare(item: pytest.Item) -> Prepared:
    mark = item.get_closest_marker("syscall_policy")
    assert mark is not None
    if len(mark.args) != 1 or mark.kwargs:
        raise TypeError('syscall_policy takes one policy, e.g. syscall_policy("builtin:no-network")')
    model = load(mark.args[0]).model(context())
    if any(rule.action.name == "python" for rule in model.rules):
        raise UnsupportedError("Python handlers are for runs of their own", "use the fixture selftrace_run")
    return compiled(replace(model, process=None), probe())[0]


def _arm(prepared: Prepared, ring_fd: int) -> None:
    """In the child: from here on the policy holds."""
    import importlib.machinery
    import importlib.util

    from selftrace import _native

    path = str(_native.__file__)
    spec = importlib.machinery.ModuleSpec("_start", importlib.machinery.ExtensionFileLoader("_start", path), origin=path)
    start: Any = importlib.util.module_from_spec(spec)
    ruleset = landlock.build(prepared.ruleset) if prepared.ruleset is not None else -1
    plan = trap.sealed("selftrace-plan", prepared.table)
    blob = os.open(os.path.join(native_directory(), "_interposer"), os.O_RDONLY | os.O_CLOEXEC)
    if prepared.hosts:
        blob, plan, ring_fd = _kept(blob, trap.KEPT_BLOB_FD), _kept(plan, trap.KEPT_PLAN_FD), _kept(ring_fd, trap.KEPT_RING_FD)
        _kept(trap.sealed("selftrace-bundle", b""), trap.KEPT_BUNDLE_FD)
    start.arm(blob, plan, ring_fd, ruleset, 0, False)


def _kept(fd: int, target: int) -> int:
    os.dup2(fd, target, inheritable=True)
    return target


def _body(item: pytest.Item, prepared: Prepared, ring_fd: int) -> Any:
    """The test's report, as the child sees it."""

    def run() -> None:
        _arm(prepared, ring_fd)
        item.runtest()

    call = pytest.CallInfo.from_call(run, when="call", reraise=None)
    report = item.ihook.pytest_runtest_makereport(item=item, call=call)
    return item.config.hook.pytest_report_to_serializable(config=item.config, report=report)


def _read_all(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, _CHUNK):
        parts.append(part)
    return b"".join(parts)


def _violations(ring: Ring, prepared: Prepared) -> str:
    lines = []
    for record in ring.read():
        if record.kind != 1:  # ST_RECORD_VIOLATION
            continue
        what = record.path.decode("utf-8", "surrogateescape")
        lines.append(f"{prepared.calls.get(record.sysno, record.sysno)}({what}): {os.strerror(max(-record.result, 0))}")
    return "\n".join(dict.fromkeys(lines))


def in_child(item: pytest.Item) -> dict[str, Any]:
    """Runs the test's body in a child. Its report, to be read again by pytest_report_from_serializable."""
    try:
        prepared = _prepare(item)
    except (SelftraceError, TypeError) as error:
        pytest.fail(f"@pytest.mark.syscall_policy: {error}", pytrace=False)
    ring = Ring()
    try:
        data, status = _forked(item, prepared, ring)
        violations = _violations(ring, prepared)
    finally:
        ring.close()
    if not data:
        how = f"was killed by signal {-status}" if status < 0 else f"ended with {status}"
        pytest.fail(f"the test's process {how}" + (f"\nrefused:\n{violations}" if violations else ""), pytrace=False)
    report: dict[str, Any] = json.loads(data)
    if violations:
        report["sections"] = [*report.get("sections", []), ("Refused by the policy", violations)]
    return report


def _forked(item: pytest.Item, prepared: Prepared, ring: Ring) -> tuple[bytes, int]:
    engine()  # loads what the child could not
    sys.stdout.flush()
    sys.stderr.flush()
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.close(read)
            data = json.dumps(_body(item, prepared, ring.fd)).encode()
            sys.stdout.flush()
            sys.stderr.flush()
            with open(write, "wb") as file:
                file.write(data)
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    try:
        data = _read_all(read)
    finally:
        os.close(read)
        _, status = os.waitpid(pid, 0)
    return data, os.waitstatus_to_exitcode(status)
