"""Reads a call as people write it: `openat("/etc/passwd", O_RDONLY)`, `connect("127.0.0.1:80")`."""

from __future__ import annotations

import os
import re
import struct

from selftrace.calls import linux
from selftrace.calls.flags import flag_value
from selftrace.calls.names import nearest
from selftrace.calls.table import Call, Table
from selftrace.calls.table import table as default_table
from selftrace.record import fresh, record

_TOKEN = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,()"]+))\s*(,|$)')
_AT_FDCWD = -100 & 0xFFFFFFFF
_POINTED_AT = 0x1000  # stands for an address that something is at


@record
class ParsedCall:
    """A call with its arguments: six numbers, and bytes for those that point at something."""

    call: Call
    args: tuple[int, ...]
    strings: dict[int, bytes] = fresh(default_factory=dict)


def parse_address(text: str) -> bytes:
    """A sockaddr of "1.2.3.4:80", "[::1]:80" or "unix:/path". Raises ValueError."""
    if text.startswith("unix:"):
        return struct.pack("=H", linux.AF_UNIX) + os.fsencode(text[5:]) + b"\0"
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f'"{text}" is no address: write "127.0.0.1:80", "[::1]:80" or "unix:/path"')
    import ipaddress

    address = ipaddress.ip_address(host.strip("[]"))
    if address.version == 4:
        return struct.pack("=H", linux.AF_INET) + struct.pack(">H", int(port)) + address.packed + bytes(8)
    return struct.pack("=H", linux.AF_INET6) + struct.pack(">HI", int(port), 0) + address.packed + bytes(4)


def _words(text: str) -> list[tuple[bool, str]]:
    """(quoted, text) of each argument."""
    found: list[tuple[bool, str]] = []
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"cannot read the arguments from {text[at:]!r} on")
        quoted = match.group(1) is not None
        word = match.group(1).encode().decode("unicode_escape") if quoted else match.group(2).strip()
        found.append((quoted, word))
        at = match.end()
    return found


def parse_call(text: str, table: Table | None = None) -> ParsedCall:
    """The call that `text` writes. A leading directory descriptor may be left out.

    Raises ValueError: an unknown call or flag (naming the nearest), or arguments that cannot be read.
    """
    source = table or default_table()
    match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", text, re.DOTALL)
    if match is None:
        raise ValueError(f'{text!r} is no call: write e.g. openat("/etc/passwd", O_RDONLY)')
    call = source.by_name.get(match.group(1))
    if call is None:
        raise ValueError(f'unknown call "{match.group(1)}"{nearest(match.group(1), source.by_name)}')
    words = _words(match.group(2) or "")
    if words and words[0][0] and call.args and call.args[0].role == "dirfd":
        words.insert(0, (False, "AT_FDCWD"))
    if words and words[0][0] and call.args and call.args[0].role == "fd":
        words.insert(0, (False, "3"))
    if len(words) > 6:
        raise ValueError(f"{call.name} takes at most six arguments")
    args = [0] * 6
    strings: dict[int, bytes] = {}
    for index, (quoted, word) in enumerate(words):
        arg = call.args[index] if index < len(call.args) else None
        if quoted:
            role = arg.role if arg else ""
            strings[index] = parse_address(word) if role == "sockaddr" else os.fsencode(word)
            args[index] = _POINTED_AT
            if role == "sockaddr" and index + 1 < 6:
                args[index + 1] = len(strings[index])
        elif word == "NULL":
            args[index] = 0
        else:
            args[index] = flag_value(word, arg.flags if arg else None, source) & 0xFFFFFFFFFFFFFFFF
    if any(arg.role == "dirfd" for arg in call.args[:1]) and not words:
        args[0] = _AT_FDCWD
    return ParsedCall(call, tuple(args), strings)
