"""One run from start to end: plan, private directory, monitor, reading, Result. Nothing in the caller is changed: no
signal handler, no working directory, no limit; the thread that calls `run` only waits on descriptors of its own."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from selftrace import plans, rundir
from selftrace.backends import none, trap
from selftrace.errors import SelftraceError, UnsupportedError
from selftrace.events.interpret import Interpreter
from selftrace.events.ring import Ring
from selftrace.job import Interpreter as Installation
from selftrace.job import Job, interpreter
from selftrace.kernel import features as kernel_features
from selftrace.kernel.identity import Identity, choose
from selftrace.kernel.limits import rlimits
from selftrace.monitor import Monitor, MonitorConfig
from selftrace.policy.api import Policy
from selftrace.policy.patterns import fixed_prefix
from selftrace.policy.plan import Plan
from selftrace.policy.variables import Context
from selftrace.record import fresh, mutable
from selftrace.result import Event, Guarantee, Reason, Result, Usage, Violation

OnOutput = Callable[[str, bytes], None]
OnViolation = Callable[[Violation], None]
OnEvent = Callable[[Event], None]

_PACKAGE = os.path.dirname(os.path.abspath(__file__))
_KEPT_VARIABLES = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "PYTHONHASHSEED")
_PATH = "/usr/local/bin:/usr/bin:/bin"
_IDLE_MS, _BUSY_MS = 50, 10
_CHUNK = 1 << 16
_LINGER_S = 2.0
_OUTPUTS_LIMIT = 256 << 20
_MONITOR_REASONS: dict[str, Reason] = {
    "exit": "exit",
    "signal": "signal",
    "timeout": "timeout",
    "cpu": "cpu",
    "memory": "memory",
    "disk": "disk",
    "output": "output",
    "violation": "violation",
    "tasks": "violation",
}


class Cancelled(SelftraceError):
    """The run was ended by `Session.cancel`."""


@mutable
class Options:
    """What a run is given besides its policy and script; as in `run`."""

    stdin: bytes = b""
    env: Mapping[str, str] = fresh(default_factory=dict)
    inputs: Mapping[str, bytes | str | os.PathLike[str]] = fresh(default_factory=dict)
    outputs: Sequence[str] = ()
    cwd: str | None = None
    backend: str = "auto"
    on_output: OnOutput | None = None
    on_violation: OnViolation | None = None
    on_event: OnEvent | None = None


def make_context(job: Job, tmp: str, cwd: str, installation: Installation) -> Context:
    """What a policy's variables stand for in this run."""
    return Context(
        script=job.target if job.kind == "script" else "",
        script_dir=job.script_directory or cwd,
        home=os.path.expanduser("~"),
        tmp=tmp,
        cwd=cwd,
        python=installation.prefixes,
        site=(*installation.site, *_own_directories(installation)),
    )


def _own_directories(installation: Installation) -> tuple[str, ...]:
    """Where our own package lies, if that is no site directory: of an editable install its finder lists the checkout."""
    if any(_PACKAGE.startswith(f"{path}/") for path in installation.site):
        return ()
    return (_PACKAGE, os.path.dirname(_PACKAGE))


def _environment(directory: str, env: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    own = {"PATH": _PATH, "HOME": directory, "TMPDIR": directory}
    if not any(name in kept for name in ("LANG", "LC_ALL", "LC_CTYPE")):
        own["LANG"] = "C.UTF-8"
    return {**kept, **own, **env}


def _check_backend(name: str) -> None:
    if name in ("auto", "trap", "none"):
        return
    if name in ("dispatch", "notify", "ptrace", "inject"):
        raise UnsupportedError(f'the backend "{name}" is not built yet', 'use "trap"')
    raise ValueError(f'unknown backend "{name}"; known: auto, trap, dispatch, notify, ptrace, inject, none')


def _identity(plan: Plan, job: Job, installation: Installation, directory: str) -> Identity | None:
    if not (plan.drop_identity and plan.features.root):
        return None
    grants = [fixed_prefix(pattern) for pattern in plan.native.fs_read]
    here = [path for path in grants if not path.startswith(("/proc", "/dev", directory)) and path != "/"]
    needed = [job.python, *installation.prefixes, _PACKAGE, *([job.target] if job.kind == "script" else []), *here]
    written = [path for path in plan.mounts_writable if not path.startswith(("/dev", "/proc", directory))]
    return choose(needed, written, landlock=plan.landlock is not None)


class Session:
    """A run of a job under a plan. `run` once; `cancel` from any thread."""

    def __init__(
        self, prepared: plans.Prepared, job: Job, options: Options, *, directory: str, cwd: str, installation: Installation
    ) -> None:
        self.prepared, self.job, self.options = prepared, job, options
        self.plan = plan = prepared.plan
        self.directory, self.cwd, self.installation = directory, cwd, installation
        self.notes: list[str] = list(plan.degraded)
        self._monitor: Monitor | None = None
        self._cancelled = False
        self._streams: dict[int, tuple[str, bytearray]] = {}
        self._truncated: list[str] = []
        libraries = (*installation.prefixes, *installation.site)
        hook = os.path.join(_PACKAGE, "tracee", "hook.py")
        self._reports = Interpreter(plan, cwd, libraries, hook, installation.added)

    def cancel(self) -> None:
        """Ends the run; `run` then raises Cancelled."""
        self._cancelled = True
        if self._monitor is not None:
            self._monitor.stop()

    def run(self) -> Result:
        """Starts, waits, ends all of it. Raises OSError, UnsupportedError, Cancelled."""
        started_ns = time.monotonic_ns()
        identity = _identity(self.plan, self.job, self.installation, self.directory)
        try:
            uid = identity.uid if identity else None
            if uid is not None:
                os.chown(self.directory, uid, uid)
            rundir.put_inputs(self.directory, self.options.inputs, uid)
            ring = Ring()
            try:
                self._run(ring, identity)
                return self._result(ring, time.monotonic_ns() - started_ns)
            finally:
                ring.close()
        finally:
            if identity is not None:
                identity.release()

    # ---- starting --------------------------------------------------------------------------------

    def _config(self, identity: Identity | None) -> MonitorConfig:
        limits, enforced = self.plan.limits, self.plan.mode == "enforce" and self.options.backend != "none"
        return MonitorConfig(
            cwd=self.cwd,
            directory=self.directory,
            rlimits=rlimits(limits, own_uid=identity is not None) if enforced else {},
            uid=identity.uid if identity else None,
            capabilities=identity.capabilities if identity else 0,
            no_new_privs=enforced,
            wall_seconds=limits.wall_seconds,
            cpu_seconds=limits.cpu_seconds,
            memory=limits.memory,
            tasks=limits.tasks,
            disk=limits.disk,
        )

    def _stdin(self) -> int:
        if not self.options.stdin:
            return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        return trap.sealed("selftrace-stdin", self.options.stdin)

    def _run(self, ring: Ring, identity: Identity | None) -> None:
        env = _environment(self.directory, self.options.env)
        if self.options.backend == "none":
            launch = none.prepare(self.job, env)
        else:
            launch = trap.prepare(self.plan, self.job, ring.fd, env, self.prepared.table)
        ours: list[int] = []
        theirs: list[int] = []
        try:
            theirs.append(self._stdin())
            for name in ("stdout", "stderr"):
                read, write = os.pipe()
                ours.append(read)
                theirs.append(write)
                self._streams[read] = (name, bytearray())
            self._monitor = Monitor(launch, self._config(identity), theirs, ring.fd)
        except BaseException:
            _close(ours)
            raise
        finally:
            _close([*theirs, *launch.owned])
        try:
            if self._cancelled:
                self._monitor.stop()
            self._loop(self._monitor, ring)
        except BaseException:
            self._monitor.stop()
            while self._monitor.read():
                pass
            raise
        finally:
            self._monitor.close()
            _close(ours)
            self._end_orphans(self._monitor, ring)
        if self._cancelled:
            raise Cancelled("the run was cancelled")

    # ---- while it runs ---------------------------------------------------------------------------

    def _loop(self, monitor: Monitor, ring: Ring) -> None:
        poll = select.poll()
        for fd in (monitor.status_fd, *self._streams):
            poll.register(fd, select.POLLIN)
        left = {monitor.status_fd, *self._streams}
        linger = float("inf")
        while left and time.monotonic() < linger:
            pause = _BUSY_MS if self._read_ring(ring, monitor) else _IDLE_MS
            for fd, _ in poll.poll(pause):
                alive = monitor.read() if fd == monitor.status_fd else self._read_stream(fd, monitor)
                if not alive:
                    poll.unregister(fd)
                    left.discard(fd)
                    if fd == monitor.status_fd:  # whoever still writes is no child of ours any more
                        linger = time.monotonic() + _LINGER_S
        while self._read_ring(ring, monitor):
            pass

    def _read_stream(self, fd: int, monitor: Monitor) -> bool:
        name, held = self._streams[fd]
        data = os.read(fd, _CHUNK)
        limit = self.plan.limits.output
        room = len(data) if limit is None else max(0, limit - len(held))
        if len(data) > room:
            monitor.stop("o")
            if name not in self._truncated:
                self._truncated.append(name)
        taken = data[:room]
        held += taken
        if taken and self.options.on_output is not None:
            self.options.on_output(name, taken)
        return bool(data)

    def _read_ring(self, ring: Ring, monitor: Monitor) -> bool:
        some = False
        for record in ring.read():
            some = True
            found = self._reports.feed(record)
            if self._reports.killed:
                monitor.stop("v")
            if isinstance(found, Violation) and self.options.on_violation is not None:
                self.options.on_violation(found)
            elif isinstance(found, Event) and self.options.on_event is not None:
                self.options.on_event(found)
        return some

    def _end_orphans(self, monitor: Monitor, ring: Ring) -> None:
        """If the monitor itself was killed, or could not end somebody: whoever maps the ring is of this run."""
        if monitor.status.failed or monitor.status.end.get("left") == "0":
            return
        for _ in range(100):
            pids = _mapping(ring.inode)
            if not pids:
                return
            for pid in pids:
                with contextlib.suppress(OSError):
                    fd = os.pidfd_open(pid)
                    try:
                        if pid in _mapping(ring.inode, [pid]):
                            signal.pidfd_send_signal(fd, signal.SIGKILL)
                    finally:
                        os.close(fd)
            time.sleep(0.01)

    # ---- afterwards ------------------------------------------------------------------------------

    def _result(self, ring: Ring, elapsed_ns: int) -> Result:
        assert self._monitor is not None
        status = self._monitor.status
        reason, exit_code, number = self._ending(ring)
        outputs, notes = rundir.take_outputs(self.cwd, self.options.outputs, self.plan.limits.disk or _OUTPUTS_LIMIT)
        self.notes += notes
        if reason != "exit" or exit_code:
            self.notes += self._hints()
        names = {number: call.name for number, call in _calls(self.plan).items()}
        reports = self._reports
        streams = {name: bytes(data) for name, data in self._streams.values()}
        return Result(
            reason=reason,
            exit_code=exit_code,
            signal=number,
            stdout=streams["stdout"],
            stderr=streams["stderr"],
            truncated=tuple(self._truncated),
            violations=(*reports.violations.values(), *self._limit_violations()),
            violations_dropped=reports.dropped + ring.dropped,
            events=tuple(reports.events),
            outputs=outputs,
            guarantees=guarantees(self.plan) if self.options.backend != "none" else (),
            notes=tuple(dict.fromkeys(self.notes)),
            elapsed_ns=elapsed_ns,
            peak_memory_bytes=int(status.end.get("peak", 0)),
            usage=Usage(
                calls={names.get(nr, f"syscall_{nr:#x}"): count for nr, count in ring.calls().items()},
                files={path: tuple(sorted(how)) for path, how in sorted(reports.files.items())},
                connections=tuple(reports.connections),
                cpu_seconds=int(status.end.get("cpu_us", 0)) / 1e6,
                peak_tasks=int(status.end.get("tasks", 0)),
            ),
            policy=self.plan.name,
            mode=self.plan.mode,
        )

    def _ending(self, ring: Ring) -> tuple[Reason, int | None, int | None]:
        assert self._monitor is not None
        status = self._monitor.status
        if status.failed is not None:
            step, number = status.failed
            self.notes.append(f"{self.job.python} could not be started: {step}: {os.strerror(number)}")
            return "error", 127 if step == "execve" and number == 2 else 126, None
        if not status.end:
            self.notes.append("the monitor was killed; what was left of the run was ended")
            return "error", 125, None
        code, number = int(status.end["code"]), int(status.end["signal"])
        if self.options.backend != "none" and not ring.armed:
            self.notes.append("the sandbox could not be armed: nothing of the script ran")
            return "error", 125, None
        if self._reports.killed:
            return "violation", None, number or None
        reason = _MONITOR_REASONS.get(status.end["reason"], "error")
        return reason, code if reason == "exit" else None, number or None

    def _limit_violations(self) -> list[Violation]:
        assert self._monitor is not None
        if self._monitor.status.end.get("reason") != "tasks":
            return []
        row = next((row for row in self.plan.rows if row.id == "limits.tasks"), None)
        where = f"{os.path.basename(row.where.file)}:{row.where.line}" if row and row.where else ""
        text = f"more than {self.plan.limits.tasks} tasks"
        return [Violation("clone", text, "killed", "limits.tasks", where, row.enforcement or "" if row else "")]

    def _hints(self) -> list[str]:
        """Files that the script looked for here and that lie in the caller's directory."""
        caller = os.getcwd()
        if os.path.realpath(caller) == os.path.realpath(self.cwd):
            return []
        missing = [
            name
            for name in dict.fromkeys(self._reports.wanted)
            if os.path.exists(os.path.join(caller, name)) and not os.path.lexists(os.path.join(self.cwd, name))
        ]
        return [f"{name} is in your directory, not in the run's: give it with --input {name}" for name in missing[:5]]


def _calls(plan: Plan) -> Mapping[int, Any]:
    from selftrace.calls import table

    return table(plan.features.arch).by_number


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def _mapping(inode: int, pids: Sequence[int] | None = None) -> list[int]:
    """Processes (not ourselves) that map the ring with this inode."""
    found = []
    for pid in pids if pids is not None else [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        if pid == os.getpid():
            continue
        try:
            with open(f"/proc/{pid}/maps", "rb") as file:
                lines = [line.split() for line in file if b"/memfd:selftrace-ring" in line]
        except OSError:
            continue
        if any(int(line[4]) == inode for line in lines):
            found.append(pid)
    return found


def guarantees(plan: Plan) -> tuple[Guarantee, ...]:
    """One for each rule that denies something."""
    if plan.mode == "audit":
        return ()
    rows = [row for row in plan.rows if row.enforcement is not None]
    return tuple(
        Guarantee(row.id, row.decision, row.subject, str(row.enforcement), str(row.where) if row.where else "", row.note)
        for row in rows
    )


class Run:
    """A run that is prepared: directory made, policy compiled. A context manager; leaving it removes the directory."""

    def __init__(self, policy: Policy, job: Job, options: Options) -> None:
        """Raises PolicyError, UnsupportedError, OSError, ValueError."""
        kernel_features.require_platform()
        _check_backend(options.backend)
        self.directory = rundir.make(None)
        try:
            cwd = os.path.abspath(options.cwd) if options.cwd is not None else self.directory
            if not os.path.isdir(cwd):
                raise NotADirectoryError(20, "the working directory is none", cwd)
            self.installation = interpreter(job.python)
            if options.cwd is not None:
                from selftrace.policy.variables import escape

                policy = policy.with_grants(read=[f"{escape(cwd)}/**"], write=[f"{escape(cwd)}/**"])
            self.prepared = plans.prepare(policy, make_context(job, self.directory, cwd, self.installation))
        except BaseException:
            rundir.remove(self.directory)
            raise
        self.plan = self.prepared.plan
        self.session = Session(self.prepared, job, options, directory=self.directory, cwd=cwd, installation=self.installation)

    def use_plan(self, plan: Plan) -> None:
        """Runs under another plan than the policy's: for tests that take one floor away."""
        self.plan = plan
        old = self.session
        prepared = plans.Prepared(plan, trap.encoded(plan))
        self.session = Session(
            prepared, old.job, old.options, directory=self.directory, cwd=old.cwd, installation=self.installation
        )

    def __enter__(self) -> Session:
        return self.session

    def __exit__(self, *_: object) -> None:
        rundir.remove(self.directory)
