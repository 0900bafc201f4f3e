"""Traces prepared before: which calls are trapped and captured follows from a few options, and compiling takes 30 ms."""

from __future__ import annotations

import marshal
import os
import sys
import zlib

from selftrace import __version__, cache
from selftrace.backends import bundle
from selftrace.kernel import features as kernel_features
from selftrace.prepared import Prepared, from_data, packed, to_data
from selftrace.record import to_tuple
from selftrace.trace.shown import stack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from selftrace.policy.terms import Features
    from selftrace.trace.options import TraceOptions

_KEPT = 32


def _key(options: TraceOptions, features: Features) -> bytes:
    """Everything that decides how a trace without faults is prepared."""
    chosen = (
        None if options.calls is None else tuple(sorted(options.calls)),
        bool(options.paths),
        options.fds is not None,
        None if options.abbrev is None else tuple(sorted(options.abbrev)),
        bool(options.decode_fds),
        bool(options.read_fds or options.write_fds),
        options.string_limit,
        options.follow,
        options.vdso,
        stack(options),
        bundle.stack_shim() if stack(options) == "python" else "",
    )
    stamps = (kernel_features.code_stamp(), kernel_features.libseccomp_stamp(), os.uname().release)
    return packed((__version__, sys.hexversion, stamps, to_tuple(features), chosen))


def prepare(options: TraceOptions) -> Prepared:
    """The trace made ready for this kernel. Raises ValueError for a fault that could never fire, UnsupportedError."""
    features = kernel_features.probe()
    if options.faults:
        return _fresh(options, features)
    key = _key(options, features)
    name = f"trace-{zlib.crc32(key):08x}"
    entry = cache.read(name)
    if entry is not None and entry.startswith(key):
        try:
            return from_data(marshal.loads(entry[len(key) :]))
        except (EOFError, ValueError, TypeError):  # cut off by a full disk
            pass
    prepared = _fresh(options, features)
    cache.write(name, key + packed(to_data(prepared)))
    cache.forget("trace-", _KEPT)
    return prepared


def _fresh(options: TraceOptions, features: Features) -> Prepared:
    from selftrace.compiling import compiled
    from selftrace.trace.model import make_model

    return compiled(make_model(options, features.arch, shim=bundle.stack_shim()), features)[0]
