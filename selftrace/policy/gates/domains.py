"""Gate 3: [fs] and [net], which close their domain where they are present; and [limits]."""

from __future__ import annotations

from selftrace.policy import capabilities, landlock_tier, sockets
from selftrace.policy.gates.base import EACCES, ENOSYS, GateCompiler
from selftrace.policy.model import Limits, Position
from selftrace.policy.plan import (
    Condition,
    Enforcement,
)
from selftrace.policy.quiet import quiet_patterns
from selftrace.policy.terms import LimitSpec
from selftrace.record import fields, replace

_TRUNCATE, _ACCESS_MODE = 0x200, 3


class DomainGates(GateCompiler):
    """[fs], [net], [limits]."""

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
        row = self._fs_default(fs.where, landlock_tier.wider((*read, *execute), write))
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
        self.native = replace(
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
        self.native = replace(self.native, net_closed=True, net_connect=connect, net_bind=bind, net_row=row)
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
        self.native = replace(self.native, addr_uses=capabilities.addr_uses(self.table), net_row=address)
        self.trap(self.native.addr_uses, address)
        listed = landlock_tier.ports((*connect, *bind)) is not None
        if self.features.landlock_abi >= 4 and listed:
            self.row("net.ports", "net", "error EACCES", "TCP ports outside the lists", "kernel", net.where)
        elif not listed:
            self.degraded.append("[net] grants more than 64 TCP ports: the kernel holds no list of them, addresses are advisory")
        else:
            self.degraded.append(f"Landlock ABI {self.features.landlock_abi} has no TCP ports: [net] addresses are advisory")

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


def _limit_spec(limits: Limits) -> LimitSpec:
    return LimitSpec(**{name: getattr(limits, name) for name in fields(LimitSpec)})
