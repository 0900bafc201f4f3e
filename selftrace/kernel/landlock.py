"""Landlock rule sets: built in the launcher, with its rights; the tracee only restricts itself with the descriptor.

Source: landlock(7), linux/landlock.h. Rights that the kernel's version lacks are left out and named.
"""

from __future__ import annotations

import os
import sys

from selftrace.kernel.syscall import syscall
from selftrace.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
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
_FILE_RIGHTS = frozenset({"execute", "write_file", "read_file", "truncate", "ioctl_dev"})
_NET_RIGHTS = {"tcp_bind": 0, "tcp_connect": 1}
_NET_ABI, _SCOPE_ABI = 4, 6
_OWN_PROC = "/proc/self"
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
    rights = {name for rule in spec.fs if rule.path == _OWN_PROC for name in rule.access}
    return fs_mask(rights & {"read_file", "read_dir", "write_file"}, 1)


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(8, sys.byteorder) for value in values)


def _pass(data: bytes) -> tuple[object, int]:
    """Bytes at an address: (what keeps them there, the address)."""
    from selftrace._native import ffi

    held = ffi.new("unsigned char[]", data)
    return held, int(ffi.cast("uintptr_t", held))


@record
class Ruleset:
    """A specification in one ABI's numbers.

    words: struct landlock_ruleset_attr. paths: as st_landlock_paths in native/module/module.h reads them.
    ports: (port, rights). own_proc: rights on /proc/self, which only the tracee itself can name.
    """

    words: tuple[int, ...]
    paths: bytes = b""
    ports: tuple[tuple[int, int], ...] = ()
    own_proc: int = 0


def ruleset(spec: LandlockSpec | None, version: int) -> Ruleset | None:
    """What ABI `version` can hold of a specification; None: nothing."""
    if spec is None or not version:
        return None
    fs = fs_mask(tuple(FS_RIGHTS), version) if spec.fs is not None else 0
    net = 0
    ports: list[tuple[int, int]] = []
    for name, allowed in (("tcp_bind", spec.tcp_bind), ("tcp_connect", spec.tcp_connect)):
        if version >= _NET_ABI and allowed is not None:
            right = 1 << _NET_RIGHTS[name]
            net |= right
            ports += [(port, right) for port in allowed]
    scoped = sum(1 << _SCOPES[name] for name in spec.scopes) if version >= _SCOPE_ABI else 0
    words = (fs,) if version < _NET_ABI else (fs, net) if version < _SCOPE_ABI else (fs, net, scoped)
    if not any(words):
        return None
    paths = b"".join(
        _words(fs_mask(rule.access, version), fs_mask(rule.access & _FILE_RIGHTS, version)) + os.fsencode(rule.path) + b"\0"
        for rule in spec.fs or ()
        if rule.path != _OWN_PROC
    )
    return Ruleset(words, paths, tuple(ports), own_proc_access(spec))


def build(wanted: Ruleset) -> int:
    """The descriptor of the rule set; the caller closes it.

    A granted path that does not exist grants nothing. Raises OSError if the kernel refuses.
    """
    held, address = _pass(_words(*wanted.words))
    fd = syscall(_CREATE_RULESET, address, 8 * len(wanted.words), 0, name="landlock_create_ruleset")
    del held
    try:
        os.set_inheritable(fd, False)
        _add_paths(fd, wanted.paths)
        for port, right in wanted.ports:
            held, address = _pass(_words(right, port))
            syscall(_ADD_RULE, fd, _NET_PORT, address, 0, name="landlock_add_rule")
            del held
    except BaseException:
        os.close(fd)
        raise
    return fd


def _add_paths(ruleset_fd: int, rules: bytes) -> None:
    from selftrace._native import ffi, lib

    at = ffi.new("uint64_t *")
    result = lib.st_landlock_paths(ruleset_fd, rules, len(rules), at)
    if result < 0:
        path = os.fsdecode(rules[at[0] + 16 :].split(b"\0", 1)[0])
        raise OSError(-result, f"landlock_add_rule: {os.strerror(-result)}", path)
