"""Starting a program so that it is traced from its exec on."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Mapping, Sequence

from selftrace.errors import CommandError
from selftrace.ptrace import mended

_WALL = 0x40000000


def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    files: Sequence[int | None] = (None, None, None),
    options: int = mended.OPTIONS,
) -> int:
    """The pid of a child that is seized and stopped at its exec of `command`.

    The child waits on a pipe until it is seized: so there is no SIGSTOP whose traces would have to be wiped out.
    files: descriptors for 0, 1 and 2; None keeps ours. Raises CommandError (exit code 127, 126) for what cannot be
    executed, and OSError for what cannot be traced.
    """
    if "/" not in command[0] and shutil.which(command[0], path=(os.environ if env is None else env).get("PATH")) is None:
        raise CommandError(f"{command[0]}: {os.strerror(errno.ENOENT)}", 127)
    gate, lift = os.pipe()
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(command, env, cwd, files, gate, tell)
    os.close(gate)
    os.close(tell)
    try:
        mended.request(mended.SEIZE, pid, 0, options)
        os.write(lift, b"g")
        _to_exec(told, pid, command[0])
    except (OSError, mended.Gone):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, _WALL)
        raise
    finally:
        os.close(lift)
        os.close(told)
    return pid


def _child(
    command: Sequence[str],
    env: Mapping[str, str] | None,
    cwd: str | None,
    files: Sequence[int | None],
    gate: int,
    tell: int,
) -> None:
    try:
        for number, file in enumerate(files):
            if file is not None:
                os.dup2(file, number)
        if cwd is not None:
            os.chdir(cwd)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and exec would hand that on
            signal.signal(ignored, signal.SIG_DFL)
        if os.read(gate, 1):
            os.execvpe(command[0], list(command), dict(os.environ) if env is None else dict(env))
    except OSError as error:
        os.write(tell, (error.errno or errno.EINVAL).to_bytes(4, "little"))
    finally:
        os._exit(127)


def _to_exec(told: int, pid: int, name: str) -> None:
    """Returns when the child has stopped at its exec; otherwise says why it could not. What signals come before that (SIGSYS,
    if we are traced in process ourselves) is for the child."""
    while True:
        _, status = os.waitpid(pid, _WALL)
        if not os.WIFSTOPPED(status):
            raw = os.read(told, 4)
            number = int.from_bytes(raw, "little") or errno.EINTR
            raise CommandError(f"{name}: {os.strerror(number)}", 127 if number == errno.ENOENT else 126)
        if status >> 16 == mended.EVENT_EXEC:
            return
        mended.request(mended.CONT, pid, 0, os.WSTOPSIG(status) if status >> 16 == 0 else 0)
