"""A policy and a kernel's features → a Plan: each rule goes to the cheapest place that can hold it, and says which.

Order, in the filter as in the interposer: integrity, [calls], [process], [net] sockets, [[rule]]s, then the [fs] and
[net] lists. A refusal is TRAP outside the gate, so that it is reported, and an errno from the gate, so that it holds.
"""

from __future__ import annotations

from selftrace.calls import errno_name
from selftrace.errors import PolicyError, UnsupportedError
from selftrace.policy import capabilities, integrity, landlock_tier, outside
from selftrace.policy.gates.base import ENOSYS
from selftrace.policy.gates.calls import CallGates
from selftrace.policy.gates.domains import DomainGates
from selftrace.policy.gates.rules import RuleGates
from selftrace.policy.model import PolicyModel
from selftrace.policy.plan import RANK, Condition, Decision, Enforcement, FilterRule, FilterSpec, Plan
from selftrace.policy.terms import Features
from selftrace.record import replace


class _Compiler(CallGates, DomainGates, RuleGates):
    def check(self) -> None:
        if self.outside and not self.problems:
            self.hold_from_outside()
        if self.problems:
            raise PolicyError(self.problems)
        if self.model.mode == "audit":
            return
        for row, why, remedy in self.lost:
            if row.id not in self.model.allow_degraded:
                raise UnsupportedError(
                    f"{row.id} is unavailable: {why}", f"{remedy}, or accept the loss with --allow-degraded {row.id}"
                )
        own = [row for row in self.rows if row.gate != "integrity"]
        weak = [row for row in own if row.enforcement and RANK.index(row.enforcement) > RANK.index(self.model.require)]
        if self.model.require != "advisory" and weak:
            for row in weak:
                why = f": {row.note}" if row.note else ""
                self.fail(row.where, f'require = "{self.model.require}", but {row.id} ({row.subject}) is {row.enforcement}{why}')
            raise PolicyError(self.problems)

    def hold_from_outside(self) -> None:
        rules = {index: [rule for rule in self.native_rules if rule.row == index] for index in range(len(self.rows))}
        for index, row in enumerate(self.rows):
            reason = outside.refusal(rules[index], self.handlers)
            if reason:
                raise UnsupportedError(f"{row.id}: {reason}", "it needs the backend trap")
            if index in self.kernel_only:
                self.fail(row.where, f'enforce = "kernel" is not possible with the backend ptrace: {row.id} is the supervisor\'s')
        self.rows = [
            outside.relabelled(row, rules[index], landlock=self.features.landlock_abi > 0 and self.model.fs is not None)
            for index, row in enumerate(self.rows)
        ]

    def counted(self) -> int:
        """The number of tasks that the interposer has to count to; 0: the kernel does, or there is no limit."""
        return 0 if self.features.root else self.model.limits.tasks or 0

    def tasks_row(self) -> int:
        """The row of the limit; 0 if there is none."""
        return next((index for index, row in enumerate(self.rows) if row.id == "limits.tasks"), 0)

    def filter_spec(self) -> FilterSpec:
        model = self.model
        unknown_errno = model.calls.unknown if model.calls is not None else ENOSYS
        row = self.row("calls.unknown", "calls", f"error {errno_name(unknown_errno)}", "calls newer than the tables", "kernel")
        self.native = replace(self.native, unknown_errno=unknown_errno, unknown_row=row)
        default = Decision("allow")
        rules = list(self.filter)
        if self.counted() and self.outside:
            forks = tuple(self.number(name) for name in ("fork", "vfork", "clone", "clone3"))
            rules.append(FilterRule(forks, (), Decision("trap", 0, self.tasks_row())))
        elif self.counted():  # who ends is counted too
            ends = tuple(self.number(name) for name in ("exit", "exit_group"))
            rules.insert(0, FilterRule(ends, (), Decision("trap", 0, self.tasks_row())))
        seen: set[tuple[int, tuple[Condition, ...]]] = set()
        for sysno, conditions, trap_row in self.trapped:
            if (sysno, conditions) not in seen:
                seen.add((sysno, conditions))
                rules.append(FilterRule((sysno,), conditions, Decision("trap", 0, trap_row)))
        if model.tracing is not None:  # first of all: also what is never denied is seen
            seen_by_all = tuple(sorted(set(model.tracing.calls) - {self.number(name) for name in integrity.NEVER_SEEN}))
            rules.insert(0, FilterRule(seen_by_all, (), Decision("trap", 0, 0)))
            to_tracer = tuple(self.number(name) for name in integrity.TO_TRACER)
            rules.insert(1, FilterRule(to_tracer, (), Decision("trap", 0, 0)))
        unknown = Decision("deny", unknown_errno, row)
        known = frozenset(self.table.by_number) | frozenset(model.tracing.calls if model.tracing is not None else ())
        if model.mode == "audit":
            never = {self.number(n) for n in integrity.NEVER_DENIED if n in self.table.by_name}
            everything = tuple(sorted(known - never))
            rules = [*integrity.first_rules(self.table)[:2], FilterRule(everything, (), Decision("trap", 0, 0))]
            unknown = Decision("errno", ENOSYS)
        if self.outside:
            rules, unknown = [rule for rule in rules if not outside.is_interposers(rule, self.table)], Decision("trap")
        return FilterSpec(tuple(rules), default, unknown, known)

    def plan(self) -> Plan:
        model = self.model
        self.integrity()
        self.calls()
        self.process()
        self.net()
        self.hosting()
        self.rules()
        self.fs()
        if model.mode == "audit":  # everything is counted, whatever the policy speaks of
            paths, addresses = capabilities.path_uses(self.table), capabilities.addr_uses(self.table)
            self.native = replace(self.native, path_uses=paths, addr_uses=addresses)
        limits = self.limits()
        spec = self.filter_spec()
        scopes = self._scopes()
        self.check()
        fs = None
        if model.fs is not None:
            fs = landlock_tier.fs_rules(self.fs_parts["read"], self.fs_parts["write"], self.fs_parts["exec"])
        closed = model.net is not None
        landlock = landlock_tier.specification(
            fs, self.native.net_connect if closed else None, self.native.net_bind if closed else None, scopes
        )
        native = replace(
            self.native,
            audit=model.mode == "audit",
            kill_on_error=model.default.on_error == "kill",
            calls={sysno: tuple(gates) for sysno, gates in self.gates.items()},
            rules=tuple(self.native_rules),
            trace=model.tracing is not None,
            trace_one=model.tracing is not None and not model.tracing.follow,
            stack=model.tracing.stack if model.tracing is not None else "",
            shim=model.tracing.shim if model.tracing is not None else "",
            names=model.tracing is not None and model.tracing.names,
            watched=model.tracing is not None and model.tracing.watched,
            no_vdso=model.tracing is not None and not model.tracing.vdso,
            traced=dict(model.tracing.calls) if model.tracing is not None else {},
            string_limit=model.tracing.string_limit if model.tracing is not None else 0,
            tasks=self.counted(),
            tasks_row=self.tasks_row(),
        )
        return Plan(
            name=model.name,
            mode=model.mode,
            rows=tuple(self.rows),
            filter=spec,
            landlock=landlock if self.features.landlock_abi else None,
            native=native,
            outside=self.outside,
            handlers=tuple(self.handlers),
            handler_files=model.handler_files,
            limits=limits,
            drop_identity=model.mode == "enforce" and model.fs is not None,
            features=self.features,
            degraded=tuple(self.degraded),
            mounts_writable=tuple(rule.path for rule in fs or () if "write_file" in rule.access),
        )

    def _scopes(self) -> frozenset[str]:
        found = set()
        if self.model.net is not None:
            found.add("abstract_unix_socket")
        if self.model.process is not None:
            found.add("signal")
            enforcement: Enforcement = "kernel" if self.features.landlock_abi >= 6 else "advisory"
            note = "" if enforcement == "kernel" else "held by uid only: Landlock has signal scopes from ABI 6 on"
            self.row(
                "process.signals",
                "process",
                "error EPERM",
                "signals to processes outside the run",
                enforcement,
                self.model.process.where,
                note,
            )
        return frozenset(found)


def compile(model: PolicyModel, features: Features, *, backend: str = "trap") -> Plan:
    """The plan of a policy on a kernel with `features`. backend: "ptrace" for a supervisor outside; anything else is trap.

    Raises PolicyError: patterns or addresses that cannot be read, a rule that cannot be held as strongly as it asks.
    Raises UnsupportedError: the kernel lacks what a refusal needs, and allow_degraded does not accept that.
    """
    return _Compiler(model, features, outside=backend == "ptrace").plan()
