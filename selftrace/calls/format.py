"""A call as one line, in strace's spelling. Unknown calls and values print as numbers; nothing here fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from selftrace.calls import linux
from selftrace.calls.flags import flag_names
from selftrace.calls.names import signal_name
from selftrace.calls.table import Arg, Call, Table
from selftrace.calls.table import table as default_table

_AT_FDCWD = 0xFFFFFF9C
_ESCAPES = {ord("\n"): "\\n", ord("\t"): "\\t", ord("\r"): "\\r", ord('"'): '\\"', ord("\\"): "\\\\"}
_ESCAPES |= {0x0B: "\\v", 0x0C: "\\f"}
_NEEDS_MODE = 0x40 | 0x400000  # O_CREAT, O_TMPFILE's own bit


def quote(data: bytes) -> str:
    """A string as strace quotes it."""
    out = []
    for at, byte in enumerate(data):
        if byte in _ESCAPES:
            out.append(_ESCAPES[byte])
        elif 0x20 <= byte < 0x7F:
            out.append(chr(byte))
        else:
            digit_follows = at + 1 < len(data) and chr(data[at + 1]).isdigit() and data[at + 1] < 0x80
            out.append(f"\\{byte:03o}" if digit_follows else f"\\{byte:o}")
    return f'"{"".join(out)}"'


def format_sockaddr(raw: bytes) -> str:
    """A socket address as strace prints it."""
    family = int.from_bytes(raw[:2], sys.byteorder)
    if family == linux.AF_INET and len(raw) >= 8:
        port, host = int.from_bytes(raw[2:4], "big"), ".".join(map(str, raw[4:8]))
        return f'{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr("{host}")}}'
    if family == linux.AF_INET6 and len(raw) >= 24:
        from ipaddress import IPv6Address

        port, host = int.from_bytes(raw[2:4], "big"), str(IPv6Address(raw[8:24]))
        return f'{{sa_family=AF_INET6, sin6_port=htons({port}), inet_pton(AF_INET6, "{host}")}}'
    if family == linux.AF_UNIX:
        path = raw[2:]
        name = "@" + os.fsdecode(path[1:]) if path[:1] == b"\0" else os.fsdecode(path.split(b"\0", 1)[0])
        return f'{{sa_family=AF_UNIX, sun_path="{name}"}}'
    return f"{{sa_family={flag_names('socket_domain', family)}}}"


def _number(arg: Arg | None, value: int) -> str:
    if arg is None:
        return hex(value)
    bits = arg.width * 8
    value &= (1 << bits) - 1
    if arg.role == "dirfd" and value & 0xFFFFFFFF == _AT_FDCWD:
        return "AT_FDCWD"
    if arg.role == "mode":
        return f"0{value:o}" if value else "000"
    if arg.flags:
        return flag_names(arg.flags, value)
    if arg.role in ("pointer", "path", "text", "buffer", "sockaddr"):
        return hex(value) if value else "NULL"
    if arg.role == "signal":
        return signal_name(value) if 0 < value <= 64 else str(value)
    if arg.role in ("fd", "dirfd", "int", "pid", "offset") and value >> (bits - 1):
        value -= 1 << bits
    return str(value)


def shown(call: Call, args: Sequence[int]) -> int:
    """How many arguments mean something: open's mode only counts where a file may be made."""
    flags_at = {"open": 1, "openat": 2}.get(call.name)
    if flags_at is not None and not args[flags_at] & _NEEDS_MODE:
        return flags_at + 1
    return len(call.args)


def format_call(
    sysno: int,
    args: Sequence[int],
    strings: Mapping[int, bytes] | None = None,
    table: Table | None = None,
    *,
    short: bool = False,
) -> str:
    """`openat(AT_FDCWD, "/etc/x", O_RDONLY|O_CLOEXEC)`.

    args: six numbers. strings: argument index → its bytes (a path, an address), where they are known.
    short: leaves a dirfd out that an absolute path makes meaningless.
    """
    strings = strings or {}
    call = (table or default_table()).by_number.get(sysno)
    if call is None:
        return f"syscall_{sysno:#x}({', '.join(hex(value) for value in args)})"
    parts = []
    for index in range(min(shown(call, args), len(args))):
        arg = call.args[index]
        if short and arg.role == "dirfd" and strings.get(index + 1, b"").startswith(b"/"):
            continue
        if index not in strings:
            parts.append(_number(arg, args[index]))
        elif arg.role == "sockaddr":
            parts.append(format_sockaddr(strings[index]))
        else:
            parts.append(quote(strings[index]))
    return f"{call.name}({', '.join(parts)})"
