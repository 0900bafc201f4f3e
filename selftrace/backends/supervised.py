"""`run` with the ptrace supervisor: a program outside judges by the same table, and the program itself only has the kernel's
part. It is held by a thread of the launcher's, so long as that lives and no longer (EXITKILL)."""

from __future__ import annotations

import os
import socket
import threading

from selftrace.backends import bundle, refusals, trap
from selftrace.backends.base import Launch
from selftrace.backends.ptrace import Supervisor, Watch
from selftrace.errors import UnsupportedError
from selftrace.job import Job
from selftrace.kernel import landlock
from selftrace.prepared import Prepared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_GATE_FD, _FILTER_FD = 4, 5
_NO_FD = -1


def _filter(table: bytes) -> bytes:
    """The kernel's part of a table."""
    from selftrace._native import ffi

    plan = ffi.cast("struct st_plan *", ffi.from_buffer(table))
    return table[plan.filter : plan.filter + 8 * plan.filter_count]


def prepare(prepared: Prepared, job: Job, gate_fd: int, env: dict[str, str]) -> Launch:
    """The start of a script or program that a supervisor will hold.

    gate_fd: the program's end of the supervision; becomes the launch's. Raises as trap.prepare does.
    """
    launch = Launch(argv=[], env=env, owned=[gate_fd])
    numbers = (_GATE_FD, _FILTER_FD, trap.RULESET_FD if prepared.ruleset is not None else _NO_FD)
    try:
        fds = {_GATE_FD: gate_fd, _FILTER_FD: trap.sealed("selftrace-filter", _filter(prepared.table))}
        launch.owned.append(fds[_FILTER_FD])
        if prepared.ruleset is not None:
            fds[trap.RULESET_FD] = landlock.build(prepared.ruleset)
            launch.owned.append(fds[trap.RULESET_FD])
        if job.kind != "program":
            fds[trap.SPEC_FD] = trap.sealed("selftrace-spec", bundle.specification(prepared, numbers, supervised=True))
            launch.owned.append(fds[trap.SPEC_FD])
            start = trap.start_of_python(job, env)
            return Launch(argv=start.argv, env=start.env, fds=fds, owned=launch.owned)
        if not prepared.hosts:
            raise UnsupportedError("this policy starts no program", "use builtin:untrusted-program, or [process] exec = true")
        guard = dict(zip(("gate", "filter", "ruleset"), numbers, strict=True))
        guard["own_proc"] = prepared.ruleset.own_proc if prepared.ruleset is not None else 0
        return Launch(argv=list(job.args), env=env, program=job.target, fds=fds, owned=launch.owned, guard=guard)
    except BaseException:
        for fd in launch.owned:
            os.close(fd)
        raise


class Supervision:
    """The supervisor of one run, in a thread of its own: ptrace belongs to threads."""

    def __init__(self, prepared: Prepared, ring: Any, *, starts: bool) -> None:
        """ring: `struct st_ring_header *`, where reports go. starts: the program has yet to be executed when it is taken."""
        ours, theirs = socket.socketpair()
        self._gate, self.gate_fd = ours, theirs.detach()
        self._table, self._ring, self._starts = prepared.table, ring, starts
        self._over = False
        self.error = ""
        """Why the program could not be held; empty: it could."""
        self._thread = threading.Thread(target=self._work, name="selftrace-supervisor", daemon=True)

    def begin(self) -> None:
        """Waits for the program from now on."""
        self._thread.start()

    def end(self) -> None:
        """What is still held dies."""
        self._over = True
        if self._thread.ident is not None:
            self._thread.join()
        self._gate.close()

    def _work(self) -> None:
        from selftrace._native import ffi, lib

        judge = lib.st_judge_new(ffi.from_buffer(self._table), self._ring, self._starts)
        if judge == ffi.NULL:
            self.error = "out of memory"
            return
        supervisor = Supervisor(Watch(frozenset(), {}, seccomp=False), judge=judge)
        try:
            self._hold(supervisor)
        finally:
            supervisor.close()
            lib.st_judge_free(judge)
            self._gate.close()

    def _hold(self, supervisor: Supervisor) -> None:
        import sys

        pid = int.from_bytes(self._gate.recv(4), sys.byteorder)
        if not pid:  # it ended before
            return
        try:
            supervisor.attach(pid)
        except OSError as error:
            self.error = refusals.afterwards(pid, error)
            return
        self._gate.send(b"\0")
        while supervisor.read() >= 0 and not self._over:
            pass
