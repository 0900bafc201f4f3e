"""Addresses in [net]: host:port, cidr:port, [v6]:port, unix:/path, udp://host:port; * for any port or host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from selftrace.calls import linux
from selftrace.policy.plan import AddrPattern

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

_ANY_PORT = (0, 65535)


def _ports(text: str, whole: str) -> tuple[int, int]:
    if text == "*":
        return _ANY_PORT
    low, dash, high = text.partition("-")
    if low.isdigit() and (not dash or high.isdigit()):
        first, last = int(low), int(high) if dash else int(low)
        if first <= last <= 65535:
            return first, last
    raise ValueError(f'"{whole}": "{text}" is no port: write 80, 8000-8010 or *')


def _resolved(host: str, whole: str) -> list[str]:
    try:
        import socket

        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ValueError(f'"{whole}": {host} cannot be resolved now ({error})') from None
    return sorted({str(answer[4][0]).split("%")[0] for answer in answers})


def _networks(host: str, whole: str) -> list[IPv4Network | IPv6Network]:
    import ipaddress

    if host in ("*", ""):
        return [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
    try:
        return [ipaddress.ip_network(host.strip("[]"), strict=False)]
    except ValueError:
        return [ipaddress.ip_network(answer) for answer in _resolved(host, whole)]


def compile_address(text: str) -> list[AddrPattern]:
    """The patterns of one entry; names are resolved here. Raises ValueError."""
    if text.startswith("unix:"):
        path = text[5:]
        if not path.startswith("/"):
            raise ValueError(f'"{text}": a unix socket is unix:/absolute/path')
        return [AddrPattern("unix", os.fsencode(path))]
    rest, protocol = text, "tcp"
    for scheme in ("udp", "tcp"):
        if text.startswith(f"{scheme}://"):
            rest, protocol = text[len(scheme) + 3 :], scheme
    host, colon, port = rest.rpartition(":")
    if not colon or (host.startswith("[") and not host.endswith("]")):
        raise ValueError(f'"{text}" is no address: write host:port, cidr:port, [v6]:port, udp://host:port or unix:/path')
    low, high = _ports(port, text)
    return [
        AddrPattern(
            "inet" if network.version == 4 else "inet6",
            network.network_address.packed,
            network.prefixlen,
            low,
            high,
            "udp" if protocol == "udp" else "tcp",
        )
        for network in _networks(host, text)
    ]


def address_matches(pattern: AddrPattern, raw: bytes, protocol: str = "tcp") -> bool:
    """Whether a sockaddr is one of the pattern's; what the interposer's matcher in C means."""
    from selftrace.policy.patterns import matches
    from selftrace.policy.plan import PathPattern

    family = int.from_bytes(raw[:2], "little")
    if pattern.family == "unix":
        path = raw[2:].split(b"\0", 1)[0]
        return family == linux.AF_UNIX and bool(path) and matches(PathPattern("glob", pattern.address), path)
    host = raw[4:8] if family == linux.AF_INET else raw[8:24]
    if family == linux.AF_INET6 and host[:12] == bytes(10) + b"\xff\xff" and pattern.family == "inet":
        family, host = linux.AF_INET, host[12:]
    if family != (linux.AF_INET if pattern.family == "inet" else linux.AF_INET6):
        return False
    if pattern.protocol not in ("any", protocol):
        return False
    bits = 8 * len(host)
    shift = bits - pattern.prefix
    same = int.from_bytes(host, "big") >> shift == int.from_bytes(pattern.address, "big") >> shift
    return same and pattern.port_low <= int.from_bytes(raw[2:4], "big") <= pattern.port_high
