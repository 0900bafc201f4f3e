"""Calls that move bytes, and where in their arguments the bytes are: what short= and data= need to know."""

from __future__ import annotations

from selftrace.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Vector = Literal["buffer", "iovecs", "msghdr"]


@record
class Transfer:
    """vector: what argument `buffer` points at; count: the argument with the number of bytes or iovecs (msghdr: unused).

    reads: whether the program is given the bytes.
    """

    vector: Vector
    buffer: int
    count: int
    reads: bool


_BUFFER: Vector = "buffer"
_IOVECS: Vector = "iovecs"
TRANSFERS: dict[str, Transfer] = {
    **{name: Transfer(_BUFFER, 1, 2, True) for name in ("read", "pread64", "recvfrom", "getdents64")},
    **{name: Transfer(_BUFFER, 1, 2, False) for name in ("write", "pwrite64", "sendto")},
    **{name: Transfer(_IOVECS, 1, 2, True) for name in ("readv", "preadv", "preadv2")},
    **{name: Transfer(_IOVECS, 1, 2, False) for name in ("writev", "pwritev", "pwritev2", "vmsplice")},
    "getrandom": Transfer(_BUFFER, 0, 1, True),
    "recvmsg": Transfer("msghdr", 1, 1, True),
    "sendmsg": Transfer("msghdr", 1, 1, False),
    **{name: Transfer(_BUFFER, 0, 4, False) for name in ("copy_file_range", "splice")},
    "sendfile": Transfer(_BUFFER, 0, 3, False),
    "tee": Transfer(_BUFFER, 0, 2, False),
}
"""By name. Those that move bytes between descriptors have a count alone."""


def transfer(call: str, *, reads: bool) -> Transfer | None:
    """None: the call moves no bytes, or, where it must read, none to the program."""
    found = TRANSFERS.get(call)
    return None if found is None or (reads and not found.reads) else found


def names(*, reads: bool) -> str:
    """The calls that `transfer` knows, for messages."""
    return " ".join(sorted(name for name in TRANSFERS if transfer(name, reads=reads)))
