"""The table of calls against the headers of this machine, names, flags, groups, and one line for a call."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selftrace.calls import (
    errno_name,
    errno_value,
    expand_group,
    flag_names,
    flag_value,
    format_call,
    group_names,
    parse_call,
    quote,
    signal_name,
    signal_value,
    table,
)

ROOT = Path(__file__).resolve().parents[3]
HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


def test_numbers_are_the_headers() -> None:
    if not HEADER.exists():
        pytest.skip("the kernel's headers are not installed")
    known = dict(re.findall(r"#define __NR_(\w+) (\d+)", HEADER.read_text()))
    calls = table().by_name
    assert {name: int(number) for name, number in known.items() if name in calls} == {
        name: call.sysno for name, call in calls.items() if name in known
    }
    missing = set(known) - set(calls)
    libc = ctypes.CDLL(None, use_errno=True)
    for name in missing:  # numbers that are taken, and that no kernel implements
        assert libc.syscall(int(known[name]), -1, -1, -1, -1, -1, -1) == -1
        assert ctypes.get_errno() == 38, name


def test_generated_tables_are_fresh() -> None:
    subprocess.run([sys.executable, str(ROOT / "native/generate/calls.py"), "--check"], check=True)


def test_roles_of_well_known_calls() -> None:
    calls = table().by_name
    assert [(a.name, a.role) for a in calls["openat"].args[:2]] == [
        (calls["openat"].args[0].name, "dirfd"),
        (calls["openat"].args[1].name, "path"),
    ]
    assert calls["connect"].args[1].role == "sockaddr"
    assert calls["write"].args[1].role == "buffer"
    assert calls["socket"].args[0].width == 4
    assert calls["mmap"].args[1].width == 8


def test_groups() -> None:
    calls = table()
    assert "mount" in expand_group("@mount", calls)
    assert {"read", "write", "openat"} <= set(expand_group("@system-service", calls)) | set(
        expand_group("@default", calls)
    ) | set(expand_group("@basic-io", calls))
    assert "open" in expand_group("%file", calls)
    assert {name for name in group_names(calls) if not expand_group(name, calls)} == set()
    with pytest.raises(KeyError):
        expand_group("@nothing", calls)


def test_names() -> None:
    assert (errno_name(13), errno_value("EACCES"), errno_value("EWOULDBLOCK")) == ("EACCES", 13, 11)
    assert (signal_name(9), signal_value("SIGKILL"), signal_value("KILL")) == ("SIGKILL", 9, 9)
    with pytest.raises(ValueError, match="EACCES"):
        errno_value("EACCESS")


def test_flags() -> None:
    assert flag_value("O_RDONLY|O_CLOEXEC", "open_flags") == 0o2000000
    assert flag_names("open_flags", 0o2000101) in ("O_WRONLY|O_CREAT|O_CLOEXEC", "O_WRONLY|O_CREAT|O_CLOEXEC")
    with pytest.raises(ValueError):
        flag_value("O_RDONYL", "open_flags")


@pytest.mark.parametrize(
    ("sysno", "args", "strings", "expected"),
    [
        (257, (0xFFFFFF9C, 0, 0o2000000, 0, 0, 0), {1: b"/etc/x"}, 'openat(AT_FDCWD, "/etc/x", O_RDONLY|O_CLOEXEC)'),
        (257, (3, 0, 0o101, 0o644, 0, 0), {1: b"x"}, 'openat(3, "x", O_WRONLY|O_CREAT, 0644)'),
        (39, (0,) * 6, {}, "getpid()"),
        (62, (0xFFFFFFFF, 9, 0, 0, 0, 0), {}, "kill(-1, SIGKILL)"),
        (500, (1, 2, 3, 4, 5, 6), {}, "syscall_0x1f4(0x1, 0x2, 0x3, 0x4, 0x5, 0x6)"),
        (
            42,
            (3, 0, 16, 0, 0, 0),
            {1: bytes([2, 0, 0, 80, 127, 0, 0, 1])},
            'connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}, 16)',
        ),
    ],
)
def test_one_line(sysno: int, args: tuple[int, ...], strings: dict[int, bytes], expected: str) -> None:
    assert format_call(sysno, args, strings) == expected


@given(st.binary(max_size=40))
def test_quoting_is_printable_and_reversible(data: bytes) -> None:
    text = quote(data)
    assert text.isascii() and text.isprintable()
    assert eval("b" + text) == data


@given(st.integers(0, 600), st.tuples(*[st.integers(0, 2**64 - 1)] * 6))
def test_formatting_never_fails(sysno: int, args: tuple[int, ...]) -> None:
    assert format_call(sysno, args)


def test_parsing_what_people_write() -> None:
    parsed = parse_call('openat("/etc/passwd", O_RDONLY)')
    assert (parsed.call.name, parsed.strings[1]) == ("openat", b"/etc/passwd")
    for wrong in ("openat(", "nothing(1)", "", "openat(x=1"):
        with pytest.raises(ValueError):
            parse_call(wrong)
