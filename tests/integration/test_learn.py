"""`learn` on programs that nobody here wrote: two training runs teach what held-out runs need, and no attack more."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import selftrace
from selftrace import Policy, Result
from selftrace.job import Job, interpreter
from selftrace.policy.compile import compile as compile_plan
from selftrace.policy.explain import explain_call
from selftrace.policy.terms import Features
from selftrace.session import make_context
from tests.waiting import PATIENCE_S

PATH = "/usr/bin:/bin"
GIT = ["/usr/bin/git", "-c", "safe.directory=*", "--no-pager"]
ATTACKS = [
    'openat("/root/.ssh/id_rsa", O_RDONLY)',
    'openat("/home/user/.ssh/id_rsa", O_RDONLY)',
    'openat("/root/.aws/credentials", O_RDONLY)',
    'openat("/root/.gnupg/secring.gpg", O_RDONLY)',
    'openat("/root/.kube/config", O_RDONLY)',
    'openat("/root/.netrc", O_RDONLY)',
    'openat("/root/.bash_history", O_RDONLY)',
    'openat("/home/other/notes.txt", O_RDONLY)',
    'openat("/etc/shadow", O_RDONLY)',
    'openat("/etc/sudoers", O_RDONLY)',
    'openat("/proc/1/environ", O_RDONLY)',
    'openat("/proc/1/mem", O_RDWR)',
    'openat("/dev/sda", O_RDONLY)',
    'openat("/var/log/auth.log", O_RDONLY)',
    'openat("/boot/vmlinuz", O_RDONLY)',
    'openat("/root/.bashrc", O_WRONLY|O_APPEND)',
    'openat("/usr/lib/x86_64-linux-gnu/libc.so.6", O_WRONLY)',
    'openat("/usr/bin/backdoor", O_WRONLY|O_CREAT)',
    'openat("/etc/cron.d/job", O_WRONLY|O_CREAT)',
    'openat("/etc/passwd", O_WRONLY)',
    'openat("/tmp/other-run/secret.txt", O_RDONLY)',
    'unlink("/usr/bin/python3")',
    'rename("/tmp/a", "/etc/ld.so.preload")',
    'execve("/bin/sh")',
    'execve("/usr/bin/curl")',
    'connect(3, "169.254.169.254:80")',
    'connect(3, "127.0.0.1:5432")',
    'connect(3, "8.8.8.8:53")',
    'bind(3, "0.0.0.0:4444")',
    "socket(AF_INET, SOCK_RAW, 0)",
    "ptrace(PTRACE_ATTACH, 1)",
    "mount(NULL, NULL, NULL, 0, NULL)",
]


@dataclass(frozen=True)
class Case:
    """training and held out: command lines in a directory that `prepare` fills."""

    training: list[list[str]]
    held_out: list[list[str]]
    prepare: Callable[[Path], None]
    package: str
    outputs: list[str] = field(default_factory=list)


def sh(place: Path, script: str) -> None:
    env = {"PATH": PATH, "HOME": str(place), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["/bin/sh", "-euc", script], cwd=place, env=env, check=True, capture_output=True)


def repository(place: Path) -> None:
    sh(
        place,
        """git init -q . && git config user.name n && git config user.email e
        for n in 1 2 3 4 5 6 7 8; do mkdir -p d; echo line $n >> d/file.txt; echo $n > d/n$n.txt; git add . ; git commit -qm "change $n"; done""",
    )


def documents(place: Path) -> None:
    for n in range(1, 6):
        (place / f"in{n}.json").write_text(f'{{"n": {n}}}')


def databases(place: Path) -> None:
    for n in range(1, 6):
        (place / f"load{n}.sql").write_text(f"create table t(a); insert into t values({n}),({n}); select sum(a) from t;\n")


def sources(place: Path) -> None:
    headers = {1: "stdio stdlib", 2: "string time stddef", 3: "ctype stdlib", 4: "wchar stddef stdio", 5: "inttypes locale"}
    for n, names in headers.items():
        includes = "".join(f"#include <{name}.h>\n" for name in names.split())
        (place / f"part{n}.c").write_text(f"{includes}int main(void) {{ return {n} - {n}; }}\n")


def trees(place: Path) -> None:
    for n in range(1, 6):
        (place / f"tree{n}").mkdir()
        for m in range(3):
            (place / f"tree{n}" / f"note{m}.txt").write_text(f"{n} {m}\n")


def numbered(*template: str, of: tuple[int, ...]) -> list[list[str]]:
    return [[word.replace("#", str(n)) for word in template] for n in of]


CASES = {
    "git": Case(
        [[*GIT, "show", "--stat", "HEAD~5"], [*GIT, "show", "HEAD~4"]],
        [[*GIT, "show", "HEAD~2"], [*GIT, "log", "-p", "-5"], [*GIT, "diff", "HEAD~6", "HEAD~1"]],
        repository,
        "git",
    ),
    "json.tool": Case(
        numbered("/usr/bin/python3", "-m", "json.tool", "in#.json", "out#.json", of=(1, 2)),
        numbered("/usr/bin/python3", "-m", "json.tool", "in#.json", "out#.json", of=(3, 4, 5)),
        documents,
        "python3",
        ["out1.json", "out2.json"],
    ),
    "sqlite3": Case(
        numbered("/usr/bin/sqlite3", "-batch", "data#.db", ".read load#.sql", of=(1, 2)),
        numbered("/usr/bin/sqlite3", "-batch", "data#.db", ".read load#.sql", of=(3, 4, 5)),
        databases,
        "sqlite3",
        ["data1.db", "data2.db"],
    ),
    "gcc": Case(
        numbered("/usr/bin/gcc", "-O1", "-o", "prog#", "part#.c", of=(1, 2)),
        numbered("/usr/bin/gcc", "-O1", "-o", "prog#", "part#.c", of=(3, 4, 5)),
        sources,
        "gcc",
        ["prog1", "prog2"],
    ),
    "tar": Case(
        numbered("/usr/bin/tar", "cf", "saved#.tar", "tree#", of=(1, 2)),
        numbered("/usr/bin/tar", "cf", "saved#.tar", "tree#", of=(3, 4, 5)),
        trees,
        "tar",
        ["saved1.tar", "saved2.tar"],
    ),
}


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that any user may enter."""
    path = Path(tempfile.mkdtemp(prefix="learn-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def learn(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": PATH}
    return subprocess.run(
        [sys.executable, "-m", "selftrace", "learn", *words],
        cwd=place,
        env=env,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE_S,
    )


def taught(name: str, place: Path) -> tuple[Case, Path]:
    """A case after its two training runs, and the policy."""
    case = CASES[name]
    if not Path(case.training[0][0]).exists():
        pytest.skip(f"not installed: apt-get install {case.package}")
    work = place / "work"
    work.mkdir(mode=0o755)
    case.prepare(work)
    policy = place / "p.toml"
    for words, option in zip(case.training, ("-o", "--add"), strict=True):
        clear(case, work)
        done = learn(work, option, str(policy), "--", *words)
        assert done.returncode == 0, done.stderr
        assert "not granted" not in done.stderr and "lost" not in done.stderr
    return case, policy


def clear(case: Case, work: Path) -> None:
    for name in case.outputs:
        (work / name).unlink(missing_ok=True)


def made_by(work: Path, run: Callable[[], Result]) -> tuple[Result, dict[str, bytes]]:
    """A run, and the files that it left, which are removed."""
    before = set(work.iterdir())
    result = run()
    made = {path.name: path.read_bytes() for path in set(work.iterdir()) - before}
    for name in made:
        (work / name).unlink()
    return result, made


def enforced(policy: Policy | Path | str, work: Path, words: list[str]) -> Result:
    return selftrace.run(argv=words, policy=policy, cwd=work)


def fails(result: Result, wanted: Result) -> bool:
    """Whether it is not as fine as the other: how it ends, what it prints, what it is refused, what it gets to use."""
    fine = (result.reason, result.exit_code, result.stdout) == (wanted.reason, wanted.exit_code, wanted.stdout)
    return not fine or bool(result.violations) or not used(wanted) <= used(result)


def used(result: Result) -> set[str]:
    return {path for path in result.usage.files if "/selftrace-" not in path}


@pytest.mark.parametrize("name", CASES)
def test_held_out_runs_are_fine_and_attacks_are_not(name: str, place: Path, features: Features) -> None:
    case, policy = taught(name, place)
    work = place / "work"
    for words in (*case.training, *case.held_out):
        clear(case, work)
        result, made = made_by(work, lambda words=words: enforced(policy, work, words))
        assert (result.reason, result.exit_code) == ("exit", 0), (words, result.stderr[-2000:], result.notes)
        assert result.violations == (), (words, [str(violation) for violation in result.violations])
        free, made_free = made_by(work, lambda words=words: enforced("builtin:observe", work, words))
        assert (result.stdout, result.stderr, made) == (free.stdout, free.stderr, made_free), words
        assert result.stdout or made
    job = Job("program", "/usr/bin/true", ("true",))
    context = make_context(job, str(place / "tmp"), str(work), interpreter(job.python))
    plan = compile_plan(Policy.load(policy).model(context), features)
    granted = [attack for attack in ATTACKS if not refused(plan, attack)]
    assert len(ATTACKS) >= 16 and granted == []


def refused(plan: object, call: str) -> bool:
    verdict, _ = explain_call(plan, call)  # type: ignore[arg-type]
    return verdict.kind in ("refuse", "kill")


@pytest.mark.parametrize("name", CASES)
def test_the_same_run_the_same_file_and_nothing_new_under_its_own_policy(name: str, place: Path) -> None:
    case, policy = taught(name, place)
    work = place / "work"
    first, seen = policy.read_bytes(), Path(f"{policy}.seen").read_bytes()
    for words in case.training:
        clear(case, work)
        done = learn(work, "--add", str(policy), "--", *words)
        assert done.returncode == 0 and "nothing new" in done.stderr
        assert policy.read_bytes() == first
    assert Path(f"{policy}.seen").read_bytes() == seen or name == "gcc"  # whose names in ${TMP} are random
    again = [place / "a.toml", place / "b.toml"]
    for target in again:
        clear(case, work)
        assert learn(work, "-q", "-o", str(target), "--", *case.training[0]).returncode == 0
    texts = [target.read_text().replace(target.name, "") for target in again]
    assert texts[0] == texts[1]


ENTRY = re.compile(r"^    \S.*,(?:  #.*)?$")


def without_each_line(text: str) -> Iterator[tuple[str, str]]:
    """(line, the policy without it), for each line that grants something."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if ENTRY.match(line):
            rest = [*lines[:at], *lines[at + 1 :]]
        elif line in ("exec = true", "fork = true", "threads = true"):
            rest = [*lines[:at], line.replace("true", "false"), *lines[at + 1 :]]
        else:
            continue
        yield line, "\n".join(rest)


def needed(case: Case, work: Path, text: str, wanted: list[Result]) -> bool:
    """Whether some training run fails under this text."""
    for words, fine in zip(case.training, wanted, strict=True):
        clear(case, work)
        try:
            result = enforced(Policy.parse(text, name="less.toml"), work, words)
        except (selftrace.PolicyError, selftrace.UnsupportedError):
            return True
        if fails(result, fine):
            return True
    return False


@pytest.mark.parametrize("name", [*(pytest.param(name, marks=pytest.mark.slow) if name == "gcc" else name for name in CASES)])
def test_each_line_is_needed(name: str, place: Path) -> None:
    case, policy = taught(name, place)
    work, text = place / "work", policy.read_text()
    wanted = []
    for words in case.training:
        clear(case, work)
        wanted.append(enforced(policy, work, words))
    assert not needed(case, work, text, wanted)
    useless = [line for line, less in without_each_line(text) if not needed(case, work, less, wanted)]
    assert useless == [], "\n".join(useless)


SCRIPT = """import socket, subprocess, sys, tempfile, threading, uuid

def attempt(name, act):
    try:
        act()
    except OSError as error:
        print(name, type(error).__name__)
    else:
        print(name, "ok")

def write(path):
    with open(path, "w") as file:
        file.write("x")

for word in sys.argv[1:]:
    kind, _, what = word.partition("=")
    if kind == "read":
        attempt(word, lambda: open(what, "rb").close())
    elif kind == "write":
        attempt(word, lambda: write(what))
    elif kind == "connect":
        host, _, port = what.rpartition(":")
        attempt(word, lambda: socket.create_connection((host, int(port)), 0.2))
    elif kind == "run":
        attempt(word, lambda: subprocess.run([what], check=False))
    elif kind == "thread":
        thread = threading.Thread(target=print, args=("thread",))
        thread.start()
        thread.join()
    elif kind == "volatile":
        write(f"log-{uuid.uuid4().hex}.txt")
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"x")
"""
TARGETS = """read=/etc/shadow read=/etc/sudoers read=/etc/ssl/private read=/root/.ssh/id_rsa read=/root/.bashrc read=/proc/1/environ
    read=/proc/1/maps read=/var/log/dpkg.log read=/dev/mem read=in.txt/../secret.key read=secret.key write=/usr/bin/backdoor
    write=/etc/cron.d/job write=in1.txt write=secret.key write=job.py write=/tmp/elsewhere.txt connect=127.0.0.1:22
    connect=169.254.169.254:80 run=/bin/true run=/usr/bin/id""".split()


@pytest.fixture
def scripted(place: Path) -> tuple[Path, Path]:
    """(directory with a script that does what it is told, its policy after two training runs)."""
    work, policy = place / "work", place / "p.toml"
    work.mkdir()
    (work / "job.py").write_text(SCRIPT)
    for name in ("in1.txt", "in2.txt", "in3.txt", "secret.key"):
        (work / name).write_text("x")
    if os.geteuid() == 0:
        work.chmod(0o777)
    for n, option in ((1, "-o"), (2, "--add")):
        done = learn(work, option, str(policy), "job.py", f"read=in{n}.txt", f"write=out{n}.txt", "thread", "volatile")
        assert done.returncode == 0 and "thread" in done.stdout, done.stderr
    return work, policy


def test_a_script_and_attacks_from_inside(scripted: tuple[Path, Path]) -> None:
    work, policy = scripted
    script = str(work / "job.py")
    fine = selftrace.run(script, "read=in3.txt", "write=out3.txt", "thread", "volatile", policy=policy, cwd=work)
    assert fine.check().stdout == b"read=in3.txt ok\nwrite=out3.txt ok\nthread\n" and fine.violations == ()
    result = selftrace.run(script, *TARGETS, policy=policy, cwd=work)
    assert len(TARGETS) >= 16
    answers = dict(line.split() for line in result.check().stdout.decode().splitlines())
    assert set(answers) == set(TARGETS)
    assert [target for target, answer in answers.items() if answer == "ok"] == []
    assert (work / "secret.key").read_text() == "x"


def test_a_server_and_its_client(place: Path) -> None:
    (place / "net.py").write_text(
        "import socket, threading\ns = socket.create_server(('127.0.0.1', 0))\n"
        "t = threading.Thread(target=lambda: s.accept()[0].sendall(b'hello'))\nt.start()\n"
        "print(socket.create_connection(s.getsockname()).recv(5))\nt.join()\n"
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))\n"
    )
    policy = place / "p.toml"
    done = learn(place, "-o", str(policy), "net.py")
    assert done.returncode == 0, done.stderr
    text = policy.read_text()
    assert 'connect = ["127.0.0.1:32768-60999", "udp://127.0.0.1:9"]\nbind = ["127.0.0.1:0"]' in text
    for _ in range(3):
        result = selftrace.run(place / "net.py", policy=policy, cwd=place)
        assert result.check().stdout == b"b'hello'\n" and result.violations == ()


def test_modules_and_code(place: Path) -> None:
    policy, other = place / "p.toml", place / "q.toml"
    done = learn(place, "-o", str(policy), "-c", "import sys; print(repr(sys.stdin.read()), sys.argv)", "x")
    assert done.returncode == 0 and done.stdout == "'' ['-c', 'x']\n", "as under run, there is nothing on standard input"
    (place / "in.json").write_text("[1]")
    done = learn(place, "-o", str(other), "-m", "json.tool", "in.json")
    assert done.returncode == 0 and done.stdout == "[\n    1\n]\n"
    assert selftrace.run(None, "in.json", module="json.tool", policy=other, cwd=place).check().stdout == b"[\n    1\n]\n"


def test_a_protected_place_is_named_and_not_granted(place: Path) -> None:
    (place / ".ssh").mkdir()
    (place / ".ssh" / "id_rsa").write_text("x")
    policy = place / "p.toml"
    done = learn(place, "-o", str(policy), "--", "/bin/cat", ".ssh/id_rsa")
    assert done.returncode == 0
    assert "not granted: ${CWD}/.ssh/id_rsa (read: a protected place)" in done.stderr
    assert "# not granted: ${CWD}/.ssh/id_rsa (read: a protected place)" in policy.read_text()
    result = enforced(policy, place, ["/bin/cat", ".ssh/id_rsa"])
    assert result.exit_code == 1 and result.violations


def test_the_working_directory_is_granted_by_the_policy_alone(place: Path) -> None:
    """--cwd grants its directory, unless the policy says itself what of it."""
    (place / "given.txt").write_text("x")
    (place / "other.dat").write_text("y")
    policy = place / "p.toml"
    assert learn(place, "-o", str(policy), "--", "/bin/cat", "given.txt").returncode == 0
    assert enforced(policy, place, ["/bin/cat", "given.txt"]).check().stdout == b"x"
    assert enforced(policy, place, ["/bin/cat", "other.dat"]).exit_code == 1


def test_a_program_that_fails_in_training(place: Path) -> None:
    policy = place / "p.toml"
    done = learn(place, "-o", str(policy), "--", "/bin/sh", "-c", "exit 7")
    assert done.returncode == 7 and "ended with 7" in done.stderr and policy.exists()
    policy.unlink()
    Path(f"{policy}.seen").unlink()
    done = learn(place, "-o", str(policy), "--", "/bin/sh", "-c", "kill -TERM $$")
    assert done.returncode == 143 and "signal 15: nothing is written" in done.stderr
    done = learn(place, "-o", str(policy), "--timeout", "0.3", "--", "/bin/sleep", "9")
    assert done.returncode == 124 and "its time limit: nothing is written" in done.stderr
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "where is the policy to go?"),
        (["-o"], "expected one argument"),
        (["-o", "p.toml"], "what is to be learned from?"),
        (["-o", "p.toml", "--"], "what is to be learned from?"),
        (["-o", "p.toml", "--", "no-such-program"], "no-such-program: no such program in PATH"),
        (["-o", "p.toml", "no-such.py"], "no-such.py: no such script"),
        (["-o", "nowhere/p.toml", "--", "/bin/true"], "nowhere/p.toml: cannot be written: No such file or directory"),
        (["-o", "/proc/p.toml", "--", "/bin/true"], "/proc/p.toml: cannot be written"),
        (["-o", ".", "--", "/bin/true"], ".: is a directory; give a file"),
        (["-o", "mine.toml", "--", "/bin/true"], "mine.toml: exists and was not learned"),
        (["--add", "mine.toml", "--", "/bin/true"], "mine.toml: was not learned: there is no mine.toml.seen beside it"),
        (["--add", "none.toml", "--", "/bin/true"], "none.toml: No such file or directory"),
        (["--add", "odd.toml", "--", "/bin/true"], "odd.toml.seen: holds no observations"),
        (["-o", "p.toml", "--cwd", "nowhere", "--", "/bin/true"], "nowhere: the working directory is none"),
        (["-o", "p.toml", "--env", "SELFTRACE_UNSET", "--", "/bin/true"], "your environment has no such variable"),
        (["-o", "p.toml", "--timeout", "soon", "--", "/bin/true"], "--timeout"),
        (["-p", "p.toml", "--", "/bin/true"], "unrecognized arguments: -p"),
    ],
)
def test_bad_input(words: list[str], message: str, place: Path) -> None:
    (place / "mine.toml").write_text("policy = 1\n")
    (place / "odd.toml").write_text("policy = 1\n")
    (place / "odd.toml.seen").write_text("{}")
    before = sorted(path.name for path in place.iterdir())
    done = learn(place, *words)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr
    assert sorted(path.name for path in place.iterdir()) == before


def test_an_edited_policy_is_not_written_over(place: Path) -> None:
    policy = place / "p.toml"
    assert learn(place, "-o", str(policy), "--", "/bin/true").returncode == 0
    policy.write_text(policy.read_text() + "# mine\n")
    done = learn(place, "--add", str(policy), "--", "/bin/true")
    assert done.returncode == 2 and "was changed after it was learned" in done.stderr
    other = place / "q.toml"
    policy.unlink()
    assert learn(place, "-o", str(policy), "--", "/bin/true").returncode == 0
    assert learn(place, "--add", str(policy), "-o", str(other), "--", "/bin/true").returncode == 0 and other.exists()


def test_the_program_does_not_find_what_is_being_written(place: Path) -> None:
    (place / "given.txt").write_text("")
    done = learn(place, "-o", "p.toml", "--", "/bin/ls", "-A")
    assert done.returncode == 0 and done.stdout == "given.txt\n"
    assert sorted(path.name for path in place.iterdir()) == ["given.txt", "p.toml", "p.toml.seen"]


def test_many_files_are_all_seen(place: Path) -> None:
    """More than the ring holds, and more than its table of what has been said."""
    work = place / "work"
    work.mkdir()
    for n in range(3000):
        (work / f"n{n:04}.{n % 7}x").write_text("")
    policy = place / "p.toml"
    done = learn(work, "-o", str(policy), "--", "/bin/sh", "-c", "for f in n*; do : <$f; done")
    assert done.returncode == 0 and "lost" not in done.stderr
    seen = Path(f"{policy}.seen").read_text()
    assert seen.count('"${CWD}/n') == 3000
