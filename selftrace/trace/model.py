"""From what is to be seen to a policy that refuses nothing: what is trapped, what is captured, what is injected."""

from __future__ import annotations

from selftrace.calls import Table, table
from selftrace.calls.capture import captures
from selftrace.policy.model import Default, PolicyModel, Tracing
from selftrace.trace.faultrules import in_force, rules_of
from selftrace.trace.shown import mapping_calls, shown_calls, stack, unknown_calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from selftrace.policy.plan import Capture
    from selftrace.trace.options import TraceOptions

DUMPED = 8192
"""Bytes that are captured of a buffer where it is dumped."""
VDSO = ("clock_gettime", "clock_getres", "gettimeofday", "time", "getcpu")


def check_faults(options: TraceOptions, of: Table) -> None:
    """Raises ValueError for a fault that could never fire."""
    hidden = frozenset(of.by_name[name].sysno for name in VDSO)
    for fault in options.faults:
        if options.vdso and fault.calls and fault.calls <= hidden:
            name = of.by_number[min(fault.calls)].name
            raise ValueError(f"{name} is answered by the vDSO, without a call: --no-vdso makes a call of it")


def make_model(options: TraceOptions, arch: str = "x86_64", *, shim: str = "") -> PolicyModel:
    """The policy of a trace. shim: what reads Python stacks, a path. Raises ValueError for a fault that could never fire."""
    of = table(arch)
    check_faults(options, of)
    links = bool(options.decode_fds or options.paths or options.fds is not None)
    in_full = () if options.abbrev is None else frozenset(of.by_number) - options.abbrev
    names = "comm" in options.decode_pids
    ops = captures(arch, links=links, names=names, verbose=in_full)
    calls: dict[int, tuple[Capture, ...]] = {n: ops.get(n, ()) for n in sorted(shown_calls(options, of))}
    calls.update((n, ()) for n in unknown_calls(of))
    linked = captures(arch, links=True)
    calls.update((n, linked.get(n, ())) for n in mapping_calls(options, of))
    dumped = DUMPED if options.read_fds or options.write_fds else 0
    within = shown_calls(options, of) & frozenset(of.by_number)
    rules = [
        rule
        for index, (fault, calls) in enumerate(in_force(options.faults))
        for rule in rules_of(fault, f"inject[{len(options.faults) - index}]", of, calls & within)
    ]
    return PolicyModel(
        name="trace",
        default=Default(action="allow"),
        tracing=Tracing(
            calls=calls,
            string_limit=max(options.string_limit, dumped),
            follow=options.follow,
            vdso=options.vdso,
            stack=stack(options),
            watched=True,
            names=names,
            shim=shim if stack(options) == "python" else "",
        ),
        rules=tuple(rules),
    )
