"""A process that runs, made to trace itself: ptrace puts the interposer in, and lets go. The counterpart of tracer.py."""

from __future__ import annotations

import os
import signal
import time

from selftrace.backends import refusals
from selftrace.backends.base import native_directory
from selftrace.errors import SelftraceError
from selftrace.events.drain import Drain
from selftrace.events.ring import Ring, records_size
from selftrace.kernel.mapping import mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from selftrace.events.select import Selection
    from selftrace.prepared import Prepared

RING_BYTES = 8 << 20
_IDLE_S, _LOOK_S = 0.005, 0.1
"""How often it is looked who still has the ring."""


def _status(pid: int, name: str) -> str:
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith(f"{name}:")), "")
    except OSError:
        return ""


def occupied(pid: int) -> bool:
    """Whether an interposer is in the process."""
    from selftrace._native import lib

    try:
        with open(f"/proc/{pid}/maps") as file:
            lows = [int(line.split("-", 1)[0], 16) for line in file]
    except OSError:
        return False
    return any(lib.ST_BLOB_BASE <= low < lib.ST_REGION_END for low in lows)


def _refused(pid: int) -> str:
    """What speaks against putting it in; empty: nothing."""
    reason = refusals.beforehand(pid)
    if reason:
        return reason
    if occupied(pid):
        return "selftrace is at work in it already; --detach takes out what a tracer that was killed has left in it"
    if _status(pid, "Seccomp") not in ("0", ""):
        return "it has a seccomp filter, to which our calls could be fatal: leave out --backend inject"
    return ""


class _Stopped:
    """A process whose threads are stopped, until the end of the block. No signal interrupts us there."""

    def __init__(self, pid: int) -> None:
        from selftrace._native import ffi, lib

        self._ffi, self._lib, self._pid = ffi, lib, pid
        self._in = ffi.NULL

    def __enter__(self) -> _Stopped:
        """Raises SelftraceError."""
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        error = self._ffi.new("int32_t *")
        pid = self._pid
        self._in = self._lib.st_inject_stop(pid, error)
        if self._in == self._ffi.NULL:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            reason = refusals.afterwards(pid, OSError(error[0], os.strerror(error[0])))
            raise SelftraceError(f"cannot attach to process {pid}: {reason} ({self._step()})")
        return self

    def _step(self) -> str:
        return bytes(self._ffi.string(self._lib.st_inject_step())).decode()

    def _checked(self, result: int) -> int:
        if result < 0:
            raise SelftraceError(f"process {self._pid}: {self._step()}: {os.strerror(-result)}")
        return result

    @property
    def threads(self) -> int:
        """How many there are."""
        return int(self._lib.st_inject_threads(self._in))

    def ring(self) -> int:
        """The descriptor of its ring's memory file. Raises SelftraceError."""
        return self._checked(self._lib.st_inject_ring(self._in, records_size(), RING_BYTES))

    def arm(self, plan: Any, size: int) -> None:
        """Raises SelftraceError."""
        blob = os.open(os.path.join(native_directory(), "_interposer"), os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._checked(self._lib.st_inject_arm(self._in, blob, plan, size))
        finally:
            os.close(blob)

    def take_out(self) -> None:
        """Raises SelftraceError."""
        self._checked(self._lib.st_inject_take_out(self._in))

    def __exit__(self, *_: object) -> None:
        self._lib.st_inject_let_go(self._in)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


def take_out(pid: int) -> None:
    """Leaves the process as it was before it began to trace itself. Raises SelftraceError."""
    reason = refusals.beforehand(pid)
    if not reason and not occupied(pid):
        reason = "no interposer is in it"
    if reason:
        raise SelftraceError(f"cannot detach from process {pid}: {reason}")
    with _Stopped(pid) as process:
        process.take_out()


class InjectedTracer:
    """A process under its own trace. Use from one thread: the one that starts it is the ring's reader."""

    def __init__(
        self, prepared: Prepared, pid: int, *, block: bool, cpu_time: bool, say: Callable[[str], None], quiet: bool = False
    ) -> None:
        """Does nothing yet. block, cpu_time: as of Tracer. say: is given sentences for the user, at once; quiet: not who is
        attached to."""
        self._prepared, self._target, self._say, self._quiet = prepared, pid, say, quiet
        self._block, self._cpu_time = block, cpu_time
        self._selection: Selection | None = None
        self._ring: Ring | None = None
        self._drain: Drain | None = None
        self._known = [pid]
        self.pid = 0
        self.status: int | None = None
        self.start_error = 0
        self.lost = 0
        self.notes: list[str] = []
        """As in Tracer."""

    def select(self, selection: Selection) -> None:
        """From now on only calls that it keeps."""
        self._selection = selection

    def _plan(self) -> tuple[Any, Any]:
        """The table, and what its memory belongs to. The process keeps no descriptors for execs."""
        from selftrace._native import ffi, lib

        data = bytearray(self._prepared.table)
        plan = ffi.cast("struct st_plan *", ffi.from_buffer(data))
        plan.flags &= ~lib.ST_PLAN_HOSTS
        return plan, data

    def start(self) -> None:
        """Puts the interposer in. Raises SelftraceError, OSError: the process goes on as it was."""
        from selftrace._native import lib

        pid = self._target
        reason = _refused(pid)
        if reason:
            raise SelftraceError(f"cannot attach to process {pid}: {reason}")
        plan, data = self._plan()
        with _Stopped(pid) as process:
            try:
                self._ring = Ring(RING_BYTES, fd=process.ring())
                self._drain = Drain(self._ring, block=self._block, cpu_time=self._cpu_time)
                self._drain.selection = self._selection
                if plan.flags & lib.ST_PLAN_TRACE_ONE:
                    self._ring.header.trace_only = pid
                process.arm(plan, len(data))
            except BaseException:
                process.take_out()
                raise
            threads = process.threads
        if not self._quiet:
            self._say(f"Process {pid} attached{f' with {threads} threads' if threads > 1 else ''}")

    # ---- while it runs -------------------------------------------------------------------------------------------

    def _over(self) -> bool:
        assert self._ring is not None
        self._known = mapping(self._ring.inode, self._known) or mapping(self._ring.inode)
        return not self._known

    def batches(self) -> Iterator[memoryview]:
        """Whole frames, as they come: each batch is valid until the next. None come once nobody has the ring any more."""
        assert self._drain is not None
        look = 0.0
        while True:
            batch = self._drain.read()
            if batch:
                yield batch
                continue
            now = time.monotonic()
            if now >= look:
                look = now + _LOOK_S
                if self._over():
                    break
                if not self._drain.pending:
                    yield self._drain.dead(0, -1)
            yield batch
            time.sleep(_IDLE_S)
        while batch := self._drain.read():
            yield batch
        yield self._drain.dead(0, -1, last=True)
        if os.path.exists(f"/proc/{self._target}"):
            self.notes.append(f"process {self._target} has become another program, which is not followed")

    def close(self) -> None:
        """Takes the interposer out of all processes that have it from us: they go on untraced."""
        if self._ring is None or self._drain is None:
            return
        self.lost = self._drain.lost
        self._ring.header.trace_block = 0
        for pid in mapping(self._ring.inode):
            try:
                take_out(pid)
            except SelftraceError as error:
                if occupied(pid):
                    self.notes.append(f"{error}; it goes on as it is, and its events are dropped")
            else:
                if not self._quiet:
                    self._say(f"Process {pid} detached")
        self._drain.close()
        self._ring.close()
        self._ring = self._drain = None
