"""The preload shim: a policy and its Python handlers in programs that somebody else starts, and where it refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import pytest

import selftrace
from selftrace import Policy, UnsupportedError
from selftrace.backends import bundle
from tests.waiting import PATIENCE_S

FILES = 1100
ANSWER = b"from the handler\n"
HANDLERS = """
import mmap, os
from selftrace import Policy
p = Policy.parse('policy = 1\\nname = "handlers"\\n[default]\\naction = "allow"\\n')
_fd = os.open({counter!r}, os.O_RDWR)
_memory = mmap.mmap(_fd, 4096)
os.close(_fd)

@p.on("openat", "open", path={given!r})
def other_bytes(call):
    return call.content({answer!r})

@p.on("openat", "open", path={broken!r})
def broken(call):
    raise ValueError("on purpose")

@p.on(*{calls!r})
def count(call):
    _memory[:8] = (int.from_bytes(_memory[:8], "little") + 1).to_bytes(8, "little")
"""
NATIVE = """
policy = 1
name = "native"
[default]
action = "allow"
[[rule]]
calls = ["openat"]
match = {{ "@path" = "{given}" }}
action = "content"
content = "native\\n"
"""
C_PROGRAM = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    char bytes[100];
    for (int i = 2; i < argc; i++) {
        int fd = open(argv[i], O_RDONLY);
        long n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
        if (n < 0) perror(argv[i]); else fwrite(bytes, 1, n, stdout);
        close(fd);
    }
    for (int i = atoi(argv[1]); i > 0; i--) rmdir("/nonexistent");
    return 0;
}
"""
THREADS = r"""
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static char *path;
static int wrong(void)
{
    char bytes[100] = {0};
    int fd = open(path, O_RDONLY), r = read(fd, bytes, 99) < 0 || strcmp(bytes, "from the handler\n");
    close(fd);
    return r;
}
static void *work(void *forks)
{
    for (int i = 0; i < 200; i++) {
        int status = 0;
        if (wrong()) _exit(3);
        if (forks && i % 50 == 0) {
            int pid = fork();
            if (!pid) _exit(wrong());
            waitpid(pid, &status, 0);
            if (status) _exit(4);
        }
    }
    return NULL;
}
int main(int argc, char **argv)
{
    pthread_t threads[6];
    path = argv[1];
    for (long i = 0; i < 6; i++) pthread_create(&threads[i], NULL, work, (void *)(i % 2));
    for (int i = 0; i < 6; i++) pthread_join(threads[i], NULL);
    return 0;
}
"""
SIGNALS = r"""
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>
static sigjmp_buf back;
static volatile long signals;
static char *path;
static int wrong(void)
{
    char bytes[100] = {0};
    int fd = open(path, O_RDONLY), r = read(fd, bytes, 99) < 0 || strcmp(bytes, "from the handler\n");
    close(fd);
    return r;
}
static void handler(int signal)
{
    if (wrong()) _exit(4);
    if (++signals % 7 == 0) siglongjmp(back, 1);
}
int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct itimerval every = {{0, 500}, {0, 500}};
    path = argv[1];
    if (wrong()) return 5;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    sigsetjmp(back, 1);
    while (signals < 500) {
        int fd = open(path, O_RDONLY);
        char bytes[100] = {0};
        if (fd < 0 || (read(fd, bytes, 99) > 0 && strcmp(bytes, "from the handler\n"))) return 3;
        if (fd > 900) for (fd = 3; fd < 900; fd++) close(fd);
        close(fd);
    }
    return 0;
}
"""
embeddable = pytest.mark.skipif(bundle.shared_library() is None, reason=f"{sys.executable} has no shared libpython")


class Place:
    """A directory that every user may read, with files to work on, and what puts handlers into programs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.given, self.broken, self.counter = path / "given", path / "broken", path / "counter"
        self.given.write_bytes(b"what the file says\n")
        self.broken.write_bytes(b"what the file says\n")

    @cached_property
    def files(self) -> Path:
        directory = self.path / "files"
        directory.mkdir()
        for number in range(FILES):
            (directory / f"f{number}").write_text(f"{number}\n")
        return directory

    def text(self, *calls: str) -> str:
        self.counter.write_bytes(bytes(4096))
        names = {"given": str(self.given), "broken": str(self.broken), "counter": str(self.counter)}
        return HANDLERS.format(answer=ANSWER, calls=calls or ("rmdir",), **names)

    def preload(self, policy: Path) -> dict[str, str]:
        """What `selftrace preload` prints, as variables."""
        done = subprocess.run([sys.executable, "-m", "selftrace", "preload", "--policy", policy], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return dict(word.split("=", 1) for word in done.stdout.split())

    def handlers(self, *calls: str) -> dict[str, str]:
        path = self.path / "handlers.py"
        path.write_text(self.text(*calls))
        return self.preload(path)

    def native(self) -> dict[str, str]:
        path = self.path / "native.toml"
        path.write_text(NATIVE.format(given=self.given))
        return self.preload(path)

    def counted(self) -> int:
        return int.from_bytes(self.counter.read_bytes()[:8], "little")

    def compile(self, text: str, *options: str) -> str:
        source, program = self.path / "program.c", self.path / "program"
        source.write_text(text)
        subprocess.run(["gcc", "-O1", "-w", *options, "-o", program, source], check=True)
        return str(program)

    def under_strace(self, argv: list[str], calls: tuple[str, ...], cwd: Path | None = None) -> int:
        """How often a plain run makes these calls, as strace -c counts."""
        out = self.path / "strace"
        command = ["strace", "-f", "-c", "-U", "calls,name", "-o", str(out), *argv]
        subprocess.run(command, check=True, capture_output=True, cwd=cwd)
        lines = [line.split() for line in out.read_text().splitlines()]
        return sum(int(words[0]) for words in lines if len(words) == 2 and words[1] in calls)


@pytest.fixture
def place() -> Iterator[Place]:
    directory = Path(tempfile.mkdtemp(prefix="preload-"))
    directory.chmod(0o755)
    yield Place(directory)
    shutil.rmtree(directory)
    for name in [name for name in sys.modules if name.startswith("selftrace_policy_")]:
        del sys.modules[name]


def run(argv: list[str], variables: dict[str, str], **options: object) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, **variables}
    return subprocess.run(argv, env=env, capture_output=True, timeout=PATIENCE_S, **options)  # type: ignore[call-overload,no-any-return]


def needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


# ---- handlers -----------------------------------------------------------------------------------------------------


@embeddable
def test_cat(place: Place) -> None:
    needs("strace")
    calls = ("fadvise64",)
    variables = place.handlers(*calls)
    done = run(["cat", str(place.given), str(place.broken)], variables)
    assert (done.returncode, done.stdout) == (1, ANSWER)
    assert done.stderr.endswith(b"Operation not permitted\n")
    names = sorted(os.listdir(place.files))
    place.handlers(*calls)
    assert run(["cat", *names], variables, cwd=place.files).stdout == b"".join(
        place.files.joinpath(n).read_bytes() for n in names
    )
    assert place.counted() == place.under_strace(["cat", *names], calls, place.files) >= 1000


@embeddable
def test_git(place: Place) -> None:
    needs("strace", "git")
    calls = ("link", "unlink", "rename", "mkdir")
    variables = {**place.handlers(*calls), "HOME": str(place.path), "GIT_CONFIG_NOSYSTEM": "1"}
    blob = subprocess.run(["git", "hash-object", "--stdin"], input=ANSWER, capture_output=True, check=True).stdout
    assert run(["git", "hash-object", str(place.given)], variables).stdout == blob
    done = run(["git", "hash-object", str(place.broken)], variables)
    assert done.returncode == 128 and b"Operation not permitted" in done.stderr

    def fresh() -> None:
        shutil.rmtree(place.files / ".git", ignore_errors=True)
        subprocess.run(["git", "init", "-q", place.files], check=True, env={**os.environ, "HOME": str(place.path)})

    fresh()
    done = run(["git", "add", "."], variables, cwd=place.files)
    assert done.returncode == 0, done.stderr
    counted = place.counted()
    fresh()
    assert counted == place.under_strace(["git", "add", "."], calls, place.files) >= 1000


@embeddable
def test_node(place: Place) -> None:
    needs("strace", "node")
    calls = ("rmdir",)
    variables = place.handlers(*calls)
    read = "const fs = require('fs'); process.stdout.write(fs.readFileSync(process.argv[1]))"
    assert run(["node", "-e", read, str(place.given)], variables).stdout == ANSWER
    done = run(["node", "-e", read, str(place.broken)], variables)
    assert done.returncode == 1 and b"EPERM" in done.stderr
    many = "for (let i = 0; i < 1200; i++) try { require('fs').rmdirSync('/nonexistent') } catch (e) {}"
    assert run(["node", "-e", many], variables).returncode == 0
    assert place.counted() == place.under_strace(["node", "-e", many], calls) >= 1000


@embeddable
def test_a_c_program(place: Place) -> None:
    needs("strace")
    program, calls = place.compile(C_PROGRAM), ("rmdir",)
    done = run([program, "1200", str(place.given), str(place.broken)], place.handlers(*calls))
    assert (done.returncode, done.stdout) == (0, ANSWER)
    assert done.stderr.endswith(b"Operation not permitted\n")
    assert place.counted() == place.under_strace([program, "1200"], calls) >= 1000


@embeddable
def test_below_forks_and_execs(place: Place) -> None:
    script = 'read a < "$0"; echo "$a"; (read a < "$0"; echo "$a"); cat "$0"; env -i cat "$0"; (cat "$1"); exec cat "$0"'
    done = run(["sh", "-c", script, str(place.given), str(place.broken)], place.handlers())
    assert (done.returncode, done.stdout) == (0, 5 * ANSWER)
    assert done.stderr.count(b"Operation not permitted") == 1


@embeddable
def test_handlers_on_exec(place: Place) -> None:
    """One that has no opinion lets it happen; in a fork's child, a vfork's, and without a fork."""
    variables = place.handlers("execve")
    cat = str(shutil.which("cat"))
    done = run(["sh", "-c", f'{cat} "$0"; /bin/nonexistent; exec {cat} "$0"', str(place.given)], variables)
    assert (done.returncode, done.stdout) == (0, 2 * ANSWER)
    assert place.counted() == 3
    code = "import subprocess, sys; subprocess.run(['cat', sys.argv[1]]); subprocess.run(['cat', sys.argv[1]])"
    assert run([sys.executable, "-c", code, str(place.given)], variables).stdout == 2 * ANSWER


@embeddable
def test_threads_that_fork(place: Place) -> None:
    """Often: a fork while Python's lock of threads was held left one child in twelve programs waiting for ever."""
    program, variables = place.compile(THREADS, "-pthread"), place.handlers()
    assert [run([program, str(place.given)], variables).returncode for _ in range(30)] == [0] * 30


@embeddable
def test_signal_handlers_that_never_come_back(place: Place) -> None:
    """Whatever they interrupt, the thread's next calls are asked about again."""
    assert run([place.compile(SIGNALS), str(place.given)], place.handlers()).returncode == 0


@embeddable
def test_inside_the_c_library(place: Place) -> None:
    """setlocale and localtime open files with their locks held: Python must not wait for these."""
    done = run(
        ["date", "-d", "2026-07-01", "+%Z"], {**place.handlers("openat", "open"), "LC_ALL": "C.UTF-8", "TZ": "Europe/Berlin"}
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"CEST\n", b"")  # a wait that was given up refuses the file
    assert place.counted() > 0


@embeddable
def test_in_a_python_of_the_same_build(place: Place) -> None:
    code = "import subprocess, sys; print(open(sys.argv[1]).read(), end='', flush=True); subprocess.run(['cat', sys.argv[1]])"
    done = run([sys.executable, "-c", code, str(place.given)], place.handlers())
    assert (done.returncode, done.stdout) == (0, 2 * ANSWER), done.stderr


@embeddable
def test_debians_python(place: Place) -> None:
    python = "/usr/bin/python3"
    needs(python)
    version = subprocess.run([python, "-c", "import sys; print(sys.version, end='')"], capture_output=True, text=True).stdout
    code = f"print(open({str(place.given)!r}).read(), end='')"
    done = run([python, "-c", code], place.handlers())
    if version == sys.version:
        assert (done.returncode, done.stdout) == (0, ANSWER), done.stderr
        return
    assert (done.returncode, done.stdout) == (126, b"")
    assert b"another build of Python" in done.stderr and b"use selftrace run" in done.stderr
    below = run(["sh", "-c", f'{python} -c 1; echo $?; cat "$0"', str(place.given)], place.handlers())
    assert below.stdout == b"126\n" + ANSWER
    assert run([python, "-c", code], place.native()).stdout == b"native\n"


# ---- without handlers, and what a program sees ------------------------------------------------------------------------


def test_a_native_policy(place: Place) -> None:
    script = 'cat "$0"; (read a < "$0"; echo "$a")'
    assert run(["sh", "-c", script, str(place.given)], place.native()).stdout == 2 * b"native\n"


def test_the_environment_is_as_it_was(place: Place) -> None:
    variables = place.native()
    plain = [run(argv, {}).stdout for argv in (["env"], ["sh", "-c", "env"])]
    assert [run(argv, variables).stdout for argv in (["env"], ["sh", "-c", "env"])] == plain and b"PATH=" in plain[0]
    both = {**variables, "LD_PRELOAD": variables["LD_PRELOAD"] + ":libm.so.6"}
    assert b"LD_PRELOAD=libm.so.6\n" in run(["env"], both).stdout


def test_the_users_preload_stays(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "libm.so.6")
    assert place.native()["LD_PRELOAD"] == f"{bundle.shim()}:libm.so.6"


def test_the_kernels_part_holds(place: Place) -> None:
    path = place.path / "closed.toml"
    path.write_text(
        'policy = 1\nname = "closed"\n[default]\naction = "allow"\n[fs]\n'
        f'read = ["/usr/**", "/lib/**", "/lib64/**", "/etc/ld.so.cache", "/proc/self/**", "{place.given}"]\nexec = ["/usr/**"]\n'
        "[limits]\nopen_files = 99\nwall_seconds = 9\n"
    )
    done = subprocess.run([sys.executable, "-m", "selftrace", "preload", "--policy", path], capture_output=True, text=True)
    assert "nobody holds: [limits] wall_seconds" in done.stderr
    variables = dict(word.split("=", 1) for word in done.stdout.split())
    done2 = run(["sh", "-c", 'cat "$0" "$1"; ulimit -n', str(place.given), str(place.broken)], variables)
    assert done2.stdout == place.given.read_bytes() + b"99\n" and b"Permission denied" in done2.stderr


# ---- where it refuses -------------------------------------------------------------------------------------------------


def ruined(place: Place, change: Callable[[Path], object]) -> subprocess.CompletedProcess[bytes]:
    variables = place.native()
    copy = place.path / "policy"
    copy.write_bytes(Path(variables["SELFTRACE_POLICY"]).read_bytes())
    copy.chmod(0o600)
    change(copy)
    return run(["cat", str(place.given)], {**variables, "SELFTRACE_POLICY": str(copy)})


def patched(offset: int, value: bytes) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[offset : offset + len(value)] = value
        path.write_bytes(data)

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda path: path.unlink(), b"No such file"),
        (lambda path: path.chmod(0o622), b"can be written by other users"),
        (lambda path: path.write_bytes(b"x"), b"is no policy of selftrace preload"),
        (patched(0, b"\0"), b"is no policy of selftrace preload"),
        (patched(8, b"\xff"), b"another version of selftrace"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), b"is not whole"),
        (lambda path: (path.unlink(), path.mkdir()), b"is no regular file"),
    ],
)
def test_it_fails_closed(place: Place, change: Callable[[Path], object], sentence: bytes) -> None:
    done = ruined(place, change)
    assert (done.returncode, done.stdout) == (126, b"")
    assert done.stderr.startswith(b"selftrace: preload: ") and sentence in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_policy(place: Place) -> None:
    done = ruined(place, lambda path: os.chown(path, 65534, 65534))
    assert done.returncode == 126 and b"belongs to another user" in done.stderr


def test_no_policy_is_no_permission(place: Place) -> None:
    for value in ({}, {"SELFTRACE_POLICY": ""}):
        done = run(["cat", str(place.given)], {"LD_PRELOAD": bundle.shim(), **value})
        assert (done.returncode, done.stdout) == (126, b"") and b"SELFTRACE_POLICY is not" in done.stderr


def test_a_second_policy_on_top(place: Place) -> None:
    variables = place.native()
    words = [f"{name}={value}" for name, value in variables.items()]
    done = run(["env", *words, "cat", str(place.given)], variables)
    assert done.returncode == 126 and b"a policy holds here already" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"), [((), "which policy?"), (("--policy", "builtin:nothing"), "nothing"), (("--policy", "a b"), "a b")]
)
def test_the_command_refuses(words: tuple[str, ...], sentence: str) -> None:
    done = subprocess.run([sys.executable, "-m", "selftrace", "preload", *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "") and sentence in done.stderr


def test_a_path_that_the_shell_would_split(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(place.path / "a place"))
    path = place.path / "native.toml"
    path.write_text(NATIVE.format(given=place.given))
    done = subprocess.run([sys.executable, "-m", "selftrace", "preload", "--policy", path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "") and "a place" in done.stderr


# ---- selftrace run -- PROG ----------------------------------------------------------------------------------------------


def program_policy(place: Place) -> Policy:
    path = place.path / "program.py"
    path.write_text(
        "from selftrace import Policy\np = Policy.builtin('untrusted-program')\n"
        f"@p.on('openat', 'open', path={str(place.given)!r})\ndef other_bytes(call):\n    return call.content({ANSWER!r})\n"
        f"@p.on('openat', 'open', path={str(place.broken)!r})\ndef broken(call):\n    raise ValueError('on purpose')\n"
    )
    return Policy.load(path)


@embeddable
def test_run_with_handlers(place: Place) -> None:
    script = 'cat "$0"; (read a < "$0"; echo "$a"); cat "$1"; true'
    result = selftrace.run(argv=["sh", "-c", script, str(place.given), str(place.broken)], policy=program_policy(place))
    assert result.check().stdout == 2 * ANSWER
    assert result.stderr.endswith(b"Operation not permitted\n") and result.violations == ()
    (event,) = result.events
    assert "ValueError: on purpose" in event.note


@embeddable
def test_run_of_a_static_program(place: Place) -> None:
    program = place.compile(C_PROGRAM, "-static")
    policy = program_policy(place).with_grants(read=[f"{place.path}/**"], exec=[program])
    result = selftrace.run(argv=[program, "0", str(place.given)], policy=policy)
    assert result.stdout == b""
    (violation,) = result.violations
    assert "none could be put into this program" in violation.note


def test_run_without_a_shared_library(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "shared_library", lambda: None)
    with pytest.raises(UnsupportedError, match="need Python as a shared library"):
        selftrace.run(argv=["/bin/true"], policy=program_policy(place))
