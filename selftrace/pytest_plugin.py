"""pytest plugin: faults, policies and assertions about system calls. The manual's page: `selftrace help tracing`.

    @pytest.mark.fault("write", error="ENOSPC", when="2", path="${TMP_PATH}/**")
    @pytest.mark.syscall_policy("builtin:no-network")
    def test_it(syscalls, tmp_path): ...

Only the test itself counts, in its own thread and those that it starts: not fixtures, not pytest, not the import system.
"""

from __future__ import annotations

from contextlib import ExitStack

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from selftrace.result import Result
    from selftrace.testing.observed import Syscalls

_MARKS = (
    "fault(calls, *, error=, retval=, signal=, delay_enter=, short=, data=, when=, path=, …, must_fire=True): system calls "
    'of the test fail; strace\'s form "write:error=ENOSPC:when=2" is taken too. The test fails if none did. (selftrace)',
    "syscall_policy(policy): the test runs in a child process under this policy. (selftrace)",
)
_report = pytest.StashKey["dict[str, Any]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """--selftrace-required."""
    group = parser.getgroup("selftrace")
    group.addoption(
        "--selftrace-required",
        action="store_true",
        help="tests that need selftrace fail where the platform lacks something, instead of being skipped",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marks."""
    for mark in _MARKS:
        config.addinivalue_line("markers", mark)


def _wanted(item: pytest.Item) -> tuple[bool, bool, bool]:
    """Whether it has faults, a policy, the fixture `syscalls`."""
    fault = item.get_closest_marker("fault") is not None
    policy = item.get_closest_marker("syscall_policy") is not None
    return fault, policy, "syscalls" in getattr(item, "fixturenames", ())


def _missing(*, runs: bool, dispatch: bool) -> str:
    """What the platform lacks; empty: nothing."""
    from selftrace.errors import SelftraceError

    try:
        if dispatch:
            from selftrace.inprocess.engine import engine

            engine()
        if runs:
            from selftrace.kernel.features import probe, require_platform

            require_platform()
            probe()
    except SelftraceError as error:
        return str(error)
    return ""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what cannot be done here."""
    fault, policy, syscalls = _wanted(item)
    run = "selftrace_run" in getattr(item, "fixturenames", ())
    if not (fault or policy or syscalls or run):
        return
    missing = _missing(runs=policy or run, dispatch=fault or syscalls)
    if missing and item.config.getoption("--selftrace-required"):
        pytest.fail(f"selftrace is required: {missing}", pytrace=False)
    if missing:
        pytest.skip(f"selftrace: {missing}")


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """The innermost of all wrappers: nothing but the test is within."""
    fault, policy, syscalls = _wanted(item)
    if not (fault or policy or syscalls):
        return (yield)
    if policy and (fault or syscalls):
        pytest.fail("syscall_policy goes neither with fault nor with syscalls: one interposer a process", pytrace=False)
    if policy:
        from selftrace.testing.confined import in_child

        item.stash[_report] = in_child(item)
        item.runtest = _nothing  # type: ignore[method-assign]
        try:
            return (yield)
        finally:
            del item.runtest
    return (yield from _observed(item, fault, syscalls))


def _nothing() -> None:
    """Instead of a test that has run in a child already."""


def _observed(item: pytest.Item, fault: bool, syscalls: bool) -> Generator[None, Any, Any]:
    from selftrace.inprocess.engine import engine
    from selftrace.inprocess.imports import ImportsAside
    from selftrace.testing.faulty import of_marks

    funcargs: dict[str, Any] = getattr(item, "funcargs", {})
    tmp_path = str(funcargs["tmp_path"]) if "tmp_path" in funcargs else None
    problem, faults = "", []
    try:
        faults = of_marks(item.iter_markers("fault"), tmp_path) if fault else []
    except (ValueError, TypeError) as error:
        problem = str(error)
    if problem:
        pytest.fail(f"@pytest.mark.fault: {problem}", pytrace=False)
    with ExitStack() as stack:
        stack.enter_context(ImportsAside(engine().watch))
        if syscalls and "syscalls" in funcargs:
            stack.enter_context(funcargs["syscalls"])
        for one in faults:
            stack.enter_context(one.inject)
        result = yield
        stack.close()
        complaints = [complaint for one in faults if (complaint := one.complaint())]
        if complaints:
            pytest.fail("\n".join(complaints), pytrace=False)
        return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """The child's report in place of ours."""
    report = yield
    data = item.stash.get(_report, None)
    if call.when != "call" or not data:
        return report
    item.stash[_report] = {}
    found = item.config.hook.pytest_report_from_serializable(config=item.config, data=data)
    found.sections = [*report.sections, *found.sections]
    return found


@pytest.fixture
def syscalls() -> Syscalls:
    """The system calls of the test: .count(), .calls(), .paths(), .trace, .assert_no_network(), .assert_opens_only()."""
    from selftrace.testing.observed import Syscalls

    return Syscalls()


@pytest.fixture
def selftrace_run() -> Callable[..., Result]:
    """selftrace.run, with a time limit of a minute unless another is given."""
    import selftrace

    def run(*args: Any, **named: Any) -> Result:
        return selftrace.run(*args, **{"timeout_s": 60, **named})

    return run
