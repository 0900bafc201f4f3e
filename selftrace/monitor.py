"""The C monitor process of a run: started, told to stop, listened to. See native/monitor/monitor.h."""

from __future__ import annotations

import fcntl
import os

from selftrace.backends.base import Launch, native_directory
from selftrace.backends.trap import sealed
from selftrace.record import fresh, mutable, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CONFIG, _CONTROL, _STATUS, _FIRST = 3, 4, 5, 10
_HEARD = "d"
_HIGH = 64
"""Descriptors are moved up to here first, so that none is overwritten while they are put in their places."""


@record
class MonitorConfig:
    """What the monitor does for a run besides starting it. Times in seconds, sizes in bytes; None: no limit."""

    cwd: str
    directory: str
    rlimits: Mapping[int, tuple[int, int]]
    uid: int | None = None
    capabilities: int = 0
    no_new_privs: bool = True
    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    memory: int | None = None
    tasks: int | None = None
    disk: int | None = None

    def entries(self) -> list[str]:
        """As key=value; without what the launch adds."""
        found = [f"cwd={self.cwd}", f"directory={self.directory}", f"launcher={os.getpid()}"]
        found += [f"rlimit={number}:{soft}:{hard}" for number, (soft, hard) in self.rlimits.items()]
        numbers = {
            "uid": self.uid,
            "capabilities": self.capabilities,
            "no_new_privs": int(self.no_new_privs),
            "wall_ms": self.wall_seconds and max(1, int(self.wall_seconds * 1000)),
            "cpu_ms": self.cpu_seconds and max(1, int(self.cpu_seconds * 1000)),
            "memory": self.memory,
            "tasks": self.tasks,
            "disk": self.disk,
        }
        return found + [f"{key}={value}" for key, value in numbers.items() if value is not None]


@mutable
class Status:
    """What the monitor has said so far."""

    pid: int | None = None
    failed: tuple[str, int] | None = None
    """(step, errno) of a start that failed."""
    end: dict[str, str] = fresh(default_factory=dict)


def _high(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH)


class Monitor:
    """A running monitor. Use from one thread; `stop` may be called from any."""

    def __init__(self, launch: Launch, config: MonitorConfig, stdio: Sequence[int], ring_fd: int) -> None:
        """Starts it. stdio: descriptors for the tracee's 0, 1, 2. Raises OSError."""
        entries = config.entries()
        entries += [f"program={launch.program or launch.argv[0]}", *(f"argv={word}" for word in launch.argv)]
        entries += [f"env={name}={value}" for name, value in launch.env.items()]
        entries += [f"{key}={value}" for key, value in launch.guard.items()]
        sources = list(launch.fds.items())
        entries += [f"fd={target}:{_FIRST + at}" for at, (target, _) in enumerate(sources)]
        entries.append(f"ring={_FIRST + len(sources)}")
        text = b"".join(os.fsencode(entry) + b"\0" for entry in entries)
        if any("\0" in entry for entry in entries):
            raise ValueError("an argument or environment variable has a NUL in it")
        self._buffer = b""
        self._closed = False
        self.status = Status()
        control_read, self._control = os.pipe()
        self.status_fd, status_write = os.pipe()
        wanted = [*enumerate(stdio), (_CONTROL, control_read), (_STATUS, status_write)]
        wanted += [(_FIRST + at, fd) for at, (_, fd) in enumerate(sources)]
        wanted.append((_FIRST + len(sources), ring_fd))
        moved: list[int] = []
        config_fd = sealed("selftrace-run", text)
        try:
            actions: list[tuple[int, ...]] = []
            for target, fd in [*wanted, (_CONFIG, config_fd)]:
                moved.append(_high(fd))
                actions.append((os.POSIX_SPAWN_DUP2, moved[-1], target))
            program = os.path.join(native_directory(), "_monitor")
            self.pid = os.posix_spawn(program, [program], {}, file_actions=actions, setpgroup=0, setsigmask=[])
        except BaseException:
            os.close(self._control)
            os.close(self.status_fd)
            raise
        finally:
            for fd in (*moved, config_fd, control_read, status_write):
                os.close(fd)

    def stop(self, reason: str = "c") -> None:
        """Ends the run: c cancelled, o too much output, v a violation that kills."""
        if not self._closed:
            self._tell(reason)

    def _tell(self, byte: str) -> None:
        try:
            os.write(self._control, byte.encode())
        except BrokenPipeError:
            pass

    def read(self) -> bool:
        """Takes what has arrived on `status_fd`, waiting if nothing has; False at the end."""
        data = os.read(self.status_fd, 4096)
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._line(line.decode("ascii", "replace"))
        return bool(data)

    def _line(self, line: str) -> None:
        kind, *words = line.split()
        values = dict(word.split("=", 1) for word in words if "=" in word)
        if kind == "started":
            self.status.pid = int(values["pid"])
        elif kind == "failed":
            self.status.failed = values["step"], int(values["errno"])
        elif kind == "end":
            self.status.end = values

    def close(self) -> None:
        """Lets it go: without this it takes us for dead, and removes the run's directory. Then reaps it, unless the
        program around us has done so already, by waiting for any child."""
        self._closed = True
        self._tell(_HEARD)
        os.close(self._control)
        os.close(self.status_fd)
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass
