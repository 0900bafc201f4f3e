"""Lines: how they begin, are interrupted, resumed and ended, and which are left out."""

from __future__ import annotations

import struct

from selftrace._native import ffi, lib
from trace_frames import MASK, TID, chunk, entry, frame, leave, number, text

SECOND = 1_000_000_000
A, B = 0x1000, 0x2000
CHILD = struct.pack("<3i4xiii4xqq", 17, 0, 1, 7, 0, 3, 0, 0) + bytes(80)


def close(fd: int = 3, **head: int) -> bytes:
    return entry("close", fd, **head) + leave("close", 0, **head)


def test_results_stand_in_a_column() -> None:
    assert text(close(), column=40) == "close(3)".ljust(40) + "= 0\n"
    assert text(close(), column=2) == "close(3) = 0\n"


def test_a_line_that_another_thread_interrupts_is_resumed() -> None:
    frames = [entry("read", 0, A, 9), close(tid=200), leave("read", 1, [chunk(A, b"x")])]
    assert text(*frames) == 'read(0,  <unfinished ...>\nclose(3) = 0\n<... read resumed>"x", 9) = 1\n'


def test_prefixes() -> None:
    two = close() + close(tid=200)
    assert text(two, prefix=lib.ST_PREFIX_ALWAYS) == "100   close(3) = 0\n200   close(3) = 0\n"
    assert text(two + close(), prefix=lib.ST_PREFIX_MANY) == "close(3) = 0\n[pid   200] close(3) = 0\n[pid   100] close(3) = 0\n"


def test_times() -> None:
    first = entry("close", 3, time_ns=1 * SECOND) + leave("close", 0, time_ns=1 * SECOND + 1500)
    second = entry("close", 4, time_ns=3 * SECOND + 5000) + leave("close", 0, time_ns=3 * SECOND + 6000)
    unix = {"absolute": lib.ST_CLOCK_UNIX, "absolute_digits": 6, "start_ns": 1000 * SECOND}
    assert text(first, **unix) == "1001.000000 close(3) = 0\n"
    assert text(first, times=1, times_digits=6) == "close(3) = 0 <0.000001>\n"
    assert text(first, times=1, times_digits=9) == "close(3) = 0 <0.000001500>\n"
    assert text(first, second, relative=1, relative_digits=6) == "     0.000000 close(3) = 0\n     2.000005 close(4) = 0\n"
    assert text(first, second, relative=1, relative_digits=3, **unix).splitlines()[1] == "1003.000005 (+     2.000) close(4) = 0"
    clock = frame(lib.ST_EVENT_CLOCK, 0, chunk(0, struct.pack("<Q", 2000 * SECOND)), time_ns=SECOND)
    assert text(clock, first, **unix) == "2000.000000 close(3) = 0\n"


def test_addresses_and_numbers() -> None:
    assert text(close(), addresses=1) == "[0000000000401000] close(3) = 0\n"
    assert text(close(), numbers=1) == "[   3] close(3) = 0\n"


def test_signals() -> None:
    signal = frame(lib.ST_EVENT_SIGNAL, 17, chunk(0, CHILD))
    shown = "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=7, si_uid=0, si_status=3, si_utime=0, si_stime=0} ---\n"
    assert text(signal) == shown
    assert text(frame(lib.ST_EVENT_SIGNAL, 19)) == "--- stopped by SIGSTOP ---\n"
    assert text(entry("pause"), signal, leave("pause", -514)) == (
        f"pause( <unfinished ...>\n{shown}<... pause resumed>) = ? ERESTARTNOHAND (To be restarted if no handler)\n"
    )
    hidden = ffi.new("uint64_t[2]", [MASK ^ 1 << 17, MASK])
    assert text(signal, signals=hidden) == ""


def test_ends() -> None:
    assert text(entry("exit_group", 0), frame(lib.ST_EVENT_END, 0)) == "exit_group(0) = ?\n+++ exited with 0 +++\n"
    assert text(frame(lib.ST_EVENT_END, 9)) == "+++ killed by SIGKILL +++\n"
    assert text(frame(lib.ST_EVENT_END, 0x8B)) == "+++ killed by SIGSEGV (core dumped) +++\n"
    assert (
        text(entry("read", 0, A, 1), frame(lib.ST_EVENT_END, 9)) == "read(0,  <unfinished ...>) = ?\n+++ killed by SIGKILL +++\n"
    )
    assert text(frame(lib.ST_EVENT_END, 0), quiet=lib.ST_QUIET_EXIT) == ""
    assert text(entry("read", 0, A, 1), finish=True) == "read(0,  <unfinished ...>\n"


def test_a_thread_that_calls_execve_takes_the_first_ones_number() -> None:
    frames = [
        entry("pause"),
        entry("execve", A, 0, 0, tid=101, memory=[chunk(A, b"/x\0")]),
        frame(lib.ST_EVENT_EXEC, 101),
        leave("execve", 0),
    ]
    assert text(*frames, prefix=lib.ST_PREFIX_ALWAYS).splitlines() == [
        "100   pause( <unfinished ...>",
        '101   execve("/x", NULL, NULL <unfinished ...>',
        "100   <... pause resumed>) = ?",
        "100   +++ superseded by execve in pid 101 +++",
        "100   <... execve resumed>) = 0",
    ]
    assert text(frame(lib.ST_EVENT_TASK, 99), *frames[1:], prefix=lib.ST_PREFIX_ALWAYS).splitlines() == [
        '101   execve("/x", NULL, NULL <pid changed to 100 ...>',
        "100   +++ superseded by execve in pid 101 +++",
        "100   <... execve resumed>) = 0",
    ]


def test_a_first_thread_that_ends_before_the_others() -> None:
    """As strace has it, compared with its test threads-execve: it is there until its process ends."""
    ended = [entry("exit", 42), frame(lib.ST_EVENT_END, 42 << 8, flags=lib.ST_EVENT_STAYS)]
    other = [entry("pause", tid=101), frame(lib.ST_EVENT_END, 0, tid=101)]
    assert text(*ended, *other, prefix=lib.ST_PREFIX_ALWAYS).splitlines() == [
        "100   exit(42) = ?",
        "101   pause() = ?",
        "101   +++ exited with 0 +++",
        "100   +++ exited with 42 +++",
    ]


def test_faults_are_marked() -> None:
    assert text(entry("close", 3), leave("close", -9, flags=lib.ST_EVENT_INJECTED)) == (
        "close(3) = -1 EBADF (Bad file descriptor) (INJECTED)\n"
    )
    assert text(entry("close", 3), leave("close", 0, flags=lib.ST_EVENT_DELAYED)) == "close(3) = 0 (DELAYED)\n"


def test_only_calls_of_a_status() -> None:
    frames = [close(3), entry("close", 4), leave("close", -9), entry("exit_group", 0), frame(lib.ST_EVENT_END, 0)]
    quiet = {"quiet": lib.ST_QUIET_EXIT}
    assert text(*frames, status=lib.ST_STATUS_SUCCESSFUL, **quiet) == "close(3) = 0\n"
    assert text(*frames, status=lib.ST_STATUS_FAILED, **quiet) == "close(4) = -1 EBADF (Bad file descriptor)\n"
    assert text(*frames, status=lib.ST_STATUS_UNFINISHED, **quiet) == "exit_group(0) = ?\n"


def test_only_calls_that_are_traced() -> None:
    wanted = ffi.new("uint64_t[8]", [1 << number("close")])
    assert text(close(), entry("getpid"), leave("getpid", 1), trace=wanted) == "close(3) = 0\n"


def test_only_calls_about_a_path() -> None:
    path = ffi.new("char[]", b"/wanted")
    paths = ffi.new("char *[]", [path])
    frames = [
        entry("chdir", A, memory=[chunk(A, b"/wanted\0")]) + leave("chdir", 0),
        entry("chdir", A, memory=[chunk(A, b"/other\0")]) + leave("chdir", 0),
        entry("fsync", 3, memory=[chunk(3, b"/wanted", kind=lib.ST_CHUNK_FD)]) + leave("fsync", 0),
    ]
    assert text(*frames, paths=paths, path_count=1) == 'chdir("/wanted") = 0\nfsync(3) = 0\n'


def test_data_is_dumped_below_its_line() -> None:
    fds = ffi.new("int32_t[]", [1])
    frames = [entry("write", 1, A, 18, memory=[chunk(A, b"0123456789abcdef\n\xff")]), leave("write", 18)]
    assert text(*frames, write_fds=fds, write_count=1).splitlines()[1:] == [
        " | 00000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  0123456789abcdef |",
        " | 00010  0a ff                                             ..               |",
    ]


def test_raw_and_addresses_only() -> None:
    everything = ffi.new("uint64_t[8]", [MASK] * 8)
    nothing = ffi.new("uint64_t[8]")
    frames = [entry("chdir", A, memory=[chunk(A, b"/x\0")]), leave("chdir", 0)]
    assert text(*frames, raw=everything) == "chdir(0x1000) = 0\n"
    sleep = [entry("nanosleep", A, 0, memory=[chunk(A, bytes(16))]), leave("nanosleep", 0)]
    assert text(*sleep, verbose=nothing) == "nanosleep(0x1000, NULL) = 0\n"


def test_one_text_a_thread() -> None:
    options = ffi.new("struct st_lines_options *")
    lib.st_lines_defaults(options)
    options.split, options.column = 1, 0
    lines = lib.st_lines_new(options)
    data = close() + close(tid=200)
    assert lib.st_lines_feed(lines, ffi.from_buffer(data), len(data)) == len(data)
    found = {}
    tid, size = ffi.new("int32_t *"), ffi.new("uint64_t *")
    while (at := lib.st_lines_text(lines, tid, size)) != ffi.NULL:
        found[tid[0]] = bytes(ffi.buffer(at, size[0]))
        lib.st_lines_taken(lines, tid[0])
    assert found == {TID: b"close(3) = 0\n", 200: b"close(3) = 0\n"}
    lib.st_lines_free(lines)


def test_what_a_signal_interrupts_is_shown_as_an_outside_tracer_sees_it() -> None:
    nohand = "? ERESTARTNOHAND (To be restarted if no handler)"
    assert text(entry("pause"), leave("pause", -4)) == f"pause() = {nohand}\n"
    assert text(entry("read", 0, A, 1), leave("read", -4)) == (
        "read(0, 0x1000, 1) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)\n"
    )
    injected = leave("pause", -4, flags=lib.ST_EVENT_INJECTED)
    assert text(entry("pause"), injected) == "pause() = -1 EINTR (Interrupted system call) (INJECTED)\n"
    assert text(entry("epoll_wait", 3, A, 1, -1), leave("epoll_wait", -4)) == (
        "epoll_wait(3, 0x1000, 1, -1) = -1 EINTR (Interrupted system call)\n"
    )
