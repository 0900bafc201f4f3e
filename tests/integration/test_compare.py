"""`selftrace compare`, with few rounds on tiny programs. Only what is certain is asked of the numbers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import selftrace
from selftrace.comparison.mechanisms import builtin
from selftrace.errors import CommandError
from tests.waiting import PATIENCE_S


def command(*words: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "selftrace", "compare", *words],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def measured(*words: str, cwd: Path) -> dict[str, Any]:
    done = command("--json", "-", *words, cwd=cwd)
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_mechanism_of_this_machine(tmp_path: Path) -> None:
    found = measured("--rounds", "1", "--", "sh", "-c", "echo hi; echo oh >&2; echo x > made; /bin/true; exit 3", cwd=tmp_path)
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == [m.name for m in builtin()]
    for name in ("none", "floor", "trap", "dispatch", "capture", "trace", "trace-one", "notify"):
        assert rows[name]["reason"] == "" and rows[name]["differences"] == [], rows[name]
        assert set(rows[name]["measured"]) == {"pinned", "free"}
        (sample,) = rows[name]["measured"]["free"]["samples"]
        assert 0 < sample["program_s"] < sample["wall_s"]
    for row in rows.values():
        assert bool(row["reason"]) != bool(row["measured"])
    if shutil.which("strace"):
        assert rows["strace"]["reason"] == "" and rows["strace"]["differences"] == []
    assert found["calls"]["execve"] >= 1 and found["calls"]["exit_group"] >= 1
    assert found["call_count"] == sum(found["calls"].values())
    assert (tmp_path / "made").read_text() == "x\n" and os.listdir(tmp_path) == ["made"]
    assert found["metadata"]["pyperf"] is None or "python_version" in found["metadata"]["pyperf"]


def test_slower_is_found_slower_and_equal_equal() -> None:
    """By ranks, so that a busy machine changes nothing: a third of the samples may be a tenth of a second late."""
    found = selftrace.compare(["true"], rounds=15, only=["none"], extra=["x=sleep 0.1; {}", "y={}"])
    for condition in ("pinned", "free"):
        assert found.verdict("x", condition) == "slower", str(found)
        assert found.verdict("y", condition) == "equal", str(found)
    assert found.row("x").measured["free"].start_s > 0.09, "the sleep is none of the program's time"


@pytest.mark.parametrize(
    ("program", "extra", "said"),
    [
        ("echo hi", "other=true {}", "stdout: ends before line 1: 'hi'"),
        ("exit 2", "other={}; exit 4", "exit status 4 instead of 2"),
        ("kill -9 $$", "other={}; exit 0", "exit status 0 instead of 137"),
        ("echo a > made", "other={}; echo b > made", "{}/made: line 1 is 'b', not 'a'"),
        ("cd sub; echo a > deep; mv deep deeper", "other={}; rm sub/deeper", "{}/sub/deeper: nothing instead of file"),
        ("echo a > made", "other=true {}", "{}/made: was not written"),
        ("echo a", "other={} 2>&1; echo b >&2", "stderr: line 1 is one too many: 'b'"),
    ],
)
def test_another_result_is_said(program: str, extra: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    found = measured("--rounds", "1", "--only", "none", "--with", extra, "--", "sh", "-c", program, cwd=tmp_path)
    assert said.format(tmp_path) in found["rows"][1]["differences"], found["rows"][1]
    assert found["rows"][0]["differences"] == []
    done = command("--rounds", "1", "--only", "none", "--with", extra, "--", "sh", "-c", program, cwd=tmp_path)
    assert done.returncode == 1 and "OTHER RESULT" in done.stdout


def test_what_varies_by_itself_is_not_compared(tmp_path: Path) -> None:
    found = measured("--rounds", "1", "--only", "trap", "--", "sh", "-c", "echo $$; echo $$ > made; exit 5", cwd=tmp_path)
    assert found["rows"][1]["differences"] == []
    assert f"{tmp_path}/made varies from run to run of the program alone, and is not compared" in found["notes"]
    assert "stdout varies from run to run of the program alone, and is not compared" in found["notes"]
    assert "the program ends with exit status 5" in found["notes"]


def test_what_is_only_done_once_is_not_counted(tmp_path: Path) -> None:
    code = "import os\nif not os.path.exists('built'):\n for n in range(5000): os.getppid()\nopen('built', 'w').close()\n"
    found = measured("--rounds", "1", "--only", "floor", "--", "/usr/bin/python3", "-c", code, cwd=tmp_path)
    assert "getppid" not in found["calls"] and found["call_count"] < 5000


def test_prepare_and_input(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("one\ntwo\n")
    words = ["--prepare", "rm -f once", "--input", "in", "--rounds", "1", "--only", "floor"]
    found = measured(*words, "--", "sh", "-c", "set -C; cat > once && cat once", cwd=tmp_path)
    assert found["rows"][1]["differences"] == [] and not any("exit status" in note for note in found["notes"])
    assert (tmp_path / "once").read_text() == "one\ntwo\n"
    done = command("--prepare", "echo no >&2; exit 3", "--rounds", "1", "--", "true", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr == "selftrace: --prepare failed with 3: no: echo no >&2; exit 3\n"


def test_a_mechanism_that_does_not_work_here(tmp_path: Path) -> None:
    words = ["--with", "gone=nosuchtracer {}", "--with", "bad=/nosuchword; {}; exit 127"]
    done = command("--rounds", "1", "--only", "none", *words, "--", "true", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "gone: not available: nosuchtracer is not installed" in done.stdout
    assert "bad: not available: tried on " in done.stdout and "/nosuchword: not found" in done.stdout
    without = command("--rounds", "1", "--only", "strace", "--", "/bin/true", cwd=tmp_path, env={"PATH": "/nonexistent"})
    assert "strace: not available: strace is not installed" in without.stdout


def test_dispatch_says_that_it_sees_nothing_of_a_static_program(tmp_path: Path) -> None:
    program = tmp_path / "static"
    (tmp_path / "static.c").write_text("int main(void) { return 0; }\n")
    subprocess.run(["gcc", "-static", "-o", str(program), str(tmp_path / "static.c")], check=True)
    found = measured("--rounds", "1", "--only", "dispatch,trap", "--", str(program), cwd=tmp_path)
    rows = {row["name"]: row for row in found["rows"]}
    assert rows["dispatch"]["reason"] == "it sees none of the program's calls: is it static?"
    assert rows["dispatch"]["measured"] == {} and rows["trap"]["measured"]


def test_a_run_that_does_not_end(tmp_path: Path) -> None:
    slow = "slow={}; if [ -e go ]; then sleep 1000; fi"
    words = ["--rounds", "1", "--only", "none", "--timeout", "5", "--with", slow]
    started = command(*words, "--", "sh", "-c", "touch go", cwd=tmp_path)
    assert started.returncode == 1, started.stderr
    assert "slow: OTHER RESULT: it did not end in time" in started.stdout
    done = command("--rounds", "1", "--only", "none", "--timeout", "0.3", "--", "sleep", "1000", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "selftrace: the program alone did not end within 0.3 s; --timeout allows more\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "what is to be run?"),
        (["--"], "what is to be run?"),
        (["--only", "bogus", "--", "true"], 'unknown mechanism "bogus"'),
        (["--with", "x=sleep 1", "--", "true"], "has no {}"),
        (["--with", "sleep {}", "--", "true"], "is wanted"),
        (["--rounds", "0", "--", "true"], '"0" is no number of rounds'),
        (["--rounds", "many", "--", "true"], '"many" is no number of rounds'),
        (["--timeout", "-1", "--", "true"], "no number of seconds"),
        (["--json", "/nonexistent/a", "--", "true"], "/nonexistent/a: No such file"),
        (["--html", "/nonexistent/a", "--", "true"], "/nonexistent/a: No such file"),
        (["--plot", "/nonexistent/a.svg", "--", "true"], "/nonexistent/a.svg: No such file"),
        (["--plot", "a.png", "--", "true"], "ends in .svg"),
        (["--input", "/nonexistent/a", "--", "true"], "/nonexistent/a: No such file"),
        (["--", "nosuchprogram"], "nosuchprogram: no such program in PATH"),
        (["--", "/etc/passwd"], "/etc/passwd: is not executable"),
        (["--bogus", "--", "true"], "--bogus"),
    ],
)
def test_bad_input(words: list[str], message: str, tmp_path: Path) -> None:
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert message in done.stderr and "Traceback" not in done.stderr and done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_from_python() -> None:
    with pytest.raises(CommandError, match="bogus"):
        selftrace.compare(["true"], only=["bogus"])
    with pytest.raises(ValueError, match="rounds"):
        selftrace.compare(["true"], rounds=0)
    said: list[str] = []
    before = (os.sched_getaffinity(0), os.listdir("/proc/self/fd"))
    found = selftrace.compare(["true"], rounds=1, only=["trap", "notify"], on_progress=said.append)
    assert (os.sched_getaffinity(0), os.listdir("/proc/self/fd")) == before
    assert [row.name for row in found.rows] == ["none", "trap", "notify"] and found.identical
    assert any("round 1 of 1" in text for text in said)


def test_children_threads_and_signals_under_the_plain_forms(tmp_path: Path) -> None:
    """The mechanisms in C do not change what a program does either."""
    code = (
        "import os, signal, subprocess, threading\n"
        "pid = os.fork()\n"
        "if not pid: [os.getppid() for _ in range(1000)]; os._exit(7)\n"
        "print(os.waitpid(pid, 0)[1] >> 8)\n"
        "t = [threading.Thread(target=lambda n=n: open(f'f{n}', 'w').write(str(n))) for n in range(4)]\n"
        "[x.start() for x in t]; [x.join() for x in t]\n"
        "print(subprocess.run(['sh', '-c', 'echo $0; exit 9'], capture_output=True))\n"
        "signal.signal(signal.SIGALRM, lambda *a: print('alarm'))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause()\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    found = measured("--rounds", "1", "--only", "floor,trap,dispatch,notify", "--", "/usr/bin/python3", "-c", code, cwd=tmp_path)
    assert [row["differences"] for row in found["rows"]] == [[]] * 5
    assert "the program ends with exit status 143" in found["notes"]
    (dispatched,) = [row["seen"] for row in found["rows"] if row["seen"] is not None]
    assert 1000 < dispatched <= found["call_count"], "a fork's child is seen too"
