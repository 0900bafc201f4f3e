"""The ptrace backend's supervisor: native/ptrace, held by Python. All of it is called by the thread that made it."""

from __future__ import annotations

import os

from selftrace.errors import SelftraceError
from selftrace.record import fresh, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

ROOM = 1 << 20
"""Bytes of a batch's buffer; half of it is filled, what selects may need the rest."""
ALWAYS = 0xFFFFFFFF
"""A counter that does not end."""


Condition = tuple[int, int, str, int]
"""Argument, its width in bytes, an operator of policies' `match`, and the number."""
_OPERATORS = ("eq", "ne", "lt", "le", "gt", "ge", "between", "any")
"""enum st_operator."""


@record
class CallFault:
    """One call's part of a fault: the fields of struct st_ptrace_fault."""

    sysno: int
    signal: int = 0
    instead: int = -1
    answers: bool = False
    success: bool = False
    buffer: int = -1
    count: int = -1
    most: int = 0
    result: int = 0
    poke_enter: bytes = b""
    poke_exit: bytes = b""
    data: bytes | None = None
    delay_enter_us: int = 0
    delay_exit_us: int = 0
    first: int = 0
    last: int = ALWAYS
    step: int = 0
    chance: int = 0
    seed: int = 0
    count_by: int = 0
    conditions: tuple[Condition, ...] = ()
    path_argument: int = -1
    dirfd_argument: int = -1
    path_fd_argument: int = -1


@record
class Watch:
    """What a supervisor looks at.

    shown: calls. captures: sysno → (kind, arg, length, when, size) of what is captured. seccomp: programs that are started
    stop at these calls alone. lockstep: a task does not run on while its events are looked at. stack: registers and stack are
    captured. path_matches: (index of the fault, tid, directory's descriptor, path or None) → whether the fault is about it.
    """

    shown: frozenset[int]
    captures: Mapping[int, Sequence[Sequence[int]]]
    string_limit: int = 32
    follow: bool = True
    seccomp: bool = True
    stack: bool = False
    cpu_time: bool = False
    vdso: bool = True
    pinned: bool = True
    lockstep: bool = False
    faults: tuple[CallFault, ...] = fresh(default_factory=tuple)
    path_matches: Callable[[int, int, int, bytes | None], bool] | None = None


class Supervisor:
    """Starts and attaches to programs, and hands over their events."""

    def __init__(self, watch: Watch, *, judge: Any = None) -> None:
        """judge: `struct st_judge_state *`, a policy that is held, by the programs' lives. Raises SelftraceError, BuildError."""
        from selftrace.backends.base import native_directory

        native_directory()
        from selftrace._native import ffi, lib

        self._ffi, self._lib = ffi, lib
        self._kept: list[Any] = []
        options = self._options(watch)
        if judge is not None:
            self._hold(options, judge)
        self._supervisor: Any = lib.st_ptrace_new(options)
        if self._supervisor == ffi.NULL:
            raise SelftraceError(f"the ptrace supervisor cannot be made: {os.strerror(ffi.errno)}")
        self._out = ffi.new("uint64_t[]", ROOM // 8)
        self.frames: Any = ffi.cast("uint8_t *", self._out)
        """Where `read` puts them."""
        self.view = memoryview(ffi.buffer(self._out)).cast("B")

    def _options(self, watch: Watch) -> Any:
        ffi, lib = self._ffi, self._lib
        options = ffi.new("struct st_ptrace_options *")
        operations: list[tuple[int, ...]] = []
        for sysno, own in watch.captures.items():
            options.spans[sysno] = {"first": len(operations), "count": len(own)}
            operations += [tuple(operation) for operation in own]
        for sysno in watch.shown:
            options.trace[sysno // 64] |= 1 << sysno % 64
        flags = {
            lib.ST_PTRACE_FOLLOW: watch.follow,
            lib.ST_PTRACE_FILTER: watch.seccomp,
            lib.ST_PTRACE_STACK: watch.stack,
            lib.ST_PTRACE_CPU_TIME: watch.cpu_time,
            lib.ST_PTRACE_NO_VDSO: not watch.vdso,
            lib.ST_PTRACE_UNPINNED: not watch.pinned,
            lib.ST_PTRACE_LOCKSTEP: watch.lockstep,
        }
        options.flags = sum(bit for bit, wanted in flags.items() if wanted)
        options.string_limit = watch.string_limit
        options.ops = self._keep(ffi.new("struct st_capture[]", operations))
        self._put_faults(options, watch.faults)
        if watch.path_matches is not None:
            options.path_matches = self._keep(self._callback(watch.path_matches))
        return options

    def _hold(self, options: Any, judge: Any) -> None:
        ffi, lib = self._ffi, self._lib
        options.flags |= lib.ST_PTRACE_GUARD | lib.ST_PTRACE_EXITKILL
        options.own = judge
        for name in ("enter", "leave", "ends"):
            setattr(options, name, ffi.addressof(lib, f"st_judge_{name}"))

    def _put_faults(self, options: Any, faults: Sequence[CallFault]) -> None:
        ffi = self._ffi
        found: list[dict[str, Any]] = []
        conditions: list[dict[str, int]] = []
        for one in faults:
            fields: dict[str, Any] = {name: getattr(one, name) for name in CallFault.__match_args__}
            for name in ("poke_enter", "poke_exit", "data"):
                data = fields.pop(name)
                if data or (data is not None and name == "data"):
                    fields[name], fields[f"{name}_size"] = self._keep(ffi.new("uint8_t[]", data or b"\0")), len(data)
            fields["conditions"] = {"first": len(conditions), "count": len(one.conditions)}
            conditions += [
                {"arg": at, "width": width, "op": _OPERATORS.index(op), "value": value} for at, width, op, value in one.conditions
            ]
            found.append(fields)
        options.faults, options.fault_count = self._keep(ffi.new("struct st_ptrace_fault[]", found)), len(found)
        options.conditions = self._keep(ffi.new("struct st_condition[]", conditions))

    def _keep(self, value: Any) -> Any:
        """C has but its address."""
        self._kept.append(value)
        return value

    def _callback(self, matches: Callable[[int, int, int, bytes | None], bool]) -> Any:
        ffi = self._ffi

        @ffi.callback("int32_t(uint32_t, int32_t, int32_t, const char *)")  # type: ignore[untyped-decorator]
        def asked(index: int, tid: int, dirfd: int, path: Any) -> int:
            return matches(index, tid, dirfd, None if path == ffi.NULL else ffi.string(path))

        return asked

    def start(self, program: str, argv: Sequence[str], env: Mapping[str, str]) -> int:
        """Starts a program; its number. Raises OSError; that it cannot be executed is in `start_error` at the end."""
        ffi = self._ffi

        def words(texts: Sequence[str]) -> Any:
            kept = [ffi.new("char[]", os.fsencode(text)) for text in texts]
            return kept, ffi.new("char *[]", [*kept, ffi.NULL])

        args, argv_array = words(argv)
        variables, env_array = words([f"{name}={value}" for name, value in env.items()])
        pid = int(self._lib.st_ptrace_start(self._supervisor, os.fsencode(program), argv_array, env_array))
        del args, variables
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid), program)
        return pid

    def attach(self, pid: int) -> int:
        """Attaches to a process; how many threads are ours now. Raises OSError."""
        count = int(self._lib.st_ptrace_attach(self._supervisor, pid))
        if count < 0:
            raise OSError(-count, os.strerror(-count), str(pid))
        return count

    def read(self) -> int:
        """Lets the programs run until there are frames, at `frames`: their bytes. 0: none for now; -1: no task is left."""
        return int(self._lib.st_ptrace_read(self._supervisor, self.frames, ROOM // 2))

    def detach(self) -> int:
        """Lets go of all tasks; `read` until it says -1. Returns how many tasks cannot be let go, because of their filter."""
        return int(self._lib.st_ptrace_detach(self._supervisor))

    @property
    def status(self) -> int | None:
        """The wait status of the program that was started; None: it has not ended."""
        status = int(self._lib.st_ptrace_status(self._supervisor))
        return None if status < 0 else status

    @property
    def start_error(self) -> int:
        """errno of the program's execve, once it has ended; 0: none."""
        return int(self._lib.st_ptrace_start_error(self._supervisor))

    def notes(self) -> list[str]:
        """What is to be said of a process, each once."""
        lib = self._lib
        said = {
            lib.ST_PTRACE_FOREIGN: "process {} makes calls of another architecture (a 32-bit program?): those are not shown",
            lib.ST_PTRACE_UNPOKED: "Failed to tamper with process {}: couldn't poke",
        }
        found = ((text, int(lib.st_ptrace_note(self._supervisor, which))) for which, text in said.items())
        return [text.format(pid) for text, pid in found if pid]

    @property
    def stops(self) -> int:
        """How often a task has stopped."""
        return int(self._lib.st_ptrace_stops(self._supervisor))

    def close(self) -> None:
        """Gives the memory back. What is still traced is the kernel's to let go of, when this thread ends."""
        self._lib.st_ptrace_free(self._supervisor)
        self._kept.clear()
