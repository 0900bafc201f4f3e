"""A policy file from what was learned: the same bytes for the same observations."""

from __future__ import annotations

import json
import os
import re

from selftrace.learning.names import HOLE, LETTER, TREE, is_pattern, matcher, parent
from selftrace.policy.variables import NAMES, escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from selftrace.learning.generalise import Grant, Learned
    from selftrace.learning.places import Variables

_OPENS = "open openat openat2? creat"
_LOOKS = (
    "stat lstat newfstatat statx access faccessat faccessat2? readlink readlinkat statfs chdir truncate"
    " rmdir unlink unlinkat getxattr lgetxattr listxattr llistxattr inotify_add_watch execve"
)
_MOST = 20_000
"""Files that are counted, at most."""


def to_toml(learned: Learned, variables: Variables, seen_file: str) -> str:
    """The file. seen_file: the name of what lies beside it."""
    lines = [
        f"# Learned by selftrace from what {printable(learned.program)} did; {printable(seen_file)} holds all that was seen.",
        "# Widen it with: selftrace learn --add THIS_FILE -- PROG ARGS. Changes belong in a file that extends it.",
        "policy = 1",
        f"name = {_quoted(learned.program)}",
        "",
        "[default]",
        'action = "error"',
        'error = "EPERM"',
        "",
        "[calls]",
        "allow = [",
        *(f"    {', '.join(_quoted(name) for name in family)}," for family in learned.calls),
        "]",
        'unknown = "ENOSYS"',
        "",
        "[fs]",
        *(line for path, why in learned.refused for line in [f"# not granted: {printable(_shown(path))} ({why})"]),
    ]
    for how in ("read", "write", "exec"):
        lines += [f"{how} = [", *_entries(learned.files[how], how, learned, variables), "]"]
    if learned.own_tmp:
        lines.append('tmp = "own"')
    lines += ["", "[net]", f"connect = [{_list(learned.connect)}]", f"bind = [{_list(learned.bind)}]", "", "[process]"]
    lines += [f"{name} = {str(getattr(learned, name)).lower()}" for name in ("exec", "fork", "threads")]
    lines += _answers("absent", "looked for in training, and not there", f"{_OPENS} {_LOOKS}", -2, learned.absent)
    lines += _answers("present", "made in training, and there already", "mkdir mkdirat", -17, learned.present)
    return "\n".join(lines) + "\n"


def _answers(identity: str, why: str, calls: str, result: int, paths: Sequence[str]) -> list[str]:
    """A rule that answers for names that are not granted as the kernel did."""
    if not paths:
        return []
    named = ", ".join(_quoted(name) for name in calls.split())
    items = [f"    {_entry(path)}," for path in paths]
    return [
        "",
        f"# {why}: answered so, without a look",
        "[[rule]]",
        f'id = "{identity}"',
        f"calls = [{named}]",
        'match = { "@path" = { in = [',
        *items,
        "] } }",
        'action = "retval"',
        f"retval = {result}",
    ]


def _entries(grants: Sequence[Grant], how: str, learned: Learned, variables: Variables) -> Iterator[str]:
    written = {grant.text for grant in learned.files["write"]}
    for grant in grants:
        notes = [grant.label] if grant.label else []
        if is_pattern(grant.text) and grant.label != "the run's own":
            notes.append(_count(grant, how == "write" or grant.text in written, variables))
        yield f"    {_entry(grant.text)}," + (f"  # {', '.join(notes)}" if notes else "")


def _count(grant: Grant, writes: bool, variables: Variables) -> str:
    """What a pattern grants beyond what was seen. Names that a run makes cannot be counted beforehand."""
    seen = len(grant.seen)
    if writes:
        return f"grants any such name, {seen} seen"
    number = _number(grant.text, variables)
    return f"grants {f'over {_MOST}' if number > _MOST else max(number, seen)} files, {seen} seen"


def _number(pattern: str, variables: Variables) -> int:
    """How many files there are now that a pattern grants; above _MOST they are not counted on."""
    fixed = pattern
    while is_pattern(fixed):
        fixed = parent(fixed)
    roots = variables.paths(fixed)
    outer = [root for root in roots if not any(root.startswith(f"{other}/") for other in roots)]
    tree, regex, number = pattern.endswith(TREE), matcher(pattern), 0
    for root in outer:
        for directory, names, files in os.walk(root):
            shown = variables.shown(directory)
            found = [*names, *files]
            number += len(found) if tree else sum(1 for name in found if regex.fullmatch(f"{shown}/{name.replace('$', '$$')}"))
            if number > _MOST:
                return number
            if not tree and shown.count("/") + 1 >= pattern.count("/"):
                names.clear()
    return number


# ---- texts -----------------------------------------------------------------------------------------


def _shown(text: str) -> str:
    """A path or pattern as a policy writes it."""
    name = next((f"${{{name}}}" for name in NAMES if text.startswith(f"${{{name}}}")), "")
    signs = {HOLE: "*", LETTER: "?"}
    return name + "".join(signs.get(part) or escape(part) for part in re.split(f"({HOLE}|{LETTER})", text[len(name) :]))


def _entry(text: str) -> str:
    return _quoted(_shown(text))


def _quoted(text: str) -> str:
    """A TOML string: JSON's escapes are among TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(items: Sequence[str]) -> str:
    return ", ".join(map(_quoted, items))


def printable(text: str) -> str:
    """For comments and terminals: a name may hold anything."""
    return "".join(c if c.isprintable() else "?" for c in text)
