"""The program under our own interposer: every call trapped, counted and passed on; and once to see which files it writes."""

from __future__ import annotations

import os

from selftrace.backends import trap
from selftrace.backends.base import Launch, native_directory
from selftrace.calls import table
from selftrace.compiling import compiled
from selftrace.errors import UnsupportedError
from selftrace.events.ring import Ring
from selftrace.events.use import USE
from selftrace.inprocess.plan import Share, make_table
from selftrace.job import Job, interpreter
from selftrace.kernel import features
from selftrace.policy.api import Policy
from selftrace.policy.model import PolicyModel, Tracing
from selftrace.record import mutable, replace
from selftrace.session import make_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_NEVER = 1_000_000_000
_PASSED = f"""policy = 1
[default]
action = "allow"
[[rule]]
calls = [{", ".join(f'"{name}"' for name in sorted(table().by_name))}]
action = "retval"
retval = 0
when = "{_NEVER}"
"""
"""A rule that looks at each call and lets it pass: so often no thread makes one."""
_SURVEY = """policy = 1
mode = "audit"
[default]
action = "allow"
[fs]
read = ["/**"]
write = ["/**"]
exec = ["/**"]
"""
_WRITE = 2
_NOT_FILES = ("/dev/", "/proc/", "/sys/")
_RING_BYTES = 1 << 20


def _model(text: str) -> PolicyModel:
    here = os.getcwd()
    job = Job("program", "/bin/true")
    return Policy.parse(text, name="compare").model(make_context(job, "/tmp", here, interpreter(job.python)))


class Trapped:
    """Every call of the program and its children comes to the interposer, is looked at, and executed. Nobody is told."""

    def __init__(self) -> None:
        """Compiles it for this kernel. Raises UnsupportedError, BuildError."""
        model = replace(_model(_PASSED), tracing=Tracing(calls={}))
        self._prepared = compiled(model, features.probe())[0]
        self._ring = Ring(_RING_BYTES)

    def launch(self, words: Sequence[str], env: dict[str, str]) -> Launch:
        """Starts words[0] under it."""
        return trap.prepare(self._prepared, Job("program", words[0], tuple(words)), self._ring.fd, env)

    def calls(self) -> dict[str, int]:
        """Calls so far by name, the most frequent first; with the exec that starts the program, without returns from signal
        handlers."""
        names = table().by_number
        counts = {names[n].name if n in names else f"syscall_{n:#x}": count for n, count in self._ring.calls().items()}
        counts["execve"] = counts.get("execve", 0) + 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def close(self) -> None:
        """Lets go of the ring."""
        self._ring.close()


class Dispatched:
    """The same by Syscall User Dispatch, in every dynamic program: native/mechanism/dispatch.c says what it does not see."""

    def __init__(self, directory: str) -> None:
        """directory: where its plan may lie. Raises UnsupportedError, BuildError, OSError."""
        if features.kernel_version() < (5, 11):
            raise UnsupportedError(f"kernel {os.uname().release} has no Syscall User Dispatch", "it came with 5.11")
        share = Share(frozenset())
        share.scope = 0
        plan = os.path.join(directory, "dispatch.plan")
        with open(plan, "wb") as file:
            file.write(make_table([share]))
        self._ring = Ring()
        native = native_directory()
        self._shim = os.path.join(native, "_dispatch.so")
        self._files = f"{os.path.join(native, '_interposer')}:{plan}:/proc/{os.getpid()}/fd/{self._ring.fd}"
        self._before = 0

    def launch(self, words: Sequence[str], env: dict[str, str]) -> Launch:
        """Starts words[0] with it."""
        self._before = self._count()
        preloaded = " ".join(filter(None, [self._shim, env.get("LD_PRELOAD")]))
        return Launch(list(words), {**env, "LD_PRELOAD": preloaded, "SELFTRACE_DISPATCH": self._files})

    def _count(self) -> int:
        return sum(self._ring.calls().values())

    def seen(self) -> int:
        """Calls of the last program that was started."""
        return self._count() - self._before

    def close(self) -> None:
        """Lets go of the ring."""
        self._ring.close()


@mutable
class Survey:
    """One run of the program that only serves to know which files it writes."""

    ring: Ring
    cwd: str
    written: dict[str, None]

    @classmethod
    def begin(cls) -> Survey:
        """Raises OSError."""
        return cls(Ring(), os.getcwd(), {})

    def launch(self, words: Sequence[str], env: dict[str, str]) -> Launch:
        """Starts words[0], a path, under it. Raises UnsupportedError, BuildError."""
        prepared = compiled(_model(_SURVEY), features.probe())[0]
        return trap.prepare(prepared, Job("program", words[0], tuple(words)), self.ring.fd, env)

    def look(self) -> None:
        """Reads what has come: to be called often, the program waits for it."""
        for record in self.ring.read():
            if record.kind != USE or not record.result & _WRITE:
                continue
            path = os.path.normpath(os.path.join(self.cwd, os.fsdecode(record.note or record.path)))
            if not path.startswith(_NOT_FILES):
                self.written[path] = None

    def close(self) -> None:
        """Lets go of the ring."""
        self.ring.close()
