"""What the kernel's structures look like in memory, for those that a call's arguments commonly point at (64-bit Linux).

Source: the UAPI headers of Linux; x86-64's struct stat.
"""

from __future__ import annotations

from struct import Struct

from selftrace.calls import linux, signal_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SIGCHLD, _FAULTS, _SI_USER = 17, (4, 5, 7, 8, 11, 31), (0, -1, -6)


def _layout(fields: str) -> tuple[Struct, tuple[str, ...]]:
    """From "name:format …", names of padding starting with _."""
    pairs = [word.split(":") for word in fields.split()]
    return Struct("<" + "".join(kind for _, kind in pairs)), tuple(name for name, _ in pairs)


_TIMES = "{0}_sec:q {0}_nsec:q"
LAYOUTS = {
    "timespec": _layout("tv_sec:q tv_nsec:q"),
    "timeval": _layout("tv_sec:q tv_usec:q"),
    "rlimit": _layout("rlim_cur:Q rlim_max:Q"),
    "pollfd": _layout("fd:i events:h revents:h"),
    "epoll_event": _layout("events:I data:Q"),
    "open_how": _layout("flags:Q mode:Q resolve:Q"),
    "stat": _layout(
        "st_dev:Q st_ino:Q st_nlink:Q st_mode:I st_uid:I st_gid:I _pad:I st_rdev:Q st_size:q st_blksize:q st_blocks:q"
        f" {_TIMES.format('st_atime')} {_TIMES.format('st_mtime')} {_TIMES.format('st_ctime')}"
    ),
    "clone_args": _layout(
        "flags:Q pidfd:Q child_tid:Q parent_tid:Q exit_signal:Q stack:Q stack_size:Q tls:Q set_tid:Q set_tid_size:Q cgroup:Q"
    ),
    "sigaction": _layout("sa_handler:Q sa_flags:Q sa_restorer:Q sa_mask:Q"),
}
ARRAYS = frozenset({"pollfd"})
_NAMES = {
    "struct __kernel_timespec": "timespec",
    "struct timespec": "timespec",
    "struct __kernel_old_timeval": "timeval",
    "struct rlimit": "rlimit",
    "struct rlimit64": "rlimit",
    "struct pollfd": "pollfd",
    "struct epoll_event": "epoll_event",
    "struct open_how": "open_how",
    "struct stat": "stat",
    "struct clone_args": "clone_args",
    "struct sigaction": "sigaction",
}


def layout_of(ctype: str, name: str) -> str:
    """The layout that an argument of this C type and name points at; empty if none is known."""
    if name == "statbuf" and ctype == "long":
        return "stat"
    return _NAMES.get(ctype.replace("const ", "").removesuffix("*").strip(), "")


def structure(layout: str, data: bytes) -> dict[str, Any] | None:
    """Field → value; None if the bytes are too few."""
    form, names = LAYOUTS[layout]
    if len(data) < form.size:
        return None
    return {name: value for name, value in zip(names, form.unpack_from(data), strict=True) if name[0] != "_"}


def array(layout: str, data: bytes) -> list[dict[str, Any] | None]:
    """As many of them as the bytes hold."""
    size = LAYOUTS[layout][0].size
    return [structure(layout, data[at : at + size]) for at in range(0, len(data) - size + 1, size)]


def sockaddr(data: bytes, text: Callable[[bytes], str], family_name: Callable[[int], Any]) -> dict[str, Any]:
    """A socket address: family, and address and port, or path (an abstract one begins with "@"), or data."""
    family = int.from_bytes(data[:2], "little")
    found: dict[str, Any] = {"family": family_name(family)}
    if family == linux.AF_INET and len(data) >= 8:
        return {**found, "address": ".".join(map(str, data[4:8])), "port": int.from_bytes(data[2:4], "big")}
    if family == linux.AF_INET6 and len(data) >= 24:
        from ipaddress import IPv6Address

        return {**found, "address": str(IPv6Address(data[8:24])), "port": int.from_bytes(data[2:4], "big")}
    if family == linux.AF_UNIX:
        abstract = data[2:3] == b"\0" and len(data) > 3
        return {**found, "path": "@" + text(data[3:]) if abstract else text(data[2:].split(b"\0", 1)[0])}
    return {**found, "data": data[2:]}


def siginfo(data: bytes) -> dict[str, Any]:
    """si_signo and si_code; who sent it, or the address that a fault is about."""
    if len(data) < 16:
        return {}
    signo, _, code = Struct("<iii").unpack_from(data)
    found: dict[str, Any] = {"si_signo": signal_name(signo), "si_code": code}
    if len(data) < 28:
        return found
    if signo == _SIGCHLD or code in _SI_USER:
        found["si_pid"], found["si_uid"] = Struct("<iI").unpack_from(data, 16)
        if signo == _SIGCHLD and code > 0:
            found["si_status"] = int.from_bytes(data[24:28], "little", signed=True)
    elif signo in _FAULTS:
        found["si_addr"] = int.from_bytes(data[16:24], "little")
    return found
