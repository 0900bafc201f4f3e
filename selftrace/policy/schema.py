"""A JSON Schema of the policy format, for editors; made of what the reader accepts."""

from __future__ import annotations

from typing import Any, get_args

from selftrace.policy.actions import ACTIONS
from selftrace.policy.layer import CHOICES, FLAG, FORMAT, LISTS, NUMBER, RULE_KEYS, SECTIONS, SIZE, STRINGS, TEXT
from selftrace.policy.model import CountBy, Enforce
from selftrace.policy.rules import OPERATORS

_STRINGS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_KINDS: dict[str, dict[str, Any]] = {
    STRINGS: _STRINGS,
    FLAG: {"type": "boolean"},
    NUMBER: {"type": "number", "minimum": 0},
    SIZE: {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9.]+ ?[KMGT]?i?B?$"}]},
    TEXT: {"type": "string"},
}
_ONLY = {"type": "object", "properties": {"only": _STRINGS}, "required": ["only"], "additionalProperties": False}


def _key(section: str, key: str, kind: str) -> dict[str, Any]:
    if (section, key) == ("", "policy"):
        return {"const": FORMAT}
    choices = CHOICES.get((section, key))
    if choices:
        return {"enum": list(choices)}
    if (section, key) in LISTS:
        return {"anyOf": [_STRINGS, _ONLY]}
    return dict(_KINDS[kind])


def _section(section: str) -> dict[str, Any]:
    properties = {key: _key(section, key, kind) for key, kind in SECTIONS[section].items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _rule() -> dict[str, Any]:
    operand: dict[str, Any] = {"type": ["string", "integer", "array"]}
    operators = {"type": "object", "properties": dict.fromkeys(OPERATORS, operand), "additionalProperties": False}
    known: dict[str, Any] = {
        "id": {"type": "string"},
        "calls": {**_STRINGS, "minItems": 1},
        "match": {"type": "object", "additionalProperties": {"anyOf": [operand, operators]}},
        "action": {"enum": list(ACTIONS)},
        "count_by": {"enum": list(get_args(CountBy))},
        "enforce": {"enum": list(get_args(Enforce))},
        "call": {"type": "string", "pattern": "^[^:]+:[^:]+$"},
    }
    properties = {key: known.get(key, {"type": ["string", "integer", "number"]}) for key in RULE_KEYS}
    return {"type": "object", "properties": properties, "required": ["calls", "action"], "additionalProperties": False}


def schema() -> dict[str, Any]:
    """The whole schema (draft 2020-12)."""
    top = _section("")
    top["properties"].update({name: _section(name) for name in SECTIONS if name})
    top["properties"]["vars"] = {"type": "object", "additionalProperties": {"type": "string"}}
    top["properties"]["rule"] = {"type": "array", "items": _rule()}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "selftrace policy", "required": ["policy"], **top}
