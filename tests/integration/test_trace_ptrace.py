"""`selftrace trace --backend ptrace`: programs traced from outside, as strace traces them."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.test_trace_programs import PROGRAMS, TIMING, difference, place  # noqa: F401
from tests.integration.traced import TRACE, by_strace, by_us, events_of
from tests.waiting import PATIENCE_S, state, wait_for

PTRACE = [*TRACE, "--backend", "ptrace"]
COMPARED = ("ls", "cat", "cp", "find", "tar", "xz", "dd", "sh", "bash", "xargs", "make", "gcc", "git", "perl", "python", "diff")
RUNS_THREADS = """
import os, threading
def work():
    for _ in range(200): os.getppid()
threads = [threading.Thread(target=work) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
"""


def run(words: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PTRACE, *words], capture_output=True, text=True, timeout=PATIENCE_S, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("name", COMPARED)
def test_the_same_calls_as_strace(name: str, place: Path) -> None:  # noqa: F811
    command = PROGRAMS[name]
    env = {"PATH": os.environ["PATH"], "HOME": str(place), "LC_ALL": "C.UTF-8"}
    for _ in range(3):  # who is first differs from run to run
        theirs, seen_by_strace = by_strace(command, place, cwd=place, env=env)
        ours, seen_by_us = by_us(command, place, backend="ptrace", cwd=place, env=env)
        found = difference(seen_by_us, seen_by_strace, TIMING | ({"brk"} if name == "perl" else set()))
        if not found:
            break
    assert not found, "\n".join(found)
    assert (ours.stdout, ours.returncode) == (theirs.stdout, theirs.returncode)
    assert sum(seen_by_us.values()) >= 20


@pytest.mark.parametrize("words", [[], ["--no-seccomp-bpf"], ["--no-pin"]], ids=" ".join)
def test_a_filter_leaves_the_other_calls_alone(words: list[str], tmp_path: Path) -> None:
    capture = tmp_path / "o.strc"
    run([*words, "-e", "trace=openat,execve", "-o", str(capture), "sh", "-c", "cat /etc/passwd >/dev/null; exit 3"])
    names = Counter(event.name for event in events_of(capture) if event.kind == "call")
    assert set(names) == {"openat", "execve"} and names["execve"] == 2


def test_every_thread_and_what_it_calls(tmp_path: Path) -> None:
    capture = tmp_path / "o.strc"
    run(["-e", "trace=getppid", "-o", str(capture), sys.executable, "-c", RUNS_THREADS])
    calls = Counter(event.tid for event in events_of(capture) if event.kind == "call")
    assert sorted(calls.values()) == [200] * 8
    assert sum(event.kind == "exit" for event in events_of(capture)) == 9


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/nonexistent\n")
    broken.chmod(0o755)
    for words, code in ((["/nonexistent"], 127), ([str(tmp_path)], 126), ([str(broken)], 127)):
        done = run(["-o", str(tmp_path / "o.txt"), *words])
        assert done.returncode == code and len(done.stderr.splitlines()) == 1, done


def test_exit_status_and_signals(tmp_path: Path) -> None:
    assert run(["-o", str(tmp_path / "o"), "sh", "-c", "exit 7"]).returncode == 7
    assert run(["-o", str(tmp_path / "o"), "sh", "-c", "kill -TERM $$"]).returncode == 128 + 15
    assert (tmp_path / "o").read_text().endswith("+++ killed by SIGTERM +++\n")


def compiled(source: str, directory: Path) -> str:
    (directory / "program.c").write_text(source)
    subprocess.run(["gcc", "-O1", "-pthread", "-o", directory / "program", directory / "program.c"], check=True)
    return str(directory / "program")


QUEUED = """
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
static volatile int got[500], count;
static void on(int n, siginfo_t *i, void *c) { (void)n; (void)c; got[count++] = i->si_value.sival_int; }
int main(void) {
    struct sigaction a = {.sa_sigaction = on, .sa_flags = SA_SIGINFO};
    sigset_t all, old;
    sigfillset(&a.sa_mask), sigfillset(&all);
    for (int n = SIGRTMIN; n < SIGRTMIN + 5; n++) sigaction(n, &a, 0);
    sigprocmask(SIG_BLOCK, &all, &old);
    for (int i = 0; i < 100; i++) sigqueue(getpid(), SIGRTMIN + i % 5, (union sigval){.sival_int = i + 1});
    sigprocmask(SIG_SETMASK, &old, 0);
    for (int i = 0; i < count; i++) printf("%d ", got[i]);
}
"""


def test_signals_arrive_once_and_in_order(tmp_path: Path) -> None:
    """A hundred that are queued: each is told and delivered once, in the same order as without us."""
    program, log = compiled(QUEUED, tmp_path), tmp_path / "o"
    alone = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    done = run(["-o", str(log), program])
    assert done.stdout == alone and len(alone.split()) == 100
    assert re.findall(r"--- SIGRT\w+ \{.*si_int=(\d+)", log.read_text()) == alone.split()


def test_job_control(tmp_path: Path) -> None:
    """A stopped program is stopped, and says so to its parent, until SIGCONT."""
    log = tmp_path / "o"
    script = (
        "import os, signal, sys; print(os.getpid(), flush=True); os.kill(os.getpid(), signal.SIGSTOP); print('on'); sys.exit(5)"
    )
    tracer = subprocess.Popen([*PTRACE, "-o", str(log), sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert tracer.stdout is not None
    pid = int(tracer.stdout.readline())
    wait_for(lambda: "--- stopped by SIGSTOP ---" in log.read_text())
    assert state(pid) in ("T", "t")
    os.kill(pid, signal.SIGCONT)
    assert tracer.communicate(timeout=PATIENCE_S)[0] == "on\n" and tracer.returncode == 5
    lines = log.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if "stopped by" in line)
    assert lines[at - 1].startswith("--- SIGSTOP {") and lines[at + 1].startswith("--- SIGCONT {")


def test_exec_from_a_thread(tmp_path: Path) -> None:
    log = tmp_path / "o"
    code = "import os, threading, time; threading.Thread(target=os.execv, args=('/bin/echo', ['echo', 'hi'])).start(); time.sleep(1000)"
    done = run(["-f", "-e", "trace=execve", "-o", str(log), sys.executable, "-c", code])
    assert done.stdout == "hi\n" and done.returncode == 0
    text = log.read_text()
    assert re.search(r'execve\("/bin/echo".* <pid changed to \d+ \.\.\.>', text)
    assert re.search(r"\+\+\+ superseded by execve in pid \d+ \+\+\+", text)
    assert re.search(r"execve resumed>\) += 0", text)


CHILDREN = """
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
    int n = 0, s;
    for (int i = 0; i < 50; i++) {
        if (!vfork()) {
            execl("/bin/true", "true", (char *)0);
            _exit(9);
        }
        if (!fork()) _exit(1);
        if (!syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)) _exit(2);
        while (wait(&s) > 0) n++;
    }
    return n != 150;
}
"""


def test_children_of_all_kinds(tmp_path: Path) -> None:
    program, capture = compiled(CHILDREN, tmp_path), tmp_path / "o.strc"
    assert run(["-o", str(capture), program]).returncode == 0
    kinds = Counter(event.kind for event in events_of(capture))
    assert kinds["exit"] == 151 and kinds["fork"] == 150


def test_delays_hold_up_nobody_else(tmp_path: Path) -> None:
    capture = tmp_path / "o.strc"
    script = "true & cat /dev/null; wait"
    done = run(["-e", "inject=openat:delay_enter=20ms:when=1", "-o", str(capture), "sh", "-c", script])
    assert done.returncode == 0
    delayed = [event for event in events_of(capture) if event.kind == "call" and event.name == "openat" and event.flags & 2]
    assert len(delayed) >= 3


def test_native_stacks(tmp_path: Path) -> None:
    log = tmp_path / "o"
    run(["-k", "-e", "trace=openat", "-o", str(log), "cat", "/etc/passwd"])
    assert re.search(r'openat\(AT_FDCWD, "/etc/passwd".*\n > \S+libc\S*\(.*open.*\) \[0x\w+\]\n', log.read_text())


def test_the_vdso_can_be_hidden(tmp_path: Path) -> None:
    log = tmp_path / "o"
    words = ["-e", "trace=clock_gettime", "-o", str(log), sys.executable, "-c", "import time; time.monotonic()"]
    run(words)
    assert "clock_gettime" not in log.read_text()
    run(["--no-vdso", *words])
    assert "clock_gettime(CLOCK_MONOTONIC" in log.read_text()


@pytest.mark.parametrize(
    "words", [["--json", "-"], ["-c"], ["--format", "perfetto", "-o", "o.pftrace"], ["-ff", "-o", "o"]], ids=" ".join
)
def test_every_presentation(words: list[str], tmp_path: Path) -> None:
    done = run([*words, "sh", "-c", "true; exit 4"], cwd=tmp_path)
    assert done.returncode == 4, done.stderr
    if "-o" in words:
        assert all(path.stat().st_size > 100 for path in tmp_path.iterdir()) and list(tmp_path.iterdir())
    else:
        assert "execve" in done.stdout + done.stderr


def test_a_program_outlives_its_tracer(tmp_path: Path) -> None:
    """Killed at some moment of its start, or of a program that does nothing but start others; whatever has begun is done."""
    chance, script = random.Random(3), ": > {0}; i=0; while [ $i -lt 200 ]; do i=$((i+1)); /bin/true; done; : > {1}"
    marks = [(tmp_path / f"begun{i}", tmp_path / f"done{i}") for i in range(10)]
    for begun, done in marks:
        command = ["sh", "-c", script.format(begun, done)]
        tracer = subprocess.Popen([*PTRACE, "-o", "/dev/null", *command], stdin=subprocess.DEVNULL, start_new_session=True)
        if begun != marks[0][0]:
            wait_for(begun.exists)
        time.sleep(chance.uniform(0, 0.35))
        tracer.kill()
        tracer.wait()
    started = [done for begun, done in marks if begun.exists()]
    assert len(started) >= len(marks) - 1
    wait_for(lambda: all(done.exists() for done in started))


def test_a_filtered_program_keeps_its_tracer(tmp_path: Path) -> None:
    """SIGTERM ends the trace; the tracer stays for the calls that the filter sends to it."""
    log = tmp_path / "o"
    script = "echo on; read x; echo $x; exit 6"
    tracer = subprocess.Popen(
        [*PTRACE, "-e", "trace=write", "-o", str(log), "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stdout is not None
    assert tracer.stdout.readline() == "on\n"
    wait_for(lambda: 'write(1, "on\\n", 3)' in log.read_text())
    tracer.terminate()
    assert tracer.stderr is not None
    assert "filter needs us" in tracer.stderr.readline()
    out, _ = tracer.communicate("through\n", timeout=PATIENCE_S)
    assert out == "through\n" and tracer.returncode == 128 + signal.SIGTERM
    assert "through" not in log.read_text()
