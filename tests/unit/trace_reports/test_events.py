"""From frames to events: pairing, and values of arguments."""

from __future__ import annotations

import random
import struct

import pytest
from unit.trace_reports.synthetic import (
    BUFFER,
    METADATA,
    OTHER,
    REALTIME_NS,
    START_NS,
    TEXT,
    Program,
    many,
    memory,
    small,
    sysno,
)

from selftrace import Trace, TraceEvent
from selftrace.calls import table
from selftrace.events import frames
from selftrace.events.counts import Count
from selftrace.events.pairing import Pairing
from selftrace.reports import jsonlines, page
from selftrace.result import Frame


def only(program: Program) -> TraceEvent:
    (event,) = Trace(program.frames, METADATA)
    return event


def one(name: str, *args: int, result: int | str = 0, into: tuple = (), out: tuple = ()) -> TraceEvent:
    program = Program()
    program.call(name, *args, result=result, into=into, out=out)
    return only(program)


def test_a_call() -> None:
    event = Trace(small(), METADATA).events[0]
    assert (event.kind, event.name, event.sysno, event.pid, event.tid) == ("call", "openat", sysno("openat"), 100, 100)
    assert (event.result, event.error, event.duration_ns) == (3, None, 1000)
    assert (event.time_ns, event.realtime_ns) == (START_NS, REALTIME_NS)
    assert event.args == {"dfd": -100, "filename": "/etc/hosts", "flags": ("O_RDONLY", "O_CLOEXEC")}
    assert (event.path, event.paths, event.injected, event.marks) == ("/etc/hosts", ("/etc/hosts",), False, ())
    assert repr(event).startswith("<openat(dfd=-100, filename='/etc/hosts'")


def test_kinds_other_than_calls() -> None:
    by_kind = {event.kind: event for event in Trace(small(), METADATA)}
    assert by_kind["fork"].info == {"parent": 100, "thread": True}
    assert by_kind["signal"].name == "SIGCHLD"
    assert by_kind["signal"].info["si_pid"] == 102
    assert by_kind["exit"].info == {"exit_code": 3, "signal": None}
    assert by_kind["lost"].info == {"count": 7}
    assert by_kind["exec"].info == {"former_tid": 100}
    for event in by_kind.values():
        assert repr(event)
        assert event.kind == "call" or (event.args, event.result, event.error, event.path, event.stack) == (
            {},
            None,
            None,
            None,
            (),
        )


def test_errors_and_faults() -> None:
    events = Trace(small(), METADATA).calls()
    assert [event.error for event in events[:6]] == [None, None, "ENOENT", "ECONNREFUSED", "EINVAL", "ENOSYS"]
    assert [event.name for event in events if event.injected] == ["connect"]
    assert events[3].marks == ("injected",)
    assert one("mmap", result=-4096).error is None
    assert one("read", result=-512).error == "ERESTARTSYS"


def test_paths_that_are_no_text() -> None:
    event = Trace(small(), METADATA).events[2]
    assert event.path == "/no/\udcff"
    assert event.args["mode"] == 0o644


def test_calls_that_do_not_return() -> None:
    trace = Trace(small(), METADATA)
    (futex,) = trace.calls("futex")
    assert (futex.result, futex.error, futex.duration_ns, futex.tid) == (None, None, None, 101)
    (ended,) = trace.calls("exit_group")
    assert ended.result is None
    (replaced,) = trace.calls("execve")
    assert (replaced.result, replaced.duration_ns, replaced.args["argv"]) == (0, 0, ["true"])


def test_a_call_under_way_gets_its_result_later() -> None:
    program = Program()
    program.enter("read", 0, BUFFER, 9)
    program.leave("read", 4, chunks=(memory(BUFFER, b"late"),))
    trace = Trace(program.frames[:1], METADATA)
    assert [event.result for event in trace] == [None]
    trace.extend(program.frames[1:])
    assert [(event.result, event.args["buf"]) for event in trace] == [(4, b"late")]


def test_halves_that_do_not_fit_together() -> None:
    program = Program()
    program.leave("read", 4)  # its beginning was lost
    program.enter("write", 1, BUFFER, 3)
    program.leave("close", 0)  # the end of write and the beginning of close were lost
    program.enter("getpid")
    program.enter("getppid")
    program.leave("getppid", 1)
    found = [(event.name, event.result, event.duration_ns, event.args) for event in Trace(program.frames, METADATA)]
    assert found == [
        ("read", 4, None, {}),
        ("write", None, None, {"fd": 1, "buf": BUFFER, "count": 3}),
        ("close", 0, None, {}),
        ("getpid", None, None, {}),
        ("getppid", 1, 1000, {}),
    ]


def test_exec_from_another_thread() -> None:
    program = Program()
    program.enter("wait4", -1, 0, 0, 0)
    program.enter("pause", tid=102)
    program.enter("execve", TEXT, 0, 0, tid=101)
    program.other(frames.EXEC, 101)
    program.leave("execve", 0)
    found = {event.name: (event.result, event.tid) for event in Trace(program.frames, METADATA).calls()}
    assert found == {"wait4": (None, 100), "pause": (None, 102), "execve": (0, 100)}


def test_a_call_that_a_signal_put_off_is_not_counted_twice() -> None:
    program = Program()
    program.call("pause", result=-512, flags=frames.CANCELLED)
    program.call("pause", result="EINTR")
    assert [event.error for event in Trace(program.frames, METADATA)] == ["EINTR"]


def test_the_end_of_a_process_ends_what_its_threads_do() -> None:
    program = Program()
    program.enter("pause", tid=101)
    program.enter("pause", tid=102)
    program.frames.append(frames.make_frame(frames.END, program.now, 100, 101, 0, flags=frames.GROUP))
    pairing = Pairing(METADATA)
    assert [event.name for event in pairing.feed(program.frames)] == ["pause", "pause", ""]
    assert pairing.unfinished() == []


def test_clock_frames_move_the_wall_clock() -> None:
    program = Program()
    program.call("getpid")
    program.other(frames.CLOCK, 0, chunks=(memory(0, (program.now + 42).to_bytes(8, "little")),))
    program.call("getpid")
    first, second = Trace(program.frames, METADATA)
    assert first.realtime_ns == REALTIME_NS
    assert second.realtime_ns == second.time_ns + 42


@pytest.mark.parametrize(
    ("event", "wanted"),
    [
        (one("lseek", 3, -1, 2), {"fd": 3, "offset": -1, "whence": "SEEK_END"}),
        (one("kill", -5, 15), {"pid": -5, "sig": "SIGTERM"}),
        (one("close", -1), {"fd": -1}),
        (
            one("mmap", 0, 9, 0, 0x22, 0xFFFFFFFF, 0),
            {"addr": 0, "len": 9, "prot": ("PROT_NONE",), "flags": ("MAP_PRIVATE", "MAP_ANONYMOUS"), "fd": -1, "off": 0},
        ),
        (
            one("clone", 0x1200011),
            {
                "clone_flags": ("CLONE_CHILD_CLEARTID", "CLONE_CHILD_SETTID", "SIGCHLD"),
                **dict.fromkeys(("newsp", "parent_tidptr", "child_tidptr", "tls")),
            },
        ),
        (
            one(
                "execve",
                TEXT,
                BUFFER,
                OTHER,
                into=(memory(BUFFER, struct.pack("<QQ", 1, 0)), memory(1, b"x" * 33), memory(OTHER, struct.pack("<QQ", 2, 0))),
            ),
            {"filename": TEXT, "argv": ["x" * 32], "envp": OTHER},
        ),
        (one("open", TEXT, 0), {"filename": TEXT, "flags": ("O_RDONLY",)}),
        (one("unlink", 0), {"pathname": None}),
        (
            one("pipe2", BUFFER, 0o2000000, out=(memory(BUFFER, struct.pack("<ii", 3, 4)),)),
            {"fildes": [3, 4], "flags": ("O_CLOEXEC",)},
        ),
        (
            one("nanosleep", BUFFER, 0, into=(memory(BUFFER, struct.pack("<qq", 1, 5)),)),
            {"rqtp": {"tv_sec": 1, "tv_nsec": 5}, "rmtp": None},
        ),
        (
            one("poll", BUFFER, 1, -1, into=(memory(BUFFER, struct.pack("<ihh", 7, 1, 0)),)),
            {"ufds": [{"fd": 7, "events": 1, "revents": 0}], "nfds": 1, "timeout_msecs": -1},
        ),
        (
            one("writev", 1, BUFFER, 2, into=(memory(BUFFER, struct.pack("<4Q", TEXT, 2, OTHER, 9)), memory(TEXT, b"ab"))),
            {"fd": 1, "vec": [{"iov_base": b"ab", "iov_len": 2}, {"iov_base": OTHER, "iov_len": 9}], "vlen": 2},
        ),
        (
            one("connect", 3, BUFFER, 110, into=(memory(BUFFER, struct.pack("<H", 1) + b"/run/x\0"),)),
            {"fd": 3, "uservaddr": {"family": "AF_UNIX", "path": "/run/x"}, "addrlen": 110},
        ),
        (
            one("bind", 3, BUFFER, 12, into=(memory(BUFFER, struct.pack("<HH", 16, 0) + bytes(8)),)),
            {"fd": 3, "umyaddr": {"family": "AF_NETLINK", "data": bytes(10)}, "addrlen": 12},
        ),
        (one("fstat", 3, BUFFER, out=(memory(BUFFER, b"short"),)), {"fd": 3, "statbuf": b"short"}),
    ],
    ids=lambda value: value.name if isinstance(value, TraceEvent) else "",
)
def test_values(event: TraceEvent, wanted: dict[str, object]) -> None:
    assert event.args == wanted


def test_structures() -> None:
    stat = struct.pack("<QQQIIIIQqqq6q", 1, 2, 3, 0o100644, 5, 6, 0, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
    found = one("newfstatat", -100, TEXT, BUFFER, 0, out=(memory(BUFFER, stat),)).args["statbuf"]
    assert (found["st_mode"], found["st_size"], found["st_ctime_nsec"]) == (0o100644, 8, 16)
    header = struct.pack("<7Q", 0, 0, OTHER, 1, 0, 0, 0)
    message = one(
        "sendmsg", 3, BUFFER, 0, into=(memory(BUFFER, header), memory(OTHER, struct.pack("<QQ", TEXT, 3)), memory(TEXT, b"abc"))
    ).args["msg"]
    assert message["msg_iov"] == [{"iov_base": b"abc", "iov_len": 3}]
    assert message["msg_name"] is None


def test_futex_operations() -> None:
    for op, wanted in (
        (128, ("FUTEX_WAIT", "FUTEX_PRIVATE_FLAG")),
        (1, ("FUTEX_WAKE",)),
        (393, ("FUTEX_WAIT_BITSET", *("FUTEX_PRIVATE_FLAG", "FUTEX_CLOCK_REALTIME"))),
    ):
        assert one("futex", OTHER, op, 1).args["op"] == wanted


def test_the_decoders_table() -> None:
    """Structures and names that only native/generate/data/decode.txt knows."""
    pytest.importorskip("selftrace.calls._decode_x86_64")
    names = b"".join(word.ljust(65, b"\0") for word in (b"Linux", b"host", b"6.1", b"#1", b"x86_64", b"(none)"))
    (found,) = one("uname", BUFFER, out=(memory(BUFFER, names),)).args.values()
    assert found["release"] == "6.1"
    times = one("setitimer", 0, BUFFER, 0, into=(memory(BUFFER, struct.pack("<4q", 1, 2, 3, 4)),)).args
    assert times["which"] == "ITIMER_REAL"
    assert times["value"] == {"it_interval": {"tv_sec": 1, "tv_usec": 2}, "it_value": {"tv_sec": 3, "tv_usec": 4}}
    assert one("faccessat", -100, TEXT, 6).args["mode"] == ("R_OK", "W_OK")
    assert one("faccessat", -100, TEXT, 0).args["mode"] == ("F_OK",)
    assert one("madvise", 0, 0, 999).args["behavior"] == 999
    flags = one("renameat2", -100, TEXT, -100, TEXT, 0x101).args["flags"]
    assert flags == ("RENAME_NOREPLACE", "0x100")
    (info,) = one("sysinfo", BUFFER, out=(memory(BUFFER, bytes(8) + struct.pack("<3Q", 5, 6, 7) + bytes(80)),)).args.values()
    assert info["loads"] == [5, 6, 7]


def test_descriptors_and_stacks() -> None:
    event = one(
        "read",
        3,
        BUFFER,
        4,
        into=(
            (-100, frames.FD_LINK, b"/cwd"),
            (3, frames.FD_LINK, b"/etc/hosts"),
            (0, frames.PYTHON, b"a.py:7:f\nb.py:9:<module>\nodd\n"),
        ),
    )
    assert event.descriptors == {-100: "/cwd", 3: "/etc/hosts"}
    assert (event.path, event.paths) == ("/etc/hosts", ("/etc/hosts",))
    assert event.stack == (Frame("a.py", 7, "f"), Frame("b.py", 9, "<module>"), Frame("", 0, "odd"))


def test_buffers_are_as_long_as_asked_for() -> None:
    event = one("write", 1, BUFFER, 99, into=(memory(BUFFER, bytes(33)),))
    assert event.args["buf"] == bytes(32)


def test_every_call_decodes_with_and_without_memory() -> None:
    for call in table().by_number.values():
        for chunk in (b"", b"\0", b"ab\0", bytes(range(256)), b"\xff" * 300):
            into = (memory(BUFFER, chunk),) if chunk else ()
            event = one(call.name, *[BUFFER] * 6, into=into, out=into)
            assert list(event.args) == [arg.name for arg in call.args][: len(event.args)]
            jsonlines.to_dict(event)


def test_trace() -> None:
    trace = Trace(many(3000), METADATA)
    assert len(trace) == trace.count() == 3000
    assert [event.time_ns for event in trace] == sorted(event.time_ns for event in trace)
    opened = trace.calls("openat")
    assert trace.count("openat") == len(opened) > 100
    assert trace.count("openat", "read") == trace.count("openat") + trace.count("read")
    assert trace.count("%network") == trace.count("connect")
    assert trace.count("@file-system") >= trace.count("openat", "newfstatat", "close")
    assert set(trace.paths("openat")) <= set(trace.paths())
    assert "/dev/null" in trace.paths()
    with pytest.raises(ValueError, match='did you mean "openat"'):
        trace.count("openatt")
    html = trace._repr_html_()
    assert "<td>openat</td>" in html
    assert "3000 calls" in html


def test_frames_that_lie_never_raise() -> None:
    """Whole by their checksums, but written by a program that nobody trusts."""
    chance = random.Random(7)
    originals = small()
    for _ in range(400):
        frames_ = []
        for frame in originals:
            damaged = bytearray(frame)
            for _ in range(chance.choice([0, 1, 4, 20])):
                damaged[chance.randrange(16, len(damaged))] = chance.choice([0, 1, 127, 255, chance.randrange(256)])
            damaged[12:16] = bytes(4)
            damaged[12:16] = frames.checksum(bytes(damaged)).to_bytes(4, "little")
            offsets, _, corrupt = frames.Finder()(bytes(damaged))
            if offsets and not corrupt:
                frames_.append(bytes(damaged))
        chance.shuffle(frames_)
        trace = Trace(frames_, METADATA)
        for line in jsonlines.lines(METADATA, trace):
            assert line.endswith("}\n")
        assert page.render(METADATA, trace)
        assert repr(trace)
        for event in trace:
            assert repr(event)
            event.descriptors, event.stack  # noqa: B018


def test_percentiles_are_exact_to_a_sixteenth() -> None:
    chance = random.Random(3)
    count, values = Count("x", 0), sorted(int(chance.expovariate(1 / 50_000)) for _ in range(5000))
    for value in values:
        count.add(value, False)
    for percent in (1, 50, 90, 99, 99.9, 100):
        exact = values[max(round(len(values) * percent / 100) - 1, 0)]
        assert count.percentile_ns(percent) == pytest.approx(exact, rel=1 / 16, abs=2)
    assert sum(number for _, number in count.histogram()) == 5000
    assert all(low < high for (low, _), (high, _) in zip(list(count.histogram()), list(count.histogram())[1:], strict=False))
    assert Count("y", 0).percentile_ns(50) == 0
