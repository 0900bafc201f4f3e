"""One event of a trace: a call with its result, a signal, the begin or end of a task. Decoded when asked."""

from __future__ import annotations

from selftrace.calls.names import errno_name, signal_name
from selftrace.events import frames
from selftrace.events.structures import siginfo
from selftrace.events.values import Values, text
from selftrace.result import Frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    _Captured = tuple[dict[int, bytes], dict[int, bytes], bytes]
    """Memory by address, links of descriptors, the Python stack."""
    Kind = Literal["call", "signal", "exec", "fork", "exit", "lost"]

_ENTRY_END, _EXIT_END = frames.body_end(frames.ENTRY), frames.body_end(frames.EXIT)
_NOTHING: _Captured = ({}, {}, b"")
_MARKS = {
    frames.INJECTED: "injected",
    frames.DELAYED: "delayed",
    frames.POKED: "poked",
    frames.RESTART: "restarted",
    frames.REFUSED: "refused",
    frames.CUT: "cut",
}


class Home:
    """What the events of a trace have in common. ahead_ns: CLOCK_REALTIME less CLOCK_MONOTONIC, 0 if it is not known."""

    __slots__ = ("ahead_ns", "values")

    def __init__(self, values: Values, ahead_ns: int = 0) -> None:
        self.values = values
        self.ahead_ns = ahead_ns


class TraceEvent:
    """Something that happened in the traced program.

    kind: "call", "signal" (one reaches the program), "exec" (the process runs another program now), "fork" (a process or
    thread begins), "exit" (one is over), "lost" (events are missing here).
    pid, tid: who. time_ns: CLOCK_MONOTONIC when it happened, of a call when it began.
    """

    __slots__ = ("_args", "_captured", "_end_ns", "_enter", "_home", "_leave", "flags", "kind", "pid", "sysno", "tid", "time_ns")

    def __init__(
        self,
        kind: Kind,
        home: Home,
        time_ns: int,
        pid: int,
        tid: int,
        sysno: int,
        flags: int,
        enter: bytes | None,
        leave: bytes | None = None,
        end_ns: int | None = None,
    ) -> None:
        """enter, leave: the frames it was made of. end_ns: of a call, when it returned."""
        self.kind: Kind = kind
        self._home = home
        self.time_ns = time_ns
        self.pid = pid
        self.tid = tid
        self.sysno = sysno
        """The call's number; of other kinds what st_event_kind in native/selftrace.h says."""
        self.flags = flags
        self._enter = enter
        self._leave = leave
        self._end_ns = end_ns
        self._args: dict[str, Any] | None = None
        self._captured: _Captured | None = None

    @property
    def name(self) -> str:
        """The call's or the signal's name; empty for other kinds."""
        if self.kind == "call":
            return self._home.values.name(self.sysno)
        return signal_name(self.sysno) if self.kind == "signal" else ""

    @property
    def args(self) -> dict[str, Any]:
        """Arguments of a call by name; empty for other kinds.

        Descriptors, sizes and other numbers are int; paths and strings str as from os.fsdecode; single choices str, sets
        of flags a tuple of names; buffers bytes, as far as they were captured; structures dict, arrays list. An address
        that nothing was captured of is int, NULL None. What the call writes is shown as it was afterwards.
        """
        if self._args is None:
            self._args = self._decode()
        return self._args

    def _decode(self) -> dict[str, Any]:
        if self.kind != "call" or self._enter is None:
            return {}
        args = frames.ARGS.unpack_from(self._enter, frames.HEAD.size)
        return self._home.values.args(self.sysno, args, self._chunks()[0])

    def _chunks(self) -> _Captured:
        """What was captured at entry and exit of a call."""
        found = self._captured
        if found is None:
            found = self._captured = _captured(self._enter, self._leave) if self.kind == "call" else _NOTHING
        return found

    @property
    def result(self) -> int | None:
        """What a call returned, an error as -errno; None if it did not return (yet), and for other kinds."""
        if self._leave is None:
            return 0 if self.kind == "call" and self._end_ns is not None else None
        return int(frames.EXIT_BODY.unpack_from(self._leave, frames.HEAD.size)[0])

    @property
    def error(self) -> str | None:
        """The error's name, such as "ENOENT"; None if the call did not fail."""
        result = self.result
        return errno_name(-result) if result is not None and -4096 < result < 0 and not self.flags & frames.SUCCESS else None

    @property
    def duration_ns(self) -> int | None:
        """How long the call took; None if it did not return (yet), or its beginning was lost."""
        return None if self._end_ns is None or self._enter is None else max(self._end_ns - self.time_ns, 0)

    @property
    def realtime_ns(self) -> int | None:
        """`time_ns` as CLOCK_REALTIME: nanoseconds since 1970. None if the source has no wall clock."""
        return self.time_ns + self._home.ahead_ns if self._home.ahead_ns else None

    @property
    def path(self) -> str | None:
        """The first path among the arguments, as given; else what the first descriptor stands for, if it was captured (-y)."""
        paths = self.paths
        return paths[0] if paths else None

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths among the arguments, as given; after them what descriptors stand for, if it was captured (-y)."""
        if self.kind != "call" or self._enter is None:
            return ()
        where = self._home.values.path_args(self.sysno)
        values = tuple(self.args.values()) if where else ()
        found = [values[at] for at in where if at < len(values) and isinstance(values[at], str)]
        if not self._chunks()[1]:
            return tuple(found)
        return (*found, *[name for number, name in self.descriptors.items() if number >= 0])

    @property
    def descriptors(self) -> dict[int, str]:
        """Descriptor → what it stands for (its link in /proc), where that was captured (-y)."""
        links = self._chunks()[1]
        return {(number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000: text(data) for number, data in links.items()}

    @property
    def marks(self) -> tuple[str, ...]:
        """Of "injected" (the result is a fault's), "delayed" (by a fault), "poked" (a fault changed arguments or memory),
        "restarted" (a signal came first, the call is made again), "refused" (by the policy), "cut" (not all that should be
        captured fitted)."""
        return tuple([name for bit, name in _MARKS.items() if self.flags & bit]) if self.flags else ()

    @property
    def injected(self) -> bool:
        """Whether the result is a fault's."""
        return bool(self.flags & frames.INJECTED)

    @property
    def stack(self) -> tuple[Frame, ...]:
        """The Python stack at the call, innermost first, where it was captured."""
        raw = self._chunks()[2]
        return tuple([_frame(line) for line in raw.decode("utf-8", "replace").splitlines()]) if raw else ()

    @property
    def beginning(self) -> bytes | None:
        """The frame of a call's entry, or of another event; None if it was lost."""
        return self._enter

    @property
    def info(self) -> dict[str, Any]:
        """What is known of other kinds. Signal: si_signo, si_code, si_pid … Fork: parent (its tid), thread (bool). Exec:
        former_tid. Exit: exit_code, signal (its name), None if not known. Lost: count."""
        if self.kind == "signal":
            data = [chunk for _, _, chunk in frames.chunks(self._enter or b"", frames.SIGNAL)]
            return siginfo(data[0]) if data else {}
        if self.kind == "fork":
            return {"parent": self.sysno, "thread": self.pid != self.tid}
        if self.kind == "exec":
            return {"former_tid": self.sysno}
        if self.kind == "lost":
            return {"count": self.sysno}
        return _ending(self.sysno) if self.kind == "exit" else {}

    def __repr__(self) -> str:
        if self.kind != "call":
            inner = ", ".join(f"{name}={value!r}" for name, value in self.info.items())
            return f"<{self.kind} {self.name} {inner} tid={self.tid}>".replace("  ", " ")
        args = ", ".join(f"{name}={value!r}" for name, value in self.args.items())
        result = self.result
        return f"<{self.name}({args}) = {'?' if result is None else result}{' ' + self.error if self.error else ''}>"


def _captured(enter: bytes | None, leave: bytes | None) -> _Captured:
    plain = (enter is None or len(enter) == _ENTRY_END) and (leave is None or len(leave) == _EXIT_END)
    if plain:
        return _NOTHING
    memory: dict[int, bytes] = {}
    links: dict[int, bytes] = {}
    stack = b""
    for frame, kind in ((enter, frames.ENTRY), (leave, frames.EXIT)):
        for address, what, data in frames.chunks(frame, kind) if frame is not None else ():
            if what == frames.MEMORY:
                memory[address] = data
            elif what == frames.FD_LINK:
                links[address] = data
            elif what == frames.PYTHON:
                stack = data
    return memory, links, stack


def _frame(line: str) -> Frame:
    rest, _, function = line.rpartition(":")
    file, _, number = rest.rpartition(":")
    return Frame(file, int(number) if number.isdecimal() and len(number) < 10 else 0, function)


def _ending(status: int) -> dict[str, Any]:
    """A wait status in words. Source: wait(2)."""
    if status < 0:
        return {"exit_code": None, "signal": None}
    ending = status & 0x7F
    return {"exit_code": status >> 8 & 0xFF if not ending else None, "signal": signal_name(ending) if ending else None}
