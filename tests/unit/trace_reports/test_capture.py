"""Capture files: what is written is read, and what is not whole or not ours is said."""

from __future__ import annotations

import contextlib
import io
import json
import random
import struct
from pathlib import Path

import pytest
from unit.trace_reports.synthetic import METADATA, many, small, write

import selftrace
from selftrace import Trace, TraceFileError
from selftrace.events import frames
from selftrace.events.capture import MAGIC, VERSION, Capture, CaptureWriter, Metadata, encode_header
from selftrace.events.frames import Finder
from selftrace.reports.jsonlines import lines

BOTH = pytest.mark.parametrize("native", [True, False])


def whole() -> bytes:
    return encode_header(METADATA) + b"".join(small())


def read(data: bytes, native: bool = True) -> tuple[Capture, list[bytes]]:
    capture = Capture(io.BytesIO(data), native=native)
    return capture, list(capture)


def test_layout_is_the_header_files() -> None:
    from selftrace._native import ffi, lib

    assert frames.STAMP == lib.ST_EVENT_STAMP
    assert frames.LONGEST == lib.ST_EVENT_MAX
    kinds = "ENTRY EXIT SIGNAL EXEC TASK END CLOCK LOST INJECTED DELAYED RESTART NO_RETURN CUT REFUSED CANCELLED GROUP"
    for name in kinds.split():
        assert getattr(frames, name) == getattr(lib, f"ST_EVENT_{name}"), name
    assert (frames.MEMORY, frames.FD_LINK, frames.REGISTERS, frames.PYTHON) == (
        lib.ST_CHUNK_MEMORY,
        lib.ST_CHUNK_FD,
        lib.ST_CHUNK_REGISTERS,
        lib.ST_CHUNK_PYTHON,
    )
    frame = frames.make_frame(frames.ENTRY, 1, 2, 3, 4, flags=5, args=(1, 2, 3, 4, 5, -6), site=7)
    entry = ffi.from_buffer("struct st_entry *", frame)
    event = entry.event
    assert len(frame) == event.size == ffi.sizeof("struct st_entry") == frames.body_end(frames.ENTRY)
    assert (event.time, event.pid, event.tid, event.kind, event.flags, event.sysno) == (1, 2, 3, frames.ENTRY, 5, 4)
    assert ([*entry.args], entry.site) == ([1, 2, 3, 4, 5, (1 << 64) - 6], 7)
    assert frames.body_end(frames.EXIT) == ffi.sizeof("struct st_exit")
    assert frames.body_end(frames.SIGNAL) == ffi.sizeof("struct st_event")


def test_checksums_in_c_and_in_python_agree() -> None:
    from selftrace._native import ffi, lib

    for frame in [*small(), *many(50)]:
        total = lib.st_event_sum(ffi.from_buffer("struct st_event *", frame))
        assert total == int.from_bytes(frame[12:16], "little")
        assert total == frames.checksum(frame[:12] + bytes(4) + frame[16:])


def test_every_flipped_bit_is_seen() -> None:
    frame = small()[0]
    for native in (True, False):
        find = Finder(native=native)
        assert find(frame) == ([0], len(frame), False)
        for at in range(len(frame) * 8):
            damaged = bytearray(frame)
            damaged[at // 8] ^= 1 << at % 8
            offsets, end, _ = find(bytes(damaged))
            assert (offsets, end) == ([], 0), at


@BOTH
def test_what_is_written_is_read(native: bool, tmp_path: Path) -> None:
    path = write(tmp_path / "x.strc", small())
    with Capture(path, native=native) as capture:
        assert capture.metadata == METADATA
        assert [*capture] == small()
        assert (capture.left_bytes, capture.corrupt, capture.remark) == (0, False, "")
        assert capture.offset == path.stat().st_size
    assert path.read_bytes()[: len(MAGIC)] == MAGIC
    assert len(encode_header(METADATA)) % 8 == 0


def test_words_that_are_no_text(tmp_path: Path) -> None:
    metadata = Metadata(command=("a\udcff", "é"))
    with Capture(write(tmp_path / "x", [], metadata)) as capture:
        assert capture.metadata.command == metadata.command


@BOTH
def test_cut_at_every_byte(native: bool) -> None:
    data, all_frames = whole(), small()
    header = len(encode_header(METADATA))
    ends = [header]
    for frame in all_frames:
        ends.append(ends[-1] + len(frame))
    for size in range(len(data)):
        if size < header:
            with pytest.raises(TraceFileError, match="not a capture" if size == 0 else f"ends after {size} bytes"):
                read(data[:size], native)
            continue
        capture, found = read(data[:size], native)
        count = sum(end <= size for end in ends) - 1
        assert found == all_frames[:count]
        assert (capture.left_bytes, capture.corrupt) == (size - ends[count], False)
        assert bool(capture.remark) == (size not in ends)
        for line in lines(capture.metadata, Trace(found, capture.metadata)):
            json.loads(line)


@BOTH
def test_damage_is_found_where_it_is(native: bool) -> None:
    data, chance = whole(), random.Random(4)
    header, originals = len(encode_header(METADATA)), small()
    for _ in range(300):
        at = chance.randrange(header, len(data))
        damaged = bytearray(data)
        damaged[at] ^= chance.randrange(1, 256)
        capture, found = read(bytes(damaged), native)
        assert found == originals[: len(found)]
        assert capture.offset <= at
        assert capture.left_bytes == len(data) - capture.offset
        assert "is damaged" in capture.remark or "ends in the middle" in capture.remark


def test_a_damaged_header_raises_the_documented_error() -> None:
    data, chance = encode_header(METADATA), random.Random(5)
    for _ in range(2000):
        damaged = bytearray(data)
        for _ in range(chance.choice([1, 1, 2, 8])):
            damaged[chance.randrange(len(data))] = chance.randrange(256)
        with contextlib.suppress(TraceFileError):
            capture, found = read(bytes(damaged))
            Trace(found, capture.metadata)


@pytest.mark.parametrize(
    ("metadata", "what"),
    [
        (b"[]", "no JSON object"),
        (b"{", "not JSON"),
        (b"\xff{}", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"command": "x"}', '"command" is "x"'),
        (b'{"string_limit": -1}', '"string_limit" is -1'),
        (b'{"arch": null}', '"arch" is null'),
    ],
)
def test_metadata_that_make_no_sense(metadata: bytes, what: str) -> None:
    metadata += b" " * (-len(metadata) % 8)
    with pytest.raises(TraceFileError, match="damaged header") as info:
        read(struct.pack("<8sII", MAGIC, 1, 16 + len(metadata)) + metadata)
    assert what in str(info.value)


def test_unknown_metadata_and_frames_are_passed_over() -> None:
    metadata = b'{"later": {"a": 1}, "arch": "x86_64"} '
    metadata += b" " * (-len(metadata) % 8)
    odd = frames.make_frame(77, 1, 2, 3, 4, chunks=[(0, 99, b"?")])
    capture, found = read(struct.pack("<8sII", MAGIC, 1, 16 + len(metadata)) + metadata + odd + small()[0])
    assert found == [odd, small()[0]]
    assert [event.name for event in Trace(found, capture.metadata)] == ["openat"]


def test_a_newer_format_is_refused_with_both_versions() -> None:
    with pytest.raises(TraceFileError) as info:
        read(struct.pack("<8sII", MAGIC, VERSION + 1, 16) + bytes(100))
    assert f"format {VERSION + 1}" in str(info.value)
    assert f"selftrace {selftrace.__version__} reads format {VERSION}" in str(info.value)


def test_an_architecture_without_tables() -> None:
    for arch in ("", "riscv", "../x", "x86_64.y", "a\0b"):
        with pytest.raises(TraceFileError, match="no tables"):
            Trace([], Metadata(arch=arch))


def test_other_files_are_no_captures(tmp_path: Path) -> None:
    for data in (b"", b"#!/bin/sh\n", MAGIC[:-1] + b"?" * 40, b"\x7fELF" * 100):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(TraceFileError, match="not a capture"):
            Capture(tmp_path / "x")


def test_frames_have_a_greatest_length() -> None:
    assert len(frames.make_frame(frames.EXIT, 0, 1, 1, 0, chunks=[(0, 0, bytes(frames.LONGEST - 64))])) == frames.LONGEST
    with pytest.raises(ValueError, match=f"{frames.LONGEST + 8} bytes"):
        frames.make_frame(frames.EXIT, 0, 1, 1, 0, chunks=[(0, 0, bytes(frames.LONGEST - 63))])


@BOTH
def test_blocks_may_end_anywhere(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    data = whole()
    for size in (1, 7, 40, 97, 1000):
        monkeypatch.setattr("selftrace.events.capture._BLOCK", size)
        assert read(data, native)[1] == small()


def test_a_capture_being_written_can_be_read(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "x", METADATA) as writer:
        for frame in small():
            writer.add(frame)
        writer._file.flush()
        assert len(Trace.load(tmp_path / "x")) > 3
