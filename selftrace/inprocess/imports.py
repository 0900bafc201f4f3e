"""The import system's own calls, let through: looking for modules and reading them. What modules do when they run counts."""

from __future__ import annotations

import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_lock = threading.Lock()
_users = 0
_originals: tuple[Any, Any] | None = None


def _put(watch: Callable[[bool], bool]) -> tuple[Any, Any]:
    """The interpreter finds `_find_and_load` by name each time, and importlib runs a module's code through the other."""
    bootstrap: Any = sys.modules["_frozen_importlib"]
    find, call = bootstrap._find_and_load, bootstrap._call_with_frames_removed
    before = threading.local()

    def find_and_load(name: str, import_: Any) -> Any:
        outer = getattr(before, "value", True)
        before.value = now = watch(False)
        try:
            return find(name, import_)
        finally:
            before.value = outer
            watch(now)

    def call_with_frames_removed(function: Any, *args: Any, **named: Any) -> Any:
        if function is not exec:
            return call(function, *args, **named)
        ours = watch(getattr(before, "value", True))
        try:
            return call(function, *args, **named)
        finally:
            watch(ours)

    bootstrap._find_and_load, bootstrap._call_with_frames_removed = find_and_load, call_with_frames_removed
    return find, call


class ImportsAside:
    """With this, the calls of the import system are not seen, in any thread. May be nested."""

    def __init__(self, watch: Callable[[bool], bool]) -> None:
        self._watch = watch

    def __enter__(self) -> None:
        global _users, _originals
        with _lock:
            _users += 1
            if _users == 1:
                _originals = _put(self._watch)

    def __exit__(self, *_: object) -> None:
        global _users, _originals
        with _lock:
            _users -= 1
            if not _users and _originals is not None:
                bootstrap: Any = sys.modules["_frozen_importlib"]
                bootstrap._find_and_load, bootstrap._call_with_frames_removed = _originals
                _originals = None
