"""Variables in policies: ${HOME}, ${env:NAME}, [vars]. A value is text, never a pattern: its special characters are
escaped. A variable with several values makes several patterns of one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from selftrace.calls import nearest

_REFERENCE = re.compile(r"\$(?:\$|\{([^}]*)\}|)")
_SPECIAL = re.compile(r"([*?{}\\])")


NAMES = ("HOME", "TMP", "CWD", "SCRIPT", "SCRIPT_DIR", "POLICY_DIR", "PYTHON", "SITE", "UID")


def escape(text: str) -> str:
    """`text` as a pattern that matches only itself."""
    return _SPECIAL.sub(r"\\\1", text)


def _values(name: str, known: Mapping[str, Sequence[str]]) -> Sequence[str]:
    if name.startswith("env:"):
        value = os.environ.get(name[4:], "")
        if not value:
            raise ValueError(f"the environment variable {name[4:]} is unset or empty")
        return (value,)
    values = [value for value in known.get(name, ()) if value]
    if values:
        return values
    if name in known or name in NAMES:
        raise ValueError(f"the variable ${{{name}}} is unset or empty here")
    raise ValueError(f'unknown variable "{name}"{nearest(name, [*known, *NAMES])}')


def substitute(text: str, known: Mapping[str, Sequence[str]], *, pattern: bool) -> list[str]:
    """`text` with its variables replaced: as many results as the values combine to.

    pattern: values are escaped, so that a * in $HOME is no wildcard. Raises ValueError.
    """
    results = [""]
    at = 0
    for match in _REFERENCE.finditer(text):
        before = text[at : match.start()]
        at = match.end()
        if match.group(0) == "$$":
            values: Sequence[str] = ("$",)
        elif match.group(1) is None:
            raise ValueError(f'a lone $ in "{text}": write $$ for the character, ${{NAME}} for a variable')
        else:
            values = _values(match.group(1), known)
            values = [escape(value) for value in values] if pattern else values
        results = [result + before + value for result in results for value in values]
    return [result + text[at:] for result in results]
