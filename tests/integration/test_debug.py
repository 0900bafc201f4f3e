"""selftrace.ptrace.Tracee: every action of the debugger as API."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from selftrace.ptrace import Stop, TracedCall, Tracee
from tests.integration.debugged import Server, build, compiled, line_of
from tests.waiting import PATIENCE_S


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    yield from build()


@pytest.fixture
def out(tmp_path: Path) -> Iterator[int]:
    """What the program prints."""
    file = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT)
    yield file
    os.close(file)


def said(out: int) -> str:
    return os.pread(out, 10000, 0).decode()


def symbols_of(tracee: Tracee) -> list[str | None]:
    return [frame.place.symbol for frame in tracee.backtrace()]


# ---- breakpoints -----------------------------------------------------------------------------------


def test_breakpoints_by_symbol_line_address_and_library(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program"], stdout=out) as tracee:
        assert tracee.stop is not None and tracee.stop.kind == "entry"
        by_symbol = tracee.breakpoint("main")
        line = line_of("twice + 1")
        by_line = tracee.breakpoint(f"debugged.c:{line}", temporary=True)
        by_library = tracee.breakpoint("libc.so.6:write")
        assert tracee.cont().breakpoint is by_symbol
        stop = tracee.cont()
        here = tracee.describe(tracee.registers.rip)
        assert (stop.breakpoint, here.symbol, here.line) == (by_line, "leaf", line)
        assert by_line not in tracee.breakpoints.listed
        by_address = tracee.breakpoint(tracee.address_of("leaf"))
        assert [tracee.cont().breakpoint for _ in range(3)] == [by_address] * 3
        assert tracee.cont().breakpoint is by_library
        assert tracee.memory is not None
        assert tracee.memory.read(tracee.registers.rsi, tracee.registers.rdx) == b"sum 170\n"
        assert tracee.cont().exit_code == 3
        assert (by_symbol.hits, by_line.hits, by_address.hits, by_library.hits) == (1, 1, 3, 1)
    assert said(out) == "sum 170\n"


def test_conditions_callbacks_and_counts(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program"], stdout=out) as tracee:
        condition = tracee.breakpoint("recurse", condition="$edi == 2 and hits < 1")
        seen: list[int] = []
        called = tracee.breakpoint("leaf", callback=lambda stop: seen.append(stop.tracee.registers.edi))
        assert tracee.cont().breakpoint is condition
        condition.delete()
        ignoring = tracee.breakpoint("recurse", ignore=5)
        stop = tracee.cont()
        assert (stop.breakpoint, ignoring.hits) == (ignoring, 6)
        ignoring.enabled = False
        assert tracee.cont().exit_code == 3
        assert (seen, called.hits) == ([20] * 4, 4)


def test_a_condition_that_fails_stops_and_says_so(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program"], stdout=out) as tracee:
        tracee.breakpoint("leaf", condition="$nothing == 1")
        assert 'unknown register "nothing"' in str(tracee.cont())


def test_what_a_callback_raises_comes_out_with_everything_stopped(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program"], stdout=out) as tracee:
        failing = tracee.breakpoint("leaf", callback=lambda stop: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            tracee.cont()
        assert symbols_of(tracee)[0] == "leaf"
        failing.callback = None
        assert tracee.cont().breakpoint is failing
        assert failing.hits == 2


def test_every_thread_hits_every_time(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program", "threads"], stdout=out) as tracee:
        counted = tracee.breakpoint("work", callback=lambda stop: False)
        last = tracee.breakpoint("work", callback=lambda stop: stop.tracee.registers.edi == 99)
        tids = {tracee.cont().tid for _ in range(6)}
        assert len(tids) == 6
        assert tracee.cont().exit_code == 0
        assert (counted.hits, last.hits) == (600, 600)
    assert said(out) == "rounds 600\n"


def test_a_place_in_a_library_that_is_not_loaded_yet_is_waited_for(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program", "plugin", f"{place}/plugin.so"], stdout=out) as tracee:
        waiting = tracee.breakpoint("plugin.so:plugged", pending=True)
        assert waiting.pending
        assert tracee.cont().breakpoint is waiting
        tracee.registers.edi = 7
        assert tracee.cont().exit_code == 0
    assert said(out) == "plugged 70\n"


def test_breakpoints_do_not_show_in_memory(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program"], stdout=out) as tracee:
        memory, address = tracee.words, tracee.address_of("leaf")
        before = memory.read(address, 8)
        tracee.breakpoint("leaf")
        assert memory.read(address, 8) == before
        assert memory.raw(address, 8) == b"\xcc" + before[1:]
        memory.write(address, before)
        assert memory.raw(address, 1) == b"\xcc"


# ---- going on --------------------------------------------------------------------------------------


def test_steps(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program"], stdout=out) as tracee:
        tracee.breakpoint(f"debugged.c:{line_of('total += recurse(i)')}", temporary=True)
        tracee.cont()
        over, into = 0, set()
        while tracee.describe(tracee.registers.rip).line == line_of("total += recurse(i)"):
            assert tracee.step_over().kind == "step"
            over += 1
            into.add(tracee.describe(tracee.registers.rip).symbol)
        assert into == {"sum"} and over < 10
        tracee.breakpoint("recurse", temporary=True)
        tracee.cont()
        assert tracee.step().kind == "step"
        assert tracee.registers.rip - tracee.address_of("recurse") in (1, 4)


def test_next_line_until_and_finish(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program"], stdout=out) as tracee:
        tracee.breakpoint("leaf", temporary=True)
        tracee.cont()
        lines = [tracee.describe(tracee.registers.rip).line]
        for _ in range(2):
            assert tracee.next_line().kind == "step"
            lines.append(tracee.describe(tracee.registers.rip).line)
        assert lines == [line_of("int leaf(int"), line_of("int twice"), line_of("return twice + 1")] or lines == [
            line_of("int leaf(int") + 1, line_of("int twice"), line_of("return twice + 1")]  # fmt: skip
        stop = tracee.finish()
        assert (stop.kind, stop.value) == ("finished", 41)
        assert tracee.describe(tracee.registers.rip).symbol == "recurse"
        tracee.until(f"debugged.c:{line_of('printf(')}")
        assert tracee.describe(tracee.registers.rip).symbol == "sum"


def test_finish_of_a_recursion_is_of_this_call(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program"], stdout=out) as tracee:
        tracee.breakpoint("recurse", condition="$edi == 3", temporary=True)
        tracee.cont()
        assert tracee.finish().value == 44


def test_backtrace_through_libraries_and_signal_handlers(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program", "signals"], stdout=out) as tracee:
        tracee.handle_signal("SIGUSR1", stop=False, deliver=True)
        tracee.breakpoint("in_handler", temporary=True)
        tracee.cont()
        found = symbols_of(tracee)
        assert found[:2] == ["in_handler", "on_signal"] and found[-1] == "_start"
        assert {"signals", "main"} <= set(found)
        assert [frame.how for frame in tracee.backtrace()].count("signal") == 1
        assert tracee.cont().exit_code == 0
    assert said(out) == "handled 3\n"


def test_backtrace_without_call_frames_says_that_it_goes_by_frame_pointers(place: Path, out: int) -> None:
    flags = ["-g", "-O0", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-omit-frame-pointer", "-gdwarf-4"]
    program = compiled(place, "pointers", *flags)
    for name in (".eh_frame", ".eh_frame_hdr", ".debug_frame"):
        subprocess.run(["objcopy", "--remove-section", name, program], check=True)
    with Tracee.start([program], stdout=out) as tracee:
        tracee.breakpoint(f"debugged.c:{line_of('return twice + 1')}")
        tracee.cont()
        frames = tracee.backtrace()
        assert [frame.place.symbol for frame in frames][:4] == ["leaf", "recurse", "sum", "main"]
        assert {frame.how for frame in frames[:3]} == {"frame pointer"}


def test_call_frames_of_debug_frame(place: Path, out: int) -> None:
    program = compiled(place, "old", "-g", "-O2", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fomit-frame-pointer")
    with Tracee.start([program], stdout=out) as tracee:
        tracee.breakpoint("leaf")
        tracee.cont()
        frames = tracee.backtrace()
        assert frames[0].place.symbol == "leaf" and "main" in [frame.place.symbol for frame in frames]
        assert frames[0].how == "cfi"


def test_lines_of_a_separate_debug_file(place: Path, out: int) -> None:
    program = compiled(place, "split", "-g", "-O0")
    subprocess.run(["objcopy", "--only-keep-debug", program, f"{program}.debug"], check=True)
    subprocess.run(["strip", program], check=True)
    subprocess.run(["objcopy", f"--add-gnu-debuglink={program}.debug", program], check=True)
    with Tracee.start([program], stdout=out) as tracee:
        tracee.breakpoint(f"debugged.c:{line_of('return twice + 1')}")
        tracee.cont()
        assert symbols_of(tracee)[:3] == ["leaf", "recurse", "sum"]


# ---- Python ----------------------------------------------------------------------------------------

PYTHONS = sorted(
    {sys.executable}
    | {
        path
        for name in ("3.11", "3.12", "3.13", "3.14")
        if (path := shutil.which(f"python{name}", path="/usr/local/bin:/usr/bin"))
    }
    | {str(path) for path in Path(sys.base_prefix).parent.glob("3.1[1-4].*/bin/python3")}
)


@pytest.mark.parametrize("python", PYTHONS)
def test_python_frames(python: str, tmp_path: Path) -> None:
    script = tmp_path / "slow.py"
    script.write_text(
        "import os, time\ndef inner():\n    print(1, flush=True)\n    time.sleep(1000)\ndef outer():\n    inner()\nouter()\n"
    )
    with subprocess.Popen([python, str(script)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"1\n"
        with Tracee.attach(process.pid) as tracee:
            found = [(frame.function, Path(frame.file).name, frame.line) for frame in tracee.python_backtrace()]
        process.kill()
    assert found == [("inner", "slow.py", found[0][2]), ("outer", "slow.py", 6), ("<module>", "slow.py", 7)]
    assert found[0][2] in (3, 4)  # just printed, or asleep already


# ---- memory, registers -----------------------------------------------------------------------------


def test_memory_and_registers(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program"], stdout=out) as tracee:
        tracee.breakpoint("leaf")
        tracee.cont()
        needle = tracee.address_of("needle")
        memory, registers = tracee.words, tracee.registers
        assert memory.string(needle) == b"needle in a haystack"
        assert memory.string(needle, limit=6) == b"needle"
        assert memory.word(tracee.address_of("to_needle")) == needle
        assert needle in tracee.search(b"needle in a hay")
        memory[needle : needle + 6] = b"NEEDLE"
        assert memory[needle : needle + 8] == b"NEEDLE i"
        memory.set_word(needle, -1, 4)
        assert memory.word(needle, 4, signed=True) == -1
        registers.rbx = 0x1122334455667788
        assert (registers.ebx, registers.bx, registers.bh, registers.bl) == (0x55667788, 0x7788, 0x77, 0x88)
        registers["bl"] = 0xFF
        assert registers["rbx"] == 0x11223344556677FF
        registers.ebx = 5
        assert registers.rbx == 5
        assert registers.all()["rip"] == registers.pc


def test_strings_and_reads_end_at_the_edge_of_what_is_mapped(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program"], stdout=out) as tracee:
        maps = tracee.maps()
        edge = next(one for one, after in pairwise(maps) if "w" in one.permissions and one.end != after.start)
        tracee.words.write(edge.end - 3, b"abc")
        assert tracee.words.string(edge.end - 3) == b"abc"
        assert tracee.words.read_some(edge.end - 3, 100) == b"abc"
        with pytest.raises(Exception, match="cannot read 100 bytes"):
            tracee.words.read(edge.end - 3, 100)


def test_disassembly(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program"], stdout=out) as tracee:
        tracee.breakpoint("leaf")
        first = tracee.disassemble("leaf", 2)
        assert [one.text for one in first] == ["push rbp", "mov rbp, rsp"]


def test_core(place: Path, out: int, tmp_path: Path) -> None:
    with Tracee.start([f"{place}/program", "threads"], stdout=out) as tracee:
        tracee.breakpoint("work", ignore=50)
        tracee.cont()
        count = len(tracee.threads)
        tracee.core(str(tmp_path / "core"))
    words = [
        "gdb",
        "-nx",
        "-batch",
        "-ex",
        "bt",
        "-ex",
        "info threads",
        "-ex",
        "x/s needle",
        f"{place}/program",
        str(tmp_path / "core"),
    ]
    text = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S).stdout
    assert "work (i=" in text and "worker (" in text
    assert text.count("(LWP ") >= count and "needle in a haystack" in text


# ---- signals ---------------------------------------------------------------------------------------


def test_signals_are_reported_delivered_and_suppressed(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program", "signals"], stdout=out) as tracee:
        stop = tracee.cont()
        assert (stop.kind, stop.signal) == ("signal", signal.SIGUSR1)
        info = tracee.signal_info()
        assert (info.number, info.pid, info.uid) == (signal.SIGUSR1, tracee.pid, os.getuid())
        assert tracee.cont(0).signal == signal.SIGUSR1
        assert tracee.cont("SIGUSR1").signal == signal.SIGUSR1
        assert tracee.cont().exit_code == 0
    assert said(out) == "handled 2\n"


def test_a_fault_names_its_address(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program", "crash"], stdout=out) as tracee:
        assert tracee.cont().signal == signal.SIGSEGV
        assert tracee.signal_info().address == 0x10
        stop = tracee.cont()
        assert (stop.kind, stop.signal, tracee.exit_code) == ("killed", signal.SIGSEGV, -signal.SIGSEGV)


# ---- system calls ----------------------------------------------------------------------------------


def test_calls_are_seen_changed_and_answered(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program", "pid"], stdout=out, stop_at="exec") as tracee:
        opened: list[bytes] = []
        paths = tracee.handle_syscall("openat", on_enter=lambda call: opened.append(call.string("filename")))
        tracee.handle_syscall("getuid", on_enter=lambda call: call.skip(4711))

        def other(call: TracedCall) -> None:
            assert call.result == tracee.pid
            call.result = 42

        tracee.handle_syscall("getpid", on_exit=other)
        assert tracee.cont().exit_code == 0
        assert paths.hits == len(opened) and any(path.endswith(b"libc.so.6") for path in opened)
    assert said(out) == "pid 42 user 4711\n"


def test_a_call_can_be_made_another_or_fail(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program", "pid"], stdout=out) as tracee:
        tracee.hijack_syscall("getpid", "getppid")
        assert tracee.cont().exit_code == 0
    assert said(out).startswith(f"pid {os.getpid()} ")
    with Tracee.start([f"{place}/program"], stdout=out) as tracee:
        tracee.handle_syscall("write", on_enter=lambda call: call.skip("ENOSPC"))
        assert tracee.cont().exit_code == 3
    assert "sum" not in said(out)


def test_changed_arguments_reach_the_kernel(place: Path, out: int, tmp_path: Path) -> None:
    with Tracee.start([f"{place}/program"], stdout=out) as tracee:

        def shorten(call: TracedCall) -> None:
            call["count"] = 3

        handler = tracee.handle_syscall("write", on_enter=shorten, on_exit=lambda call: handler.delete())
        assert tracee.cont().exit_code == 3
    assert said(out) == "sum 170\n"  # the C library wrote the rest by another call


def test_the_next_call(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program", "pid"], stdout=out) as tracee:
        tracee.breakpoint("main")
        tracee.cont()
        kinds = [(stop := tracee.next_syscall()).kind for _ in range(2)]
        assert kinds == ["syscall-entry", "syscall-exit"]
        assert stop.call is not None and stop.call.result is not None


# ---- new processes ---------------------------------------------------------------------------------


def test_children_that_are_not_followed_are_unharmed(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program", "children"], stdout=out) as tracee:
        hit = tracee.breakpoint("work", callback=lambda stop: False)
        tracee.breakpoint("leaf")
        assert tracee.cont().exit_code == 0
        assert hit.hits == 3
    assert said(out) == "sum 170\n5 3 6 rounds 3\n"


def test_children_are_followed_through_fork_vfork_and_exec(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program", "children"], stdout=out) as tracee:
        tracee.follow_fork = True
        tracee.stop_on = {"fork", "vfork"}
        tracee.breakpoint("leaf")
        stops = []
        while tracee.alive:
            stops.append(tracee.cont())
            if stops[-1].tracee is not tracee and stops[-1].breakpoint is not None:
                for one in stops[-1].tracee.breakpoints.listed:
                    one.enabled = False
    kinds = [(stop.kind, stop.exit_code) for stop in stops]
    assert kinds[:2] == [("fork", None), ("exited", 5)]
    assert kinds[2:5] == [("vfork", None), ("breakpoint", None), ("exited", 3)]
    assert kinds[-1] == ("exited", 0) and ("exited", 6) in kinds
    assert said(out) == "sum 170\n5 3 6 rounds 3\n"


def test_breakpoints_by_name_live_on_in_the_program_that_is_executed(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program", "exec"], stdout=out) as tracee:
        tracee.stop_on = {"exec"}
        named = tracee.breakpoint("recurse", ignore=3)
        number = tracee.breakpoint(tracee.address_of("leaf"))
        assert tracee.cont().kind == "exec"
        stop = tracee.cont()
        assert (stop.breakpoint, named.hits, number.enabled) == (named, 4, False)
        named.delete()
        assert tracee.cont().exit_code == 3


def test_threads_are_told(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program", "threads"], stdout=out) as tracee:
        tracee.stop_on = {"clone"}
        born = [tracee.cont() for _ in range(6)]
        assert {stop.kind for stop in born} == {"clone"}
        assert tracee.cont().exit_code == 0


def test_an_exec_of_another_thread(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program", "thread-exec"], stdout=out) as tracee:
        tracee.breakpoint("leaf", ignore=3)
        assert tracee.cont().kind == "breakpoint"
        assert [task.tid for task in tracee.threads] == [tracee.pid]
        assert tracee.cont().exit_code == 3
    assert said(out) == "sum 170\n"


def test_a_process_whose_first_thread_has_ended(place: Path) -> None:
    words = [f"{place}/program", "alone"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None and process.stdout.readline() == "ready\n"
        with Tracee.attach(process.pid) as tracee:
            hit = tracee.breakpoint("work", temporary=True)
            process.stdin.write("ab\n")
            process.stdin.flush()
            assert tracee.cont().breakpoint is hit
            assert "alone" in symbols_of(tracee)
        assert process.communicate()[0] == "rounds 3\n"
    assert process.returncode == 4


def test_a_process_whose_first_thread_has_ended_ends_in_the_debugger(place: Path) -> None:
    words = [f"{place}/program", "alone"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None and process.stdout.readline() == "ready\n"
        with Tracee.attach(process.pid) as tracee:
            process.stdin.close()
            assert tracee.cont().exit_code == 4
        process.stdout.close()


def test_a_stop_of_the_whole_process_lasts_until_it_is_continued(place: Path) -> None:
    with Server(f"{place}/program") as server:
        with Tracee.attach(server.pid) as tracee:
            os.kill(server.pid, signal.SIGSTOP)
            assert tracee.cont().signal == signal.SIGSTOP
            tracee.breakpoint("work", temporary=True)
            with subprocess.Popen(["sh", "-c", f"sleep 0.2; kill -CONT {server.pid}"]):
                stops = [tracee.cont(), tracee.cont()]
            assert {(stop.kind, stop.signal) for stop in stops} == {("breakpoint", 0), ("signal", signal.SIGCONT)}
        assert server.ask("x") == "0 x"


# ---- attaching, letting go -------------------------------------------------------------------------


def test_attach_and_detach_a_hundred_times(place: Path) -> None:
    with Server(f"{place}/program") as server:
        for turn in range(100):
            with Tracee.attach(server.pid) as tracee:
                assert len(tracee.threads) == 6
                if turn % 10 == 0:
                    tracee.breakpoint("work", temporary=True)
                    assert tracee.cont().kind == "breakpoint"
                    tracee.breakpoint("work")
            os.kill(server.pid, signal.SIGUSR1)
            assert server.ask(f"turn {turn}").endswith(f"turn {turn}")
        assert server.states() <= {"S", "R"} and server.tracer() == 0
        assert server.ask("end") == "100 end"
        assert server.close() == 0


def test_a_signal_that_waits_is_delivered_by_detaching(place: Path) -> None:
    with Server(f"{place}/program") as server:
        with Tracee.attach(server.pid) as tracee:
            os.kill(server.pid, signal.SIGUSR1)
            assert tracee.cont().signal == signal.SIGUSR1
        assert server.ask("x") == "1 x"


def test_a_stopped_process_stays_stopped(place: Path) -> None:
    with Server(f"{place}/program") as server:
        os.kill(server.pid, signal.SIGSTOP)
        with Tracee.attach(server.pid) as tracee:
            assert tracee.backtrace()
        while server.states() != {"T"}:  # the last thread is on its way
            pass
        os.kill(server.pid, signal.SIGCONT)
        assert server.ask("x") == "0 x"


def test_a_child_of_the_debugger_ends_nothing(place: Path, out: int) -> None:
    with Tracee.start([f"{place}/program"], stdout=out) as tracee:
        child = os.fork()
        if not child:
            tracee.close()
            os._exit(tracee.alive)
        assert os.waitpid(child, 0)[1] == 0
        assert tracee.cont().exit_code == 3


def test_a_started_program_may_be_let_go(place: Path) -> None:
    read, write = os.pipe()
    with Tracee.start([f"{place}/program"], stdout=write, at_exit="detach") as tracee:
        tracee.breakpoint("leaf")
        tracee.cont()
    os.close(write)
    assert os.read(read, 100) == b"sum 170\n"
    os.close(read)
    assert os.waitpid(tracee.pid, 0)[1] == 3 << 8


def test_a_started_program_ends_with_its_tracee(place: Path, out: int) -> None:
    with pytest.raises(ZeroDivisionError), Tracee.start([f"{place}/program", "serve"], stdout=out) as tracee:
        raise ZeroDivisionError
    assert tracee.exit_code == -signal.SIGKILL
    assert not Path(f"/proc/{tracee.pid}").exists()


HOLDS = """
import os, sys
from selftrace.ptrace import Tracee
tracee = Tracee.attach(int(sys.argv[1]))
tracee.breakpoint("work", callback=lambda stop: os.environ.get("NEVER"))
print("held", flush=True)
{end}
"""
ENDS = {
    "the script's end": "tracee.cont(0) if 0 else None",
    "an exception": "1 / 0",
    "SIGTERM while it runs": "tracee.cont()",
    "Ctrl-C while it runs": "tracee.cont()",
    "SIGTERM while it is stopped": "import time\nwhile True: time.sleep(0.1)",  # one that comes just before a sleep does not end it
}


@pytest.mark.parametrize("how", ENDS)
def test_every_end_lets_an_attached_process_run_on(how: str, place: Path) -> None:
    with Server(f"{place}/program") as server:
        code = HOLDS.format(end=ENDS[how])
        holder = subprocess.Popen(
            [sys.executable, "-c", code, str(server.pid)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        if "SIGTERM" in how or "Ctrl-C" in how:
            holder.send_signal(signal.SIGTERM if "SIGTERM" in how else signal.SIGINT)
        holder.communicate(timeout=PATIENCE_S)
        assert holder.returncode == {"the": 0, "SIG": 143}.get(how[:3], 1 if how == "an exception" else -signal.SIGINT)
        assert server.tracer() == 0
        assert server.ask("still here") == "0 still here"
        assert server.states() <= {"S", "R"}
        assert server.close() == 0


def test_other_children_are_left_to_the_program(place: Path, out: int) -> None:
    other = subprocess.Popen(["sh", "-c", "exit 7"])
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    stops: list[Stop] = []
    with Tracee.start([f"{place}/program"], stdout=out) as tracee:
        tracee.breakpoint("leaf")
        while tracee.alive:
            stops.append(tracee.cont())
    assert [stop.kind for stop in stops] == ["breakpoint"] * 4 + ["exited"]
    assert other.wait() == 7
