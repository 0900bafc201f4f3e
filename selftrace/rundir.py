"""The private directory of a run: made, filled with inputs, searched for outputs, removed.

Whatever lies in it afterwards was made by a program that nobody trusts: links are not followed, special files are not
opened, sizes and numbers are bounded, and removal copes with any depth and any mode.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_ENTRIES = 20_000
MAX_DEPTH = 32
_CHUNK = 1 << 20


def make(uid: int | None) -> str:
    """A new directory that only the run's user (uid; None: our own) can enter."""
    base = os.path.realpath(os.environ.get("TMPDIR") or "/tmp")
    path = os.path.join(base, f"selftrace-{os.urandom(4).hex()}")  # as tempfile does it, whose import costs 5 ms
    os.mkdir(path, 0o700)
    if uid is not None:
        os.chown(path, uid, uid)
    return path


def _checked_name(name: str) -> str:
    parts = name.split("/")
    if not name or name.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f'input name "{name}": a relative name without "." or ".." is needed')
    return name


def put_inputs(directory: str, inputs: Mapping[str, bytes | str | os.PathLike[str]], uid: int | None) -> None:
    """Writes bytes, or copies of files, into the directory. Raises OSError with the file's name; ValueError for names
    that lead out of it."""
    for name, source in inputs.items():
        path = os.path.join(directory, _checked_name(name))
        made = directory
        for part in name.split("/")[:-1]:
            made = os.path.join(made, part)
            if not os.path.isdir(made):
                os.mkdir(made, 0o700)
                _give(made, uid)
        if isinstance(source, (bytes, bytearray, memoryview)):
            with open(path, "wb") as file:
                file.write(source)
        else:
            with open(source, "rb") as original, open(path, "wb") as file:
                while chunk := original.read(_CHUNK):
                    file.write(chunk)
        os.chmod(path, 0o600)
        _give(path, uid)


def _give(path: str, uid: int | None) -> None:
    if uid is not None:
        os.chown(path, uid, uid)


def _read_regular(name: str, directory_fd: int, room: int) -> tuple[bytes | None, str]:
    """(content, why not). Opened without following links and without waiting, then looked at: nothing can be swapped."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, dir_fd=directory_fd)
    except OSError as error:
        return None, "it is a symbolic link" if error.errno == 40 else os.strerror(error.errno or 0)
    with open(fd, "rb") as file:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            return None, "it is no regular file"
        if info.st_nlink > 1:
            return None, "it has another name elsewhere (a hard link)"
        if info.st_size > room:
            return None, f"it is larger than the {room} bytes that are left for outputs"
        return file.read(room + 1)[:room], ""


def take_outputs(directory: str, patterns: Sequence[str], limit: int) -> tuple[dict[str, bytes], list[str]]:
    """(name → content of the regular files that match, sentences about those that were not taken).

    patterns: as in the shell, "**/" for any depth. limit: bytes for all of them together.
    """
    found: dict[str, bytes] = {}
    notes: list[str] = []
    if not patterns:
        return found, notes
    room, seen = limit, 0
    pending = [("", os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))]
    try:
        while pending:
            prefix, fd = pending.pop()
            try:
                names = sorted(os.listdir(fd))
                for name in names:
                    seen += 1
                    if seen > MAX_ENTRIES:
                        notes.append(f"outputs: only the first {MAX_ENTRIES} files were looked at")
                        return found, notes
                    whole = f"{prefix}{name}"
                    mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
                    if stat.S_ISDIR(mode):
                        if whole.count("/") < MAX_DEPTH and len(pending) < 100:
                            pending.append(
                                (
                                    whole + "/",
                                    os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd),
                                )
                            )
                    elif matches(whole, patterns):
                        data, why = _read_regular(name, fd, room)
                        if data is None:
                            notes.append(f"output {whole!r} was not taken: {why}")
                        else:
                            found[whole] = data
                            room -= len(data)
            except OSError as error:
                notes.append(f"outputs below {prefix or '.'!r} were not looked at: {error.strerror}")
            finally:
                os.close(fd)
    finally:
        for _, fd in pending:
            os.close(fd)
    return found, notes


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a relative name matches one of the globs; `*` stays within a component, and finds no hidden names."""
    parts = name.split("/")
    return any(_parts_match(parts, pattern.removeprefix("./").split("/")) for pattern in patterns)


def _parts_match(parts: Sequence[str], globs: Sequence[str]) -> bool:
    from fnmatch import fnmatchcase

    if not globs:
        return not parts
    if globs[0] == "**":
        deepest = next((at for at, part in enumerate(parts) if part.startswith(".")), len(parts))
        return any(_parts_match(parts[at:], globs[1:]) for at in range(deepest + 1))
    if not parts or (parts[0].startswith(".") and not globs[0].startswith(".")):
        return False
    return fnmatchcase(parts[0], globs[0]) and _parts_match(parts[1:], globs[1:])


def remove(directory: str) -> None:
    """Removes it with all that is in it: nested directories are moved up first, so that no depth is too much."""
    try:
        root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fchmod(root, 0o700)
        pending, moved, token = os.listdir(root), 0, os.urandom(8).hex()
        while pending:
            name = pending.pop()
            if not stat.S_ISDIR(os.stat(name, dir_fd=root, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=root)
                continue
            os.chmod(name, 0o700, dir_fd=root)
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
            try:
                for inner in os.listdir(fd):
                    if stat.S_ISDIR(os.stat(inner, dir_fd=fd, follow_symlinks=False).st_mode):
                        os.chmod(inner, 0o700, dir_fd=fd)  # a directory is only renamed where its .. can be written
                        moved += 1
                        fresh = f"{token}-{moved}"
                        os.rename(inner, fresh, src_dir_fd=fd, dst_dir_fd=root)
                        pending.append(fresh)
                    else:
                        os.unlink(inner, dir_fd=fd)
            finally:
                os.close(fd)
            os.rmdir(name, dir_fd=root)
    finally:
        os.close(root)
    os.rmdir(directory)
