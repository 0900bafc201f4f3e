"""A program started as another user, by root: strace's -u."""

from __future__ import annotations

import os
import pwd
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def identity(user: str) -> tuple[str, int, int]:
    """Name, uid and gid. Raises ValueError for a user that there is not, or where we may not become another."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise ValueError(f"-u: there is no user '{user}'") from None
    if os.geteuid() != 0:
        raise ValueError(f"-u {user}: only root can start programs as another user")
    return entry.pw_name, entry.pw_uid, entry.pw_gid


def start_as(
    user: str,
    program: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    fds: Mapping[int, int],
    defaults: Iterable[signal.Signals],
) -> int:
    """The process's number. fds: target → ours, as for posix_spawn. defaults: signals that are not to be ignored.

    The file is opened as ourselves: the user need not be able to look into our directories. Raises OSError, ValueError.
    """
    name, uid, gid = identity(user)
    file = os.open(program, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pid = os.fork()
        if not pid:
            _become(file, name, uid, gid, argv, env, fds, defaults)
        return pid
    finally:
        os.close(file)


def _become(
    file: int,
    name: str,
    uid: int,
    gid: int,
    argv: Sequence[str],
    env: Mapping[str, str],
    fds: Mapping[int, int],
    defaults: Iterable[signal.Signals],
) -> None:
    """In the child: does not return."""
    try:
        for target, fd in fds.items():
            os.dup2(fd, target)
        for number in defaults:
            signal.signal(number, signal.SIG_DFL)
        os.initgroups(name, gid)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        os.execve(file, [*argv], env)
    except OSError as error:
        os.write(2, f"selftrace: starting a program as {name}: {error.strerror}\n".encode())
    finally:
        os._exit(126)
