"""Gates 1 and 2 and [process]: which calls exist, and the integrity floor that nothing can switch off."""

from __future__ import annotations

from selftrace.calls import errno_name
from selftrace.policy import capabilities, integrity
from selftrace.policy.gates.base import ENOSYS, EPERM, GateCompiler
from selftrace.policy.model import Entry, Position
from selftrace.policy.plan import (
    CallGate,
    Condition,
    Decision,
    FilterRule,
)
from selftrace.policy.rules import calls_named
from selftrace.record import replace

_CLONE_THREAD = 0x10000
_NEW_NAMESPACES = 0x7E020000
_FORKS = ("fork", "vfork", "clone", "clone3")
_EXECS = ("execve", "execveat")


class CallGates(GateCompiler):
    """Integrity, [calls], [process]."""

    def integrity(self) -> None:
        note = "masks and handlers are virtual; what native code does to its own interposer harms only itself"
        row = self.row(
            "integrity",
            "integrity",
            "refuse",
            "the interposer's own pages, seccomp, user dispatch, PR_SET_MM",
            "advisory",
            note=note,
        )
        assert row == 0
        if self.model.tracing is not None and self.model.tracing.watched:
            self.filter.pop()  # what a ring does is not seen, by strace neither
        else:
            self._rings()
        self.row("integrity.arch", "integrity", "kill", "calls of i386 and x32", "kernel")

    def _rings(self) -> None:
        rings = [self.number(n) for n in ("io_uring_setup", "io_uring_enter", "io_uring_register") if n in self.table.by_name]
        uring = self.row(
            "integrity.io_uring",
            "integrity",
            "error ENOSYS",
            "io_uring",
            "kernel",
            note="it would make calls that no filter sees",
        )
        self.filter[-1] = FilterRule(tuple(rings), (), Decision("deny", ENOSYS, uring))
        for sysno in rings:
            self.gates.setdefault(sysno, []).append(CallGate(ENOSYS, uring))

    def hosting(self) -> None:
        """Once it is known whether programs may be started: what has to reach the interposer whatever the policy says."""
        gates = self.gates.get(self.number("execve"), ())
        hosts = self.model.mode == "audit" or not any(not gate.conditions and not gate.log for gate in gates)
        self.native = replace(self.native, hosts=hosts)
        own = integrity.filters(self.table) if self.outside else integrity.trapped(self.table, hosts=hosts)
        for sysno, conditions in own:
            self.trapped.append((sysno, conditions, 0))

    def governed(self) -> set[int]:
        """Calls that a section other than [calls] speaks of."""
        model, found = self.model, set()
        if model.fs is not None:
            found |= set(capabilities.path_uses(self.table))
        if model.net is not None:
            found |= self.numbers([Entry("%network")])
        if model.process is not None:
            found |= {self.number(name) for name in (*_FORKS, *_EXECS)}
        return found

    def calls(self) -> None:
        model = self.model
        never = {self.number(name) for name in integrity.NEVER_DENIED if name in self.table.by_name}
        known = set(self.table.by_number) - never
        default = model.default
        if model.calls is not None:
            for entry in model.calls.deny:
                numbers = set(calls_named(entry.text, self.table)) - never
                row = self.row(
                    f"calls.deny[{entry.text}]", "calls", f"error {errno_name(EPERM)}", entry.text, "kernel", entry.where
                )
                self.deny(numbers, EPERM, row)
        unlisted = set()
        where = default.where
        if model.calls is not None and model.calls.allow is not None:
            unlisted = known - self.numbers(model.calls.allow)
            where = model.calls.where
        elif default.action != "allow":
            unlisted = known - self.governed()
        if not unlisted:
            return
        self._unlisted(unlisted, where)

    def _unlisted(self, unlisted: set[int], where: Position | None) -> None:
        """Calls that exist but are in no list: what [default] says, ENOSYS kept quiet where libc falls back."""
        default = self.model.default
        listed = self.model.calls is not None and self.model.calls.allow is not None
        identity = "calls.default" if listed else "default"
        subject = "every other call" if listed else "calls that no section governs"
        if default.action in ("allow", "log"):
            if default.action == "log":
                row = self.row(identity, "default", "log", subject, None, where)
                for sysno in unlisted:
                    self.gates.setdefault(sysno, []).append(CallGate(0, row, log=True))
                self.trap(unlisted, row)
            return
        quiet = {self.number(name) for name in ("clone3", "rseq", "set_robust_list") if name in self.table.by_name}
        errno = default.error if default.action == "error" else EPERM
        decision = f"error {errno_name(errno)}" if default.action == "error" else "kill"
        row = self.row(identity, "default", decision, subject, "kernel", where, remedy='[calls] allow = ["{call}"]')
        self.deny(unlisted & quiet, ENOSYS, row, quiet=True)
        self.deny(unlisted - quiet, errno, row, kill=default.action == "kill")

    def _may_unshare(self) -> bool:
        calls = self.model.calls
        unshare = self.number("unshare")
        return calls is not None and unshare in self.numbers(calls.allow or ()) and unshare not in self.numbers(calls.deny)

    def process(self) -> None:
        model = self.model
        filtered = model.calls is not None and model.calls.allow is not None
        if filtered or (model.process is not None and not (model.process.fork and model.process.threads)):
            row = self.row(
                "process.clone3",
                "process",
                "error ENOSYS",
                "clone3",
                "kernel",
                note="its flags cannot be filtered; libc falls back to clone",
            )
            self.deny([self.number("clone3")], ENOSYS, row, quiet=True)
        if filtered and not self._may_unshare():
            row = self.row("process.namespaces", "process", "error EPERM", "clone with CLONE_NEW*", "kernel")
            self.deny([self.number("clone")], EPERM, row, (Condition(0, 8, "any", _NEW_NAMESPACES),))
        if model.process is None:
            return
        where, clone = model.process.where, self.number("clone")
        if not model.process.exec:
            row = self.row(
                "process.exec", "process", "error EPERM", "starting programs", "kernel", where, remedy="[process] exec = true"
            )
            self.deny([self.number(name) for name in _EXECS], EPERM, row)
        else:
            note = "through the loader any readable file can be run"
            self.row("process.exec", "process", "refuse", "programs that [fs] exec does not list", "advisory", where, note)
        if not model.process.fork:
            row = self.row(
                "process.fork", "process", "error EPERM", "new processes", "kernel", where, remedy="[process] fork = true"
            )
            self.deny([self.number("fork"), self.number("vfork")], EPERM, row)
            self.deny([clone], EPERM, row, (Condition(0, 8, "none", _CLONE_THREAD),))
        if not model.process.threads:
            row = self.row(
                "process.threads", "process", "error EPERM", "new threads", "kernel", where, remedy="[process] threads = true"
            )
            self.deny([clone], EPERM, row, (Condition(0, 8, "any", _CLONE_THREAD),))
