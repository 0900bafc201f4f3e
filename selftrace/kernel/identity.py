"""Who a run is, when it is started as root: a uid that nobody else has, and the capabilities that it cannot do without."""

from __future__ import annotations

import _socket as socket  # the C half has all that is needed, and costs 3 ms less
import os
import stat

from selftrace.errors import UnsupportedError
from selftrace.record import mutable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FIRST_UID, LAST_UID = 61184, 65519
"""The range that systemd keeps for identities made on the fly: within a container's usual 65,536."""
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2


@mutable
class Identity:
    """uid (also the gid); capabilities as a mask of 1 << CAP_*; the lock that keeps the uid ours until `release`."""

    uid: int
    capabilities: int = 0
    _lock: socket.socket | None = None

    def release(self) -> None:
        """Gives the uid back."""
        if self._lock is not None:
            self._lock.close()


def _mapped(uid: int) -> bool:
    try:
        with open("/proc/self/uid_map") as file:
            ranges = [tuple(map(int, line.split())) for line in file]
    except OSError:
        return True
    return any(first <= uid < first + count for first, _, count in ranges)


def _claim() -> tuple[int, socket.socket]:
    """A uid that no other run has: an abstract socket's name is the lock, which the kernel drops with its holder."""
    span = LAST_UID - FIRST_UID + 1
    start = os.getpid() * 61 % span
    for step in range(span):
        uid = FIRST_UID + (start + step) % span
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f"\0selftrace-uid-{uid}")
        except OSError:
            lock.close()
            continue
        return uid, lock
    raise UnsupportedError(f"all {span} identities for runs are in use", "end some runs")


class _Reach:
    """What a user who owns nothing may reach. Directories are looked at once: a run names sixty paths below ten of them."""

    def __init__(self) -> None:
        self._directories: dict[str, tuple[str, bool]] = {"/": ("/", True)}

    def _directory(self, path: str) -> tuple[str, bool]:
        """(the directory without links, whether anybody may pass through all of it)."""
        held = self._directories.get(path)
        if held is None:
            parent, _, name = path.rpartition("/")
            above, passable = self._directory(parent or "/")
            place = os.path.join(above, name)
            status = os.lstat(place)
            if stat.S_ISLNK(status.st_mode):
                target, reachable = self._directory(os.path.realpath(place))
                held = target, passable and reachable
            else:
                held = place, passable and bool(status.st_mode & 0o001)
            self._directories[path] = held
        return held

    def allows(self, path: str, *, write: bool = False) -> bool:
        """Whether such a user may go to the absolute `path` and read (or write) it."""
        try:
            directory, name = os.path.split(path.rstrip("/") or "/")
            above, passable = self._directory(directory)
            place = os.path.join(above, name)
            status = os.lstat(place)
            if stat.S_ISLNK(status.st_mode):
                return passable and self.allows(os.path.realpath(place), write=write)
        except OSError:
            return True  # nothing is there: nothing to reach
        needed = 0o004 | (0o002 if write else 0) | (0o001 if stat.S_ISDIR(status.st_mode) else 0)
        return passable and status.st_mode & needed == needed


def choose(needed: Iterable[str], written: Iterable[str], *, landlock: bool) -> Identity:
    """The identity of a run that root starts.

    needed: paths that it must read (interpreter, script, grants); written: granted for writing. Where only root can
    reach them it keeps CAP_DAC_READ_SEARCH (or CAP_DAC_OVERRIDE), and Landlock's list is what it can then reach.
    Raises UnsupportedError where no uid can be taken, or a path is out of reach and there is no Landlock.
    """
    if not _mapped(FIRST_UID):
        raise UnsupportedError(
            "root cannot give up its identity: this user namespace maps no other uid",
            "start as an ordinary user, or map uids 61184 to 65519 (e.g. newuidmap, podman's --uidmap)",
        )
    reach = _Reach()
    hidden = next((path for path in needed if not reach.allows(path)), None)
    closed = next((path for path in written if not reach.allows(path, write=True)), None)
    if (hidden or closed) and not landlock:
        raise UnsupportedError(
            f"only root can reach {hidden or closed}, and without Landlock a run that can reach it could reach everything",
            "install Python and put the files where other users can read them, or use a kernel with Landlock",
        )
    capabilities = (1 << CAP_DAC_READ_SEARCH if hidden else 0) | (1 << CAP_DAC_OVERRIDE if closed else 0)
    uid, lock = _claim()
    return Identity(uid, capabilities, lock)
