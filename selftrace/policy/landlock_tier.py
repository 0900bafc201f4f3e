"""What Landlock can hold of [fs] and [net]: grants on existing directory trees and files, TCP ports."""

from __future__ import annotations

import os

from selftrace.policy.patterns import fixed_prefix
from selftrace.policy.plan import AddrPattern, LandlockRule, LandlockSpec, PathPattern

_READ = frozenset({"read_file", "read_dir"})
_WRITE = frozenset("write_file truncate make_reg make_dir make_sym make_fifo make_sock remove_file remove_dir refer".split())
_EXEC = frozenset({"execute", "read_file"})
_NEW_FILE = frozenset({"write_file", "truncate", "make_reg", "make_dir", "make_sym", "remove_file", "remove_dir"})
_LIST_ONLY = frozenset({"read_dir"})
_DEVICE = frozenset({"ioctl_dev"})
MAX_PORTS = 64
OWN_PROC = "/proc/self"


def _rule(pattern: PathPattern, rights: frozenset[str]) -> LandlockRule | None:
    """The narrowest Landlock grant that covers a pattern; None if nothing of it exists."""
    path = fixed_prefix(pattern)
    if path == OWN_PROC or path.startswith(OWN_PROC + "/"):
        return LandlockRule(OWN_PROC, rights)
    if path.startswith("/dev/"):
        rights = rights | _DEVICE
    if pattern.kind == "exact" and not os.path.lexists(path):
        parent = os.path.dirname(path)
        wanted = rights & _NEW_FILE
        return LandlockRule(parent, wanted) if wanted and os.path.isdir(parent) else None
    if pattern.kind == "exact" and os.path.isdir(path):
        rights = rights & (_LIST_ONLY | {"make_reg", "make_dir", "remove_file", "remove_dir"})
    return LandlockRule(path, rights) if os.path.lexists(path) else None


def fs_rules(
    read: tuple[PathPattern, ...], write: tuple[PathPattern, ...], execute: tuple[PathPattern, ...]
) -> tuple[LandlockRule, ...]:
    """The grants of [fs], joined by path."""
    joined: dict[str, frozenset[str]] = {}
    for pattern in {*read} & {*write}:  # a file that is made and read back
        if _is_new(pattern):
            joined[os.path.dirname(fixed_prefix(pattern))] = frozenset({"read_file"})
    for patterns, rights in ((read, _READ), (write, _WRITE), (execute, _EXEC)):
        for pattern in patterns:
            rule = _rule(pattern, rights)
            if rule is not None and rule.access:
                joined[rule.path] = joined.get(rule.path, frozenset()) | rule.access
    return tuple(LandlockRule(path, access) for path, access in sorted(joined.items()))


def _is_new(pattern: PathPattern) -> bool:
    """A file that is yet to be made: its rights are its directory's."""
    path = fixed_prefix(pattern)
    return pattern.kind == "exact" and not os.path.lexists(path) and os.path.isdir(os.path.dirname(path))


def wider(patterns: tuple[PathPattern, ...], write: tuple[PathPattern, ...] = ()) -> list[str]:
    """Patterns that Landlock can only hold by granting more: their directory. write: those that files are made by."""
    return [os.fsdecode(p.text) for p in (*patterns, *write) if p.kind == "glob" or (p in write and _is_new(p))]


def ports(patterns: tuple[AddrPattern, ...]) -> tuple[int, ...] | None:
    """The TCP ports of addresses; None if they are too many to list."""
    found: set[int] = set()
    for pattern in patterns:
        if pattern.family == "unix" or pattern.protocol == "udp":
            continue
        if pattern.port_high - pattern.port_low >= MAX_PORTS:
            return None
        found.update(range(pattern.port_low, pattern.port_high + 1))
    return tuple(sorted(found))


def specification(
    fs: tuple[LandlockRule, ...] | None,
    connect: tuple[AddrPattern, ...] | None,
    bind: tuple[AddrPattern, ...] | None,
    scopes: frozenset[str],
) -> LandlockSpec | None:
    """The whole; None if there is nothing to restrict."""
    spec = LandlockSpec(
        fs,
        ports(connect) if connect is not None else None,
        ports(bind) if bind is not None else None,
        scopes,
    )
    return spec if spec != LandlockSpec() else None
