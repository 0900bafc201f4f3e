"""A trace as JSON lines: a line about the trace, then one for each event. reports/trace.schema.json describes a line."""

from __future__ import annotations

import json
from base64 import b64encode

from selftrace.events.typewords import Name
from selftrace.events.values import encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from selftrace.events.capture import Metadata
    from selftrace.events.event import TraceEvent
    from selftrace.events.pairing import Pairing
    from selftrace.events.stacks import NativeStacks

SCHEMA = 1
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def header(metadata: Metadata) -> dict[str, Any]:
    """The first line."""
    return {
        "kind": "trace",
        "schema": SCHEMA,
        "selftrace": metadata.selftrace,
        "arch": metadata.arch,
        "command": [_text(word) for word in metadata.command],
        "time_ns": metadata.monotonic_ns,
        "realtime_ns": metadata.realtime_ns or None,
        "string_limit": metadata.string_limit,
    }


def to_dict(event: TraceEvent) -> dict[str, Any]:
    """The line of an event. Bytes and paths that are no UTF-8 become {"base64": …}."""
    found: dict[str, Any] = {
        "kind": event.kind,
        "time_ns": event.time_ns,
        "realtime_ns": event.realtime_ns,
        "pid": event.pid,
        "tid": event.tid,
    }
    if event.kind == "call":
        path = event.path
        found.update(
            name=event.name,
            sysno=event.sysno,
            args=plain(event.args),
            result=event.result,
            error=event.error,
            duration_ns=event.duration_ns,
            path=None if path is None else _text(path),
            marks=event.marks,
        )
        if stack := event.stack:
            found["stack"] = [{"file": f.file, "line": f.line, "function": f.function} for f in stack]
        return found
    if event.kind == "signal":
        found.update(name=event.name, info=event.info)
        return found
    return {**found, **event.info}


def event_lines(pairing: Pairing, source: Iterable[bytes], stacks: NativeStacks | None) -> Iterator[str]:
    """The lines of the events that frames complete; stacks: unwinds those that they have."""
    if stacks is None:
        yield from map(line, pairing.feed(source))
        return
    for frame in source:
        stacks.feed(frame)
        for event in pairing.feed((frame,)):
            yield _encode({**to_dict(event), **_native(stacks, event)}) + "\n"


def _native(stacks: NativeStacks, event: TraceEvent) -> dict[str, Any]:
    found = stacks.of(event.beginning) if event.kind in ("call", "signal") else ()
    if not found:
        return {}
    return {
        "native_stack": [
            {"object": f.object, "symbol": f.symbol, "offset": f.offset, "address": f.address, "pc": f.pc} for f in found
        ]
    }


def line(event: TraceEvent) -> str:
    """The line of an event, with its newline."""
    return _encode(to_dict(event)) + "\n"


def lines(metadata: Metadata, events: Iterable[TraceEvent]) -> Iterator[str]:
    """The lines, each with its newline."""
    yield _encode(header(metadata)) + "\n"
    yield from map(line, events)


def _text(value: str) -> Any:
    if value.isascii():
        return value
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return {"base64": b64encode(encoded(value)).decode("ascii")}
    return value


def _bytes(value: bytes) -> Any:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode("ascii")}


def plain(value: Any) -> Any:
    """A value of TraceEvent.args as JSON has it."""
    kind = type(value)
    if kind is int or value is None or kind is bool:
        return value
    if kind is str or kind is Name:
        return _text(value)
    if kind is dict:
        return {name: plain(item) for name, item in value.items()}
    if kind is bytes:
        return _bytes(value)
    return [plain(item) for item in value]
