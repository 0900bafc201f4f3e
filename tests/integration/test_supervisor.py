"""The supervisor's verdicts, as a policy uses them: native/ptrace/supervisor.h, through cffi."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selftrace._native import ffi, lib

from selftrace.calls import table
from tests.integration.test_trace_ptrace import compiled
from tests.waiting import sleeps_in, state, wait_for

FILTERED = [0, lib.ST_PTRACE_FILTER]


def number(name: str) -> int:
    return table().by_name[name].sysno


class Judged:
    """A program under a supervisor whose verdicts are Python's."""

    def __init__(
        self,
        calls: str,
        enter: Callable[[Any], int],
        leave: Callable[[Any], None] | None = None,
        flags: int = 0,
    ) -> None:
        self.seen: list[tuple[str, int]] = []
        options = ffi.new("struct st_ptrace_options *")
        for name in calls.split():
            options.stops[number(name) // 64] |= 1 << number(name) % 64
        options.flags = lib.ST_PTRACE_FOLLOW | flags

        @ffi.callback("int32_t(void *, struct st_ptrace_call *)")  # type: ignore[untyped-decorator]
        def entered(own: Any, call: Any) -> int:
            self.seen.append(("enter", call.sysno))
            return enter(call)

        @ffi.callback("void(void *, struct st_ptrace_call *)")  # type: ignore[untyped-decorator]
        def left(own: Any, call: Any) -> None:
            self.seen.append(("leave", call.sysno))
            assert leave is not None
            leave(call)

        self._kept = (entered, left)
        options.enter, options.leave = entered, left
        self.supervisor = lib.st_ptrace_new(options)
        assert self.supervisor != ffi.NULL
        self._out = ffi.new("uint64_t[]", 1 << 16)

    def run(self, *argv: str) -> int:
        """Its exit code, 128+N by a signal."""
        words = [ffi.new("char[]", os.fsencode(word)) for word in argv]
        env = [ffi.new("char[]", b"LC_ALL=C")]
        pid = lib.st_ptrace_start(
            self.supervisor, words[0], ffi.new("char *[]", [*words, ffi.NULL]), ffi.new("char *[]", [*env, ffi.NULL])
        )
        assert pid > 0
        while lib.st_ptrace_read(self.supervisor, ffi.cast("uint8_t *", self._out), 8 << 16) >= 0:
            pass
        status = lib.st_ptrace_status(self.supervisor)
        self.stops = lib.st_ptrace_stops(self.supervisor)
        lib.st_ptrace_free(self.supervisor)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code


@pytest.mark.parametrize("flags", FILTERED, ids=["all calls stop", "filtered"])
def test_an_answer_is_what_the_program_gets(flags: int) -> None:
    def enter(call: Any) -> int:
        call.result = -13  # EACCES
        return int(lib.ST_PTRACE_ANSWER)

    judged = Judged("mkdir mkdirat", enter, flags=flags)
    assert (
        judged.run("/usr/bin/python3", "-c", "import os\ntry: os.mkdir('/nonexistent/a')\nexcept PermissionError: os._exit(7)")
        == 7
    )
    assert judged.seen == [("enter", number("mkdir"))]


@pytest.mark.parametrize("flags", FILTERED, ids=["all calls stop", "filtered"])
def test_changed_arguments_and_numbers_are_what_is_called(flags: int) -> None:
    def enter(call: Any) -> int:
        if call.sysno == number("exit_group"):
            call.args[0] = 9
        else:
            call.sysno = number("getpid")
        return int(lib.ST_PTRACE_PASS)

    judged = Judged("exit_group getppid", enter, flags=flags)
    assert judged.run("/usr/bin/python3", "-c", "import os; os._exit(3 if os.getppid() == os.getpid() else 1)") == 9


@pytest.mark.parametrize("flags", FILTERED, ids=["all calls stop", "filtered"])
def test_a_killed_process_does_not_make_the_call(flags: int, tmp_path: Path) -> None:
    judged = Judged("unlink unlinkat", lambda call: int(lib.ST_PTRACE_KILL), flags=flags)
    victim = tmp_path / "victim"
    victim.write_text("")
    assert judged.run("/bin/sh", "-c", f"rm {victim}; exit 5") == 5
    assert victim.exists() and len(judged.seen) == 1


@pytest.mark.parametrize("flags", FILTERED, ids=["all calls stop", "filtered"])
def test_results_can_be_changed_on_return(flags: int) -> None:
    def enter(call: Any) -> int:
        call.leaves = 1
        return int(lib.ST_PTRACE_PASS)

    def leave(call: Any) -> None:
        assert call.result == os.getpid()
        call.result = 42

    judged = Judged("getppid", enter, leave, flags=flags)
    assert judged.run("/usr/bin/python3", "-c", "import os; os._exit(os.getppid())") == 42
    assert judged.seen == [("enter", number("getppid")), ("leave", number("getppid"))]


def test_only_judged_calls_stop_under_a_filter(tmp_path: Path) -> None:
    """One stop for each, and those of starting and ending."""
    source = "#include <sys/syscall.h>\n#include <unistd.h>\nint main(void) { for (int i = 0; i < 1000; i++) syscall(SYS_%s); return 0; }"
    stops = {}
    for call in ("getppid", "getuid"):
        judged = Judged("getppid", lambda call: int(lib.ST_PTRACE_PASS), flags=lib.ST_PTRACE_FILTER)
        assert judged.run(compiled(source % call, tmp_path)) == 0
        stops[call] = judged.stops
        assert len(judged.seen) == (1000 if call == "getppid" else 0)
    assert stops["getppid"] - stops["getuid"] == 1000 and stops["getuid"] < 20


def test_calls_from_threads_and_children_are_judged(tmp_path: Path) -> None:
    def enter(call: Any) -> int:
        tids.add((call.pid, call.tid))
        return int(lib.ST_PTRACE_PASS)

    tids: set[tuple[int, int]] = set()
    code = (
        "import os, threading\n"
        "t = [threading.Thread(target=os.getppid) for _ in range(3)]\n"
        "[x.start() for x in t]; [x.join() for x in t]\n"
        "if not os.fork(): os.getppid(); os._exit(0)\n"
        "os.wait()"
    )
    assert Judged("getppid", enter, flags=lib.ST_PTRACE_FILTER).run("/usr/bin/python3", "-c", code) == 0
    assert len(tids) == 4 and len({pid for pid, _ in tids}) == 2


DIES = """
import os, sys
from selftrace._native import ffi, lib
options = ffi.new("struct st_ptrace_options *", {"flags": lib.ST_PTRACE_FOLLOW | int(sys.argv[1])})
supervisor = lib.st_ptrace_new(options)
words = [ffi.new("char[]", w) for w in (b"/bin/sleep", b"1000")]
pid = lib.st_ptrace_start(supervisor, words[0], ffi.new("char *[]", [*words, ffi.NULL]), ffi.new("char *[]", [ffi.NULL]))
print(pid, flush=True)
out = ffi.new("uint64_t[]", 1 << 16)
while True:
    lib.st_ptrace_read(supervisor, ffi.cast("uint8_t *", out), 8 << 16)
"""


@pytest.mark.parametrize(("flags", "survives"), [(0, True), (lib.ST_PTRACE_EXITKILL, False)], ids=["a trace", "a sandbox"])
def test_who_outlives_a_supervisor(flags: int, survives: bool) -> None:
    supervisor = subprocess.Popen([sys.executable, "-c", DIES, str(flags)], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    wait_for(lambda: sleeps_in("nanosleep", pid))
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    if survives:
        assert state(pid) in "SR" and "TracerPid:\t0" in Path(f"/proc/{pid}/status").read_text()
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or state(pid) == "Z")
