"""System calls that the standard library has no name for."""

from __future__ import annotations

import os

from selftrace.errors import BuildError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _library() -> Any:
    try:
        from selftrace._native import lib
    except ImportError as error:
        raise BuildError(f"the native part does not load ({error}): run pip install . (needs gcc and python3-dev)") from None
    return lib


def syscall(nr: int, *args: int, name: str = "") -> int:
    """Makes a call. name: what it is called, for the error.

    Raises OSError with the call's name; BuildError without the native part.
    """
    words = [value & 0xFFFFFFFFFFFFFFFF for value in (*args, *(0,) * (6 - len(args)))]
    result = int(_library().st_syscall(nr, *words))
    if result < 0:
        raise OSError(-result, f"{name or f'system call {nr}'}: {os.strerror(-result)}")
    return result
