"""The prompt on a terminal: a test for each feature of python-ptrace's gdb.py (test_debug_table.py looks for gaps), and
what a prompt has besides."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.debugged import DEBUG, Server, Terminal, batch, build, line_of
from tests.waiting import PATIENCE_S

HEX = r"0x[0-9a-f]+"

# feature of gdb.py → what the program does, and what each line that is typed makes the prompt print
ROWS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "cont": ("sum", [("break leaf", "breakpoint 1"), ("cont", r"at breakpoint 1, leaf\n.*leaf at .*debugged\.c:\d+\n  \d+\t"), ("cont 4", "sum 170\n.*exited with 3")]),
    "step": ("sum", [("tbreak debugged.c:{call}", ""), ("cont", "recurse\\(i\\)"), ("step 3", r"in|at"), ("backtrace", r"#0 0x\w+ sum\+")]),
    "stepi": ("sum", [("tbreak leaf", ""), ("cont", "leaf"), ("print $rip - leaf", "^0 = 0x0"), ("stepi", r"step"), ("print $rip - leaf", "^[14] = ")]),
    "until": ("sum", [("until leaf", r"leaf at"), ("print $edi", "^20 = 0x14")]),
    "set": ("sum", [("tbreak leaf", ""), ("cont", ""), ("set $edi = 4 * 2 + 1", r"\$edi = 0x9"), ("finish", "returned 0x13")]),
    "sys": ("pid", [("sys getpid", r"syscall-entry: getpid\(\)"), ("sys", r"syscall-exit: getpid\(\) = \d+"), ("sys", "syscall-entry: "), ("sys", "syscall-exit: ")]),
    "signal": ("signals", [("cont", "received SIGUSR1"), ("signal 0", "received SIGUSR1"), ("signal USR1", "received SIGUSR1"), ("cont", "handled 2")]),
    "signals": ("sum", [("signals", r" 2 SIGINT +stop +nopass\n(.*\n)*17 SIGCHLD +nostop +pass"), ("handle CHLD stop nopass", ""), ("signals", "17 SIGCHLD +stop +nopass")]),
    "regs": ("sum", [("regs", rf"rip +{HEX}\n(.*\n)*orig_rax|orig_rax(.*\n)*rip"), ("regs eax r8b", rf"^eax +{HEX}\nr8b +{HEX}\n$")]),
    "where": ("sum", [("tbreak leaf", ""), ("cont", ""), ("where", r"=> .*push rbp\n.*mov rbp, rsp"), ("where leaf leaf+4", r"push rbp\n.*mov rbp, rsp\n$"), ("break leaf+1", ""), ("where", r"\n\*  .*mov rbp, rsp")]),
    "where2": ("sum", [("where2 leaf leaf+4", "^55 48 89 e5\n$"), ("break leaf", ""), ("where2 leaf leaf+4", "^cc 48 89 e5\n$")]),
    "print": ("sum", [("print (1 + 2) * 4", r"^12 = 0xc\n"), ("print 7 / 2", "^3 = "), ("print main", r"main at (.*\n) +in 0x.* r-xp .*program"), ("print word(to_needle) == needle", "True"), ("print *to_needle", r"needle in program\n +in 0x"), ("print string(needle)", "b'needle in a haystack'"), ("print 0 - 1", r"\(-1\) = 0xffffffffffffffff")]),
    "hexdump": ("sum", [("hexdump needle needle+20", r"^0x\w+\| 6e 65 65 64 6c 65 .*\| needle in a hays\n0x\w+\| 74 61 63 6b +\| tack\n$"), ("hexdump needle", "(0x.*\n){5}"), ("hexdump 16 32", "cannot be read")]),
    "gcore": ("sum", [("gcore {directory}/core", r"core of \d+ in .*/core")]),
    "stack": ("sum", [("tbreak leaf", ""), ("cont", ""), ("stack 2", r"^stack .*\[stack\]\n(.*\n){2}=> \$rsp  \+0  0x\w+  0x\w+ recurse\+")]),
    "backtrace": ("sum", [("tbreak leaf", ""), ("cont", ""), ("backtrace", r"#0 \S+ leaf at .*\n#1 \S+ recurse\+0x\w+ at .*:\d+\n#2 \S+ sum\+(.*\n)*.* _start"), ("backtrace 1", r"^#0 .*\n\(stopped at 1 frames\)")]),
    "proc": ("sum", [("proc", r"program +/.*program\n(.*\n)*TracerPid +\d+\n(.*\n)*Threads +1")]),
    "maps": ("sum", [("maps", r"r-xp \w+ /.*program\n(.*\n)*.*\[stack\]")]),
    "break": ("sum", [("break leaf if $edi == 20", "breakpoint 1, leaf\n +0x"), ("break debugged.c:{call}", "sum.*at"), ("cont", "breakpoint 2"), ("cont", "breakpoint 1"), ("cont", "breakpoint 2")]),
    "breakpoints": ("sum", [("breakpoints", "no breakpoints"), ("break leaf", ""), ("cont 2", ""), ("disable 1", ""), ("breakpoints", r"breakpoint 1, leaf \(2 hits, disabled\)"), ("enable", ""), ("ignore 1 1", ""), ("breakpoints", "ignored 1 times"), ("cont", "at breakpoint 1"), ("breakpoints", "4 hits")]),
    "delete": ("sum", [("break leaf", ""), ("break recurse", ""), ("delete leaf", "deleted breakpoint 1"), ("delete 2", "deleted breakpoint 2"), ("breakpoints", "no breakpoints"), ("delete 7", "no breakpoint 7"), ("cont", "exited with 3")]),
    "attach": ("sum", [("attach {server}", r"attached to \d+ \(program\), 6 threads"), ("threads", r"(.*\n){6}"), ("detach", "was let go: detached"), ("cont", "exited with 3")]),
    "proclist": ("sum", [("proclist", r"^\* \d+ \(program\), 1 threads"), ("attach {server}", ""), ("proclist", r"^  \d+ \(program\), 1 .*\n\* {server} \(program\), 6 threads")]),
    "switch": ("sum", [("switch", "only one process"), ("attach {server}", ""), ("switch", r"switched to process \d+"), ("switch {server}", "switched to process {server}"), ("switch 1", "not traced")]),
    "follow": ("sum", [("follow 'needle in'", ""), ("xray", r"b'needle in' in \d+ at 0x\w+ \(.* rw-p .*\), pointers: 0x")]),
    "showfollow": ("sum", [(r"follow 'a\x00b'", ""), ("showfollow", r"b'a\\x00b'")]),
    "resetfollow": ("sum", [("follow 'abc'", ""), ("resetfollow", ""), ("showfollow", "^$"), ("xray", "nothing is followed")]),
    "xray": ("sum", [("follow 'needle in a'", ""), ("xray", r"pointers: 0x\w+")]),
    "dbginfo": ("sum", [("dbginfo", r"selftrace .*, process \d+, python-ptrace 0\.9")]),
    "help": ("sum", [("help", "breakpoints"), ("help until", "until PLACE")]),
    "several commands on a line": ("sum", [("break leaf; cont; print $edi", r"at breakpoint 1(.*\n)*20 = 0x14")]),
    "an empty line repeats": ("sum", [("break leaf", ""), ("cont", ""), ("", "at breakpoint 1"), ("breakpoints", "2 hits")]),
    "why a signal came": ("crash", [("cont", r"received SIGSEGV \(nothing is mapped at 0x10\)"), ("siginfo", "SIGSEGV, code 1, address 0x10"), ("cont", "was killed by SIGSEGV")]),
}  # fmt: skip


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    yield from build()


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str, place: Path, tmp_path: Path) -> None:
    what, lines = ROWS[name]
    values = {"call": line_of("total += recurse(i)"), "directory": tmp_path}
    with Server(f"{place}/program") as server, Terminal("--", f"{place}/program", what) as terminal:
        values["server"] = server.pid
        assert re.search(r"^\d+ entry", terminal.greeting)
        for line, pattern in lines:
            filled = _filled(pattern, values)
            said = terminal.type(_filled(line, values))
            assert re.search(filled, said, re.M), (line, said)
        terminal.end()
        assert server.ask("unharmed") == "0 unharmed"


def _filled(text: str, values: dict[str, object]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def test_quit_kills_what_it_started_and_lets_go_what_it_attached(place: Path) -> None:
    with Server(f"{place}/program") as server, Terminal("-p", str(server.pid)) as terminal:
        assert "attached" in terminal.greeting
        assert re.search(r"6|program", terminal.type("threads"))
        started = terminal.type("break work")
        assert "breakpoint 1" in started
        terminal.end("quit")
        assert terminal.process.returncode == 0
        assert (server.tracer(), server.ask("x")) == (0, "0 x")


def test_ctrl_c_stops_what_runs_and_comes_back(place: Path) -> None:
    with Terminal("--", f"{place}/program", "serve") as terminal:
        terminal.send("cont\n")
        terminal.read("ready")
        terminal.send("\x03")
        said = terminal.read()
        assert re.search("interrupted|SIGINT", said), said
        assert "#0" in terminal.type("backtrace")
        terminal.send("cont\n")
        terminal.send("word\n")
        assert "0 word" in terminal.read("0 word")
        terminal.send("\x03")
        terminal.read()
        assert terminal.type("print 6 * 7").startswith("42 = 0x2a")
        terminal.end()


def test_ctrl_c_ends_a_step_that_waits(place: Path) -> None:
    with Server(f"{place}/program") as server, Terminal("-p", str(server.pid)) as terminal:
        terminal.type(f"thread {server.pid}")
        terminal.send("stepi\n")  # into the read that was interrupted, again
        while "S" not in server.states():
            pass
        terminal.send("\x03")
        assert re.search("interrupted|SIGINT", terminal.read())
        terminal.end()
        assert server.ask("x") == "0 x"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("state", ["running", "at the prompt"])
def test_a_signal_to_the_debugger_lets_go(number: int, state: str, place: Path) -> None:
    with Server(f"{place}/program") as server, Terminal("-p", str(server.pid)) as terminal:
        terminal.type("break work if 0")
        if state == "running":
            terminal.send("cont\n")
        terminal.process.send_signal(number)
        terminal.end(None)
        assert (server.tracer(), server.ask("x"), server.close()) == (0, "0 x", 0)


def test_completion_and_history(place: Path, tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    with Terminal("--", f"{place}/program", env=environment) as terminal:
        terminal.send("breakp\t")
        terminal.send("\n")
        assert "no breakpoints" in terminal.read()
        terminal.send("break recu\t\n")
        assert "breakpoint 1, recurse" in terminal.read()
        terminal.send("print $orig_\t\n")
        assert " = 0x" in terminal.read()
        terminal.end()
    assert "break recurse" in (tmp_path / "selftrace" / "debug_history").read_text()
    with Terminal("--", f"{place}/program", env=environment) as terminal:
        terminal.send("\x10\x10\x10\n")  # Ctrl-P: the one before; drawing the line may print the prompt again
        terminal.read("breakpoint 1, recurse")
        terminal.end()


def test_fork_exec_and_threads_are_followed_and_caught(place: Path) -> None:
    with Terminal("-f", "--", f"{place}/program", "children") as terminal:
        assert terminal.type("catch fork; catch vfork; catch exec") == ""
        assert re.search(r"fork: new process \d+", terminal.type("cont"))
        assert len(terminal.type("proclist").splitlines()) == 2
        assert re.search(r"(\d+) exited with 5", terminal.type("cont"))
        assert re.search(r"vfork: new process \d+", terminal.type("cont"))
        assert re.search(r"exec: /.*program", terminal.type("cont"))
        assert re.search(r"exited with 3", terminal.type("catch none; cont"))
        terminal.end()


def test_threads_and_python_frames(place: Path) -> None:
    with Server(f"{place}/program") as server, Terminal("-p", str(server.pid)) as terminal:
        listed = terminal.type("threads")
        tids = re.findall(r"^[* ] (\d+) program 0x", listed, re.M)
        assert len(tids) == 6
        assert terminal.type(f"thread {tids[3]}").startswith("  0x")
        assert re.search("beside|work|start_thread", terminal.type("backtrace"))
        assert "there is no thread 7" in terminal.type("thread 7")
        assert "no Python frames in" in terminal.type("pybacktrace")
        terminal.end()


def test_calls_are_answered(place: Path) -> None:
    done = batch("hijack getpid 42", "hijack getuid EPERM", "cont", program=["--", f"{place}/program", "pid"])
    assert (done.returncode, "pid 42 user -1" in done.stdout) == (0, True), done.stdout + done.stderr


def test_memory_is_written(place: Path) -> None:
    with Terminal("--", f"{place}/program") as terminal:
        terminal.type("write needle 'NEE'")
        assert terminal.type("print string(needle)") == "b'NEEdle in a haystack'\n"
        terminal.type("write to_needle 0")
        assert terminal.type("print word(to_needle)").startswith("0 = 0x0")
        terminal.end()


def test_scripts_and_batch(place: Path, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("# a comment\nbreak leaf\n\ncont; print $edi\n")
    done = batch("delete", "cont", program=["--", f"{place}/program"], options=["-x", str(script)])
    assert done.returncode == 0, done.stderr
    assert re.search(r"20 = 0x14\n(.*\n)*deleted breakpoint 1, leaf\n(.*\n)*.*exited with 3", done.stdout)
    assert "sum 170" in done.stdout
    quiet = batch("cont", program=["--", f"{place}/program"], options=["--no-stdout", "--stop-at", "exec"])
    assert "sum 170" not in quiet.stdout and re.match(r"\d+ exec", quiet.stdout)
    failed = batch("nonsense", "cont", program=["--", f"{place}/program"])
    assert (failed.returncode, "exited" in failed.stdout) == (1, False)
    assert failed.stderr.startswith('selftrace: unknown command "nonsense"')


def test_a_started_program_may_be_kept(place: Path) -> None:
    words = [*DEBUG, "--batch", "--keep", "-ex", "break leaf", "-ex", "cont", "--", f"{place}/program"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout.endswith("sum 170\n")) == (0, True)


def test_the_end_of_the_input_is_quit(place: Path) -> None:
    done = subprocess.run(
        [*DEBUG, "--", f"{place}/program", "serve"], input="break work\n", capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0 and "breakpoint 1, work" in done.stdout


def test_without_a_home_there_is_no_history(place: Path) -> None:
    with Terminal("--", f"{place}/program", env={"HOME": "/nonexistent", "XDG_CACHE_HOME": "/dev/null/x"}) as terminal:
        terminal.end()
        assert terminal.process.returncode == 0
    assert os.path.isdir(place)
