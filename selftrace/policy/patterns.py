"""Path patterns: `/a` the object, `/a/*` one component, `/a/**` the tree, `?`, `{x,y}`; a backslash takes the next
character literally. No regular expressions: that is what Python handlers are for."""

from __future__ import annotations

import os

from selftrace.policy.plan import PathPattern

_WILD = "*?"
_OWN_PROC = "/proc/self"


def expand_braces(text: str) -> list[str]:
    """`/a/{x,y}` → `/a/x`, `/a/y`; nested braces too. Raises ValueError for an open one."""
    depth, start = 0, -1
    at = 0
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] == "{":
            if depth == 0:
                start = at
            depth += 1
        elif text[at] == "}" and depth:
            depth -= 1
            if depth == 0:
                before, inside, after = text[:start], text[start + 1 : at], text[at + 1 :]
                return [result for choice in _choices(inside) for result in expand_braces(before + choice + after)]
        at += 1
    if depth:
        raise ValueError(f'"{text}" has an open {{')
    return [text]


def _choices(inside: str) -> list[str]:
    parts, depth, current = [], 0, ""
    at = 0
    while at < len(inside):
        char = inside[at]
        if char == "\\" and at + 1 < len(inside):
            current += inside[at : at + 2]
            at += 2
            continue
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += char
        at += 1
    return [*parts, current]


def unescape(text: str) -> str:
    """A literal's text without its backslashes."""
    out, at = "", 0
    while at < len(text):
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
        out += text[at]
        at += 1
    return out


def _first_wild(components: list[str]) -> int:
    for index, component in enumerate(components):
        at = 0
        while at < len(component):
            if component[at] == "\\":
                at += 2
                continue
            if component[at] in _WILD:
                return index
            at += 1
    return len(components)


def _resolve(path: str) -> str:
    if path == _OWN_PROC or path.startswith(_OWN_PROC + "/"):
        return path  # the tracee's, not ours
    return os.path.realpath(path)


def _escape(text: str) -> str:
    return "".join("\\" + c if c in "*?\\" else c for c in text)


def compile_pattern(text: str) -> list[PathPattern]:
    """The patterns behind one entry; the fixed prefix is resolved here, once (symbolic links, ".."). An object that is a
    link is granted with what it points at: lstat, readlink and unlink are about the link.

    Raises ValueError for a path that is not absolute or has an open brace.
    """
    found = []
    for item in expand_braces(text):
        if not item.startswith("/"):
            raise ValueError(f'"{item}" is not absolute')
        components = [part for part in item.split("/") if part]
        wild = _first_wild(components)
        prefix = _resolve("/" + "/".join(unescape(part) for part in components[:wild]))
        rest = components[wild:]
        if not rest:
            found.append(PathPattern("exact", os.fsencode(prefix)))
            link = os.path.join(_resolve("/" + "/".join(map(unescape, components[:-1]))), *map(unescape, components[-1:]))
            if link != prefix and os.path.islink(link):
                found.append(PathPattern("exact", os.fsencode(link)))
        elif rest == ["**"]:
            found.append(PathPattern("tree", os.fsencode(prefix)))
        else:
            glob = _escape(prefix.rstrip("/")) + "/" + "/".join(rest)
            found.append(PathPattern("glob", os.fsencode(glob)))
    return found


def fixed_prefix(pattern: PathPattern) -> str:
    """The directory above which a pattern matches nothing."""
    if pattern.kind != "glob":
        return os.fsdecode(pattern.text)
    components = os.fsdecode(pattern.text).split("/")
    return unescape("/".join(components[: _first_wild(components)])) or "/"


def _glob(pattern: bytes, path: bytes) -> bool:
    if not pattern:
        return not path
    if pattern.startswith(b"**"):
        return any(_glob(pattern[2:], path[at:]) for at in range(len(path) + 1))
    if pattern[:1] == b"*":
        for at in range(len(path) + 1):
            if _glob(pattern[1:], path[at:]):
                return True
            if path[at : at + 1] == b"/":
                return False
        return False
    if not path:
        return False
    if pattern[:1] == b"?":
        return path[:1] != b"/" and _glob(pattern[1:], path[1:])
    literal = pattern[1:2] if pattern[:1] == b"\\" else pattern[:1]
    rest = pattern[2:] if pattern[:1] == b"\\" else pattern[1:]
    return path[:1] == literal and _glob(rest, path[1:])


def matches(pattern: PathPattern, path: bytes) -> bool:
    """Whether a resolved path is one of the pattern's. The interposer's matcher in C means the same."""
    if pattern.kind == "glob":
        return _glob(pattern.text, path)
    if path == pattern.text:
        return True
    root = pattern.text.rstrip(b"/") + b"/"
    return pattern.kind == "tree" and path.startswith(root)
