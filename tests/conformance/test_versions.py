"""A loader, policy or ring of another version: refused with 126, and both versions named."""

from __future__ import annotations

import os
import subprocess

import pytest
from selftrace._native import ffi, lib

from selftrace.backends.base import native_directory
from selftrace.backends.trap import sealed

LOADER = os.path.join(native_directory(), "_interposer")
OTHER = lib.ST_ABI + 7


def start(orders: str, plan: bytes, ring: bytes) -> subprocess.CompletedProcess[bytes]:
    """The loader as the monitor starts it."""
    held = {lib.ST_KEPT_PLAN: sealed("plan", plan), lib.ST_KEPT_RING: os.memfd_create("ring")}
    os.truncate(held[lib.ST_KEPT_RING], len(ring))
    os.pwrite(held[lib.ST_KEPT_RING], ring, 0)
    read, write = os.pipe()
    try:
        actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in held.items()]
        actions.append((os.POSIX_SPAWN_DUP2, write, 2))
        pid = os.posix_spawn(LOADER, [orders, "/bin/true", "true"], {}, file_actions=actions)
        os.close(write)
        with open(read, "rb") as file:
            text = file.read()
        return subprocess.CompletedProcess([], os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), b"", text)
    finally:
        for fd in held.values():
            os.close(fd)


def header(struct: str, length: int, **fields: int) -> bytes:
    made = ffi.new(f"{struct} *")
    for name, value in fields.items():
        setattr(made, name, value)
    return bytes(ffi.buffer(made)).ljust(length, b"\0")


@pytest.fixture
def ring() -> bytes:
    return header("struct st_ring_header", lib.ST_RING_OFFSET + 4096, magic=lib.ST_RING_MAGIC, abi=lib.ST_ABI)


def plan(abi: int) -> bytes:
    return header("struct st_plan", 4096, magic=lib.ST_PLAN_MAGIC, abi=abi, size=4096)


def test_orders_of_another_version(ring: bytes) -> None:
    for orders in (f"selftrace-first {OTHER} -1", f"selftrace-exec {OTHER} 5 -1 0 /bin/true"):
        done = start(orders, plan(lib.ST_ABI), ring)
        assert done.returncode == 126
        assert f"version {OTHER} and the loader of version {lib.ST_ABI}" in done.stderr.decode()


def test_a_policy_of_another_version(ring: bytes) -> None:
    done = start(f"selftrace-first {lib.ST_ABI} -1", plan(OTHER), ring)
    assert done.returncode == 126
    assert f"policy is of version {OTHER} and the loader of version {lib.ST_ABI}" in done.stderr.decode()


def test_a_ring_of_another_version() -> None:
    other = header("struct st_ring_header", lib.ST_RING_OFFSET + 4096, magic=lib.ST_RING_MAGIC, abi=OTHER)
    done = start(f"selftrace-first {lib.ST_ABI} -1", plan(lib.ST_ABI), other)
    assert done.returncode == 126
    assert f"ring is of version {OTHER} and" in done.stderr.decode()


def test_by_itself_it_says_what_it_is() -> None:
    done = subprocess.run([LOADER], capture_output=True, check=False)
    assert done.returncode == 126
    assert b"selftrace's loader" in done.stderr
