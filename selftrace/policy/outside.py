"""What changes in a plan that a supervisor holds from outside, by ptrace: labels, and what it cannot do."""

from __future__ import annotations

from collections.abc import Sequence

from selftrace.calls import Table
from selftrace.policy.plan import Enforcement, FilterRule, Handler, NativeRule, Row
from selftrace.record import replace

_KERNELS = ("fs.default", "fs.tmp", "net.ports", "process.signals", "integrity.arch")
"""Rows that Landlock, or the filter alone, holds on every backend."""
_POINTERS = ("fs", "net")
"""Gates that judge what a pointer leads to."""


def refusal(rules: Sequence[NativeRule], handlers: Sequence[Handler]) -> str:
    """Why the rules of a row cannot be held from outside; empty: they can."""
    for rule in rules:
        if rule.handler >= 0:
            handler = handlers[rule.handler]
            return f"{handler.module}:{handler.function} is a Python handler, which runs inside the program"
        if rule.transfer is not None and rule.action == "short" and rule.transfer.vector != "buffer":
            return "short reads and writes of several buffers (readv, sendmsg) are made inside the program"
    return ""


def is_interposers(rule: FilterRule, table: Table) -> bool:
    """Whether the rule is there for the interposer's own sake."""
    return rule.decision.kind == "trap" and rule.sysnos == (table.by_name["rt_sigreturn"].sysno,)


def relabelled(row: Row, rules: Sequence[NativeRule], *, landlock: bool) -> Row:
    """The row as the supervisor holds it. landlock: [fs] is there, and the kernel holds it too.

    A number or a flag cannot change while its thread stands still; what a pointer leads to can.
    """
    if row.id == "integrity":
        return replace(row, subject="seccomp, user dispatch, PR_SET_MM", enforcement="supervisor", note="")
    if row.id == "limits.tasks" and row.enforcement == "advisory":
        return replace(row, enforcement="supervisor", note="counted by the supervisor, watched by the monitor")
    if row.id == "process.exec" and row.enforcement == "advisory":
        return replace(row, enforcement="kernel" if landlock else "supervisor-racy", note="")
    if row.enforcement not in ("kernel", "advisory") or row.gate == "limits" or row.id in _KERNELS:
        return row
    pointers = any(match.scalar is None and match.thread is None for rule in rules for match in rule.matches)
    racy = (row.gate in _POINTERS and row.enforcement == "advisory") or pointers
    label: Enforcement = "supervisor-racy" if racy else "supervisor"
    kept = row.note if row.gate not in ("fs", "net", "rule") else ""
    return replace(row, enforcement=label, note=kept)
