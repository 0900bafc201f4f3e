"""What a run needs of its plan, as plain data: kept as bytes, loaded without the policy compiler.

A command that runs the same script again reads one file instead of importing sixty modules and compiling.
"""

from __future__ import annotations

import marshal

from selftrace.kernel.landlock import Ruleset
from selftrace.policy.terms import LimitSpec
from selftrace.record import fields, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    from selftrace.policy.plan import Plan


@record
class Prepared:
    """A plan made ready.

    table: for the interposer. ruleset: for Landlock, None without. give_up: root's identity is given up; needed, written:
    the paths that the identity taken instead must reach. guarantees: the fields of each Guarantee. calls: number → name.
    handlers, shapes, handler_files, kill_on_error: for the hook in the tracee. hosts: programs may be
    started. pickled: the whole Plan.
    """

    name: str
    mode: Literal["enforce", "audit"]
    degraded: tuple[str, ...]
    limits: LimitSpec
    table: bytes
    ruleset: Ruleset | None
    give_up: bool
    needed: tuple[str, ...]
    written: tuple[str, ...]
    guarantees: tuple[tuple[str, ...], ...]
    calls: dict[int, str]
    handlers: tuple[tuple[str, str, int], ...]
    shapes: dict[int, tuple[str, tuple[tuple[str, str, int], ...]]]
    handler_files: tuple[tuple[str, bytes], ...]
    kill_on_error: bool
    hosts: bool
    pickled: bytes

    @property
    def plan(self) -> Plan:
        """The whole plan, for reports."""
        import pickle

        plan: Plan = pickle.loads(self.pickled)
        return plan


def to_data(prepared: Prepared) -> tuple[Any, ...]:
    """As marshal takes it."""
    values = {name: getattr(prepared, name) for name in fields(Prepared)}
    values["limits"] = tuple(getattr(prepared.limits, name) for name in fields(LimitSpec))
    if prepared.ruleset is not None:
        values["ruleset"] = tuple(getattr(prepared.ruleset, name) for name in fields(Ruleset))
    return tuple(values.values())


def from_data(data: tuple[Any, ...]) -> Prepared:
    """The reverse of `to_data`."""
    values = dict(zip(fields(Prepared), data, strict=True))
    values["limits"] = LimitSpec(*values["limits"])
    if values["ruleset"] is not None:
        values["ruleset"] = Ruleset(*values["ruleset"])
    return Prepared(**values)


def packed(value: Any) -> bytes:
    """Plain data as bytes in which equal texts are written out each time: one of them can be exchanged by another that is
    as long (version 2 of marshal makes no references)."""
    return marshal.dumps(value, 2)
