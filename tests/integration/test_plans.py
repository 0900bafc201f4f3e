"""Kept plans: the same as a fresh one but for the private directory, and dropped when anything they rest on changes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import selftrace
from selftrace import Policy, plans
from selftrace.job import Job, interpreter
from selftrace.record import replace
from selftrace.session import make_context


@pytest.fixture(autouse=True)
def empty(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    plans._entries.clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("plans")))


def kept_on_disk() -> list[Path]:
    return sorted(Path(os.environ["XDG_CACHE_HOME"], "selftrace").glob("plan-*"))


def context(tmp: str) -> object:
    return make_context(Job("code", "1", (), sys.executable), tmp, tmp, interpreter(sys.executable))


@pytest.mark.parametrize("name", ["untrusted-script", "python", "pure-compute", "read-only", "no-network", "observe"])
def test_a_kept_plan_is_what_a_fresh_one_would_be(name: str, tmp_path: Path) -> None:
    first, second = tmp_path / "run-aaaaaaaa", tmp_path / "run-bbbbbbbb"
    first.mkdir()
    second.mkdir()
    policy = Policy.builtin(name)
    plans.prepare(policy, context(str(first)))  # type: ignore[arg-type]
    assert len(plans._entries) == 1
    kept = plans.prepare(policy, context(str(second)))  # type: ignore[arg-type]
    (file,) = kept_on_disk()
    plans._entries.clear()
    from_disk = plans.prepare(policy, context(str(second)))  # type: ignore[arg-type]
    plans._entries.clear()
    file.unlink()
    fresh = plans.prepare(policy, context(str(second)))  # type: ignore[arg-type]
    for other in (kept, from_disk):
        assert other.plan == fresh.plan
        assert replace(other, pickled=b"") == replace(fresh, pickled=b"")


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text('policy = 1\nextends = ["builtin:untrusted-script"]\n[fs]\nread = ["/etc/hostname"]\n')
    assert selftrace.run(code="open('/etc/hostname')", policy=path).exit_code == 0
    time.sleep(0.01)
    path.write_text('policy = 1\nextends = ["builtin:untrusted-script"]\n')
    assert selftrace.run(code="open('/etc/hostname')", policy=path).exit_code == 1


def test_a_grant_that_comes_into_being_counts() -> None:
    from selftrace import rundir

    directory = Path(rundir.make(None))
    try:
        directory.chmod(0o755)
        policy = Policy.builtin("untrusted-script").with_grants(read=[f"{directory}/data/**"])
        code = f"print(open('{directory}/data/x').read())"
        assert selftrace.run(code=code, policy=policy).exit_code == 1
        (directory / "data").mkdir(mode=0o755)
        (directory / "data" / "x").write_text("there")
        (directory / "data" / "x").chmod(0o644)
        assert selftrace.run(code=code, policy=policy).check().stdout == b"there\n"
    finally:
        rundir.remove(str(directory))


def test_different_grants_are_different_plans() -> None:
    base = Policy.builtin("untrusted-script")
    code = "open('/etc/hostname')"
    assert selftrace.run(code=code, policy=base).exit_code == 1
    assert selftrace.run(code=code, policy=base.with_grants(read=["/etc/hostname"])).exit_code == 0
    assert selftrace.run(code=code, policy=base).exit_code == 1


def test_what_the_environment_says_is_never_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.toml"
    path.write_text('policy = 1\nextends = ["builtin:untrusted-script"]\n[fs]\nread = ["${env:GRANTED}"]\n')
    monkeypatch.setenv("GRANTED", "/etc/hostname")
    assert selftrace.run(code="open('/etc/hostname')", policy=path).exit_code == 0
    monkeypatch.setenv("GRANTED", "/etc/other")
    assert selftrace.run(code="open('/etc/hostname')", policy=path).exit_code == 1


def test_runs_do_not_share_directories() -> None:
    code = "import os; open('mine', 'w').write('x'); print(os.getcwd())"
    directories = [selftrace.run(code=code).check().stdout for _ in range(3)]
    assert len(set(directories)) == 3


COMMAND = "import sys\nfrom selftrace.cli.main import main\ncode = main({words!r})\nsys.exit(code or 'selftrace.compiling' in sys.modules)"


def compiles(*words: str) -> bool:
    """Whether a new process compiles for `selftrace run WORDS`."""
    done = subprocess.run([sys.executable, "-c", COMMAND.format(words=["run", *words])], capture_output=True, check=False)
    assert done.returncode in (0, 1) and not done.stderr, done
    return done.returncode == 1


def test_the_next_process_does_not_compile() -> None:
    assert compiles("-c", "1")
    assert not compiles("-c", "2")
    assert compiles("--allow-read", "/etc/hostname", "-c", "1")
    assert not compiles("--allow-read", "/etc/hostname", "-c", "1")


@pytest.mark.parametrize("harm", ["cut", "garbage", "others may write"])
def test_a_kept_file_that_cannot_be_trusted_is_made_anew(harm: str) -> None:
    assert compiles("-c", "1")
    (file,) = kept_on_disk()
    data = file.read_bytes()
    if harm == "cut":
        file.write_bytes(data[: len(data) * 2 // 3])
    elif harm == "garbage":
        file.write_bytes(b"\xff" * len(data))
    else:
        file.chmod(0o666)
    assert compiles("-c", "1")
    assert not compiles("-c", "1")


def test_not_more_than_some_are_kept() -> None:
    from selftrace import cache

    for number in range(5):
        cache.write(f"plan-{number}", b"x")
        os.utime(Path(cache.directory(), f"plan-{number}"), (number, number))
    cache.forget("plan-", 2)
    assert [path.name for path in kept_on_disk()] == ["plan-3", "plan-4"]
