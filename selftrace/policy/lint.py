"""Lines of a policy that are no mistakes but do not do what they seem to."""

from __future__ import annotations

import os
from collections.abc import Iterator

from selftrace.calls import expand_group, table
from selftrace.errors import Problem
from selftrace.policy.model import Entry, PolicyModel, Position, Rule
from selftrace.policy.patterns import compile_pattern, fixed_prefix
from selftrace.policy.plan import PathPattern, Plan
from selftrace.policy.rules import calls_named

_ENDS = ("error", "retval", "content", "kill", "data")
_BASIC = ("brk", "futex", "mmap", "read", "write", "exit_group")


def _remark(where: Position | None, message: str) -> Problem:
    place = where or Position("policy", 0, 0)
    return Problem(place.file, place.line, place.column, message, "warning")


def _missing_calls(model: PolicyModel) -> Iterator[Problem]:
    """[default] refuses, and no [calls] says which calls every program needs."""
    if model.calls is None and model.default.action in ("error", "kill"):
        where = model.default.where or (model.fs.where if model.fs else None)
        names = ", ".join(_BASIC[:3])
        yield _remark(
            where, f'[calls] is missing: {names} and the like are refused by [default]; add [calls] allow = ["@system-service"]'
        )


def _covers(earlier: Rule, later: Rule) -> bool:
    if earlier.when is not None or earlier.action.name not in (*_ENDS, "allow"):
        return False
    known = table()
    first = {n for entry in earlier.calls for n in calls_named(entry.text, known)}
    second = {n for entry in later.calls for n in calls_named(entry.text, known)}
    if not second <= first:
        return False
    wanted = {(m.subject, m.op, m.operands) for m in earlier.matches}
    return wanted <= {(m.subject, m.op, m.operands) for m in later.matches}


def _dead_rules(model: PolicyModel) -> Iterator[Problem]:
    for index, rule in enumerate(model.rules):
        for earlier in model.rules[:index]:
            if _covers(earlier, rule):
                yield _remark(
                    rule.where, f"this rule is never reached: {earlier.id or 'the rule'} at {earlier.where} decides before it"
                )
                break


def _unknown_groups(model: PolicyModel) -> Iterator[Problem]:
    calls = model.calls
    entries = [*(calls.allow or ()), *calls.deny] if calls else []
    known = table()
    for entry in [*entries, *(entry for rule in model.rules for entry in rule.calls)]:
        if entry.text[:1] in ("@", "%") and not any(name in known.by_name for name in expand_group(entry.text, known)):
            yield _remark(entry.where, f"no call of {entry.text} exists on this architecture")


def _patterns(entries: tuple[Entry, ...]) -> list[tuple[Entry, PathPattern]]:
    return [(entry, pattern) for entry in entries for pattern in compile_pattern(entry.text)]


def _nothing_there(model: PolicyModel) -> Iterator[Problem]:
    """Only the policy's own lines that name a whole path: shipped lists speak of many systems at once."""
    if model.fs is None:
        return
    own = model.sources[-1] if model.sources else ""
    for entry, pattern in _patterns((*model.fs.read, *model.fs.exec)):
        prefix = fixed_prefix(pattern)
        if entry.where and entry.where.file == own and not prefix.startswith("/tmp/selftrace-") and not os.path.lexists(prefix):
            yield _remark(entry.where, f'"{entry.text}" matches nothing: {prefix} does not exist')


def _written_and_run(model: PolicyModel) -> Iterator[Problem]:
    if model.fs is None:
        return
    executable = [fixed_prefix(pattern) for _, pattern in _patterns(model.fs.exec)]
    for entry, pattern in _patterns(model.fs.write):
        path = fixed_prefix(pattern)
        below = next((tree for tree in executable if tree == "/" or path == tree or path.startswith(tree + "/")), None)
        if below is not None and not path.startswith(("/dev/", "/proc/")):
            yield _remark(entry.where, f"{path} can be written and lies below {below}, which can be executed")


def _too_wide(model: PolicyModel, plan: Plan) -> Iterator[Problem]:
    if model.fs is None or plan.mode == "audit":
        return
    for entry, pattern in _patterns((*model.fs.read, *model.fs.write, *model.fs.exec)):
        if pattern.kind == "glob":
            yield _remark(
                entry.where,
                f'the kernel cannot hold "{entry.text}": it grants all of {fixed_prefix(pattern)}, the rest is advisory',
            )


def lint(model: PolicyModel, plan: Plan) -> list[Problem]:
    """Remarks, sorted by place."""
    found = [*_missing_calls(model), *_dead_rules(model), *_unknown_groups(model), *_nothing_there(model)]
    found += [*_written_and_run(model), *_too_wide(model, plan)]
    return sorted(set(found))
