"""Debuggers, sanitizers and programs that use the interposer's own means: each works, or is refused in words."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import selftrace
from selftrace import Result
from tests.waiting import PATIENCE_S

HERE = Path(__file__).resolve().parent
GDB, STRACE, GO, CLANG = (shutil.which(name) for name in ("gdb", "strace", "go", "clang"))
QUIET = ["-ex", "handle SIGSYS nostop noprint pass"]
"""What a debugger is told of trapped calls."""


def compile_c(source: str, target: Path, *options: str, compiler: str = "gcc") -> None:
    command = [compiler, "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", *options, "-o", target, HERE / source]
    subprocess.run(command, check=True)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="coexist-"))
    directory.chmod(0o755)
    compile_c("coexist.c", directory / "coexist")
    compile_c("coexist.c", directory / "coexist-static", "-static")
    yield directory
    shutil.rmtree(directory)


def both(place: Path, *argv: str) -> tuple[Result, Result]:
    """The same program plain and interposed; a relative one is in `place`."""
    argv = (str(place / argv[0]), *argv[1:])
    plain, interposed = (
        selftrace.run(argv=argv, policy="builtin:observe", backend=backend, cwd=place, timeout_s=PATIENCE_S)
        for backend in ("none", "auto")
    )
    return plain, interposed


def outcome(result: Result) -> tuple[object, ...]:
    return result.reason, result.exit_code, result.signal, result.stdout


@pytest.mark.skipif(GDB is None, reason="no gdb")
@pytest.mark.parametrize("program", ["coexist", "coexist-static"])
def test_gdb_inside(program: str, place: Path) -> None:
    """PTRACE_TRACEME between vfork and exec must not stop a child that its debugger cannot let go on."""
    commands = ["break main", "run", "bt", "info auxv", "c"]
    argv = [
        str(GDB),
        "-nx",
        "-batch",
        *QUIET,
        *(word for c in commands for word in ("-ex", c)),
        "--args",
        f"./{program}",
        "sigsys",
    ]
    plain, interposed = both(place, *argv)
    for result in (plain, interposed):
        text = result.stdout.decode()
        assert re.search(r"Breakpoint 1, main \(argc=2", text), (text, result.stderr)
        assert "#0  main (argc=2" in text
        assert re.search(r"AT_EXECFN .*coexist", text)
        assert "count 100 code -6" in text
        assert re.search(r"exited normally", text)


@pytest.mark.skipif(STRACE is None, reason="no strace")
def test_strace_inside(place: Path) -> None:
    """Sees each trapped call twice: where it was made, and in the gate."""
    argv = [str(STRACE), "-f", "-e", "trace=openat", "-e", "signal=none", "-o", "trace", "./coexist", "sigsys"]
    plain, interposed = both(place, *argv)
    assert outcome(plain) == outcome(interposed)
    traced = (place / "trace").read_text()
    assert traced.count('openat(AT_FDCWD, "/dev/null"') == 200


def start_waiting(place: Path) -> tuple[subprocess.Popen[str], int]:
    """A program in a run of its own, and its pid."""
    argv = [sys.executable, "-m", "selftrace", "run", "--policy", "builtin:observe", "--cwd", str(place)]
    argv += ["--", str(place / "coexist"), "waits"]
    launcher = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert launcher.stdout
    ready = launcher.stdout.readline()
    assert ready.startswith("ready"), (ready, launcher.communicate())
    return launcher, int(ready.split()[1])


@pytest.mark.skipif(GDB is None, reason="no gdb")
def test_gdb_outside(place: Path) -> None:
    """Told which program it is, because /proc/PID/exe names the loader, gdb attaches, unwinds, breaks and goes away."""
    launcher, pid = start_waiting(place)
    try:
        assert pid in {child.pid for child in psutil.Process(launcher.pid).children(recursive=True)}
        commands = [word for command in ("bt", "break access", "c", "detach") for word in ("-ex", command)]
        argv = [str(GDB), "-nx", "-batch", *QUIET, *commands, "-p", str(pid), "coexist"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=place)
        if "ptrace: Operation not permitted" in done.stdout + done.stderr:
            pytest.skip("this kernel lets nobody attach")
        assert re.search(r"waits \(\) at .*coexist.c", done.stdout), done
        assert re.search(r"Breakpoint 1[.\d]*, .*access", done.stdout), done
    finally:
        (place / "go-on").touch()
        output, errors = launcher.communicate(timeout=PATIENCE_S)
        (place / "go-on").unlink()
    assert (launcher.returncode, output) == (6, "done\n"), errors


@pytest.mark.skipif(STRACE is None, reason="no strace")
def test_strace_around_the_launcher(place: Path) -> None:
    argv = [str(STRACE), "-f", "-o", "/dev/null", sys.executable, "-m", "selftrace", "run", "--policy", "builtin:observe"]
    argv += ["--cwd", str(place), "--", str(place / "coexist"), "sigsys"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stdout) == (0, "count 100 code -6\n"), done.stderr


def test_tracers(place: Path) -> None:
    """A tracer of its own children: they stop where they would, and a SIGSYS that is passed on is a trapped call."""
    plain, interposed = both(place, "./coexist", "traces")
    assert plain.stdout.count(b"ended") == 5
    assert outcome(plain) == outcome(interposed)


def test_own_sigsys_handler(place: Path) -> None:
    plain, interposed = both(place, "./coexist", "sigsys")
    assert plain.stdout == b"count 100 code -6\n"
    assert outcome(plain) == outcome(interposed)


def test_own_filter_is_refused_in_words(place: Path) -> None:
    """A filter of the program's own would be asked about the interposer's calls as well."""
    plain, interposed = both(place, "./coexist", "seccomp")
    assert plain.stdout == b"prctl 0 0\nseccomp 0 0\nasking 0\n"
    assert interposed.stdout == b"prctl -1 1\nseccomp -1 1\nasking 0\n"
    assert {v.call for v in interposed.violations} == {"prctl", "seccomp"}
    assert all("integrity" in str(v) for v in interposed.violations)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may let the kernel fault on such pages")
def test_userfaultfd(place: Path) -> None:
    plain, interposed = both(place, "./coexist", "userfaultfd")
    assert plain.stdout == b"own /dev/null, opened 1\n"
    assert outcome(plain) == outcome(interposed)


SANITIZERS = {
    "address": ("none", "overflow", "leak"),
    "thread": ("none", "race"),
    "undefined": ("none", "shift"),
    "leak": ("none", "leak"),
}


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_sanitizers(sanitizer: str, place: Path) -> None:
    """The same findings, in the same words but for addresses and process numbers."""
    target = place / f"sanitized-{sanitizer}"
    compile_c("sanitized.c", target, f"-fsanitize={sanitizer}", "-Wno-error")
    for mistake in SANITIZERS[sanitizer]:
        plain, interposed = both(place, f"./{target.name}", mistake)
        assert outcome(plain) == outcome(interposed), (mistake, interposed.stderr)
        found = [
            re.findall(rb"(?:ERROR|WARNING|SUMMARY): [A-Za-z]+: ?[a-z -]*|runtime error: [a-z ]+", r.stderr)
            for r in (plain, interposed)
        ]
        assert found[0] == found[1]
        assert bool(found[0]) == (mistake != "none")


@pytest.mark.skipif(CLANG is None, reason="no clang")
def test_memory_sanitizer(place: Path) -> None:
    target = place / "sanitized-memory"
    compile_c("sanitized.c", target, "-fsanitize=memory", compiler=str(CLANG))
    plain, interposed = both(place, "./sanitized-memory")
    assert plain.exit_code == 0
    assert outcome(plain) == outcome(interposed)


GO_PROGRAM = """
package main

import ("fmt"; "os"; "sync"; "bytes")

func main() {
	var group sync.WaitGroup
	var lock sync.Mutex
	wrong := 0
	for n := 0; n < 2000; n++ {
		group.Add(1)
		go func(n int) {
			defer group.Done()
			pattern := bytes.Repeat([]byte{byte(n)}, 256)
			held := append([]byte(nil), pattern...)
			for i := 0; i < 5; i++ {
				file, err := os.Open("/dev/null")
				if err == nil { err = file.Close() }
				_, missing := os.Stat("/does/not/exist")
				lock.Lock()
				if err != nil || missing == nil || !bytes.Equal(held, pattern) { wrong++ }
				lock.Unlock()
			}
		}(n)
	}
	group.Wait()
	fmt.Println("wrong", wrong)
}
"""


@pytest.mark.skipif(GO is None, reason="no go")
def test_goroutines(place: Path) -> None:
    """Two thousand stacks of 2 KiB: no frame of ours may lie on one."""
    (place / "main.go").write_text(GO_PROGRAM)
    env = {**os.environ, "GOCACHE": str(place / "cache"), "GO111MODULE": "off", "HOME": str(place), "CGO_ENABLED": "0"}
    subprocess.run([str(GO), "build", "-o", "goroutines", "main.go"], cwd=place, env=env, check=True)
    for _ in range(10):
        result = selftrace.run(argv=[str(place / "goroutines")], policy="builtin:observe", cwd=place, timeout_s=PATIENCE_S)
        assert outcome(result) == ("exit", 0, None, b"wrong 0\n"), result.stderr
