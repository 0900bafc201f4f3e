"""A policy and a kernel's features → a Plan: each rule goes to the cheapest place that can hold it, and says which.

Order, in the filter as in the interposer: integrity, [calls], [process], [net] sockets, [[rule]]s, then the [fs] and
[net] lists. A refusal is TRAP outside the gate, so that it is reported, and an errno from the gate, so that it holds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from selftrace.calls import Table, errno_name, table
from selftrace.errors import PolicyError, Problem, UnsupportedError
from selftrace.policy import capabilities, integrity, landlock_tier, sockets
from selftrace.policy.addresses import compile_address
from selftrace.policy.model import Entry, Limits, Match, PolicyModel, Position, Rule
from selftrace.policy.patterns import compile_pattern
from selftrace.policy.plan import (
    RANK,
    AddrPattern,
    CallGate,
    Condition,
    Decision,
    Enforcement,
    Features,
    FilterRule,
    FilterSpec,
    Gate,
    Handler,
    LimitSpec,
    NativeMatch,
    NativeRule,
    NativeSpec,
    PathPattern,
    Plan,
    Row,
)
from selftrace.policy.quiet import quiet_patterns
from selftrace.policy.rules import calls_named

EPERM, EACCES, ENOSYS = 1, 13, 38
_CLONE_THREAD = 0x10000
_NEW_NAMESPACES = 0x7E020000
_TRUNCATE, _ACCESS_MODE = 0x200, 3
_PSEUDO_PATHS = {"@path": 0, "@path2": 1, "@fd_path": 2}
_FORKS = ("fork", "vfork", "clone", "clone3")
_EXECS = ("execve", "execveat")


class _Compiler:
    def __init__(self, model: PolicyModel, features: Features) -> None:
        self.model = model
        self.features = features
        self.table: Table = table(features.arch)
        self.rows: list[Row] = []
        self.filter: list[FilterRule] = integrity.first_rules(self.table)
        self.gates: dict[int, list[CallGate]] = {}
        self.trapped: list[tuple[int, tuple[Condition, ...], int]] = []
        self.native_rules: list[NativeRule] = []
        self.handlers: list[Handler] = []
        self.problems: list[Problem] = []
        self.degraded: list[str] = []
        self.lost: list[tuple[Row, str, str]] = []
        self.ended: dict[int, bool] = {}
        self.fs_parts: dict[str, tuple[PathPattern, ...]] = {}
        self.native = NativeSpec()

    # ---- small helpers ---------------------------------------------------------------------------

    def number(self, name: str) -> int:
        return self.table.by_name[name].sysno

    def row(
        self,
        id: str,
        gate: Gate,
        decision: str,
        subject: str,
        enforcement: Enforcement | None,
        where: Position | None = None,
        note: str = "",
        remedy: str = "",
    ) -> int:
        self.rows.append(Row(id, gate, decision, subject, enforcement, where, note, remedy))
        return len(self.rows) - 1

    def fail(self, where: Position | None, message: str) -> None:
        place = where or Position(self.model.name, 0, 0)
        self.problems.append(Problem(place.file, place.line, place.column, message))

    def deny(
        self,
        sysnos: Iterable[int],
        errno: int,
        row: int,
        conditions: tuple[Condition, ...] = (),
        *,
        quiet: bool = False,
        kill: bool = False,
    ) -> None:
        numbers = tuple(sorted(set(sysnos)))
        self.filter.append(FilterRule(numbers, conditions, Decision("deny", errno, row)))
        for sysno in numbers:
            self.gates.setdefault(sysno, []).append(CallGate(errno, row, kill=kill, quiet=quiet, conditions=conditions))

    def trap(self, sysnos: Iterable[int], row: int, conditions: tuple[Condition, ...] = ()) -> None:
        self.trapped += [(sysno, conditions, row) for sysno in sysnos]

    def numbers(self, entries: Sequence[Entry]) -> set[int]:
        return {sysno for entry in entries for sysno in calls_named(entry.text, self.table)}

    # ---- gates 1 and 2 ---------------------------------------------------------------------------

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
        self.row("integrity.arch", "integrity", "kill", "calls of i386 and x32", "kernel")
        for sysno, conditions in integrity.trapped(self.table):
            self.trapped.append((sysno, conditions, row))

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

    # ---- gate 3 ----------------------------------------------------------------------------------

    def patterns(self, entries: Sequence[Entry]) -> tuple[PathPattern, ...]:
        found: list[PathPattern] = []
        for entry in entries:
            try:
                found += compile_pattern(entry.text)
            except ValueError as error:
                self.fail(entry.where, str(error))
        return tuple(dict.fromkeys(found))

    def addresses(self, entries: Sequence[Entry]) -> tuple[AddrPattern, ...]:
        found: list[AddrPattern] = []
        for entry in entries:
            try:
                found += compile_address(entry.text)
            except ValueError as error:
                self.fail(entry.where, str(error))
        return tuple(dict.fromkeys(found))

    def fs(self) -> None:
        fs = self.model.fs
        if fs is None:
            return
        read, write, execute = self.patterns(fs.read), self.patterns(fs.write), self.patterns(fs.exec)
        deny_rows = []
        for entry in fs.deny:
            note = "below a granted tree only a supervisor could hold it"
            row = self.row(f"fs.deny[{entry.text}]", "fs", "error EACCES", entry.text, "advisory", entry.where, note)
            deny_rows += [(pattern, row) for pattern in self.patterns([entry])]
        row = self._fs_default(fs.where, landlock_tier.wider((*read, *write, *execute)))
        self.row(
            "fs.metadata",
            "fs",
            "error EACCES",
            f"{capabilities.METADATA} outside the lists",
            "advisory",
            fs.where,
            "not covered by Landlock",
            '[fs] {grant} = ["{path}"]',
        )
        if fs.tmp == "own":
            note = "the run's own directory is new and empty; another directory is not looked into"
            self.row(
                "fs.tmp", "fs", "refuse", "files in the temporary directory that this run did not make", "kernel", fs.where, note
            )
        uses = capabilities.path_uses(self.table)
        self.trap(uses, row)
        self._old_landlock(row)
        self.fs_parts = {"read": read, "write": write, "exec": execute}
        self.native = dataclasses.replace(
            self.native,
            path_uses=uses,
            fs_closed=True,
            fs_read=read,
            fs_write=write,
            fs_exec=execute,
            fs_deny=tuple(deny_rows),
            fs_quiet=quiet_patterns(),
            fs_row=row,
        )

    def _fs_default(self, where: Position | None, wider: list[str]) -> int:
        abi = self.features.landlock_abi
        note = f"the kernel grants the whole directory of {', '.join(wider[:3])}: the rest is advisory" if wider else ""
        enforcement: Enforcement = "kernel" if abi else "unavailable"
        row = self.row(
            "fs.default",
            "fs",
            "error EACCES",
            "open, list, create, remove, rename and execute outside the lists",
            enforcement,
            where,
            note,
            '[fs] {grant} = ["{path}"]',
        )
        if not abi:
            self.lose(
                row, "this kernel has no Landlock", "use a kernel with CONFIG_SECURITY_LANDLOCK and landlock in its lsm= list"
            )
        return row

    def _old_landlock(self, row: int) -> None:
        """What the first versions lack and the filter can hold instead."""
        abi = self.features.landlock_abi
        if 0 < abi < 3:
            other = self.row(
                "fs.truncate",
                "fs",
                "error EACCES",
                "truncate by path, O_TRUNC without writing",
                "kernel",
                note=f"Landlock ABI {abi} lacks it: held by the filter",
            )
            self.deny([self.number("truncate")], EACCES, other)
            self.deny([self.number("openat2")], ENOSYS, other, quiet=True)
            for name, argument in (("open", 1), ("openat", 2)):
                self.deny(
                    [self.number(name)], EACCES, other, (Condition(argument, 4, "masked", _TRUNCATE | _ACCESS_MODE, _TRUNCATE),)
                )
        if abi == 1:
            self.degraded.append("Landlock ABI 1 refuses every rename and link between directories (EXDEV), granted ones too")

    def net(self) -> None:
        net = self.model.net
        if net is None:
            return
        connect, bind = self.addresses(net.connect), self.addresses(net.bind)
        remedy = '[net] {grant} = ["{addr}"]'
        row = self.row(
            "net.sockets",
            "net",
            "error EACCES",
            "sockets, types, protocols and flags that no address needs",
            "kernel",
            net.where,
            remedy=remedy,
        )
        rules, gates = sockets.floor(sockets.denials(connect, bind), row, self.table)
        self.filter += rules
        for sysno, found in gates.items():
            self.gates.setdefault(sysno, []).extend(found)
        self.native = dataclasses.replace(self.native, net_closed=True, net_connect=connect, net_bind=bind, net_row=row)
        if not (connect or bind):
            return
        address = self.row(
            "net.addresses",
            "net",
            "error EACCES",
            "addresses outside the lists",
            "advisory",
            net.where,
            "the address is read before the call",
            remedy,
        )
        self.native = dataclasses.replace(self.native, addr_uses=capabilities.addr_uses(self.table), net_row=address)
        self.trap(self.native.addr_uses, address)
        listed = landlock_tier.ports((*connect, *bind)) is not None
        if self.features.landlock_abi >= 4 and listed:
            self.row("net.ports", "net", "error EACCES", "TCP ports outside the lists", "kernel", net.where)
        elif not listed:
            self.degraded.append("[net] grants more than 64 TCP ports: the kernel holds no list of them, addresses are advisory")
        else:
            self.degraded.append(f"Landlock ABI {self.features.landlock_abi} has no TCP ports: [net] addresses are advisory")

    # ---- gate 4 ----------------------------------------------------------------------------------

    def scalar(self, match: Match, sysno: int) -> Condition:
        call = self.table.by_number.get(sysno)
        at = call.index(match.subject) if call is not None else int(match.subject[1])
        width = call.args[at].width if call is not None and at < len(call.args) else 8
        values = tuple(int(v) for v in match.operands)
        if match.op == "in":
            return Condition(at, width, "in", values=values)
        return Condition(at, width, match.op, values[0], values[1] if match.op == "between" else 0)

    def native_match(self, match: Match, sysno: int) -> NativeMatch:
        negate = match.op == "ne"
        texts = [str(operand) for operand in match.operands]
        entries = [Entry(text, match.where) for text in texts]
        if match.subject in _PSEUDO_PATHS:
            return NativeMatch(paths=self.patterns(entries), which=_PSEUDO_PATHS[match.subject], negate=negate)
        if match.subject == "@addr":
            return NativeMatch(addrs=self.addresses(entries), negate=negate)
        if match.subject == "@thread":
            if texts[0] not in ("main", "other"):
                self.fail(match.where, f'@thread is "main" or "other", not "{texts[0]}"')
            return NativeMatch(thread="main" if texts[0] == "main" else "other", negate=negate)
        return NativeMatch(scalar=self.scalar(match, sysno))

    def rules(self) -> None:
        for index, rule in enumerate(self.model.rules):
            self._rule(rule, index)

    def _shapes(self, rule: Rule) -> dict[tuple[NativeMatch, ...], list[int]]:
        """Matches by call: an argument may stand elsewhere in another call."""
        shapes: dict[tuple[NativeMatch, ...], list[int]] = {}
        for sysno in sorted(self.numbers(rule.calls)):
            shapes.setdefault(tuple(self.native_match(m, sysno) for m in rule.matches), []).append(sysno)
        return shapes

    def _rule(self, rule: Rule, index: int) -> None:
        shapes = self._shapes(rule)
        if not shapes:
            return
        action = rule.action
        scalar = all(match.scalar is not None for matches in shapes for match in matches)
        refuses = action.name in ("error", "kill")
        sysnos = [sysno for group in shapes.values() for sysno in group]
        earlier = any(self.ended.get(sysno) for sysno in sysnos)
        in_kernel = refuses and scalar and rule.when is None and not earlier and rule.enforce != "advisory"
        note = self._why_advisory(rule, scalar, earlier) if refuses and not in_kernel else ""
        if rule.enforce == "kernel" and not in_kernel:
            self.fail(rule.where, f'enforce = "kernel" is not possible: {note or action.name + " is no refusal"}')
        names = ", ".join(entry.text for entry in rule.calls)
        row = self.row(
            rule.id or (action.handler if action.name == "python" else f"rule[{index + 1}]"),
            "rule",
            _decision(rule),
            names,
            "kernel" if in_kernel else "advisory" if refuses or action.name == "python" else None,
            rule.where,
            note,
        )
        handler = -1
        if action.name == "python":
            module, _, function = action.handler.partition(":")
            handler = len(self.handlers)
            self.handlers.append(Handler(module, function, row))
        for matches, numbers in shapes.items():
            self.native_rules.append(
                NativeRule(
                    row,
                    tuple(numbers),
                    matches,
                    action.name,
                    errno=action.error,
                    retval=action.retval,
                    content=action.content,
                    signal=action.signal,
                    delay_us=action.delay_us,
                    handler=handler,
                    when=rule.when,
                    count_by=rule.count_by,
                )
            )
            conditions = tuple(m.scalar for m in matches if m.scalar is not None)
            if in_kernel:
                errno = action.error if action.name == "error" else EPERM
                self.filter.append(FilterRule(tuple(numbers), conditions, Decision("deny", errno, row)))
            else:
                self.trap(numbers, row, conditions)
            self._paths_for(matches, numbers)
        if action.name in ("allow", "retval", "content", "python"):
            self.ended.update(dict.fromkeys(sysnos, True))

    def _paths_for(self, matches: tuple[NativeMatch, ...], numbers: Sequence[int]) -> None:
        """A rule on paths or addresses needs to know where they are, whether or not a section is closed."""
        if any(match.paths is not None for match in matches):
            uses = capabilities.path_uses(self.table)
            wanted = {sysno: uses[sysno] for sysno in numbers if sysno in uses}
            self.native = dataclasses.replace(self.native, path_uses={**self.native.path_uses, **wanted})
        if any(match.addrs is not None for match in matches):
            places = capabilities.addr_uses(self.table)
            held = {sysno: places[sysno] for sysno in numbers if sysno in places}
            self.native = dataclasses.replace(self.native, addr_uses={**self.native.addr_uses, **held})

    def _why_advisory(self, rule: Rule, scalar: bool, earlier: bool) -> str:
        if rule.when is not None:
            return "the filter cannot count"
        if not scalar:
            return "the filter sees numbers, not paths or addresses"
        if earlier:
            return "an earlier rule of this call may answer first"
        return 'enforce = "advisory"'

    # ---- limits and the end ----------------------------------------------------------------------

    def limits(self) -> LimitSpec:
        limits = self.model.limits
        for key, (enforcement, note) in _LIMITS.items():
            value = getattr(limits, key)
            if value is None:
                continue
            label: Enforcement = enforcement
            if key == "tasks" and self.features.root:
                label, note = "kernel", "a uid of its own and RLIMIT_NPROC"
            self.row(
                f"limits.{key}",
                "limits",
                "end the run" if label == "supervisor" else "refuse more",
                f"{key} = {value}",
                label,
                limits.where.get(key),
                note,
            )
        return _limit_spec(limits)

    def lose(self, row: int, why: str, remedy: str) -> None:
        self.lost.append((self.rows[row], why, remedy))
        if self.rows[row].id in self.model.allow_degraded:
            self.rows[row] = dataclasses.replace(
                self.rows[row], enforcement="advisory", note=f"{why}: accepted by allow_degraded"
            )
            self.degraded.append(f"{self.rows[row].id}: {why}; {self.rows[row].subject}: advisory only")

    def check(self) -> None:
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
        self.native = dataclasses.replace(self.native, unknown_errno=unknown_errno, unknown_row=row)
        default = Decision("allow")
        rules = list(self.filter)
        if self.counted():  # who ends is counted too
            ends = tuple(self.number(name) for name in ("exit", "exit_group"))
            rules.insert(0, FilterRule(ends, (), Decision("trap", 0, self.tasks_row())))
        seen: set[tuple[int, tuple[Condition, ...]]] = set()
        for sysno, conditions, trap_row in self.trapped:
            if (sysno, conditions) not in seen:
                seen.add((sysno, conditions))
                rules.append(FilterRule((sysno,), conditions, Decision("trap", 0, trap_row)))
        unknown = Decision("deny", unknown_errno, row)
        known = frozenset(self.table.by_number)
        if model.mode == "audit":
            never = {self.number(n) for n in integrity.NEVER_DENIED if n in self.table.by_name}
            everything = tuple(sorted(known - never))
            rules = [*integrity.first_rules(self.table)[:2], FilterRule(everything, (), Decision("trap", 0, 0))]
            unknown = Decision("errno", ENOSYS)
        return FilterSpec(tuple(rules), default, unknown, known)

    def plan(self) -> Plan:
        model = self.model
        self.integrity()
        self.calls()
        self.process()
        self.net()
        self.rules()
        self.fs()
        if model.mode == "audit":  # everything is counted, whatever the policy speaks of
            paths, addresses = capabilities.path_uses(self.table), capabilities.addr_uses(self.table)
            self.native = dataclasses.replace(self.native, path_uses=paths, addr_uses=addresses)
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
        native = dataclasses.replace(
            self.native,
            audit=model.mode == "audit",
            kill_on_error=model.default.on_error == "kill",
            calls={sysno: tuple(gates) for sysno, gates in self.gates.items()},
            rules=tuple(self.native_rules),
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


_LIMITS: dict[str, tuple[Enforcement, str]] = {
    "wall_seconds": ("supervisor", "the monitor ends the whole tree"),
    "cpu_seconds": ("kernel", "RLIMIT_CPU in each process; the monitor adds up the tree"),
    "memory": ("kernel", "RLIMIT_DATA in each process; the monitor adds up the tree"),
    "tasks": ("advisory", "counted by the interposer, watched by the monitor"),
    "open_files": ("kernel", "RLIMIT_NOFILE"),
    "file_size": ("kernel", "RLIMIT_FSIZE"),
    "output": ("supervisor", "the launcher reads no further and ends the run"),
    "disk": ("supervisor", "the monitor measures the run's directory"),
}


def _decision(rule: Rule) -> str:
    action = rule.action
    detail = {
        "error": errno_name(action.error),
        "retval": str(action.retval),
        "content": f"{len(action.content)} bytes",
        "signal": str(action.signal),
        "delay_enter": f"{action.delay_us} us",
        "delay_exit": f"{action.delay_us} us",
        "python": action.handler,
    }.get(action.name, "")
    return f"{action.name} {detail}".strip()


def _limit_spec(limits: Limits) -> LimitSpec:
    return LimitSpec(**{field.name: getattr(limits, field.name) for field in dataclasses.fields(LimitSpec)})


def compile(model: PolicyModel, features: Features) -> Plan:
    """The plan of a policy on a kernel with `features`.

    Raises PolicyError: patterns or addresses that cannot be read, a rule that cannot be held as strongly as it asks.
    Raises UnsupportedError: the kernel lacks what a refusal needs, and allow_degraded does not accept that.
    """
    return _Compiler(model, features).plan()
