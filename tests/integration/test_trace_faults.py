"""Faults that users of strace know: the same program fails in the same way at the same call."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from selftrace.events.event import TraceEvent
from tests.integration.traced import TRACE, events_of
from tests.waiting import PATIENCE_S

CASES = {
    "no space from the fifth open on": (["-e", "fault=open,openat:error=ENOSPC:when=5+"], ["tar", "cf", "/dev/null", "in"]),
    "one read fails": (["-e", "inject=read:error=EIO:when=3"], ["cat", "in/a", "in/b"]),
    "every second close": (["-e", "inject=close:error=EBADF:when=2+2"], ["cp", "in/a", "copy"]),
    "a range": (["-e", "inject=newfstatat:error=EACCES:when=2..4"], ["ls", "-l", "in"]),
    "a result": (["-e", "inject=getuid:retval=42"], ["id", "-ru"]),
    "another result": (["-e", "inject=geteuid:retval=7"], ["id", "-u"]),
    "a signal": (["-e", "inject=write:signal=USR1"], ["cat", "in/a"]),
    "an ignored one": (["-e", "inject=write:signal=CONT"], ["cat", "in/a"]),
    "a late call": (["-e", "inject=openat:delay_enter=2000"], ["cat", "in/a"]),
    "a late return": (["-e", "inject=read:delay_exit=2000:when=1"], ["cat", "in/a"]),
    "an error and a signal": (["-e", "inject=write:error=EPIPE:signal=PIPE"], ["cat", "in/a"]),
    "by default ENOSYS": (["-e", "fault=statx"], ["stat", "in/a"]),
    "an unsigned result": (["-e", "inject=getuid:retval=0x80000000"], ["id", "-ru"]),
    "another call in its place": (["-e", "inject=getuid:retval=9:syscall=gettid"], ["id", "-ru"]),
    "a signal's other call": (["-e", "inject=write:signal=USR1:syscall=getpid"], ["cat", "in/a"]),
    "other bytes to write": (["-e", "inject=write:poke_enter=@arg2=58595a"], ["cat", "in/a"]),
    "other bytes read": (["-e", "inject=read:poke_exit=@arg2=58595a:when=2+"], ["cat", "in/a"]),
    "memory that is read-only": (["-e", "inject=newfstatat:poke_enter=@arg2=00:when=1"], ["ls", "in"]),
    "bytes, a result and a delay": (
        ["-e", "inject=read:poke_exit=@arg2=58595a:retval=5:delay_exit=1:when=2"],
        ["cat", "in/a"],
    ),
    "a later one instead": (
        ["-e", "inject=write:error=EIO", "-e", "inject=write:delay_enter=1"],
        ["cat", "in/a"],
    ),
    "exit_group itself": (["-e", "trace=exit_group,exit", "-e", "fault=exit_group:error=ENOSYS:when=1"], ["true"]),
    "a class": (["-e", "fault=%network:error=ENETDOWN"], ["/usr/bin/python3", "-c", "import socket; socket.socket()"]),
}


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="faults-"))
    directory.chmod(0o755)
    (directory / "in").mkdir()
    for name in "abcdefgh":
        (directory / "in" / name).write_text(name * 100)
    yield directory
    shutil.rmtree(directory)


def injected(text: str) -> list[str]:
    """The lines of calls that were tampered with, and of signals, without addresses and process numbers."""
    found = [line for line in text.splitlines() if re.search(r"\((INJECTED|DELAYED)[:)]|^--- SIG|^\+\+\+", line)]
    return [re.sub(r"0x[0-9a-f]+|\bsi_pid=\d+", "N", re.sub(r" += ", " = ", line)) for line in found]


@pytest.mark.parametrize("backend", ["trap", "ptrace"])
@pytest.mark.parametrize("name", CASES)
def test_as_strace_does(name: str, backend: str, place: Path) -> None:
    words, command = CASES[name]
    results = []
    for tracer in (["strace"], [*TRACE, "--backend", backend]):
        log = place / "log.txt"
        done = subprocess.run([*tracer, *words, "-o", str(log), *command], cwd=place, capture_output=True, timeout=PATIENCE_S)
        shown = [line for line in injected(log.read_text()) if "SIGCONT" not in line]  # see manual/trace.md on ignored signals
        code = done.returncode if done.returncode >= 0 else 128 - done.returncode  # strace ends itself by the same signal
        results.append((code, done.stdout, done.stderr, shown))
    theirs, ours = results
    assert ours[3] == theirs[3]
    assert ours == theirs
    assert any("INJECTED" in line or "DELAYED" in line or "SIG" in line for line in ours[3]) or name == "an ignored one"


@pytest.mark.parametrize("backend", ["trap", "ptrace"])
def test_by_path_and_in_order(backend: str, place: Path) -> None:
    """What strace has not: rules on one call, one after the other, by path."""
    capture = place / "ours.strc"
    first, second = (f"inject=openat:error={error}:path={place}/in/{name}" for name, error in (("a", "EIO"), ("b", "EACCES")))
    words = ["--backend", backend, "-e", "trace=openat", "-e", first, "-e", second]
    done = subprocess.run(
        [*TRACE, *words, "-o", str(capture), "cat", "in/a", "in/b", "in/c"], cwd=place, capture_output=True, timeout=PATIENCE_S
    )
    assert done.returncode == 1 and done.stdout == b"c" * 100
    assert done.stderr.count(b"Input/output error") == done.stderr.count(b"Permission denied") == 1
    seen = {event.path: event.error for event in events_of(capture) if event.kind == "call" and event.injected}
    assert seen == {"in/a": "EIO", "in/b": "EACCES"}


def run(place: Path, *words: str, command: list[str]) -> tuple[bytes, list[TraceEvent]]:
    """The program's output, and the calls that were tampered with."""
    capture = place / "ours.strc"
    done = subprocess.run([*TRACE, *words, "-o", str(capture), *command], cwd=place, capture_output=True, timeout=PATIENCE_S)
    return done.stdout, [event for event in events_of(capture) if event.kind == "call" and event.marks]


def test_short_reads_and_writes(place: Path) -> None:
    """Less at a time, and all of it in the end."""
    out, seen = run(place, "-e", f"inject=read,write:short=7:path={place}/in/a", command=["cat", "in/a"])
    assert out == b"a" * 100
    results = [event.result for event in seen if event.name == "read"]
    assert results == [7] * 14 + [2, 0] and all(event.marks == ("poked",) for event in seen)


def test_short_vectors(place: Path) -> None:
    """The copy that the kernel reads has fewer iovecs; the program's own stay as they are."""
    script = (
        "import os; r, w = os.pipe(); print(os.writev(w, [b'ab', b'cd', b'ef']), os.read(r, 9)); "
        "b = [bytearray(2), bytearray(2)]; os.write(w, b'vwxyz'); print(os.readv(r, b), b)"
    )
    words = ["-e", "inject=writev,readv:short=3"]
    out, seen = run(place, *words, command=["/usr/bin/python3", "-c", script])
    assert out == b"3 b'abc'\n3 [bytearray(b'vw'), bytearray(b'x\\x00')]\n"
    assert [event.name for event in seen] == ["writev", "readv"]


def test_messages_are_cut_and_invented(place: Path) -> None:
    script = (
        "import socket; a, b = socket.socketpair(); print(a.sendmsg([b'abc', b'def'])); print(b.recv(9)); "
        "print(a.recvmsg(9)[0]); print(b.recv(3))"
    )
    faults = [
        "-e",
        "inject=sendmsg:short=4",
        "-e",
        "inject=recvmsg:data=one\\x20two\\:",
        "-e",
        "inject=recvfrom:data=12345:when=2",
    ]
    out, _ = run(place, *faults, command=["/usr/bin/python3", "-c", script])
    assert out == b"4\nb'abcd'\nb'one two:'\nb'123'\n"


def test_what_is_read_is_said(place: Path) -> None:
    out, seen = run(place, "-e", f"inject=read:data=hello:when=1:path={place}/in/a", command=["cat", "in/a"])
    assert out == b"hello" + b"a" * 100
    assert [(event.result, event.marks) for event in seen] == [(5, ("injected",))]


def test_some_calls_always_the_same(place: Path) -> None:
    """About a tenth, the same in each run; another seed, other calls."""
    script = "for i in $(seq 300); do kill -0 $$ || echo $i; done 2>/dev/null"

    def failed(words: str) -> bytes:
        return run(place, "-e", f"inject=kill:error=EPERM:{words}", command=["sh", "-c", script])[0]

    first = failed("prob=0.1,seed=7")
    assert first == failed("prob=0.1:seed=7") != failed("prob=0.1,seed=8")
    assert 10 <= len(first.splitlines()) <= 60
    assert failed("prob=1:when=3+100") == b"3\n103\n203\n"


def test_by_argument(place: Path) -> None:
    words = ["-e", "trace=openat", "-e", f"fault=openat:error=EPERM:arg.flags&=O_CREAT|O_TRUNC:path={place}/**"]
    out, seen = run(place, *words, command=["sh", "-c", "cat in/a; echo x > in/new; echo $?"])
    assert out == b"a" * 100 + b"2\n" and [event.path for event in seen] == ["in/new"]


def test_several_on_one_call(place: Path) -> None:
    """They count different calls, so both are in force."""
    words = ["-e", "inject=kill:error=EPERM:when=1", "-e", "inject=kill:error=ESRCH:when=2..3"]
    _, seen = run(place, *words, command=["sh", "-c", "for i in 1 2 3 4; do kill -0 $$; done"])
    assert [event.error for event in seen] == ["EPERM", "ESRCH", "ESRCH"]


@pytest.mark.parametrize("backend", ["trap", "ptrace"])
def test_forks_and_threads_are_late_too(backend: str, place: Path) -> None:
    """What comes after a call comes after those that return twice as well, in the parent."""
    script = "import os, threading; t = threading.Thread(target=os.getppid); t.start(); t.join(); p = os.fork(); p or os._exit(0); os.waitpid(p, 0)"
    words = ["--backend", backend, "-e", "inject=clone,clone3,fork,vfork:delay_exit=1000"]
    _, marked = run(place, *words, command=["/usr/bin/python3", "-c", script])
    seen = [event for event in marked if event.name in ("clone", "clone3", "fork", "vfork")]
    assert [event.marks for event in seen] == [("delayed",)] * 2
    assert all(event.result for event in seen)


@pytest.mark.parametrize("backend", ["trap", "ptrace"])
def test_counted_by_process_and_tree(backend: str, place: Path) -> None:
    script = "for i in 1 2 3; do cat in/a >/dev/null 2>&1; echo $?; done"
    for scope, expected in (("process", b"1\n1\n1\n"), ("tree", b"1\n0\n0\n")):
        fault = f"fault=openat:error=EIO:when=1:path={place}/in/a:count_by={scope}"
        done = subprocess.run(
            [*TRACE, "--backend", backend, "-e", fault, "-o", "/dev/null", "sh", "-c", script],
            cwd=place,
            capture_output=True,
            timeout=PATIENCE_S,
        )
        assert done.stdout == expected, scope


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-e", "inject=opnat:error=EIO"], 'did you mean "openat"'),
        (["-e", "inject=openat:error=ENOSPCE"], 'did you mean "ENOSPC"'),
        (["-e", "inject=openat:signal=SIGTEM"], "did you mean"),
        (["-e", "inject=openat:when=0:error=EIO"], "counting starts at 1"),
        (["-e", "inject=openat:error=EIO:retval=1"], "exclude each other"),
        (["-e", "inject=openat:erorr=EIO"], 'did you mean "error"'),
        (["-e", "inject=openat"], "says nothing to inject"),
        (["-e", "inject=openat:poke_exit=@arg7=00x"], "is no poke"),
        (["-e", "inject=close:poke_exit=@arg2=00"], "has an argument 2"),
        (["-e", "inject=openat:syscall=read:error=EIO"], "effects of its own"),
        (["-e", "inject=openat:syscall=getpid"], "says nothing to inject"),
        (["-e", "inject=openat:short=5"], "short= is for"),
        (["-e", "inject=write:data=5"], "data= is for"),
        (["-e", "inject=read:short=0"], "no number of bytes"),
        (["-e", "inject=read:error=EIO:prob=2"], "no probability"),
        (["-e", "inject=read:error=EIO:seed=2"], "seed is for prob"),
        (["-e", "inject=read:error=EIO:prob=.5,sed=2"], "only seed=N may follow"),
        (["-e", "inject=openat:error=EIO:arg.flgs=1"], 'no call has an argument "flgs"'),
        (["-e", "inject=openat:error=EIO:arg.flags=O_CLOEXC"], "O_CLOEXEC"),
        (["-e", "inject=clock_gettime:error=EIO"], "--no-vdso"),
        (["-e", "trace=%flie"], 'did you mean "%file"'),
        (["-e", "trace=/("], "regular expression"),
        (["-e", "signal=SIGTEM"], "invalid signal"),
        (["-e", "status=sucessful"], 'did you mean "successful"'),
        (["--strng-limit=3"], 'did you mean "--string-limit"'),
        (["-s", "x"], "invalid -s argument"),
        (["-p", "1", "--backend", "trap"], "leave out --backend trap"),
        (["-p", "1", "--backend", "inject"], "is for one process that runs"),
        (["--backend", "ptarce"], 'did you mean "ptrace"'),
        (["--backend", "ptrace", "--stack-trace=python"], "no Python stacks"),
        (["-o", "/nonexistent/log"], "/nonexistent/log: No such file or directory"),
        (["-o", "/"], "/: Is a directory"),
        (["--format", "perfetto"], "needs -o"),
        (["-S", "tmie", "-c"], "cannot sort by"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_clear_line(words: list[str], said: str) -> None:
    done = subprocess.run([*TRACE, *words, "true"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 125 and said in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr
