"""The Python functions of a stopped CPython, read from outside by the package pystack (Bloomberg, Apache-2.0)."""

from __future__ import annotations

from selftrace.errors import SelftraceError, UnsupportedError
from selftrace.record import record


@record
class PythonFrame:
    """One function of a Python stack. line: the line that is being executed."""

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


def frames(pid: int, tid: int) -> list[PythonFrame]:
    """Those of one thread, innermost first; empty for a thread that runs no Python.

    The process must be stopped already. Raises UnsupportedError where pystack is not installed, SelftraceError for a
    process that is no CPython, or whose state cannot be read just now.
    """
    try:
        from pystack import engine
        from pystack.errors import PystackError
    except ImportError:
        raise UnsupportedError(
            "Python frames need the package pystack, which is not installed", 'pip install "selftrace[debug]"'
        ) from None
    try:
        threads = list(engine.get_process_threads(pid, stop_process=False))
    except (PystackError, RuntimeError, OSError, ValueError) as error:
        raise SelftraceError(f"no Python frames in {pid}: {error}") from None
    found = []
    for thread in threads:
        if thread.tid == tid:
            for frame in thread.frames:
                found.append(PythonFrame(frame.code.scope, frame.code.filename, frame.code.location.lineno))
    return found[::-1]
