"""`selftrace report` as a user meets it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema_rs
import pytest
from unit.trace_reports.synthetic import METADATA, many, small, write

import selftrace
from selftrace.cli.main import main
from selftrace.events.capture import MAGIC


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return write(tmp_path / "x.strc", small())


def test_formats(capture: Path, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    for form, start in (("summary", b"% time"), ("json", b'{"kind":"trace"'), ("html", b"<!DOCTYPE html>")):
        assert main(["report", str(capture), "--format", form]) == 0
        out, error = capfdbinary.readouterr()
        assert out.startswith(start)
        assert error == b""
        assert main(["report", str(capture), "--format", form, "-o", str(tmp_path / form)]) == 0
        assert (tmp_path / form).read_bytes() == out
    assert main(["report", str(capture), "--json", "-"]) == 0
    assert capfdbinary.readouterr().out == (tmp_path / "json").read_bytes()
    assert main(["report", str(capture), "-c", "-S", "name", "-U", "calls", "-w", "--percentiles", "50", "--histogram"]) == 0
    assert capfdbinary.readouterr().out.startswith(b"    calls       p50 syscall\n")


def test_standard_input(capture: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "selftrace", "report", "-", "-c"], input=capture.read_bytes(), capture_output=True, check=True
    )
    assert b"total" in done.stdout


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--format", "nothing"], "invalid choice"),
        (["-S", "cals"], 'did you mean "calls"'),
        (["-U", "cals"], 'did you mean "calls"'),
        (["--percentiles", "0"], "percentiles lie above 0"),
        (["--limit", "x"], '"x" is no number'),
        (["--json", "-", "-c"], "one format at a time, not json and summary"),
        (["--json", "-", "-o", "x"], "not both"),
        (["-C", "-c"], "leave the format out"),
        (["-c", "-o", "SAME"], "would overwrite the capture"),
        (["-c", "-o", "/nowhere/x"], "/nowhere/x: No such file"),
    ],
)
def test_mistakes(words: list[str], what: str, capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = capture.read_bytes()
    try:
        code = main(["report", str(capture), *[str(capture) if word == "SAME" else word for word in words]])
    except SystemExit as stop:
        code = stop.code  # type: ignore[assignment]
    assert code == 2
    out, error = capsys.readouterr()
    assert what in error
    assert len(error.splitlines()) == 1
    assert out == ""
    assert capture.read_bytes() == before


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (None, "No such file or directory"),
        (b"", "not a capture"),
        (b"text\n", "not a capture"),
        (MAGIC + b"\x02\0\0\0\x10\0\0\0", "a newer selftrace is needed"),
        (MAGIC + b"\x01\0\0\0\x18\0\0\0{}", "within its header"),
        (MAGIC + b"\x01\0\0\0\x18\0\0\0garbage!", "metadata is not JSON"),
    ],
)
def test_what_cannot_be_read(data: bytes | None, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.strc"
    if data is not None:
        path.write_bytes(data)
    target = tmp_path / "out"
    assert main(["report", str(path), "--json", str(target)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"selftrace: {path}: ")
    assert what in error
    assert len(error.splitlines()) == 1
    assert not target.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture.chmod(0)
    assert main(["report", str(capture), "-c"]) == 2
    assert "Permission denied" in capsys.readouterr().err


def test_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path), "-c"]) == 2
    assert "Is a directory" in capsys.readouterr().err


def test_a_capture_that_ends_early(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = capture.read_bytes()
    capture.write_bytes(data[:-5])
    assert main(["report", str(capture), "--json", "-"]) == 1
    out, error = capsys.readouterr()
    assert [json.loads(line)["kind"] for line in out.splitlines()][-1] == "call"
    assert error == (
        f"selftrace: {capture}: the capture ends in the middle of an event: all before offset {len(data) - 40} is reported, 35 bytes left over\n"
    )


def test_a_damaged_capture(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(capture.read_bytes())
    data[-30] ^= 1
    capture.write_bytes(data)
    assert main(["report", str(capture), "-c"]) == 1
    out, error = capsys.readouterr()
    assert "total" in out
    assert f"is damaged: all before offset {len(data) - 40} is reported, 40 bytes left over" in error


def test_without_the_native_part(tmp_path: Path) -> None:
    """As on another platform: everything but strace's text."""
    path = write(tmp_path / "x.strc", many(100))
    program = (
        "import sys; sys.modules['selftrace._native'] = None\n"
        "import selftrace; from selftrace.cli.main import main\n"
        f"codes = [main(['report', {str(path)!r}, '--format', f, '-o', {str(tmp_path / 'o')!r}])"
        " for f in ('summary', 'json', 'html', 'strace')]\n"
        f"print(codes, selftrace.Trace.load({str(path)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[0, 0, 0, 2] <Trace: 100 calls, 0 other events, 0 lost>\n"
    assert "strace's text is made by selftrace's native part, which is not built here" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    path = write(tmp_path / "x.strc", many(20_000))
    line = f"{sys.executable} -m selftrace report {path} --json - | head -n 1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert json.loads(done.stdout)["kind"] == "trace"


def test_imports_are_few() -> None:
    program = "import sys, selftrace.cli.report; print([n for n in ('cffi', 'rich', 'perfetto', 'psutil', 'selftrace.session', 'dataclasses') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


class Lines:
    """Stands for the C formatter: each block of frames becomes a line."""

    NULL = None

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self.freed = False

    def new(self, kind: str) -> Any:
        return SimpleNamespace() if "options" in kind else [0]

    def from_buffer(self, data: bytes) -> bytes:
        return data

    def buffer(self, data: bytes, size: int) -> bytes:
        return data[:size]

    def st_lines_defaults(self, options: Any) -> None:
        options.numbers = 0

    def st_lines_new(self, options: Any) -> Lines:
        self.options = options
        return self

    def st_lines_feed(self, lines: Lines, frames: bytes, size: int) -> None:
        if size:
            self.waiting.append(b"%d bytes\n" % size)

    def st_lines_finish(self, lines: Lines, detached: int) -> None:
        self.waiting.append(b"end\n")

    def st_lines_text(self, lines: Lines, tid: list[int], size: list[int]) -> bytes | None:
        size[0] = len(self.waiting[0]) if self.waiting else 0
        return self.waiting[0] if self.waiting else None

    def st_lines_taken(self, lines: Lines, tid: int) -> None:
        self.waiting.pop(0)

    def st_lines_free(self, lines: Lines) -> None:
        self.freed = True


def test_text_goes_through_the_formatter(
    capture: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines()
    monkeypatch.setattr("selftrace.reports.text.native", lambda: (lines, lines))
    assert main(["report", str(capture), "-tt", "-T", "-x", "-C", "-N"]) == 0
    text, end, *table = capfdbinary.readouterr().out.decode().splitlines()
    assert (text, end) == (f"{sum(map(len, small()))} bytes", "end")
    assert table[0].startswith("% time")
    assert lines.freed
    options = lines.options
    assert (options.absolute, options.absolute_digits, options.times, options.hex_strings, options.relative) == (1, 6, 1, 1, 0)
    assert (options.arg_names, options.numbers) == (1, 0)
    assert options.start_ns == METADATA.realtime_ns - METADATA.monotonic_ns


def exported(path: Path, form: str, target: Path) -> Path:
    """What `selftrace report` writes into a file, in a process of its own, whose memory stays bounded."""
    program = (
        "from selftrace.cli.main import main\n"
        f"code = main(['report', {str(path)!r}, '--format', {form!r}, '-o', {str(target)!r}])\n"
        "memory = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(code, memory.split()[1])"  # not ru_maxrss: that begins with what its parent had
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    code, kilobytes = map(int, done.stdout.split())
    assert code == 0
    assert kilobytes < 100_000
    return target


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture of a million calls, and of one event of each other kind."""
    source = itertools.chain(many(1_000_000), small())
    return write(tmp_path_factory.mktemp("million") / "x.strc", source, METADATA)


@pytest.mark.slow
def test_a_table_of_a_million_calls(million: Path, tmp_path: Path) -> None:
    total = exported(million, "summary", tmp_path / "summary").read_text().splitlines()[-1]
    assert total.split()[3] == "1000008"  # two did not return


@pytest.mark.slow
def test_each_of_a_million_lines_is_what_the_schema_says(million: Path, tmp_path: Path) -> None:
    schema = json.loads((Path(selftrace.__file__).parent / "reports/trace.schema.json").read_text())
    validator = jsonschema_rs.validator_for(schema)  # 4 µs a line, where jsonschema takes milliseconds
    kinds: Counter[str] = Counter()
    with open(exported(million, "json", tmp_path / "json")) as file:
        for line in file:
            event = json.loads(line)
            validator.validate(event)
            kinds[event["kind"]] += 1
    assert kinds == {"trace": 1, "call": 1_000_010, "signal": 1, "exec": 1, "fork": 1, "exit": 1, "lost": 1}


@pytest.mark.slow
def test_a_million_slices_of_perfetto_are_the_calls(million: Path, tmp_path: Path) -> None:
    """Parsed by the perfetto package's own messages, and compared with what the capture's reader counts."""
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace as PerfettoTrace
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackEvent

    trace = PerfettoTrace()
    trace.ParseFromString(exported(million, "perfetto", tmp_path / "perfetto").read_bytes())
    begun: Counter[str] = Counter()
    ended = 0
    for packet in trace.packet:
        event = packet.track_event
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            begun[event.name] += 1
        ended += event.type == TrackEvent.TYPE_SLICE_END
    calls = Counter(event.name for event in selftrace.Trace.load(million) if event.kind == "call")
    assert begun == calls and begun.total() == 1_000_010
    assert ended == begun.total() - 2  # a futex and an exit_group did not return
