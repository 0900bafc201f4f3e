"""A traced program from start to end: it writes its events into a ring, we read them. Nothing about the program is changed:
its descriptors, directory, environment and process group are ours, and it outlives us."""

from __future__ import annotations

import errno
import os
import resource
import select
import signal
import time

from selftrace.backends import trap
from selftrace.errors import UnsupportedError
from selftrace.events.drain import Drain
from selftrace.events.ring import Ring
from selftrace.startas import start_as

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from selftrace.events.select import Selection
    from selftrace.job import Job
    from selftrace.prepared import Prepared

RING_BYTES = 8 << 20
_IDLE_MS = 5
_LOOK_S = 0.05
"""How often it is looked whether somebody was killed."""
_NOTE = 5
"""ST_RECORD_NOTE."""
_RESET = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python ignores these; the program shall not inherit that."""


def _children() -> tuple[int, ...]:
    """Those that somebody else will wait for: an output's command."""
    try:
        with open("/proc/thread-self/children") as file:
            return tuple(int(word) for word in file.read().split())
    except OSError:
        return ()


class Tracer:
    """A program under trace. Use from one thread: the one that made it is the ring's reader."""

    def __init__(
        self,
        prepared: Prepared,
        job: Job,
        env: Mapping[str, str],
        *,
        block: bool = True,
        follow: bool = True,
        cpu_time: bool = False,
        size: int = RING_BYTES,
        user: str = "",
    ) -> None:
        """Starts nothing yet. Raises OSError.

        env: the program's environment. block: a full ring makes the program wait; else events are dropped and counted.
        follow: all its processes are waited for, else it alone. cpu_time: events have the time that their thread was on a
        processor, instead of CLOCK_MONOTONIC. size: bytes of the ring, a power of two. user: whom the program is run as.
        """
        self.prepared, self.job, self.env = prepared, job, env
        self.pid, self.user = 0, user
        self.status: int | None = None
        """The program's wait status, once it has ended."""
        self._ring = Ring(size)
        self._drain = Drain(self._ring, block=block, cpu_time=cpu_time)
        self._ends, self._follow = -1, follow
        self.start_error = 0
        """errno of a program that could not be started, once all is over; 0: none."""
        self.lost = 0
        """Events that did not fit into the ring or were not whole, once all is over."""
        self.unknown: list[int] = []
        """Processes that were nobody's but ours to reap, and none that we started."""
        self._before: tuple[int, ...] = ()
        self.notes: list[str] = []
        """What the programs' side had to say of itself, once all is over: each sentence once."""

    def select(self, selection: Selection) -> None:
        """From now on only calls that it keeps."""
        self._drain.selection = selection

    def start(self) -> None:
        """Starts the program. Raises OSError, UnsupportedError."""
        self._before = _children()
        self._ends, end = os.pipe()
        launch = trap.prepare(self.prepared, self.job, self._ring.fd, dict(self.env))
        launch.fds[trap.KEPT_BUNDLE_FD] = end  # open in every process of the run: once it is closed, all are over
        try:
            self._spawn(launch.program, launch.argv, launch.fds)
        finally:
            for fd in (*launch.owned, end):
                os.close(fd)

    def _spawn(self, program: str, argv: list[str], fds: dict[int, int]) -> None:
        highest = max(fds) + 1
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft <= highest:
            if hard != resource.RLIM_INFINITY and hard <= highest:
                raise UnsupportedError(f"RLIMIT_NOFILE is {hard}", f"descriptors up to {highest} are needed: raise ulimit -n")
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in fds.items()]
        try:
            if self.user:
                self.pid = start_as(self.user, program, argv, self.env, fds, _RESET)
            else:
                self.pid = os.posix_spawn(program, argv, self.env, file_actions=actions, setsigdef=_RESET)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            raise UnsupportedError("selftrace is at work in this process already", "trace it from where it was started") from None
        finally:
            if soft <= highest:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def batches(self) -> Iterator[memoryview]:
        """Whole frames, as they come: each batch is valid until the next. None come after the last process has ended."""
        poll = select.poll()
        poll.register(self._ends, select.POLLIN)
        look = 0.0
        while True:
            over = bool(poll.poll(0)) if self._follow else self._reap() != -1
            batch = self._drain.read()
            if batch:
                yield batch
            elif over:
                break
            else:
                now = time.monotonic()
                self._reap_others()
                dead = self._drain.dead(self.pid, self._reap()) if now >= look and not self._drain.pending else batch
                look = now + _LOOK_S if now >= look else look
                yield dead
                poll.poll(_IDLE_MS)
        yield from self._last()

    def _last(self) -> Iterator[memoryview]:
        """What a process that was killed has left unfinished takes a moment to be given up."""
        until = time.monotonic() + 0.5
        while self._drain.pending and time.monotonic() < until:
            batch = self._drain.read()
            if batch:
                yield batch
            else:
                time.sleep(0.01)
        self._reap(wait=True)
        yield self._drain.dead(self.pid, self._reap(), last=True)

    def _reap_others(self) -> None:
        """Children of the program that it made ours (CLONE_PARENT): nobody else can reap them, and it may wait for that."""
        while not self._follow:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid in (self.pid, *self._before):
                return
            os.waitpid(found.si_pid, 0)
            self.unknown.append(found.si_pid)

    def _reap(self, *, wait: bool = False) -> int:
        """The program's wait status; -1: it has not ended, or somebody else has been told."""
        if self.status is None:
            try:
                pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
            except ChildProcessError:
                return -1
            if pid:
                self.status = status
        return -1 if self.status is None else self.status

    def close(self) -> None:
        """Lets go: a program that still runs goes on untraced."""
        self.lost, self.start_error = self._drain.lost, self._ring.start_error
        said = [record.note.decode(errors="replace") for record in self._ring.read() if record.kind == _NOTE]
        self.notes = [text for text in dict.fromkeys(said) if text]
        self._drain.close()
        self._ring.close()
        if self._ends >= 0:
            os.close(self._ends)
