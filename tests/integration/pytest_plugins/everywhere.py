"""Each test of a suite is traced and has a fault (that never fires): what the plugin can do, on tests that know nothing of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from selftrace.testing.observed import Syscalls


@pytest.fixture(autouse=True)
def observed(syscalls: Syscalls, request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    request.node.user_properties.append(("syscalls", syscalls.count()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.fault("sethostname", error="EPERM", must_fire=False))
