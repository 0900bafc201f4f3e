"""The kernel's floor under [net]: which sockets may exist at all. Landlock knows TCP only; UDP, unix, netlink, MPTCP,
SCTP, fast open and binding by listen() pass it, so families, types, protocols and flags are held by the filter."""

from __future__ import annotations

from selftrace.calls import Table, linux
from selftrace.policy.plan import AddrPattern, CallGate, Condition, Decision, FilterRule

EACCES = 13
_TYPE_BITS = 15
_FAST_OPEN = 0x20000000
_NSCD_PROBE = linux.SOCK_STREAM | linux.SOCK_CLOEXEC | linux.SOCK_NONBLOCK
_FLAG_ARGUMENT = {"sendto": 3, "sendmsg": 2, "sendmmsg": 3}
Denial = tuple[str, tuple[Condition, ...], bool]
"""(call, conditions, quiet)."""


def _family(value: int) -> Condition:
    return Condition(0, 4, "eq", value)


def _type(value: int) -> Condition:
    return Condition(1, 4, "masked", _TYPE_BITS, value)


def _not_protocol(*values: int) -> list[Condition]:
    return [Condition(2, 4, "ne", value) for value in values]


def _inet(family: int, tcp: bool, udp: bool) -> list[Denial]:
    types = [kind for kind, granted in ((linux.SOCK_STREAM, tcp), (linux.SOCK_DGRAM, udp)) if granted]
    found: list[Denial] = []
    for kind in range(_TYPE_BITS + 1):
        if kind not in types:
            found.append(("socket", (_family(family), _type(kind)), False))
    for kind in types:
        protocol = linux.IPPROTO_TCP if kind == linux.SOCK_STREAM else linux.IPPROTO_UDP
        found.append(("socket", (_family(family), _type(kind), *_not_protocol(0, protocol)), False))
    return found


def denials(connect: tuple[AddrPattern, ...], bind: tuple[AddrPattern, ...]) -> list[Denial]:
    """What the filter refuses when exactly these addresses are granted."""
    granted = (*connect, *bind)
    families = {pattern.family for pattern in granted}
    tcp = any(p.family != "unix" and p.protocol != "udp" for p in granted)
    udp = any(p.family != "unix" and p.protocol in ("udp", "any") for p in granted)
    allowed = []
    if families & {"inet", "inet6"}:
        allowed += [linux.AF_INET, linux.AF_INET6]
    if "unix" in families:
        allowed.append(linux.AF_UNIX)
    found: list[Denial] = []
    if "unix" not in families:
        nscd = (_family(linux.AF_UNIX), Condition(1, 4, "eq", _NSCD_PROBE))  # glibc asks for it, silently
        found.append(("socket", nscd, True))
        found.append(("socketpair", (_type(linux.SOCK_DGRAM),), False))  # a datagram pair could send anywhere
    others = tuple(Condition(0, 4, "ne", value) for value in allowed)
    found.append(("socket", others, False))
    found.append(("socketpair", (Condition(0, 4, "ne", linux.AF_UNIX),), False))
    if linux.AF_INET in allowed:
        for family in (linux.AF_INET, linux.AF_INET6):
            found += _inet(family, tcp, udp)
        found += [(name, (Condition(at, 4, "any", _FAST_OPEN),), False) for name, at in _FLAG_ARGUMENT.items()]
    if not connect:
        found.append(("connect", (), False))
        found.append(("sendto", (Condition(4, 8, "ne", 0),), False))
    if not bind:
        found += [("bind", (), False), ("listen", (), False)]
    return found


def floor(found: list[Denial], row: int, table: Table) -> tuple[list[FilterRule], dict[int, list[CallGate]]]:
    """The denials as filter rules and as the interposer's gates."""
    rules: list[FilterRule] = []
    gates: dict[int, list[CallGate]] = {}
    for name, conditions, quiet in found:
        sysno = table.by_name[name].sysno
        rules.append(FilterRule((sysno,), conditions, Decision("deny", EACCES, row)))
        gates.setdefault(sysno, []).append(CallGate(EACCES, row, quiet=quiet, conditions=conditions))
    return rules, gates
