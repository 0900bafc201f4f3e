"""What becomes of a trace: JSON lines, the table, Perfetto, the page."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import jsonschema
import pytest
from unit.trace_reports.synthetic import BUFFER, METADATA, Program, many, memory, small

import selftrace
from selftrace import Trace
from selftrace.events.capture import Metadata
from selftrace.events.counts import Counts
from selftrace.events.pairing import Pairing
from selftrace.reports import jsonlines, page, perfetto, summary

SCHEMA = json.loads((Path(selftrace.__file__).parent / "reports" / "trace.schema.json").read_text())
HEAD = "% time     seconds  usecs/call     calls    errors syscall"
RULE = "------ ----------- ----------- --------- --------- ----------------"


def as_lines(frames_: object, metadata: Metadata = METADATA) -> list[dict]:
    events = Pairing(metadata).events(frames_)  # type: ignore[arg-type]
    return [json.loads(line) for line in jsonlines.lines(metadata, events)]


def test_json_is_what_its_schema_says() -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    validator.check_schema(SCHEMA)
    odd = Program()
    odd.call("read", 0, BUFFER, 3, into=((0, 3, b"a.py:1:f\n"),), out=(memory(BUFFER, b"\x00\xff"),))
    for line in [*as_lines(small()), *as_lines(many(200)), *as_lines(odd.frames), *as_lines([], Metadata(command=("\udcff",)))]:
        validator.validate(line)
    assert {line["kind"] for line in as_lines(small())} == {"trace", "call", "signal", "exec", "fork", "exit", "lost"}


def test_json_is_refused_by_the_schema_when_it_is_something_else() -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    call = as_lines(small())[1]
    for change in ({"kind": "call2"}, {"result": "3"}, {"marks": ["odd"]}, {"more": 1}):
        assert not validator.is_valid({**call, **change})


def test_json_says_what_happened() -> None:
    first, *events = as_lines(small())
    assert (first["schema"], first["command"], first["arch"]) == (1, ["sh", "-c", "make all"], "x86_64")
    opened, read, failed = events[:3]
    assert opened["args"] == {"dfd": -100, "filename": "/etc/hosts", "flags": ["O_RDONLY", "O_CLOEXEC"]}
    assert (read["args"]["buf"], read["path"]) == ("hello", "/etc/hosts")
    assert failed["path"] == {"base64": "L25vL/8="}
    assert (failed["result"], failed["error"]) == (-2, "ENOENT")


def table_of(frames_: object, **options: object) -> list[str]:
    return list(summary.table(Trace(frames_, METADATA).counts(), **options))  # type: ignore[arg-type]


def test_the_table_is_straces() -> None:
    program = Program()
    for result in (3, "ENOENT", 4):
        program.call("openat", result=result, after=2_156_700)
    for _ in range(7):
        program.call("read", result=1, after=1900)
    program.enter("exit_group", 0)
    assert table_of(program.frames) == [
        HEAD,
        RULE,
        " 99.79    0.006470        2156         3         1 openat",
        "  0.21    0.000013           1         7           read",
        RULE,
        "100.00    0.006483         648        10         1 total",
    ]
    assert table_of(program.frames, show=summary.columns("max-time,shortest,calls")) == [
        " longest shortest     calls syscall",
        "-------- -------- --------- ----------------",
        "0.002157 0.002157         3 openat",
        "0.000002 0.000002         7 read",
        "-------- -------- --------- ----------------",
        "0.002157 0.000002        10 total",
    ]
    assert table_of(program.frames, show=summary.columns("name,errors"), sort="calls") == [
        "syscall             errors",
        "---------------- ---------",
        "read                      ",
        "openat                   1",
        "---------------- ---------",
        "total                    1",
    ]


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("columns", ["", "name,max-time,errors,min-time,calls", "calls,name,avg-time"])
def test_the_table_is_laid_out_as_straces(columns: str) -> None:
    options = ["-U", columns] if columns else []
    command = ["strace", "-w", "-c", "-S", "name", *options, "sh", "-c", "ls / /nowhere"]
    theirs = subprocess.run(command, capture_output=True, text=True, check=False).stderr.splitlines()
    theirs = theirs[[line.strip("- ") for line in theirs].index("") - 1 :]  # ls complains first
    program = Program()
    for line in theirs[2:-2]:
        name = next(word for word in line.split() if word.isidentifier())
        failed = "ENOENT" if len(line.split()) == len(theirs[0].replace("% time", "time").split()) else 0
        program.call(name, result=failed, after=5_000)
    ours = table_of(program.frames, sort="name", show=summary.columns(columns) if columns else summary.DEFAULT)
    assert ours[:2] == theirs[:2]
    for our, their in zip(ours, theirs, strict=True):
        assert [m.end() for m in re.finditer(r"\S+", our)] == [m.end() for m in re.finditer(r"\S+", their)], (our, their)
        assert len(our) == len(their)


@pytest.mark.parametrize("key", ["time", "min-time", "longest", "avg-time", "count", "error", "syscall", "none"])
def test_the_table_is_sorted(key: str) -> None:
    lines = table_of(many(2000), sort=summary.sort_key(key))
    names = [line.split()[-1] for line in lines[2:-2]]
    counts = {count.name: count for count in Trace(many(2000), METADATA).counts()}
    by = {
        "time": lambda c: -c.total_ns,
        "min-time": lambda c: -c.shortest_ns,
        "longest": lambda c: -c.longest_ns,
        "avg-time": lambda c: -c.total_ns / c.calls,
        "count": lambda c: -c.calls,
        "error": lambda c: -c.errors,
        "syscall": lambda c: c.name,
        "none": lambda c: c.sysno,
    }[key]
    assert [by(counts[name]) for name in names] == sorted(map(by, counts.values()))


def test_mistakes_in_keys_and_columns_are_named() -> None:
    for wrong in (lambda: summary.sort_key("cals"), lambda: summary.columns("calls,cals")):
        with pytest.raises(ValueError, match='"cals"; did you mean "calls"'):
            wrong()
    for text in ("0", "101", "x", "", "nan"):
        with pytest.raises(ValueError):
            summary.percentiles(text)
    with pytest.raises(ValueError, match="is there already"):
        summary.columns("calls,count")


def test_percentiles_and_histogram() -> None:
    lines = table_of(many(2000), at=(50, 99.9))
    assert lines[0].endswith("      p50     p99.9 syscall")
    text = "\n".join(summary.histograms(Trace(many(2000), METADATA).counts()))
    assert re.search(r"^futex: \d+ calls$", text, re.M)
    assert "█" in text


def test_an_empty_trace() -> None:
    assert table_of([]) == [HEAD, RULE, RULE, "100.00    0.000000           0         0           total"]
    assert page.render(METADATA, [])
    assert len(as_lines([])) == 1
    assert Trace()._repr_html_()


def parsed(frames_: object, metadata: Metadata = METADATA) -> tuple[int, object]:
    pytest.importorskip("perfetto")
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace as PerfettoTrace

    file = io.BytesIO()
    slices = perfetto.write(file, metadata, Pairing(metadata).events(frames_))  # type: ignore[arg-type]
    trace = PerfettoTrace()
    trace.ParseFromString(file.getvalue())
    return slices, trace


def test_perfetto_parses_back() -> None:
    slices, trace = parsed(many(3000))
    events = [packet.track_event for packet in trace.packet if packet.HasField("track_event")]  # type: ignore[attr-defined]
    kinds = Counter(event.type for event in events)
    assert slices == kinds[1] == kinds[2] == 3000  # SLICE_BEGIN, SLICE_END
    names = Counter(event.name for event in events if event.type == 1)
    assert names == Counter(event.name for event in Trace(many(3000), METADATA))
    tracks = [packet.track_descriptor for packet in trace.packet if packet.HasField("track_descriptor")]  # type: ignore[attr-defined]
    threads = {track.uuid: (track.thread.pid, track.thread.tid) for track in tracks if track.HasField("thread")}
    processes = {track.uuid: track.process.pid for track in tracks if track.HasField("process")}
    assert sorted(processes.values()) == [100, 103, 106]
    assert len(threads) == 9
    assert {event.track_uuid for event in events} == set(threads)
    assert all(processes[track.parent_uuid] == track.thread.pid for track in tracks if track.HasField("thread"))


def test_perfetto_slices_begin_and_end_in_turn() -> None:
    _, trace = parsed(many(2000))
    packets = [packet for packet in trace.packet if packet.HasField("track_event")]  # type: ignore[attr-defined]
    inside: Counter[int] = Counter()
    for packet in sorted(packets, key=lambda packet: packet.timestamp):
        inside[packet.track_event.track_uuid] += {1: 1, 2: -1}[packet.track_event.type]
        assert inside[packet.track_event.track_uuid] in (0, 1)
    assert {packet.timestamp_clock_id for packet in packets} == {3}  # BUILTIN_CLOCK_MONOTONIC


def test_perfetto_has_everything() -> None:
    _, trace = parsed(small(), Metadata(command=("\udcff",), realtime_ns=5, monotonic_ns=4))
    events = [packet.track_event for packet in trace.packet if packet.HasField("track_event")]  # type: ignore[attr-defined]
    assert {event.name for event in events if event.type == 3} == {"fork", "SIGCHLD", "lost", "exec", "exit"}
    opened = next(event for event in events if event.name == "openat")
    notes = {note.name: note.string_value or note.int_value for note in opened.debug_annotations}
    assert notes == {"dfd": -100, "filename": "/etc/hosts", "flags": '["O_RDONLY", "O_CLOEXEC"]'}


def test_perfetto_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("perfetto.protos.perfetto.trace", "perfetto.protos.perfetto.trace.perfetto_trace_pb2"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(selftrace.UnsupportedError, match=re.escape("pip install 'selftrace[perfetto]'")):
        perfetto.write(io.BytesIO(), METADATA, [])


def data_of(html: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert found is not None
    return json.loads(found[1])


def test_the_page_stands_alone() -> None:
    html = page.render(METADATA, Trace(small(), METADATA))
    assert not re.search(
        r"https?:|//[a-z]|<link|@import|src=|url\(", re.sub(r"<script type=.application/json.*?</script>", "", html, flags=re.S)
    )
    assert html.count("<script") == 2


def test_the_page_holds_the_trace() -> None:
    data = data_of(page.render(METADATA, Trace(small(), METADATA)))
    columns = ("time", "duration", "name", "thread", "result", "error", "path", "args", "marks", "kind")
    assert {len(data[name]) for name in columns} == {15}
    assert data["names"][data["name"][0]] == "openat"
    assert data["args"][0] == 'AT_FDCWD, "/etc/hosts", O_RDONLY|O_CLOEXEC'
    assert data["args"][2] == 'AT_FDCWD, "/no/\\377", O_WRONLY|O_CREAT, 0644'
    assert data["errors"][data["error"][2]] == "ENOENT"
    assert data["threads"] == [[100, 100], [100, 101]]
    assert data["notes"] == ["7 events were lost: they did not fit, or were not whole."]
    assert {len(data["group"]), len(data["names"])} == {len(data["names"])}
    assert data["total"]["calls"] == 8


def test_the_page_is_safe_from_what_it_shows() -> None:
    program = Program()
    program.call("open", BUFFER, into=(memory(BUFFER, b"</script><script>alert(1)</script>\0"),))
    html = page.render(Metadata(command=("<b>", "</script>")), Trace(program.frames, METADATA))
    assert html.count("</script>") == 2
    assert data_of(html)["command"] == "<b> </script>"


def test_the_page_has_a_limit() -> None:
    data = data_of(page.render(METADATA, Trace(many(500), METADATA), limit=100))
    assert (len(data["time"]), data["total"]["calls"]) == (100, 500)
    assert data["notes"][0].startswith("The first 100 of 500 events")


def test_counts_pass_over_what_did_not_return() -> None:
    counts = Counts()
    for event in Trace(small(), METADATA):
        counts.add(event)
    assert "exit_group" not in {count.name for count in counts}
    assert counts.total().calls == 8
