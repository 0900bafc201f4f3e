"""Programs traced from outside, by ptrace: started, or running already. The counterpart of tracer.py."""

from __future__ import annotations

import time

from selftrace.backends import refusals
from selftrace.backends.ptrace import ROOM, Supervisor, Watch
from selftrace.errors import SelftraceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from selftrace.events.select import Selection
    from selftrace.job import Job

_PATIENCE_S = 5.0
"""How long tasks may take to be let go of: one that waits for its vfork's child cannot stop before."""


class OutsideTracer:
    """Programs under trace. Use from one thread, which also reaps its other children."""

    def __init__(
        self,
        watch: Watch,
        job: Job | None,
        env: Mapping[str, str],
        *,
        pids: Sequence[int] = (),
        say: Callable[[str], None],
        quiet: bool = False,
    ) -> None:
        """Starts nothing yet. Raises SelftraceError.

        job: a program to start, None: none. pids: processes to attach to. say: is given sentences for the user, at once;
        quiet: not who is attached to.
        """
        self._supervisor = Supervisor(watch)
        self.job, self.env, self.pids, self._say, self._quiet = job, env, pids, say, quiet
        self._selection: Selection | None = None
        self._attached: list[int] = []
        self._over = self._begun = False
        self.pid = 0
        self.status: int | None = None
        self.start_error = 0
        self.lost = 0
        self.notes: list[str] = []
        """As in Tracer."""

    def select(self, selection: Selection) -> None:
        """From now on only calls that it keeps."""
        self._selection = selection

    def start(self) -> None:
        """Attaches, then starts the program. Raises OSError; SelftraceError where nothing could be attached to."""
        self._begun = True
        refused = [reason for reason in map(self._attach, dict.fromkeys(self.pids)) if reason]
        for reason in refused if self._attached or self.job is not None else refused[:-1]:
            self._say(reason)
        if self.pids and not self._attached and self.job is None:
            raise SelftraceError(refused[-1])
        if self.job is not None:
            self.pid = self._supervisor.start(self.job.target, self.job.args, self.env)

    def _attach(self, pid: int) -> str:
        """Why it was refused; empty: it is ours."""
        refused, count = refusals.beforehand(pid), 0
        if not refused:
            try:
                count = self._supervisor.attach(pid)
            except FileExistsError:  # by its process, or its thread's number
                return ""
            except OSError as error:
                refused = refusals.afterwards(pid, error)
        if refused:
            return f"cannot attach to process {pid}: {refused}"
        self._attached.append(pid)
        if not self._quiet:
            self._say(f"Process {pid} attached{f' with {count} threads' if count > 1 else ''}")
        return ""

    def batches(self) -> Iterator[memoryview]:
        """Whole frames, as they come: each batch is valid until the next. None come after the last process has ended."""
        while not self._over:
            size = self._supervisor.read()
            self.notes += self._supervisor.notes()
            self._over = size < 0
            if self._selection is not None and size > 0:
                size = self._selection.keep(self._supervisor.frames, size, ROOM)
            yield self._supervisor.view[: max(size, 0)]
        self.status = self._supervisor.status

    def _let_go(self) -> None:
        """The programs go on without us. One whose filter needs us keeps us until it ends: unseen."""
        kept = self._supervisor.detach()
        if kept:
            self._say("the trace is over, but the program's filter needs us until it ends; with --no-seccomp-bpf there is none")
        until = time.monotonic() + _PATIENCE_S
        while self._supervisor.read() >= 0 and (kept or time.monotonic() < until):
            pass
        if not self._quiet:
            for pid in self._attached:
                self._say(f"Process {pid} detached")

    def close(self) -> None:
        """Lets go: a program that still runs goes on untraced."""
        if self._begun and not self._over:
            self._let_go()
        self._over = True
        self.status = self._supervisor.status
        self.start_error = self._supervisor.start_error
        self._supervisor.close()
