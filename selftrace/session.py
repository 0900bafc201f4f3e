"""One run from start to end: plan, private directory, monitor, reading, Result. Nothing in the caller is changed: no
signal handler, no working directory, no limit; the thread that calls `run` only waits on descriptors of its own."""

from __future__ import annotations

import os
import select
import time

from selftrace import plans, rundir
from selftrace.backends import bundle, trap
from selftrace.errors import SelftraceError, UnsupportedError
from selftrace.events.ring import Ring
from selftrace.events.use import USE, Uses
from selftrace.job import Interpreter as Installation
from selftrace.job import Job, interpreter
from selftrace.kernel import features as kernel_features
from selftrace.kernel.identity import Identity, choose
from selftrace.kernel.limits import rlimits
from selftrace.kernel.mapping import mapping
from selftrace.monitor import Monitor, MonitorConfig
from selftrace.policy.api import places_cwd
from selftrace.policy.terms import Context
from selftrace.prepared import Prepared
from selftrace.record import fresh, mutable
from selftrace.result import Event, Guarantee, Result, Usage, Violation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from selftrace.backends.base import Launch
    from selftrace.backends.supervised import Supervision
    from selftrace.events.interpret import Interpreter
    from selftrace.events.ring import Record
    from selftrace.policy.api import Policy
    from selftrace.policy.plan import Plan
    from selftrace.result import Reason

    OnOutput = Callable[[str, bytes], None]
    OnViolation = Callable[[Violation], None]
    OnEvent = Callable[[Event], None]
    OnUse = Callable[[Record], None]

_PACKAGE = os.path.dirname(os.path.abspath(__file__))
_KEPT_VARIABLES = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "PYTHONHASHSEED")
_PATH = "/usr/local/bin:/usr/bin:/bin"
_IDLE_MS, _BUSY_MS, _MANY = 50, 10, 64
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
    on_use: OnUse | None = None
    as_enforced: bool = False
    """Under audit too, root gives up its identity, but for the right to reach every file."""


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
        embedded=bundle.readable() if job.kind == "program" else (),
    )


def _own_directories(installation: Installation) -> tuple[str, ...]:
    """Where our own package lies, if that is no site directory: of an editable install its finder lists the checkout."""
    if any(_PACKAGE.startswith(f"{path}/") for path in installation.site):
        return ()
    return (_PACKAGE, os.path.dirname(_PACKAGE))


def _pause_ms(records: int) -> int:
    """How long the ring is left alone after so many: programs wait for room in it."""
    if records >= _MANY:
        return 0
    return _BUSY_MS if records else _IDLE_MS


def _environment(directory: str, env: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    own = {"PATH": _PATH, "HOME": directory, "TMPDIR": directory}
    if not any(name in kept for name in ("LANG", "LC_ALL", "LC_CTYPE")):
        own["LANG"] = "C.UTF-8"
    return {**kept, **own, **env}


def _check_backend(name: str) -> None:
    if name in ("auto", "trap", "ptrace", "none"):
        return
    if name == "notify":
        raise UnsupportedError('the backend "notify" is not built yet', 'use "trap"')
    if name in ("dispatch", "inject"):
        what = "selftrace.tracing is for the process itself" if name == "dispatch" else "selftrace trace -p PID has it"
        raise UnsupportedError(f'the backend "{name}" starts no program: {what}', 'use "trap" or "ptrace"')
    raise ValueError(f'unknown backend "{name}"; known: auto, trap, dispatch, notify, ptrace, inject, none')


def _identity(prepared: Prepared, job: Job, installation: Installation, directory: str, *, as_enforced: bool) -> Identity | None:
    if as_enforced and os.geteuid() == 0:
        return choose((), ("/",), landlock=True)
    if not prepared.give_up:
        return None
    here = [path for path in prepared.needed if not path.startswith(directory)]
    needed = [job.python, *installation.prefixes, _PACKAGE, *([job.target] if job.kind in ("script", "program") else []), *here]
    written = [path for path in prepared.written if not path.startswith(directory)]
    return choose(needed, written, landlock=prepared.ruleset is not None)


class Session:
    """A run of a job under a plan. `run` once; `cancel` from any thread."""

    def __init__(
        self, prepared: Prepared, job: Job, options: Options, *, directory: str, cwd: str, installation: Installation
    ) -> None:
        self.prepared, self.job, self.options = prepared, job, options
        self.directory, self.cwd, self.installation = directory, cwd, installation
        self.notes: list[str] = list(prepared.degraded)
        self._monitor: Monitor | None = None
        self._supervision: Supervision | None = None
        self._cancelled = False
        self._streams: dict[int, tuple[str, bytearray]] = {}
        self._truncated: list[str] = []
        self._made_reports: Interpreter | None = None
        self._uses = Uses(cwd)

    @property
    def _reports(self) -> Interpreter:
        """Made for the first refusal: most runs have none, and it needs the whole plan."""
        if self._made_reports is None:
            from selftrace.events.interpret import Interpreter

            where = self.installation
            hook = os.path.join(_PACKAGE, "tracee", "hook.py")
            self._made_reports = Interpreter(self.prepared.plan, self.cwd, (*where.prefixes, *where.site), hook, where.added)
        return self._made_reports

    def cancel(self) -> None:
        """Ends the run; `run` then raises Cancelled."""
        self._cancelled = True
        if self._monitor is not None:
            self._monitor.stop()

    def run(self) -> Result:
        """Starts, waits, ends all of it. Raises OSError, UnsupportedError, Cancelled."""
        started_ns = time.monotonic_ns()
        identity = _identity(self.prepared, self.job, self.installation, self.directory, as_enforced=self.options.as_enforced)
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
        limits, enforced = self.prepared.limits, self.prepared.mode == "enforce" and self.options.backend != "none"
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
            from selftrace.backends import none

            launch = none.prepare(self.job, env)
        elif self.options.backend == "ptrace":
            launch = self._supervised(ring, env)
        else:
            launch = trap.prepare(self.prepared, self.job, ring.fd, env)
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
            if self._supervision is not None:
                self._supervision.begin()
        except BaseException:
            _close(ours)
            self._end_supervision()
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
            self._end_supervision()
        if self._cancelled:
            raise Cancelled("the run was cancelled")

    def _supervised(self, ring: Ring, env: dict[str, str]) -> Launch:
        from selftrace.backends import supervised

        self._supervision = supervised.Supervision(self.prepared, ring.header, starts=self.job.kind == "program")
        try:
            return supervised.prepare(self.prepared, self.job, self._supervision.gate_fd, env)
        except BaseException:
            self._end_supervision()
            raise

    def _end_supervision(self) -> None:
        if self._supervision is not None:
            self._supervision.end()

    # ---- while it runs ---------------------------------------------------------------------------

    def _loop(self, monitor: Monitor, ring: Ring) -> None:
        poll = select.poll()
        for fd in (monitor.status_fd, *self._streams):
            poll.register(fd, select.POLLIN)
        left = {monitor.status_fd, *self._streams}
        linger = float("inf")
        while left and time.monotonic() < linger:
            for fd, _ in poll.poll(_pause_ms(self._read_ring(ring, monitor))):
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
        limit = self.prepared.limits.output
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

    def _read_ring(self, ring: Ring, monitor: Monitor) -> int:
        """How many records there were."""
        count = 0
        for record in ring.read():
            count += 1
            if record.kind == USE:
                self._uses.add(record)
                if self.options.on_use is not None:
                    self.options.on_use(record)
                continue
            found = self._reports.feed(record)
            if self._reports.killed:
                monitor.stop("v")
            if isinstance(found, Violation) and self.options.on_violation is not None:
                self.options.on_violation(found)
            elif isinstance(found, Event) and self.options.on_event is not None:
                self.options.on_event(found)
        return count

    def _end_orphans(self, monitor: Monitor, ring: Ring) -> None:
        """If the monitor itself was killed, or could not end somebody: whoever maps the ring is of this run."""
        if monitor.status.failed or monitor.status.end.get("left") == "0":
            return
        for _ in range(100):
            pids = mapping(ring.inode)
            if not pids:
                return
            for pid in pids:
                _kill_mapping(pid, ring.inode)
            time.sleep(0.01)

    # ---- afterwards ------------------------------------------------------------------------------

    def _result(self, ring: Ring, elapsed_ns: int) -> Result:
        assert self._monitor is not None
        status = self._monitor.status
        reason, exit_code, number = self._ending(ring)
        outputs, notes = rundir.take_outputs(self.cwd, self.options.outputs, self.prepared.limits.disk or _OUTPUTS_LIMIT)
        self.notes += notes
        if reason != "exit" or exit_code:
            self.notes += self._hints()
        names, reports = self.prepared.calls, self._made_reports
        streams = {name: bytes(data) for name, data in self._streams.values()}
        return Result(
            reason=reason,
            exit_code=exit_code,
            signal=number,
            stdout=streams["stdout"],
            stderr=streams["stderr"],
            truncated=tuple(self._truncated),
            violations=(*(reports.violations.values() if reports else ()), *self._limit_violations()),
            violations_dropped=(reports.dropped if reports else 0) + ring.dropped,
            events=tuple(reports.events) if reports else (),
            outputs=outputs,
            guarantees=tuple(Guarantee(*row) for row in self.prepared.guarantees) if self.options.backend != "none" else (),
            notes=tuple(dict.fromkeys(self.notes)),
            elapsed_ns=elapsed_ns,
            peak_memory_bytes=int(status.end.get("peak", 0)),
            usage=Usage(
                calls={names.get(nr, f"syscall_{nr:#x}"): count for nr, count in ring.calls().items()},
                files={path: tuple(sorted(how)) for path, how in sorted(self._uses.files.items())},
                connections=tuple(self._uses.connections),
                cpu_seconds=int(status.end.get("cpu_us", 0)) / 1e6,
                peak_tasks=int(status.end.get("tasks", 0)),
            ),
            policy=self.prepared.name,
            mode=self.prepared.mode,
        )

    def _ending(self, ring: Ring) -> tuple[Reason, int | None, int | None]:
        assert self._monitor is not None
        status = self._monitor.status
        if self._supervision is not None and self._supervision.error:
            self.notes.append(f"the program could not be held: {self._supervision.error}")
            return "error", 125, None
        if status.failed is not None:
            step, number = status.failed
            program = self.job.target if self.job.kind == "program" else self.job.python
            self.notes.append(f"{program} could not be started: {step}: {os.strerror(number)}")
            return "error", 127 if step == "execve" and number == 2 else 126, None
        if not status.end:
            self.notes.append("the monitor was killed; what was left of the run was ended")
            return "error", 125, None
        code, number = int(status.end["code"]), int(status.end["signal"])
        if ring.start_error:
            self.notes.append(f"{self.job.target} could not be started: {os.strerror(ring.start_error)}")
            return "error", 127 if ring.start_error == 2 else 126, None
        if self.options.backend != "none" and not ring.armed:
            self.notes.append("the sandbox could not be armed: nothing of the script ran")
            return "error", 125, None
        if self._made_reports is not None and self._made_reports.killed:
            return "violation", None, number or None
        reason = _MONITOR_REASONS.get(status.end["reason"], "error")
        return reason, code if reason == "exit" else None, number or None

    def _limit_violations(self) -> list[Violation]:
        assert self._monitor is not None
        if self._monitor.status.end.get("reason") != "tasks":
            return []
        row = next((row for row in self.prepared.plan.rows if row.id == "limits.tasks"), None)
        where = f"{os.path.basename(row.where.file)}:{row.where.line}" if row and row.where else ""
        text = f"more than {self.prepared.limits.tasks} tasks"
        return [Violation("clone", text, "killed", "limits.tasks", where, row.enforcement or "" if row else "")]

    def _hints(self) -> list[str]:
        """Files that the script looked for here and that lie in the caller's directory."""
        caller = os.getcwd()
        if os.path.realpath(caller) == os.path.realpath(self.cwd):
            return []
        missing = [
            name
            for name in self._uses.wanted
            if os.path.exists(os.path.join(caller, name)) and not os.path.lexists(os.path.join(self.cwd, name))
        ]
        return [f"{name} is in your directory, not in the run's: give it with --input {name}" for name in missing[:5]]


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def _kill_mapping(pid: int, inode: int) -> None:
    """Ends the process if it still is the one that maps the ring."""
    import signal

    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if pid in mapping(inode, [pid]):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)


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
            if options.cwd is not None and not places_cwd(policy):
                from selftrace.policy.variables import escape

                policy = policy.with_grants(read=[f"{escape(cwd)}/**"], write=[f"{escape(cwd)}/**"])
            context = make_context(job, self.directory, cwd, self.installation)
            self.prepared = plans.prepare(policy, context, backend="ptrace" if options.backend == "ptrace" else "trap")
        except BaseException:
            rundir.remove(self.directory)
            raise
        self.session = Session(self.prepared, job, options, directory=self.directory, cwd=cwd, installation=self.installation)

    def use_plan(self, plan: Plan) -> None:
        """Runs under another plan than the policy's: for tests that take one floor away."""
        from selftrace.compiling import prepared_of

        old = self.session
        self.prepared = prepared_of(plan)
        self.session = Session(
            self.prepared, old.job, old.options, directory=self.directory, cwd=old.cwd, installation=self.installation
        )

    def __enter__(self) -> Session:
        return self.session

    def __exit__(self, *_: object) -> None:
        rundir.remove(self.directory)
