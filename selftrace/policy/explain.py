"""A plan in words: the table of its rules with one label each, and which line decides about a call."""

from __future__ import annotations

from typing import Any

from selftrace.calls import errno_name, format_call, parse_call
from selftrace.policy.evaluate import Verdict, evaluate
from selftrace.policy.plan import Plan, Row

LABELS = {
    "kernel": "The kernel refuses this for every thread and child, even for machine code of the script's own.",
    "supervisor": "A separate process decides, and acts on its own copy; if it dies, the call fails.",
    "supervisor-racy": "Checked before the call; another thread can change the argument.",
    "advisory": "Normally enforced inside the process; native code can avoid it.",
    "unavailable": "This kernel cannot.",
}


def row_dict(row: Row) -> dict[str, Any]:
    """A row as JSON."""
    return {
        "id": row.id,
        "gate": row.gate,
        "decision": row.decision,
        "subject": row.subject,
        "enforcement": row.enforcement,
        "where": str(row.where) if row.where else None,
        "note": row.note,
    }


def plan_dict(plan: Plan) -> dict[str, Any]:
    """A plan as JSON, schema 1."""
    return {
        "schema": 1,
        "policy": plan.name,
        "mode": plan.mode,
        "rules": [row_dict(row) for row in plan.rows],
        "degraded": list(plan.degraded),
        "labels": LABELS,
    }


def table(plan: Plan) -> str:
    """One line a rule: where, decision, what about, label, note; then what the labels mean."""
    lines = [f"policy {plan.name} ({plan.mode})", ""]
    head = ("rule", "decision", "about", "label", "line")
    rows = [(row.id, row.decision, row.subject, row.enforcement or "-", str(row.where) if row.where else "") for row in plan.rows]
    widths = [min(44, max(len(line[i]) for line in (head, *rows))) for i in range(4)]
    for line, note in zip((head, *rows), ("", *(row.note for row in plan.rows)), strict=True):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, [*widths, 0], strict=True)).rstrip()
        lines.append(text + (f"  ({note})" if note else ""))
    used = [label for label in LABELS if any(row.enforcement == label for row in plan.rows)]
    lines += ["", *(f"{label}: {LABELS[label]}" for label in used)]
    lines += [f"note: {sentence}" for sentence in plan.degraded]
    return "\n".join(lines)


def _sentence(plan: Plan, verdict: Verdict, call: str) -> str:
    if verdict.row is None:
        text = f"{call}: allowed, nothing speaks against it"
    else:
        row = plan.rows[verdict.row]
        what = {
            "refuse": f"refused with {errno_name(verdict.errno)}",
            "kill": "refused, and the process is ended",
            "emulate": f"answered ({row.decision}), nothing is executed, so [fs] and [net] are not asked",
            "handler": f"asked of {row.decision}; what it lets pass goes through the other rules and gates",
            "allow": "allowed",
        }[verdict.kind]
        label = f", {row.enforcement}" if row.enforcement else ""
        place = f" ({row.where}{label})" if row.where else f" ({row.enforcement})" if row.enforcement else ""
        text = f"{call}: {what}, by {row.id}{place}"
    for index in verdict.also:
        row = plan.rows[index]
        text += f"\n  on the way: {row.id}: {row.decision}" + (f" ({row.where})" if row.where else "")
    return text


def explain_call(plan: Plan, text: str) -> tuple[Verdict, str]:
    """(verdict, sentence) for a call as people write it. Raises ValueError if it cannot be read."""
    parsed = parse_call(text)
    verdict = evaluate(plan, parsed.call.sysno, parsed.args, parsed.strings)
    return verdict, _sentence(plan, verdict, format_call(parsed.call.sysno, parsed.args, parsed.strings))
