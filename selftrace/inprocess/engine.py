"""What all `tracing` and `inject` of a process share: one interposer, one plan, one ring. See native/module/dispatch.c.

The interposer is mapped while anybody needs it. Each that does has a scope, a bit that threads carry: a call is judged by
the rules, and seen by the tracers, of its thread's scopes. Our own code runs `aside`, with its thread's calls let through.
"""

from __future__ import annotations

import os
import threading
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import module_from_spec

from selftrace.backends.base import native_directory
from selftrace.errors import SelftraceError, UnsupportedError
from selftrace.events.drain import counter_is_clock
from selftrace.inprocess.plan import make_table
from selftrace.kernel.features import kernel_version, require_platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    from selftrace.inprocess.plan import Share

_SCOPES = 32
_LEAST_RING, _MOST_RING = 64 << 20, 128 << 20
_ROOM = 1 << 20
_ARM_S = 0.5
_SELF = "/proc/self/task"
_ORDER = 33
"""ST_SIGORDER of native/interposer/core.h."""


def _native_watch() -> Callable[[bool], bool]:
    """`watch` of native/module/start.c, a module of its own in the same object."""
    from selftrace import _native

    path = str(_native.__file__)
    spec = ModuleSpec("_start", ExtensionFileLoader("_start", path), origin=path)
    module = module_from_spec(spec)
    watch: Callable[[bool], bool] = module.watch
    return watch


class Aside:
    """With this, the thread's calls are our own: not seen, not judged."""

    __slots__ = ("_before", "_watch")

    def __init__(self, watch: Callable[[bool], bool]) -> None:
        self._watch = watch
        self._before = True

    def __enter__(self) -> None:
        self._before = self._watch(False)

    def __exit__(self, *_: object) -> None:
        self._watch(self._before)


def _tids() -> list[int]:
    return [int(name) for name in os.listdir(_SELF)]


def _status(tid: int) -> dict[str, str]:
    try:
        with open(f"{_SELF}/{tid}/status") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except OSError:
        return {}


class Engine:
    """One in a process. Every method is called aside."""

    def __init__(self) -> None:
        """Raises BuildError, UnsupportedError."""
        require_platform()
        if kernel_version() < (5, 11):
            raise UnsupportedError(f"kernel {os.uname().release} has no Syscall User Dispatch", "it came with 5.11")
        directory = native_directory()
        from selftrace._native import ffi, lib

        self._ffi, self._lib = ffi, lib
        self._blob = os.path.join(directory, "_interposer")
        self.watch = _native_watch()
        self._shares: list[Share] = []
        self._lock = threading.RLock()
        self._table: Any = None
        self._drain: Any = None
        self._out: Any = None
        self._dropped = 0
        self._counters: set[int] = set()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """In a fork's child nobody traces; the native part has gone already."""
        self._lock = threading.RLock()
        for share in self._shares:
            share.active = False
            if share.children is not None:
                share.children.end()
        self._shares = []
        self._table = self._drain = None
        self._counters = set()

    def aside(self) -> Aside:
        """See Aside."""
        return Aside(self.watch)

    # ---- beginning and end of a share ------------------------------------------------------------------

    def begin(self, share: Share, threads: Literal["all", "current"]) -> None:
        """The share's rules and events are in force for its threads; the caller's own calls begin to count with watch(True).

        Raises OSError, UnsupportedError, SelftraceError: nothing has changed then.
        """
        with self._lock:
            self.collect()
            share.scope = self._free_scope()
            share.counters = self._take_counters(share)
            share.tid = threading.get_native_id()
            share.threads = threads
            self._shares.append(share)
            share.active = True
            try:
                self._install()
                self._lib.st_dispatch_unfire(share.scope)
                for counter in share.counters:
                    self._lib.st_dispatch_forget_counter(counter)
                self._checked(self._lib.st_dispatch_join(1 << share.scope), "Syscall User Dispatch")
                if threads == "all":
                    self._join_others(share)
                if share.children is not None:
                    share.children.begin()
            except BaseException:
                self.end(share)
                raise

    def end(self, share: Share) -> None:
        """The opposite; what the share saw is complete. Once more, if it was broken off."""
        with self._lock:
            if not share.active:
                return
            if self._table is not None:
                share.stuck = self._lib.st_dispatch_scope_ends(1 << share.scope)
                self.collect()
                share.fired = int(self._lib.st_dispatch_fired(share.scope))
            if share.children is not None:
                share.fired += share.children.fired
                share.lost += share.children.lost
                share.children.end()
            share.active = False
            self._shares = [other for other in self._shares if other is not share]
            self._counters -= set(share.counters)
            if self._shares:
                self._install()
            elif self._table is not None and not share.stuck:
                self._release()  # else a thread is inside: the next one to end tries again

    def fired(self, share: Share) -> int:
        """How many calls its faults have acted on."""
        with self._lock:
            self.collect()
            if not share.active or self._table is None:
                return share.fired
            return int(self._lib.st_dispatch_fired(share.scope)) + (share.children.fired if share.children else 0)

    def patches(self) -> tuple[int, ...]:
        """Sites by st_patch_result, and the errno of a refusal."""
        results = self._ffi.new("struct st_patch_results *")
        self._lib.st_dispatch_patches(results)
        return (*results.sites, results.refused)

    def set_patience(self, calls: int) -> None:
        """How many of a site's calls arrive before it is patched; more than 254: none is, when tracing begins anew."""
        self._lib.st_dispatch_patience(calls)

    def _free_scope(self) -> int:
        taken = {share.scope for share in self._shares}
        free = next((scope for scope in range(_SCOPES) if scope not in taken), None)
        if free is None:
            raise UnsupportedError(f"{_SCOPES} tracers and faults are active in this process", "end one of them first")
        return free

    def _take_counters(self, share: Share) -> tuple[int, ...]:
        wanted = share.counters_needed()
        free = [number for number in range(self._lib.ST_COUNTERS) if number not in self._counters]
        if len(free) < wanted:
            raise UnsupportedError(f"{wanted} calls are to be counted, {len(free)} can", "name fewer calls with `when`")
        self._counters |= set(free[:wanted])
        return tuple(free[:wanted])

    def _checked(self, result: int, what: str) -> None:
        if result < 0:
            raise OSError(-result, f"{what}: {os.strerror(-result)}")

    # ---- the plan ----------------------------------------------------------------------------------------

    def _install(self) -> None:
        """The plan of all shares, the innermost one's rules first."""
        data = make_table(self._shares[::-1])
        table = self._ffi.from_buffer(data)
        if self._table is None:
            self._engage(table)
        else:
            self._lib.st_dispatch_change(table)
        self._table = table  # the one before is not read any more

    def _engage(self, table: Any) -> None:
        most = max(share.limit_bytes for share in self._shares)
        size = _LEAST_RING if most <= _LEAST_RING else _MOST_RING
        blob = os.open(self._blob, os.O_RDONLY | os.O_CLOEXEC)
        try:
            result = self._lib.st_dispatch_engage(blob, table, size)
        finally:
            os.close(blob)
        if result == -17:  # EEXIST
            raise UnsupportedError("selftrace is at work in this process already", "trace it from where it was started")
        self._checked(result, "mapping the interposer")
        self._table = table
        header = self._ffi.cast("struct st_ring_header *", self._lib.ST_RING_ADDRESS)
        header.trace_clock = self._lib.ST_TIME_COUNTER if counter_is_clock() else self._lib.ST_TIME_CLOCK
        self._drain = self._lib.st_drain_local(header)
        self._dropped = 0
        if self._out is None:
            self._out = self._ffi.new("uint64_t[]", _ROOM // 8)

    def _release(self) -> None:
        self._lib.st_drain_forget(self._drain)
        self._drain = None
        self._lib.st_dispatch_release()
        self._table = None

    # ---- threads -------------------------------------------------------------------------------------------

    def _join_others(self, share: Share) -> None:
        """All other threads, and those that they start meanwhile. A thread that blocks signal 33 cannot be reached."""
        import time

        self._lib.st_dispatch_scope_begins(1 << share.scope)
        own, asked = threading.get_native_id(), set[int]()
        deadline = time.monotonic() + _ARM_S
        while time.monotonic() < deadline:
            missing = [tid for tid in _tids() if tid != own and not self._lib.st_dispatch_has(tid)]
            for tid in missing:
                if tid not in asked and not _blocks_orders(tid):
                    asked.add(tid)
                    self._lib.st_dispatch_order_join(tid, 1 << share.scope)
            if not asked.intersection(missing):
                break
            time.sleep(0.0002)
        left = [tid for tid in _tids() if tid != own and not self._lib.st_dispatch_has(tid)]
        share.untraced = tuple(f"{tid} ({_status(tid).get('Name', '?')})" for tid in left)

    # ---- events --------------------------------------------------------------------------------------------

    def collect(self) -> None:
        """What is in the ring goes to the shares."""
        with self._lock:
            while self._drain is not None:
                size = self._lib.st_drain_read(self._drain, self._ffi.cast("uint8_t *", self._out), _ROOM)
                if not size:
                    break
                batch = bytes(self._ffi.buffer(self._out, size))
                for share in self._shares:
                    share.take(batch)
            for share in self._shares:
                if share.children is not None:
                    for batch in share.children.read():
                        share.take(batch, child=True)
            if self._drain is not None:
                lost = int(self._lib.st_drain_lost(self._drain))
                for share in self._shares:
                    share.lost += lost - self._dropped
                self._dropped = lost


def _blocks_orders(tid: int) -> bool:
    return bool(int(_status(tid).get("SigBlk", "0"), 16) >> (_ORDER - 1) & 1)


_engine: Engine | None = None
_making = threading.Lock()


def engine() -> Engine:
    """The process's. Raises BuildError, UnsupportedError."""
    global _engine
    if _engine is None:
        with _making:
            if _engine is None:
                _engine = Engine()
    return _engine


def known_problem() -> str:
    """Why nothing can be traced here; empty: it can."""
    try:
        engine()
    except SelftraceError as error:
        return str(error)
    return ""
