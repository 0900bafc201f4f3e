"""What a descriptor without a path is: asked of the kernel while it is open. For -yy."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_ROOT_MATCH_DUMP = 0x1 | 0x100 | 0x200
_DONE, _ERROR = 3, 2
_SHOW_NAME, _SHOW_PEER = 0x1, 0x4
_NAME, _PEER = 0, 2
_TYPES = {1: "UNIX-STREAM", 2: "UNIX-DGRAM", 5: "UNIX-SEQPACKET"}
_TABLES = {"tcp": "TCP", "udp": "UDP", "tcp6": "TCPv6", "udp6": "UDPv6", "raw": "RAW", "raw6": "RAWv6", "udplite": "UDPLITE"}


def _messages() -> Iterator[bytes]:
    """All unix sockets of this network namespace, as unix_diag answers. Source: sock_diag(7)."""
    request = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _SHOW_NAME | _SHOW_PEER, 0xFFFFFFFF, 0xFFFFFFFF)
    header = struct.pack("=IHHII", 16 + len(request), _SOCK_DIAG_BY_FAMILY, _ROOT_MATCH_DUMP, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as asker:
        asker.send(header + request)
        while True:
            data = asker.recv(1 << 16)
            while len(data) >= 16:
                size, kind = struct.unpack_from("=IH", data)
                if kind in (_DONE, _ERROR) or size < 16:
                    return
                yield data[16:size]
                data = data[(size + 3) & ~3 :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        if size < 4:
            return
        yield kind, data[4:size]
        data = data[(size + 3) & ~3 :]


def _unix(inode: int) -> str:
    for message in _messages():
        _, kind, _, _, found = struct.unpack_from("=BBBBI", message)
        if found != inode:
            continue
        name, peer = "", 0
        for attribute, value in _attributes(message[16:]):
            if attribute == _NAME and value:
                text = value.decode("utf-8", "backslashreplace")
                name = f'@"{text[1:]}"' if text[0] == "\0" else f'"{text.rstrip(chr(0))}"'
            elif attribute == _PEER:
                peer = struct.unpack("=I", value)[0]
        inside = f"{inode}" + (f"->{peer}" if peer else "") + (f",{name}" if name else "")
        return f"{_TYPES.get(kind, 'UNIX')}:[{inside}]"
    return ""


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.partition(":")
    raw = bytes.fromhex(host)
    words = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    number = ipaddress.ip_address(words)
    return (f"[{number}]" if number.version == 6 else str(number)), int(port, 16)


def _inet(pid: int, inode: int) -> str:
    for table, name in _TABLES.items():
        try:
            with open(f"/proc/{pid}/net/{table}") as file:
                for line in file:
                    fields = line.split()
                    if len(fields) < 10 or fields[9] != str(inode):
                        continue
                    (here, port), (there, other) = _address(fields[1]), _address(fields[2])
                    return f"{name}:[{here}:{port}->{there}:{other}]" if other else f"{name}:[{here}:{port}]"
        except OSError:
            continue
    return ""


def _protocol(pid: int, fd: int, inode: int) -> str:
    """A socket that has no address yet is in no table: the kernel names its protocol. Source: sockfs_xattr_get, net/socket.c."""
    try:
        name = os.getxattr(f"/proc/{pid}/fd/{fd}", "system.sockprotoname").rstrip(b"\0").decode("ascii", "replace")
    except OSError:
        return ""
    return f"{name}:[{inode}]"


def _socket(pid: int, fd: int, inode: int) -> str:
    found = _inet(pid, inode)
    if found:
        return found
    try:
        found = _unix(inode)
    except OSError:
        pass
    return found or _protocol(pid, fd, inode)


def _field(pid: int, fd: int, name: str) -> str:
    """A field of /proc/PID/fdinfo/FD; empty: none."""
    try:
        with open(f"/proc/{pid}/fdinfo/{fd}") as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith(f"{name}:")), "")
    except OSError:
        return ""


_known: dict[str, str] = {}
"""link → what it is: a socket may be closed before it is looked at again."""


def describe(pid: int, fd: int, link: str) -> str:
    """What stands for a link of /proc/PID/fd: TCP:[127.0.0.1:80->…], UNIX-STREAM:[5->6], pid:7, …; empty: not known."""
    if link == "anon_inode:[pidfd]":
        number = _field(pid, fd, "Pid")
        return f"pid:{number}" if number else ""
    if link == "anon_inode:[eventfd]":
        count, kind = _field(pid, fd, "eventfd-count"), _field(pid, fd, "eventfd-id")
        return f"eventfd:[count:{count},id:{kind}]" if count else ""
    if not link.startswith("socket:["):
        return ""
    found = _socket(pid, fd, int(link[8:-1] or 0))
    if "->" in _known.get(link, "") and "->" not in found:
        return _known[link]  # the other end has gone
    if found:
        _known[link] = found
    return found or _known.get(link, "")
