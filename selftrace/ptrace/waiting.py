"""Waiting for traced threads, and for no other child of this process: those belong to the rest of the program."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from selftrace.backends.refusals import status_of
from selftrace.ptrace import mended
from selftrace.ptrace.stops import Task

WALL = 0x40000000  # threads and processes alike
NOTHREAD = 0x20000000  # of this thread: ptrace knows threads, not processes
_PAUSE_S = 0.001
_PATIENCE = 2000  # rounds before a thread that cannot be stopped is left to itself


_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait meanwhile: an exception between waitpid and noting what it said would lose a stop."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def interruptible() -> Iterator[None]:
    """Within `uninterrupted`: around what may take long."""
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDINGS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def is_exit(status: int) -> bool:
    """Whether the thread has ended."""
    return os.WIFEXITED(status) or os.WIFSIGNALED(status)


def is_plain_stop(status: int) -> bool:
    """A stop that PTRACE_INTERRUPT or a new thread's birth makes."""
    return not is_exit(status) and status >> 16 == mended.EVENT_STOP


def poll(tid: int) -> int | None:
    """Its wait status, if it has a new one."""
    try:
        found, status = os.waitpid(tid, WALL | os.WNOHANG)
    except ChildProcessError:
        return 0 if not os.path.exists(f"/proc/{tid}") else None  # ended under the eyes of an exec: an exit nobody reports
    return status if found else None


def any_of(tasks: Iterable[Task]) -> tuple[Task, int]:
    """The next of these running threads that has something to report, and its wait status."""
    waited = list(tasks)
    while True:
        for task in waited:
            status = poll(task.tid)
            if status is not None:
                return task, status
        _sleep({task.tid for task in waited})


def _sleep(tids: set[int]) -> None:
    """Until one of them has something to report. Another child that has is not touched; while it is there, we poll."""
    flags = os.WEXITED | os.WSTOPPED | os.WNOWAIT | WALL | NOTHREAD
    with interruptible():
        found = os.waitid(os.P_ALL, 0, flags)
        if found is None or found.si_pid not in tids:
            time.sleep(_PAUSE_S)


def collect(tasks: Iterable[Task]) -> list[tuple[Task, int]]:
    """The wait status of each of these, which were told to stop. Threads that are zombies, because others of their
    process still run, report nothing and are left out; so are those that sit in the kernel and cannot stop."""
    waited, found = list(tasks), []
    rounds = 0
    while waited:
        for task in list(waited):
            status = poll(task.tid)
            state = _state(task, rounds) if status is None and rounds > 20 else ""
            if state:
                status = poll(task.tid)  # it may have stopped since it was asked
            if status is not None:
                found.append((task, status))
            elif state == "t":  # another thread of this program has had Ctrl-C for us, and the report was lost
                task.running = False
            if status is not None or state:
                waited.remove(task)
        rounds += 1
        if waited:
            time.sleep(_PAUSE_S / 5)
    return found


def _state(task: Task, rounds: int) -> str:
    """Z, X or t for a thread that will report nothing more, D for one that has not stopped for long; else empty."""
    state = status_of(task.tid).get("State", "X")[:1]
    if state == "D" and (rounds > _PATIENCE or task.held):
        task.held = True
        return state
    return state if state in "ZXt" else ""
