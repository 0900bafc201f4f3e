"""One process tree, started, timed and waited for."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import time

from selftrace.comparison.result import Sample
from selftrace.errors import UnsupportedError
from selftrace.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selftrace.backends.base import Launch

_RESET = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python ignores these; a program does not expect it."""
OVERDUE = -1


@record
class Streams:
    """Files that stand for a program's standard input, output and error; emptied at each start."""

    stdin: str
    stdout: str
    stderr: str

    @contextlib.contextmanager
    def opened(self) -> Iterator[tuple[int, int, int]]:
        """Their descriptors."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        fds = [os.open(self.stdin, os.O_RDONLY | os.O_CLOEXEC)]
        try:
            fds += [os.open(path, flags, 0o600) for path in (self.stdout, self.stderr)]
            yield fds[0], fds[1], fds[2]
        finally:
            for fd in fds:
                os.close(fd)


@contextlib.contextmanager
def placed(core: int | None) -> Iterator[None]:
    """What is started meanwhile runs on one core; None: wherever it likes."""
    before = os.sched_getaffinity(0)
    if core is None:
        yield
        return
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _room_for(fds: dict[int, int]) -> Iterator[None]:
    """Descriptors above the soft limit can be made while it is raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max(fds, default=0) + 1
    if soft > needed:
        yield
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UnsupportedError(f"RLIMIT_NOFILE is {hard}", f"descriptors up to {needed} are needed: raise ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def timed(
    launch: Launch, streams: Streams, *, core: int | None, timeout_s: float, meanwhile: Callable[[], None] | None = None
) -> tuple[int, Sample]:
    """Runs it to its end: (exit status as a shell has it, what it took). OVERDUE is the status of one that took too long.

    meanwhile: called some hundred times a second, and the samples are of no use then.
    Raises OSError if it cannot be started.
    """
    with streams.opened() as standard, placed(core), _room_for(launch.fds):
        moved = {**dict(enumerate(standard)), **launch.fds}
        actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in moved.items()]
        start = time.perf_counter()
        pid = os.posix_spawn(
            launch.program or launch.argv[0], launch.argv, launch.env, file_actions=actions, setsigdef=_RESET, setpgroup=0
        )
        return _wait(pid, start, timeout_s, meanwhile)


def _wait(pid: int, start: float, timeout_s: float, meanwhile: Callable[[], None] | None) -> tuple[int, Sample]:
    fd = os.pidfd_open(pid)
    try:
        over = _await_end(fd, start + timeout_s, meanwhile)
        end = time.perf_counter()
    except BaseException:
        _end(pid)
        os.wait4(pid, 0)
        raise
    finally:
        os.close(fd)
    if not over:
        _end(pid)
    _, status, used = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    sample = Sample(end - start, used.ru_utime + used.ru_stime)
    return (OVERDUE if not over else code if code >= 0 else 128 - code), sample


def _await_end(fd: int, until: float, meanwhile: Callable[[], None] | None) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while (left := until - time.perf_counter()) > 0:
        pause = left * 1000 if meanwhile is None else min(left * 1000, 3)
        if poll.poll(pause):
            return True
        if meanwhile is not None:
            meanwhile()
    return False


def _end(pid: int) -> None:
    """The whole tree: tracers leave their tracees running when they are killed."""
    import psutil

    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return
    for process in tree:
        with contextlib.suppress(psutil.Error):
            process.kill()
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
