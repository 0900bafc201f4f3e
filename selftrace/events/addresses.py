"""Socket addresses as policies write them."""

from __future__ import annotations

import ipaddress
import os


def as_policy(raw: bytes) -> str:
    """An address as [net] writes it; empty for what it has no words for."""
    family = int.from_bytes(raw[:2], "little")
    if family == 2 and len(raw) >= 8:
        return f"{ipaddress.IPv4Address(raw[4:8])}:{int.from_bytes(raw[2:4], 'big')}"
    if family == 10 and len(raw) >= 24:
        return f"[{ipaddress.IPv6Address(raw[8:24])}]:{int.from_bytes(raw[2:4], 'big')}"
    if family == 1 and raw[2:3] not in (b"", b"\0"):
        return "unix:" + os.fsdecode(raw[2:].split(b"\0", 1)[0])
    return ""
