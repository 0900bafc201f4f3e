"""Compiled things that are kept between runs: `$XDG_CACHE_HOME/selftrace`, or `~/.cache/selftrace`.

Only files that nobody but ourselves can have written are used. Without a place to keep them, nothing is lost but time.
"""

from __future__ import annotations

import os


def directory() -> str:
    """Where they lie; it may not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "selftrace")


def read(name: str) -> bytes | None:
    """A file's content; None if there is none, or somebody else could have written it."""
    try:
        fd = os.open(os.path.join(directory(), name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            return None
        return file.read()


def keep(name: str, data: bytes) -> str:
    """Writes a file whole or not at all; its path. Raises OSError."""
    here = directory()
    os.makedirs(here, mode=0o700, exist_ok=True)
    fresh, path = os.path.join(here, f".{os.urandom(8).hex()}"), os.path.join(here, name)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(data)
    os.replace(fresh, path)
    return path


def write(name: str, data: bytes) -> None:
    """Keeps `data` for the next run, if it can be."""
    try:
        keep(name, data)
    except OSError:
        return


def forget(prefix: str, keep: int) -> None:
    """Removes the oldest files whose names begin with `prefix`, all but `keep`."""
    try:
        found = [entry for entry in os.scandir(directory()) if entry.name.startswith(prefix)]
        found.sort(key=lambda entry: entry.stat().st_mtime_ns, reverse=True)
        for entry in found[keep:]:
            os.unlink(entry.path)
    except OSError:
        return
