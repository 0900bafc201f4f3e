"""A trace for Perfetto (ui.perfetto.dev): a slice for each call, on a track for each thread, below its process.

Needs the package `perfetto` for its protobufs: `pip install 'selftrace[perfetto]'`.
"""

from __future__ import annotations

import json

from selftrace.errors import UnsupportedError
from selftrace.reports.jsonlines import to_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import IO, Any

    from selftrace.events.capture import Metadata
    from selftrace.events.event import TraceEvent

_CLOCK_REALTIME, _CLOCK_MONOTONIC = 1, 3
"""perfetto/protos/common/builtin_clock.proto."""
_SEQUENCE = 1


def _protobufs() -> Any:
    try:
        from perfetto.protos.perfetto.trace import perfetto_trace_pb2
    except ImportError as error:
        name = getattr(error, "name", None) or "perfetto"
        raise UnsupportedError(
            f"a Perfetto trace is written with the package perfetto ({name} is missing)", "pip install 'selftrace[perfetto]'"
        ) from None
    return perfetto_trace_pb2


class PerfettoWriter:
    """Writes events as they come; memory grows only with the number of threads."""

    def __init__(self, file: IO[bytes], metadata: Metadata) -> None:
        """Raises UnsupportedError if the package is missing."""
        self._protobufs = _protobufs()
        self._file = file
        self._tracks: dict[int, int] = {}
        self._command = " ".join(metadata.command)
        self.slices = 0
        if metadata.realtime_ns:
            self._clocks(metadata)

    def _write(self, packet: Any) -> None:
        trace = self._protobufs.Trace()
        trace.packet.append(packet)
        self._file.write(trace.SerializeToString())

    def _packet(self, time_ns: int) -> Any:
        packet = self._protobufs.TracePacket()
        packet.timestamp = time_ns
        packet.timestamp_clock_id = _CLOCK_MONOTONIC
        packet.trusted_packet_sequence_id = _SEQUENCE
        return packet

    def _clocks(self, metadata: Metadata) -> None:
        packet = self._packet(metadata.monotonic_ns)
        packet.clock_snapshot.primary_trace_clock = _CLOCK_MONOTONIC
        for number, time_ns in ((_CLOCK_MONOTONIC, metadata.monotonic_ns), (_CLOCK_REALTIME, metadata.realtime_ns)):
            clock = packet.clock_snapshot.clocks.add()
            clock.clock_id, clock.timestamp = number, time_ns
        self._write(packet)

    def _track(self, event: TraceEvent) -> int:
        """The track of a thread; described when it is first seen."""
        found = self._tracks.get(event.tid)
        if found is None:
            process = self._process(event)
            found = self._tracks[event.tid] = len(self._tracks) + 1
            packet = self._packet(event.time_ns)
            track = packet.track_descriptor
            track.uuid, track.parent_uuid = found, process
            track.thread.pid, track.thread.tid = event.pid, event.tid
            track.thread.thread_name = "main" if event.pid == event.tid else "thread"
            self._write(packet)
        return found

    def _process(self, event: TraceEvent) -> int:
        found = self._tracks.get(-event.pid)
        if found is None:
            found = self._tracks[-event.pid] = len(self._tracks) + 1
            packet = self._packet(event.time_ns)
            track = packet.track_descriptor
            track.uuid = found
            track.process.pid = event.pid
            track.process.process_name = self._command or "selftrace"
            self._write(packet)
        return found

    def add(self, event: TraceEvent) -> None:
        """Writes one event: a call as a slice that begins and ends, anything else as an instant."""
        kinds = self._protobufs.TrackEvent
        track = self._track(event)
        line = to_dict(event)
        packet = self._packet(event.time_ns)
        packet.track_event.type = kinds.TYPE_SLICE_BEGIN if event.kind == "call" else kinds.TYPE_INSTANT
        packet.track_event.track_uuid = track
        packet.track_event.name = event.name or event.kind
        packet.track_event.categories.append(event.kind)
        self._annotate(packet.track_event, line)
        self._write(packet)
        if event.kind == "call" and event.result is not None:
            packet = self._packet(event.time_ns + (event.duration_ns or 0))
            packet.track_event.type = kinds.TYPE_SLICE_END
            packet.track_event.track_uuid = track
            self._write(packet)
        self.slices += event.kind == "call"

    def _annotate(self, track_event: Any, line: dict[str, Any]) -> None:
        common = ("kind", "time_ns", "realtime_ns", "pid", "tid", "name", "duration_ns", "sysno", "args", "path")
        for name, value in {**line.get("args", {}), **{k: v for k, v in line.items() if k not in common}}.items():
            if value is None or value == ():
                continue
            note = track_event.debug_annotations.add()
            note.name = name
            if type(value) is int:
                if value < 1 << 63:
                    note.int_value = value
                else:
                    note.uint_value = value
            else:
                note.string_value = value if isinstance(value, str) else json.dumps(value)


def write(file: IO[bytes], metadata: Metadata, events: Iterable[TraceEvent]) -> int:
    """Writes all events; returns how many slices, one for each call. Raises UnsupportedError, OSError."""
    writer = PerfettoWriter(file, metadata)
    for event in events:
        writer.add(event)
    return writer.slices
