"""Plans compiled before: the same policy is run again and again, and only the private directory differs.

A kept plan is used for the same policy, script, directories, interpreter and kernel, while its files and everything that
its patterns name are as they were. Its private directory's name is exchanged for the new one, which is as long. Plans are
kept in this process, and on disk for the next one.
"""

from __future__ import annotations

import marshal
import os
import sys
import zlib
from _thread import allocate_lock  # threading costs a command 0.6 ms

from selftrace import __version__, cache
from selftrace.kernel import features as kernel_features
from selftrace.policy.terms import Context
from selftrace.prepared import Prepared, from_data, packed, to_data
from selftrace.record import replace, to_tuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from selftrace.policy.api import Policy

_KEPT_HERE, _KEPT_ON_DISK = 32, 64
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_.-")

_entries: dict[bytes, bytes] = {}
_lock = allocate_lock()


def _key(policy: Policy, context: Context, backend: str) -> bytes | None:
    """Everything that decides what a plan is; None: it cannot be kept."""
    if not _PLAIN.issuperset(os.fsencode(context.tmp)):
        return None

    def plain(path: str) -> str:
        return "" if path == context.tmp else path

    rest = replace(context, tmp="", cwd=plain(context.cwd), script_dir=plain(context.script_dir))
    features = kernel_features.probe()
    return packed(
        (
            __version__,
            kernel_features.code_stamp(),
            sys.hexversion,
            os.uname().release,
            kernel_features.libseccomp_stamp(),
            policy.fingerprint(),
            to_tuple(features),
            to_tuple(rest),
            len(context.tmp),
            backend,
        )
    )


def _stamps(sources: tuple[str, ...]) -> tuple[tuple[str, int, int], ...] | None:
    """(path, mtime in ns, size) of each; None where one is no file."""
    found = []
    for source in sources:
        try:
            status = os.stat(source)
        except OSError:
            return None
        found.append((source, status.st_mtime_ns, status.st_size))
    return tuple(found)


def _asks_environment(sources: tuple[str, ...], text: str) -> bool:
    if "${env:" in text:
        return True
    for source in sources:
        with open(source, "rb") as file:
            if b"${env:" in file.read():
                return True
    return False


def _state(paths: tuple[str, ...]) -> tuple[tuple[str, bool, bool], ...]:
    """(path, whether it exists, whether it is a directory) of each."""
    return tuple((path, os.path.lexists(path), os.path.isdir(path)) for path in paths)


def _kept(key: bytes, tmp: str) -> Prepared | None:
    with _lock:
        entry = _entries.get(key)
    if entry is None:
        entry = cache.read(_file(key))
        if entry is None or not entry.startswith(key):
            return None
        entry = entry[len(key) :]
        _remember(key, entry)
    old = entry[: len(os.fsencode(tmp))]
    try:
        files, named, data = marshal.loads(entry[len(old) :].replace(old, os.fsencode(tmp)))
    except (EOFError, ValueError, TypeError):  # cut off by a full disk
        return None
    if _stamps(tuple(source for source, _, _ in files)) != files or _state(tuple(path for path, _, _ in named)) != named:
        return None
    return from_data(data)


def _remember(key: bytes, entry: bytes) -> None:
    with _lock:
        _entries[key] = entry
        if len(_entries) > _KEPT_HERE:
            del _entries[next(iter(_entries))]


def _file(key: bytes) -> str:
    return f"plan-{zlib.crc32(key):08x}"


def prepare(policy: Policy, context: Context, *, backend: str = "trap") -> Prepared:
    """The policy compiled for this kernel and this run. backend: "trap" or "ptrace". Raises PolicyError, UnsupportedError."""
    key = _key(policy, context, backend)
    kept = _kept(key, context.tmp) if key is not None else None
    if kept is not None:
        return kept
    from selftrace.compiling import compiled

    model = policy.model(context)
    prepared, named = compiled(model, kernel_features.probe(), backend=backend)
    sources = tuple(source for source in model.sources if policy.text is None or source != policy.name)
    files = _stamps(sources)
    if key is not None and files is not None and not _asks_environment(sources, policy.text or ""):
        paths = tuple(path for path in named if not path.startswith(context.tmp))
        entry = os.fsencode(context.tmp) + packed((files, _state(paths), to_data(prepared)))
        _remember(key, entry)
        cache.write(_file(key), key + entry)
        cache.forget("plan-", _KEPT_ON_DISK)
    return prepared
