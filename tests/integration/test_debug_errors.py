"""What cannot be done is said in one line, with the reason and what to do; the tracee is unharmed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from selftrace.errors import CommandError, UnsupportedError
from selftrace.ptrace import AttachError, BreakpointError, ExpressionError, SymbolError, Tracee, TraceeError
from tests.integration.debugged import DEBUG, Server, Terminal, batch, build, compiled
from tests.waiting import PATIENCE_S


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    yield from build()


def refused(*words: str) -> str:
    """A command that fails: its one line."""
    done = subprocess.run([*DEBUG, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_processes_that_cannot_be_attached_to() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert "there is no such process" in refused("-p", str(gone.pid))
    assert "there is no such process" in refused("-p", "-5")
    with pytest.raises(AttachError, match="that is selftrace itself"):
        Tracee.attach(os.getpid())
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert "it is a zombie" in refused("-p", str(zombie.pid))
    zombie.wait()


def test_who_traces_it_already_is_said(place: Path) -> None:
    with Server(f"{place}/program") as server:
        with Tracee.attach(server.pid):
            said = refused("-p", str(server.pid))
            assert f"it is traced already, by {os.getpid()} (" in said
        assert server.ask("x") == "0 x"


def test_a_thread_is_not_a_process(place: Path) -> None:
    with Server(f"{place}/program") as server:
        tid = max(int(name) for name in os.listdir(f"/proc/{server.pid}/task"))
        assert f"it is a thread of {server.pid} (program); attach to {server.pid}" in refused("-p", str(tid))


@pytest.mark.skipif(os.getuid() == 0, reason="root may attach to everything")
def test_a_process_of_root() -> None:
    assert "it belongs to root: attach as root" in refused("-p", "1")


def test_a_process_that_is_not_dumpable(place: Path) -> None:
    code = "import ctypes; ctypes.CDLL(None).prctl(4, 0); print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"1\n"
        if os.getuid() == 0:
            with Tracee.attach(process.pid) as tracee:
                assert tracee.backtrace()
        else:
            assert "not dumpable" in refused("-p", str(process.pid))
        process.communicate(b"\n", timeout=PATIENCE_S)
        assert process.returncode == 0


def test_programs_that_cannot_be_started(place: Path, tmp_path: Path) -> None:
    assert "selftrace: /nonexistent: No such file or directory" in refused("--", "/nonexistent")
    assert "no-such-command: No such file" in refused("--", "no-such-command")
    plain = tmp_path / "plain"
    plain.write_text("x")
    assert "Permission denied" in refused("--", str(plain))
    assert "what is to be debugged?" in refused()
    assert "what is to be debugged?" in refused("-p", "1", "--", "true")
    with pytest.raises(CommandError) as info:
        Tracee.start(["/nonexistent"])
    assert info.value.exit_code == 127


@pytest.fixture(scope="module")
def small(place: Path) -> str:
    """A 32-bit program that ends with 5."""
    source = place / "small.s"
    source.write_text(".globl _start\n_start: movl $1, %eax\n movl $5, %ebx\n int $0x80\n")
    subprocess.run(["gcc", "-m32", "-nostdlib", "-static", "-o", place / "small", source], check=True)
    return str(place / "small")


def test_a_32_bit_program(small: str, place: Path) -> None:
    assert "is a 32-bit program, which selftrace cannot debug; use gdb" in refused("--", small)
    with pytest.raises(UnsupportedError):
        Tracee.start([small])
    with Tracee.start([f"{place}/program", "execs", small]) as tracee:
        stop = tracee.cont()
        assert stop.kind == "released" and "a 32-bit program" in stop.text
    _, status = os.waitpid(tracee.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 5


def test_a_running_32_bit_program(place: Path) -> None:
    source = place / "waits.s"
    source.write_text(".globl _start\n_start: movl $29, %eax\n int $0x80\n")  # pause
    subprocess.run(["gcc", "-m32", "-nostdlib", "-static", "-o", place / "waits", source], check=True)
    with subprocess.Popen([place / "waits"]) as process:
        while os.path.basename(os.readlink(f"/proc/{process.pid}/exe")) != "waits":
            pass
        assert "it is a 32-bit program; only 64-bit ones can be traced" in refused("-p", str(process.pid))
        process.kill()


def test_places_where_there_can_be_no_breakpoint(place: Path) -> None:
    with Tracee.start([f"{place}/program"]) as tracee:
        with pytest.raises(BreakpointError, match=r"0x10: nothing is mapped there"):
            tracee.breakpoint(0x10)
        with pytest.raises(BreakpointError, match=r"program \(rw-p\) is not executable"):
            tracee.breakpoint("needle")
        with pytest.raises(BreakpointError, match=r"\[stack\] \(rw-p\) is not executable"):
            tracee.breakpoint("$rsp")
        with pytest.raises(SymbolError, match='no symbol "recurze" in what is mapped; did you mean "recurse"'):
            tracee.breakpoint("recurze")
        with pytest.raises(SymbolError, match=r'no file "libd.so.6" is mapped; did you mean "libc.so.6"'):
            tracee.breakpoint("libd.so.6:write")
        with pytest.raises(SymbolError, match=r'no source file "debuged.c"; did you mean "debugged.c"'):
            tracee.breakpoint("debuged.c:5")
        with pytest.raises(SymbolError, match="has no code at or after line 9999"):
            tracee.breakpoint("debugged.c:9999")
        with pytest.raises(SymbolError, match="IFUNC"):
            tracee.breakpoint("libc.so.6:strlen")
        with pytest.raises(ValueError, match='unknown call "opena"; did you mean "openat"'):
            tracee.handle_syscall("opena")
        with pytest.raises(ExpressionError, match=r'"1 \+" is no expression'):
            tracee.addresses_of("1 +")
        assert tracee.breakpoints.all == []
        assert tracee.cont().exit_code == 3


def test_a_stripped_program_says_that_it_is(place: Path) -> None:
    program = compiled(place, "stripped")
    subprocess.run(["strip", program], check=True)
    done = batch("break recurse", program=["--", program])
    assert (
        'no symbol "recurse" in what is mapped; stripped is stripped: only exported names are left, use addresses' in done.stderr
    )
    with Tracee.start([program]) as tracee:
        tracee.breakpoint("libc.so.6:write")
        tracee.cont()
        frames = tracee.backtrace()
        assert frames[0].place.symbol == "write" or frames[0].place.symbol == "__write"
        assert len(frames) > 4 and {frame.how for frame in frames[:-1]} == {"cfi"}
        assert tracee.cont().exit_code == 3


def test_a_tracee_that_ends_under_the_prompt(place: Path) -> None:
    with Terminal("--", f"{place}/program", "serve") as terminal:
        pid = int(terminal.greeting.split()[0])
        os.kill(pid, signal.SIGKILL)
        for command in ("step", "cont", "regs"):
            said = terminal.type(command)
            assert "Traceback" not in said
            if "killed by SIGKILL" in said:
                break
        assert "there is no process" in terminal.type("regs")
        assert "there is no process" in terminal.type("cont")
        terminal.end()
        assert terminal.process.returncode == 0


def test_after_the_end_everything_says_so(place: Path) -> None:
    with Tracee.start([f"{place}/program"]) as tracee:
        tracee.cont()
        for action in (tracee.cont, tracee.step, tracee.backtrace, tracee.next_syscall, lambda: tracee.registers.rip):
            with pytest.raises(TraceeError, match=r"is not there any more: .* exited with 3"):
                action()


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("print $rix", 'unknown register "rix"; did you mean "r'),
        ("print nothing_like_it", 'no symbol "nothing_like_it"'),
        ("print (", '"(" is no expression'),
        ("print 1 / 0", "by zero"),
        ("set rax = 1", "set $REGISTER = VALUE"),
        ("hexdump 32 16", "the end 0x10 is not behind the beginning 0x20"),
        ("hexdump", "hexdump START [END]"),
        ("break", "break where?"),
        ("until", "until where?"),
        ("signal USR7", 'unknown signal "USR7"'),
        ("handle USR1 nonstop", "handle SIGNAL [stop|nostop]"),
        ("sys opena", 'unknown call "opena"; did you mean "openat"'),
        ("attach here", "attach PID"),
        ("attach 999999999", "there is no such process"),
        ("delete 9", "no breakpoint 9"),
        ("follow needle", "is no quoted text"),
        ("brek main", 'unknown command "brek"; did you mean "break"'),
        ("st", '"st" may be stack, step, stepi'),
        ("gcore /nonexistent/core", "/nonexistent/core: No such file or directory"),
        ("write 16 1", "cannot write 8 bytes at 0x10"),
        ("siginfo", "is not stopped at a signal"),
        ("next", "no line numbers at"),
        ("hijack getpid EFOO", 'unknown error "EFOO"'),
    ],
)
def test_mistakes_at_the_prompt_are_one_line(line: str, answer: str, place: Path) -> None:
    done = batch(line, program=["--", f"{place}/program"])
    assert done.returncode == 1
    assert re.fullmatch(r"selftrace: .*\n", done.stderr), done.stderr
    assert answer in done.stderr


def test_without_pyelftools_there_are_addresses(place: Path) -> None:
    code = (
        "import sys\nfor name in ('elftools', 'elftools.elf', 'elftools.elf.elffile'):\n    sys.modules[name] = None\n"
        "from selftrace.cli.main import main\n"
        "sys.exit(main(['debug', '--batch', '-ex', 'stepi', '-ex', 'break $rip', '-ex', 'break main', '-ex', 'cont', '--', sys.argv[1]]))"
    )
    done = subprocess.run([sys.executable, "-c", code, f"{place}/program"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert re.search(r"  0x\w+ \(symbols, lines and call frames need pyelftools", done.stdout)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.count("need pyelftools, which is not installed; pip install") == 1


def test_what_is_missing_is_named(place: Path) -> None:
    code = (
        "import sys\nfor name in ('capstone', 'pystack', 'pystack.errors'):\n    sys.modules[name] = None\n"
        "from selftrace.ptrace import Tracee\nfrom selftrace.errors import UnsupportedError\n"
        "with Tracee.start([sys.argv[1]]) as tracee:\n"
        "    for action in (tracee.disassemble, tracee.python_backtrace):\n"
        "        try:\n            action()\n        except UnsupportedError as error:\n            print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, f"{place}/program"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.stdout.splitlines() == [
        'disassembly needs capstone, which is not installed; pip install "selftrace[debug]"',
        'Python frames need the package pystack, which is not installed; pip install "selftrace[debug]"',
    ], done.stderr
