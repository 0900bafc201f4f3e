"""Landlock rule sets: built in the launcher, with its rights; the tracee only restricts itself with the descriptor.

Source: landlock(7), linux/landlock.h. Rights that the kernel's version lacks are left out and named.
"""

from __future__ import annotations

import os
import stat
import sys

from selftrace.kernel.syscall import syscall
from selftrace.policy.plan import LandlockSpec

_CREATE_RULESET, _ADD_RULE = 444, 445
_VERSION_FLAG = 1
_PATH_BENEATH, _NET_PORT = 1, 2

FS_RIGHTS: dict[str, tuple[int, int]] = {
    "execute": (0, 1),
    "write_file": (1, 1),
    "read_file": (2, 1),
    "read_dir": (3, 1),
    "remove_dir": (4, 1),
    "remove_file": (5, 1),
    "make_char": (6, 1),
    "make_dir": (7, 1),
    "make_reg": (8, 1),
    "make_sock": (9, 1),
    "make_fifo": (10, 1),
    "make_block": (11, 1),
    "make_sym": (12, 1),
    "refer": (13, 2),
    "truncate": (14, 3),
    "ioctl_dev": (15, 5),
}
"""Right → (bit, first ABI that has it)."""
_FILE_RIGHTS = ("execute", "write_file", "read_file", "truncate", "ioctl_dev")
_NET_RIGHTS = {"tcp_bind": 0, "tcp_connect": 1}
_NET_ABI, _SCOPE_ABI = 4, 6
_SCOPES = {"abstract_unix_socket": 0, "signal": 1}


def abi() -> int:
    """The kernel's Landlock version; 0 if it has none, or it is switched off."""
    try:
        return syscall(_CREATE_RULESET, 0, 0, _VERSION_FLAG, name="landlock_create_ruleset")
    except OSError:
        return 0


def fs_mask(rights: frozenset[str] | set[str] | tuple[str, ...], version: int) -> int:
    """The bits of those rights that ABI `version` has."""
    return sum(1 << bit for name, (bit, since) in FS_RIGHTS.items() if name in rights and since <= version)


def own_proc_access(spec: LandlockSpec) -> int:
    """The rights that the rules grant on /proc/self, which only the tracee itself can name; 0: none."""
    if spec.fs is None:
        return 0
    rights = {name for rule in spec.fs if rule.path == "/proc/self" for name in rule.access}
    return fs_mask(rights & {"read_file", "read_dir", "write_file"}, 1)


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(8, sys.byteorder) for value in values)


def _pass(data: bytes) -> tuple[object, int]:
    """Bytes at an address: (what keeps them there, the address)."""
    from selftrace._native import ffi

    held = ffi.new("unsigned char[]", data)
    return held, int(ffi.cast("uintptr_t", held))


def _create(spec: LandlockSpec, version: int) -> int:
    fs = fs_mask(tuple(FS_RIGHTS), version) if spec.fs is not None else 0
    net = 0
    if version >= _NET_ABI:
        net |= (spec.tcp_bind is not None) << _NET_RIGHTS["tcp_bind"]
        net |= (spec.tcp_connect is not None) << _NET_RIGHTS["tcp_connect"]
    scoped = sum(1 << _SCOPES[name] for name in spec.scopes) if version >= _SCOPE_ABI else 0
    words = [fs] if version < _NET_ABI else [fs, net] if version < _SCOPE_ABI else [fs, net, scoped]
    if not any(words):
        return -1
    held, address = _pass(_words(*words))
    fd = syscall(_CREATE_RULESET, address, 8 * len(words), 0, name="landlock_create_ruleset")
    del held
    os.set_inheritable(fd, False)
    return fd


def _grant_path(ruleset: int, path: str, rights: frozenset[str], version: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights = rights & frozenset(_FILE_RIGHTS)
        mask = fs_mask(rights, version)
        if mask:
            held, address = _pass(_words(mask) + fd.to_bytes(4, sys.byteorder))
            syscall(_ADD_RULE, ruleset, _PATH_BENEATH, address, 0, name="landlock_add_rule")
            del held
    finally:
        os.close(fd)


def _grant_ports(ruleset: int, right: str, ports: tuple[int, ...]) -> None:
    for port in ports:
        held, address = _pass(_words(1 << _NET_RIGHTS[right], port))
        syscall(_ADD_RULE, ruleset, _NET_PORT, address, 0, name="landlock_add_rule")
        del held


def missing(spec: LandlockSpec, version: int) -> list[str]:
    """What ABI `version` cannot hold of a specification: one sentence each."""
    found = []
    if spec.fs is not None:
        lacking = [name for name, (_bit, since) in FS_RIGHTS.items() if since > version]
        if lacking:
            found.append(f"Landlock ABI {version} has no {', '.join(lacking)}")
    if version < _NET_ABI and (spec.tcp_connect is not None or spec.tcp_bind is not None):
        found.append(f"Landlock ABI {version} has no TCP ports")
    if version < _SCOPE_ABI and spec.scopes:
        found.append(f"Landlock ABI {version} has no scopes ({', '.join(sorted(spec.scopes))})")
    return found


def build(spec: LandlockSpec, version: int) -> tuple[int, list[str]]:
    """(descriptor of the rule set, or -1 if this ABI can hold nothing of it; what it cannot hold).

    A granted path that does not exist grants nothing. The caller closes the descriptor.
    Raises OSError if the kernel refuses.
    """
    ruleset = _create(spec, version) if version else -1
    lost = missing(spec, version)
    if ruleset < 0:
        return -1, lost
    try:
        for rule in spec.fs or ():
            if rule.path == "/proc/self":
                continue  # the tracee's own; see own_proc_access
            try:
                _grant_path(ruleset, rule.path, rule.access, version)
            except (FileNotFoundError, NotADirectoryError):
                lost.append(f"{rule.path} does not exist: nothing is granted there")
        if version >= _NET_ABI:
            _grant_ports(ruleset, "tcp_connect", spec.tcp_connect or ())
            _grant_ports(ruleset, "tcp_bind", spec.tcp_bind or ())
    except BaseException:
        os.close(ruleset)
        raise
    return ruleset, lost
