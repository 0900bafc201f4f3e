"""What is added to a policy after it was read: grants, limits, handlers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from selftrace.errors import PolicyError
from selftrace.policy.actions import parse_size
from selftrace.policy.model import Entry, Net, PolicyModel, Position
from selftrace.record import replace

_SIZES = ("memory", "file_size", "output", "disk")


def add_grants(model: PolicyModel, grants: Mapping[str, Sequence[str]], limits: Mapping[str, Any]) -> PolicyModel:
    """The model with patterns and addresses added to its lists, and limits in place of its own. Raises PolicyError."""
    where = Position("<grants>", 1, 1)
    extra = {key: tuple(Entry(text, where) for text in items) for key, items in grants.items() if items}
    for key in ("read", "write", "exec"):
        for entry in extra.get(key, ()):
            if not entry.text.startswith("/"):
                raise PolicyError(f'"{entry.text}" is not absolute: grants start with /')
    fs, net = model.fs, model.net
    if fs is not None:
        lists: dict[str, Any] = {key: (*getattr(fs, key), *extra.get(key, ())) for key in ("read", "write", "exec")}
        fs = replace(fs, **lists)
    if net is not None or (model.default.action == "error" and ("connect" in extra or "bind" in extra)):
        other = net or Net(where=where)
        net = Net((*other.connect, *extra.get("connect", ())), (*other.bind, *extra.get("bind", ())), other.where)
    changed: dict[str, Any] = {
        key: parse_size(value) if key in _SIZES and value is not None else value for key, value in limits.items()
    }
    return replace(model, fs=fs, net=net, limits=replace(model.limits, **changed))
