"""Plans compiled before: a service runs the same policy again and again, and only the private directory differs.

A kept plan is used for the same policy, script, directories and interpreter, while its files and everything that its
patterns name are as they were. Its private directory's name is exchanged for the new one, which is as long.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path
from threading import Lock

from selftrace.backends import trap
from selftrace.kernel import features as kernel_features
from selftrace.policy.api import Policy
from selftrace.policy.compile import compile as compile_plan
from selftrace.policy.patterns import fixed_prefix
from selftrace.policy.plan import PathPattern, Plan
from selftrace.policy.variables import Context
from selftrace.record import record, replace

_KEPT = 32


@record
class Prepared:
    """A plan and its table for the interposer."""

    plan: Plan
    table: bytes


@record
class _Entry:
    prepared: Prepared
    tmp: str
    files: tuple[tuple[str, int, int], ...]
    """Source, mtime in ns, size."""
    named: tuple[tuple[str, bool, bool], ...]
    """Path, whether it exists, whether it is a directory."""


_entries: OrderedDict[Hashable, _Entry] = OrderedDict()
_lock = Lock()


def _without_tmp(context: Context) -> Context:
    def plain(path: str) -> str:
        return "" if path == context.tmp else path

    return replace(context, tmp="", cwd=plain(context.cwd), script_dir=plain(context.script_dir))


def _files(sources: tuple[str, ...]) -> tuple[tuple[str, int, int], ...] | None:
    """None where a source is no file, or says what only the environment knows."""
    found = []
    for source in sources:
        try:
            status = os.stat(source)
            if b"${env:" in Path(source).read_bytes():
                return None
        except OSError:
            return None
        found.append((source, status.st_mtime_ns, status.st_size))
    return tuple(found)


def _state(paths: tuple[str, ...]) -> tuple[tuple[str, bool, bool], ...]:
    return tuple((path, os.path.lexists(path), os.path.isdir(path)) for path in paths)


def _named(plan: Plan, tmp: str) -> tuple[str, ...]:
    native = plan.native
    patterns = (*native.fs_read, *native.fs_write, *native.fs_exec)
    prefixes = dict.fromkeys(fixed_prefix(pattern) for pattern in patterns)
    return tuple(path for path in prefixes if not path.startswith((tmp, "/proc/")))


def _moved(patterns: tuple[PathPattern, ...], old: bytes, new: bytes) -> tuple[PathPattern, ...]:
    return tuple(replace(p, text=p.text.replace(old, new)) if old in p.text else p for p in patterns)


def _relocate(prepared: Prepared, old: str, new: str) -> Prepared:
    plan, raw_old, raw_new = prepared.plan, os.fsencode(old), os.fsencode(new)
    native = replace(
        plan.native,
        fs_read=_moved(plan.native.fs_read, raw_old, raw_new),
        fs_write=_moved(plan.native.fs_write, raw_old, raw_new),
        fs_exec=_moved(plan.native.fs_exec, raw_old, raw_new),
    )
    landlock = plan.landlock
    if landlock is not None and landlock.fs is not None:
        rules = tuple(replace(r, path=r.path.replace(old, new)) if old in r.path else r for r in landlock.fs)
        landlock = replace(landlock, fs=rules)
    writable = tuple(path.replace(old, new) for path in plan.mounts_writable)
    moved = replace(plan, native=native, landlock=landlock, mounts_writable=writable)
    return Prepared(moved, prepared.table.replace(raw_old, raw_new))


def _mentions(plan: Plan, tmp: str) -> bool:
    """Whether rules or rows name the private directory: such a plan is not kept."""
    raw = os.fsencode(tmp)
    rules = any(p.text.startswith(raw) for rule in plan.native.rules for match in rule.matches for p in match.paths or ())
    denials = any(raw in pattern.text for pattern, _ in plan.native.fs_deny)
    return rules or denials or any(tmp in row.subject for row in plan.rows)


def prepare(policy: Policy, context: Context) -> Prepared:
    """The policy compiled for this kernel and this run. Raises PolicyError, UnsupportedError."""
    key = (policy.fingerprint(), _without_tmp(context), len(context.tmp))
    with _lock:
        entry = _entries.get(key)
        if entry is not None:
            _entries.move_to_end(key)
    if entry is not None:
        sources = tuple(source for source, _, _ in entry.files)
        if _files(sources) == entry.files and _state(tuple(path for path, _, _ in entry.named)) == entry.named:
            return _relocate(entry.prepared, entry.tmp, context.tmp)
    model = policy.model(context)
    plan = compile_plan(model, kernel_features.probe())
    prepared = Prepared(plan, trap.encoded(plan))
    files = _files(model.sources)
    if files is not None and not _mentions(plan, context.tmp):
        with _lock:
            _entries[key] = _Entry(prepared, context.tmp, files, _state(_named(plan, context.tmp)))
            if len(_entries) > _KEPT:
                _entries.popitem(last=False)
    return prepared
