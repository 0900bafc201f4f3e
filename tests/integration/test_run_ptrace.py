"""`run --backend ptrace`: what is its own; that it judges as the others do is in tests/conformance."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import selftrace
from selftrace import Policy, UnsupportedError
from selftrace.errors import PolicyError
from selftrace.kernel.features import probe
from selftrace.policy.compile import compile as compile_plan
from selftrace.policy.plan import Plan
from selftrace.policy.terms import Context
from tests.waiting import PATIENCE_S, wait_for

OPEN = 'policy = 1\n[default]\naction = "allow"\n'
RULES = {
    "number": '[[rule]]\nid = "number"\ncalls = ["lseek"]\nmatch = { whence = 2 }\naction = "error"\nerror = "EIO"\n',
    "path": '[[rule]]\nid = "path"\ncalls = ["openat"]\nmatch = { "@path" = "/etc/hostname" }\naction = "error"\nerror = "EIO"\n',
    "counted": '[[rule]]\nid = "counted"\ncalls = ["close"]\naction = "error"\nerror = "EIO"\nwhen = "5"\n',
}
PLACE = Context(script_dir="/s", home="/h", tmp="/tmp", cwd="/tmp", python=(sys.prefix,), site=(sys.prefix,))
SELFTRACE = [sys.executable, "-m", "selftrace"]


def plan_of(text: str, backend: str = "ptrace") -> Plan:
    return compile_plan(Policy.parse(text).model(PLACE), probe(), backend=backend)


def labels(text: str, backend: str = "ptrace") -> dict[str, str | None]:
    return {row.id: row.enforcement for row in plan_of(text, backend).rows}


def test_labels_say_what_a_pointer_is_worth() -> None:
    found = labels(OPEN + "".join(RULES.values()))
    assert (found["number"], found["path"], found["counted"]) == ("supervisor", "supervisor-racy", "supervisor")
    inside = labels(OPEN + "".join(RULES.values()), "trap")
    assert (inside["number"], inside["path"], inside["counted"]) == ("kernel", "advisory", "advisory")


def test_landlock_and_limits_stay_the_kernels() -> None:
    found = labels('policy = 1\nextends = ["builtin:untrusted-program"]\n[fs]\ndeny = ["/usr/share/**"]\n')
    assert found["fs.default"] == found["process.exec"] == found["limits.open_files"] == "kernel"
    assert found["fs.metadata"] == found["fs.deny[/usr/share/**]"] == "supervisor-racy"
    assert found["calls.default"] == "supervisor"
    assert "advisory" not in found.values()


@pytest.mark.parametrize(
    ("require", "rule", "fine"), [("supervisor", "counted", True), ("supervisor", "path", False), ("kernel", "number", False)]
)
def test_require_is_held_to_the_labels(require: str, rule: str, fine: bool) -> None:
    text = f'policy = 1\nrequire = "{require}"\n[default]\naction = "allow"\n' + RULES[rule]
    if fine:
        assert labels(text)[rule] == require
        return
    with pytest.raises(PolicyError, match=rule):
        plan_of(text)


def test_enforce_kernel_is_refused() -> None:
    with pytest.raises(PolicyError, match="the supervisor's"):
        plan_of(OPEN + RULES["number"] + 'enforce = "kernel"\n')


def test_what_is_done_inside_is_refused_by_name(tmp_path: Path) -> None:
    handlers = tmp_path / "h.py"
    handlers.write_text(
        f"from selftrace import Policy\np = Policy.parse('''{OPEN}''')\n@p.on('getppid')\ndef mine(call): return None\n"
    )
    done = subprocess.run(
        [*SELFTRACE, "run", "--backend", "ptrace", "--policy", str(handlers), "-c", "1"], capture_output=True, text=True
    )
    assert done.returncode == 125 and "mine is a Python handler" in done.stderr and "backend trap" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(UnsupportedError, match="several buffers"):
        plan_of(OPEN + '[[rule]]\ncalls = ["readv"]\naction = "short"\nshort = 2\n')


def test_the_command_line() -> None:
    code = "import os; print(os.readlink('/proc/self/exe') != '', open('/proc/self/maps').read().count('7e9000'))"
    done = subprocess.run(
        [*SELFTRACE, "run", "--backend", "ptrace", "-c", code], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (done.stdout, done.stderr, done.returncode) == ("True 0\n", "", 0)
    bad = subprocess.run([*SELFTRACE, "run", "--backend", "moon", "-c", code], capture_output=True, text=True)
    assert bad.returncode == 125 and '"moon" is none of auto, trap, ptrace' in bad.stderr
    told = subprocess.run([*SELFTRACE, "explain", "--backend", "ptrace", "builtin:python"], capture_output=True, text=True)
    assert "another thread can change the argument" in told.stdout


def test_programs_and_what_they_execute() -> None:
    script = "cat /etc/shadow; ls /usr >/dev/null && (cd /usr; /bin/pwd) | tr a-z A-Z; exit 7"
    result = selftrace.run(argv=["sh", "-c", script], backend="ptrace")
    assert (result.stdout, result.exit_code) == (b"/USR\n", 7)
    assert [v.path for v in result.violations if v.call == "openat"] == ["/etc/shadow"]
    assert result.usage.calls["execve"] >= 3


def test_a_program_that_may_not_be_executed(tmp_path: Path) -> None:
    program = tmp_path / "mine"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    result = selftrace.run(argv=[str(program)], backend="ptrace")
    assert (result.reason, result.exit_code) == ("error", 126)
    with pytest.raises(UnsupportedError, match="starts no program"):
        selftrace.run(argv=["true"], policy="builtin:untrusted-script", backend="ptrace")


def test_the_floor_is_the_kernels_all_the_same() -> None:
    """Landlock holds where the supervisor is not asked: what was allowed by name is looked at again by the kernel."""
    text = 'policy = 1\nextends = ["builtin:untrusted-script"]\n[[rule]]\ncalls = ["sched_yield"]\naction = "log"\n'
    code = "import os\nwith open('/proc/self/status') as f: s = dict(l.split(':\\t', 1) for l in f if ':\\t' in l)\nprint(s['NoNewPrivs'], s['Seccomp'], s['TracerPid'] != '0\\n')"
    result = selftrace.run(code=code, policy=Policy.parse(text), backend="ptrace")
    assert result.stdout.split() == [b"1", b"2", b"True"]
    if os.geteuid() == 0:
        who = selftrace.run(code="import os; print(os.getuid())", backend="ptrace")
        assert int(who.stdout) > 0


def test_many_threads_and_children() -> None:
    code = (
        "import os, threading\n"
        "def work():\n    for _ in range(300): assert os.getppid() == 42\n"
        "for _ in range(6):\n    if os.fork() == 0:\n"
        "        t = [threading.Thread(target=work) for _ in range(4)]\n        [x.start() for x in t]; [x.join() for x in t]; os._exit(3)\n"
        "print(sorted(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(6)))\n"
    )
    text = OPEN + '[[rule]]\ncalls = ["getppid"]\naction = "retval"\nretval = 42\n'
    result = selftrace.run(code=code, policy=Policy.parse(text), backend="ptrace", timeout_s=PATIENCE_S)
    assert result.stdout == b"[3, 3, 3, 3, 3, 3]\n", result.stderr
    assert result.usage.calls["getppid"] == 6 * 4 * 300


def test_runs_in_several_threads_at_once() -> None:
    text = (
        OPEN
        + '[[rule]]\ncalls = ["getppid"]\naction = "retval"\nretval = {0}\n[[rule]]\nid = "p"\ncalls = ["openat"]\nmatch = {{ "@path" = "/etc/hostname" }}\naction = "retval"\nretval = {0}\n'
    )
    code = "import ctypes, os\nl = ctypes.CDLL(None)\nprint({(os.getppid(), l.open(b'/etc/hostname', 0)) for _ in range(300)})"
    found: dict[int, bytes] = {}

    def one(n: int) -> None:
        found[n] = selftrace.run(code=code, policy=Policy.parse(text.format(n)), backend="ptrace", timeout_s=PATIENCE_S).stdout

    threads = [threading.Thread(target=one, args=(n,)) for n in (51, 52, 53)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: f"{{({n}, {n})}}\n".encode() for n in (51, 52, 53)}


def test_limits_end_it() -> None:
    result = selftrace.run(code="import os\nos.fork(); os.fork()\nwhile True: pass", backend="ptrace", timeout_s=1)
    assert result.reason == "timeout"


def test_nobody_to_hold_it_is_the_end(tmp_path: Path) -> None:
    """A launcher that is killed takes the programs with it, though nobody is left to say so."""
    code = f"import os, time\nopen('{tmp_path}/pid', 'w').write(f'{{os.getpid()}} {{os.getcwd()}}')\nos.setsid() if os.fork() == 0 else 0\ntime.sleep(1000)"
    tmp_path.chmod(0o777)
    launch = f"import selftrace\nselftrace.run(code={code!r}, policy=selftrace.Policy.parse({OPEN!r}), backend='ptrace')"
    launcher = subprocess.Popen([sys.executable, "-c", launch])
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    pid, directory = (tmp_path / "pid").read_text().split()
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.wait()
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
    wait_for(lambda: not Path(directory).exists())


def test_a_filter_that_would_answer_first_is_refused() -> None:
    """A listener's filter beats the supervisor's: the kernel would ask the program itself."""
    code = "import ctypes\nl = ctypes.CDLL(None, use_errno=True)\nfor f in (0, 8): print(l.syscall(317, 1, f, 0), ctypes.get_errno())"
    result = selftrace.run(code=code, policy=Policy.parse(OPEN), backend="ptrace")
    assert result.stdout == b"-1 1\n-1 1\n"


def test_signals_and_stops_are_the_programs_own() -> None:
    code = (
        "import os, signal, time\ngot = []\nsignal.signal(signal.SIGALRM, lambda *_: got.append(1))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)\n"
        "while len(got) < 20: os.stat('.')\nsignal.setitimer(signal.ITIMER_REAL, 0)\n"
        "pid = os.fork()\nif not pid: time.sleep(1000)\nos.kill(pid, signal.SIGSTOP)\n"
        "print(len(got) >= 20, os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1]))\n"
        "os.kill(pid, signal.SIGCONT); print(os.WIFCONTINUED(os.waitpid(pid, os.WCONTINUED)[1]))\n"
        "os.kill(pid, signal.SIGTERM); print(os.waitpid(pid, 0)[1])\n"
    )
    result = selftrace.run(code=code, backend="ptrace", timeout_s=PATIENCE_S)
    assert result.stdout == b"True True\nTrue\n15\n", (result.stderr, result.violations)
