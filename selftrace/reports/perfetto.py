"""A trace for Perfetto (ui.perfetto.dev): a slice for each call, on a track for each thread, below its process.

Needs the package `perfetto` for its protobufs: `pip install 'selftrace[perfetto]'`.
"""

from __future__ import annotations

import json

from selftrace.errors import UnsupportedError
from selftrace.reports.jsonlines import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import IO, Any

    from selftrace.events.capture import Metadata
    from selftrace.events.event import TraceEvent

_CLOCK_REALTIME, _CLOCK_MONOTONIC = 1, 3
"""perfetto/protos/common/builtin_clock.proto."""
_SEQUENCE = 1
_BATCH = 1000


def protobufs() -> Any:
    """The package's messages. Raises UnsupportedError if it is missing."""
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
        self._protobufs = protobufs()
        self._file = file
        self._batch = self._protobufs.Trace()
        self._held = 0
        self._tracks: dict[tuple[int, int | None], int] = {}
        """(pid, tid), or (pid, None) of a process → its track."""
        self._command = " ".join(metadata.command).encode("utf-8", "replace").decode()
        self.slices = 0
        if metadata.realtime_ns:
            self._clocks(metadata)

    def flush(self) -> None:
        """Writes what is held back. Parts of a trace, one after the other, are a trace."""
        self._file.write(self._batch.SerializeToString())
        self._batch = self._protobufs.Trace()
        self._held = 0

    def _packet(self, time_ns: int) -> Any:
        if self._held == _BATCH:
            self.flush()
        self._held += 1
        packet = self._batch.packet.add()
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

    def _track(self, event: TraceEvent) -> int:
        """The track of a thread; described when it is first seen."""
        found = self._tracks.get((event.pid, event.tid))
        if found is None:
            process = self._process(event)
            found = self._tracks[event.pid, event.tid] = len(self._tracks) + 1
            packet = self._packet(event.time_ns)
            track = packet.track_descriptor
            track.uuid, track.parent_uuid = found, process
            track.thread.pid, track.thread.tid = event.pid, event.tid
            track.thread.thread_name = "main" if event.pid == event.tid else "thread"
        return found

    def _process(self, event: TraceEvent) -> int:
        found = self._tracks.get((event.pid, None))
        if found is None:
            found = self._tracks[event.pid, None] = len(self._tracks) + 1
            packet = self._packet(event.time_ns)
            track = packet.track_descriptor
            track.uuid = found
            track.process.pid = event.pid
            track.process.process_name = self._command or "selftrace"
        return found

    def add(self, event: TraceEvent) -> None:
        """Writes one event: a call as a slice that begins and ends, anything else as an instant."""
        kinds = self._protobufs.TrackEvent
        track = self._track(event)
        call = event.kind == "call"
        packet = self._packet(event.time_ns)
        slice_ = packet.track_event
        slice_.type = kinds.TYPE_SLICE_BEGIN if call else kinds.TYPE_INSTANT
        slice_.track_uuid = track
        slice_.name = event.name or event.kind
        slice_.categories.append(event.kind)
        self._annotate(slice_, plain(event.args if call else event.info))
        self.slices += call
        result = event.result
        if call and result is not None:
            packet = self._packet(event.time_ns + (event.duration_ns or 0))
            packet.track_event.type = kinds.TYPE_SLICE_END
            packet.track_event.track_uuid = track
            self._annotate(packet.track_event, {"result": result, "error": event.error, "marks": ", ".join(event.marks)})

    def _annotate(self, track_event: Any, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if value is None or value == "":
                continue
            note = track_event.debug_annotations.add()
            note.name = name
            if type(value) is str:
                note.string_value = value
            elif type(value) is not int:
                note.string_value = json.dumps(value)
            elif value < 1 << 63:
                note.int_value = value
            else:
                note.uint_value = value


def write(file: IO[bytes], metadata: Metadata, events: Iterable[TraceEvent]) -> int:
    """Writes all events; returns how many slices, one for each call. Raises UnsupportedError, OSError."""
    writer = PerfettoWriter(file, metadata)
    for event in events:
        writer.add(event)
    writer.flush()
    return writer.slices
