"""Which arguments of which calls the [fs] and [net] gates are about, and what they ask for: every twin of a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from selftrace.calls import Table, table
from selftrace.policy.plan import AddrUse, Follow, PathUse

_Grant = Literal["read", "write", "exec", "open"]


def _use(dirfd: int, path: int, grant: _Grant, follow: Follow = "always", flags: int = -1) -> PathUse:
    return PathUse(dirfd, path, grant, follow, flags)


def _one(grant: _Grant, follow: Follow = "always") -> tuple[PathUse, ...]:
    return (_use(-1, 0, grant, follow),)


def _at(grant: _Grant, follow: Follow = "always", flags: int = -1) -> tuple[PathUse, ...]:
    return (_use(0, 1, grant, follow, flags),)


PATH_USES: dict[str, tuple[PathUse, ...]] = {
    "open": (_use(-1, 0, "open", "open_flags", 1),),
    "creat": (_use(-1, 0, "open"),),
    "openat": (_use(0, 1, "open", "open_flags", 2),),
    "openat2": (_use(0, 1, "open", "openat2", 2),),
    "stat": _one("read"),
    "lstat": _one("read", "never"),
    "newfstatat": _at("read", "at_nofollow", 3),
    "statx": _at("read", "at_nofollow", 2),
    "access": _one("read"),
    "faccessat": _at("read"),
    "faccessat2": _at("read", "at_nofollow", 3),
    "readlink": _one("read", "never"),
    "readlinkat": _at("read", "never"),
    "statfs": _one("read"),
    "chdir": _one("read"),
    "chroot": _one("read"),
    "inotify_add_watch": (_use(-1, 1, "read"),),
    "fanotify_mark": (_use(3, 4, "read"),),
    "name_to_handle_at": _at("read", "at_follow", 4),
    "open_tree": _at("read", "at_nofollow", 2),
    "truncate": _one("write"),
    "mkdir": _one("write", "never"),
    "mkdirat": _at("write", "never"),
    "rmdir": _one("write", "never"),
    "unlink": _one("write", "never"),
    "unlinkat": _at("write", "never"),
    "mknod": _one("write", "never"),
    "mknodat": _at("write", "never"),
    "symlink": (_use(-1, 1, "write", "never"),),
    "symlinkat": (_use(1, 2, "write", "never"),),
    "rename": (_use(-1, 0, "write", "never"), _use(-1, 1, "write", "never")),
    "renameat": (_use(0, 1, "write", "never"), _use(2, 3, "write", "never")),
    "renameat2": (_use(0, 1, "write", "never"), _use(2, 3, "write", "never")),
    "link": (_use(-1, 0, "write", "never"), _use(-1, 1, "write", "never")),
    "linkat": (_use(0, 1, "write", "at_follow", 4), _use(2, 3, "write", "never")),
    "chmod": _one("write"),
    "fchmodat": _at("write"),
    "fchmodat2": _at("write", "at_nofollow", 3),
    "chown": _one("write"),
    "lchown": _one("write", "never"),
    "fchownat": _at("write", "at_nofollow", 4),
    "utime": _one("write"),
    "utimes": _one("write"),
    "futimesat": _at("write"),
    "utimensat": _at("write", "at_nofollow", 3),
    "setxattr": _one("write"),
    "lsetxattr": _one("write", "never"),
    "setxattrat": _at("write", "at_nofollow", 2),
    "removexattr": _one("write"),
    "lremovexattr": _one("write", "never"),
    "removexattrat": _at("write", "at_nofollow", 2),
    "getxattr": _one("read"),
    "lgetxattr": _one("read", "never"),
    "getxattrat": _at("read", "at_nofollow", 2),
    "listxattr": _one("read"),
    "llistxattr": _one("read", "never"),
    "listxattrat": _at("read", "at_nofollow", 2),
    "file_getattr": _at("read", "at_nofollow", 4),
    "file_setattr": _at("write", "at_nofollow", 4),
    "execve": _one("exec"),
    "execveat": _at("exec", "at_nofollow", 4),
    "uselib": _one("exec"),
    "swapon": _one("write"),
    "swapoff": _one("write"),
    "acct": _one("write"),
    "umount2": _one("write"),
    "mount": (_use(-1, 1, "write"),),
    "pivot_root": (_use(-1, 0, "write"), _use(-1, 1, "write")),
    "move_mount": (_use(0, 1, "write"), _use(2, 3, "write")),
    "mount_setattr": _at("write"),
}
ADDR_USES: dict[str, AddrUse] = {
    "connect": AddrUse("connect", 0, 1, 2),
    "bind": AddrUse("bind", 0, 1, 2),
    "sendto": AddrUse("connect", 0, 4, 5),
    "sendmsg": AddrUse("sendmsg", 0, 1, -1),
    "sendmmsg": AddrUse("sendmmsg", 0, 1, 2),
}
METADATA = "stat, access, readlink, chmod, chown, utime, xattr, O_PATH and chdir"
"""What Landlock does not cover, in words."""


def path_uses(table: Table) -> dict[int, tuple[PathUse, ...]]:
    """By number, for the calls that this architecture has."""
    return {table.by_name[name].sysno: uses for name, uses in PATH_USES.items() if name in table.by_name}


def addr_uses(table: Table) -> dict[int, AddrUse]:
    """By number."""
    return {table.by_name[name].sysno: use for name, use in ADDR_USES.items() if name in table.by_name}


_HELD_BY_LANDLOCK = frozenset(
    "open openat openat2 creat truncate mkdir mkdirat rmdir unlink unlinkat mknod mknodat symlink symlinkat rename renameat"
    " renameat2 link linkat execve execveat".split()
)
_O_PATH = 0x200000


def covered_by_landlock(sysno: int, args: Sequence[int], names: Table | None = None) -> bool:
    """Whether Landlock refuses this call too; it knows nothing of the METADATA ones."""
    call = (names or table()).by_number.get(sysno)
    if call is None or call.name not in _HELD_BY_LANDLOCK:
        return False
    flags = {"open": args[1], "openat": args[2]}.get(call.name, 0)
    return not flags & _O_PATH
