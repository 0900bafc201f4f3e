"""Limits of a plan as rlimits: what the kernel holds in each process by itself. The monitor watches the whole tree."""

from __future__ import annotations

import resource

from selftrace.policy.terms import LimitSpec


def rlimits(limits: LimitSpec, *, own_uid: bool) -> dict[int, tuple[int, int]]:
    """RLIMIT_* → (soft, hard); never above what this process has itself.

    own_uid: the run has a uid of its own, so that RLIMIT_NPROC counts nothing else. Source: setrlimit(2).
    """
    wanted: dict[int, tuple[int, int]] = {resource.RLIMIT_CORE: (0, 0)}
    if limits.cpu_seconds is not None:
        soft = max(1, -int(-limits.cpu_seconds // 1))
        wanted[resource.RLIMIT_CPU] = (soft, soft + 1)  # SIGXCPU can be caught, what follows a second later cannot
    for number, value in (
        (resource.RLIMIT_DATA, limits.memory),
        (resource.RLIMIT_FSIZE, limits.file_size),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_NPROC, limits.tasks if own_uid else None),
    ):
        if value is not None:
            wanted[number] = (value, value)
    return {number: _within(number, soft, hard) for number, (soft, hard) in wanted.items()}


def _within(number: int, soft: int, hard: int) -> tuple[int, int]:
    _, ceiling = resource.getrlimit(number)
    if ceiling == resource.RLIM_INFINITY:
        return soft, hard
    return min(soft, ceiling), min(hard, ceiling)
