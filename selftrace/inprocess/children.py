"""Programs that this process starts, through the loader: they are traced, and their calls fail, as under `selftrace trace`.

subprocess and multiprocessing's "spawn" start programs by one function, `_posixsubprocess.fork_exec`; while somebody wants
to see children it gets the loader in the program's place. What else starts programs (os.posix_spawn, os.system, os.fork and
exec) is not followed.
"""

from __future__ import annotations

import os
import resource

from selftrace.backends import trap
from selftrace.backends.base import native_directory
from selftrace.compiling import compiled
from selftrace.errors import UnsupportedError
from selftrace.events import frames
from selftrace.events.drain import counter_is_clock
from selftrace.events.ring import Ring
from selftrace.kernel.features import probe
from selftrace.policy.model import Default, PolicyModel, Tracing
from selftrace.trace.faultrules import rules_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from selftrace.policy.plan import Capture
    from selftrace.trace.faults import Fault

_RING_BYTES = 64 << 20
_ROOM = 1 << 20
_ACTED = frames.INJECTED | frames.DELAYED | frames.SIGNALLED | frames.POKED
_HEAD = frames.HEAD.unpack_from
_active: Children | None = None


def _model(calls: dict[int, tuple[Capture, ...]], faults: tuple[Fault, ...], string_limit: int) -> PolicyModel:
    rules = [rule for index, fault in enumerate(faults) for rule in rules_of(fault, f"fault[{index}]")]
    return PolicyModel(
        name="children",
        default=Default(action="allow"),
        tracing=Tracing(calls=calls, string_limit=string_limit, watched=True),
        rules=tuple(rules),
    )


class Children:
    """One at a time in a process: the descriptors that the loader reads have fixed numbers."""

    def __init__(self, calls: dict[int, tuple[Capture, ...]], faults: tuple[Fault, ...], string_limit: int) -> None:
        """Raises OSError, UnsupportedError: another is active, RLIMIT_NOFILE is too low, the kernel lacks seccomp."""
        from selftrace._native import ffi, lib

        if _active is not None:
            raise UnsupportedError("children are traced already", "nest without children=True")
        if resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= trap.KEPT_PROGRAM_FD:
            raise UnsupportedError(f"RLIMIT_NOFILE is below {trap.KEPT_PROGRAM_FD + 1}", "raise ulimit -n")
        self._ffi, self._lib = ffi, lib
        self.fired = 0
        """Calls that faults have acted on."""
        self._loader = os.path.join(native_directory(), "_interposer")
        self._prepared, _ = compiled(_model(calls, faults, string_limit), probe())
        self._orders = f"selftrace-first {lib.ST_ABI} -1".encode()
        self._fds: tuple[int, ...] = ()
        self._originals: tuple[Any, Any, Any] | None = None
        self._ring: Any = None
        self._drain: Any = None

    def begin(self) -> None:
        """Programs that are started from now on."""
        global _active
        self._ring = Ring(_RING_BYTES)
        header = self._ring.header
        header.trace_clock = self._lib.ST_TIME_COUNTER if counter_is_clock() else self._lib.ST_TIME_CLOCK
        self._drain = self._lib.st_drain_local(header)
        self._out = self._ffi.new("uint64_t[]", _ROOM // 8)
        _active = self
        self._open()
        self._patch()

    def _open(self) -> None:
        blob = os.open(self._loader, os.O_RDONLY | os.O_CLOEXEC)
        found = {
            trap.KEPT_BLOB_FD: blob,
            trap.KEPT_PROGRAM_FD: blob,
            trap.KEPT_RING_FD: self._ring.fd,
            trap.KEPT_PLAN_FD: (plan := trap.sealed("selftrace-plan", self._prepared.table)),
            trap.KEPT_BUNDLE_FD: (bundle := trap.sealed("selftrace-bundle", b"")),
        }
        try:
            for target in found:
                if os.path.exists(f"/proc/self/fd/{target}"):
                    raise UnsupportedError(f"descriptor {target} is in use", "close it: the loader's have fixed numbers")
            for target, fd in found.items():
                os.dup2(fd, target, inheritable=False)
            self._fds = tuple(sorted(found))
        finally:
            for fd in (blob, plan, bundle):
                os.close(fd)

    def _patch(self) -> None:
        import _posixsubprocess
        import subprocess

        module: Any = subprocess
        original = _posixsubprocess.fork_exec
        self._originals = (original, module._fork_exec, module._USE_POSIX_SPAWN)

        def fork_exec(args: Any, executables: Any, close_fds: bool, pass_fds: Any, *rest: Any) -> int:
            program = next((path for path in executables if os.access(path, os.X_OK)), None)
            if program is not None and len(args):
                args = [self._orders, program, *[os.fsencode(word) for word in args]]
                executables = [os.fsencode(self._loader)]
                pass_fds = tuple(sorted({*pass_fds, *self._fds}))
            pid: int = original(args, executables, close_fds, pass_fds, *rest)
            return pid

        _posixsubprocess.fork_exec = module._fork_exec = fork_exec
        module._USE_POSIX_SPAWN = False  # its file actions cannot keep our descriptors

    def end(self) -> None:
        """Programs that still run go on; nobody reads what they say."""
        global _active
        if self._originals is not None:
            import _posixsubprocess
            import subprocess

            module: Any = subprocess
            _posixsubprocess.fork_exec, module._fork_exec, module._USE_POSIX_SPAWN = self._originals
            self._originals = None
        for fd in self._fds:
            os.close(fd)
        self._fds = ()
        if self._drain is not None:
            self._lib.st_drain_forget(self._drain)
            self._drain = None
            self._ring.close()
        if _active is self:
            _active = None

    def read(self) -> list[bytes]:
        """What has come since the last time."""
        found: list[bytes] = []
        while self._drain is not None:
            size = self._lib.st_drain_read(self._drain, self._ffi.cast("uint8_t *", self._out), _ROOM)
            if not size:
                break
            found.append(bytes(self._ffi.buffer(self._out, size)))
            self.fired += _acts(found[-1])
        return found

    @property
    def lost(self) -> int:
        """Events that did not fit."""
        return int(self._lib.st_drain_lost(self._drain)) if self._drain is not None else 0


def _acts(batch: bytes) -> int:
    found = at = 0
    while at < len(batch):
        _, size, _, _, _, _, kind, flags, _ = _HEAD(batch, at)
        found += kind == frames.EXIT and bool(flags & _ACTED)
        at += size
    return found
