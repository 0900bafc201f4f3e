"""What a program gone bad can do under the policy that was learned of it: tried, and first tried without, where all succeeds."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from integration.test_learn import CASES, place, taught

import selftrace

__all__ = ("place",)
ATTACK = Path(__file__).parent / "attack.c"
ATTACKS = """
    read=${SECRETS}/key.pem write=${SECRETS}/key.pem append=${SECRETS}/key.pem truncate=${SECRETS}/key.pem list=${SECRETS}
    create=${SECRETS}/new symlink=${SECRETS}/way mkdir=${SECRETS}/made rmdir=${SECRETS}/empty rename=${SECRETS}/old unlink=${SECRETS}/gone
    read=${WORK}/unseen.key write=${WORK}/unseen.key append=${WORK}/unseen.key rename=${WORK}/unseen.key unlink=${WORK}/unseen.key.moved
    create=${WORK}/dropped.so mkdir=${WORK}/made symlink=${WORK}/way
    read=/etc/debian_version read=/proc/1/stat read=/usr/bin/env list=/home list=/proc
    connect=${PORT} udp=${PORT} bind=0 run=/bin/true""".split()


@contextmanager
def targets(place: Path) -> Iterator[dict[str, str]]:
    """What the attacks are after, open to every user: that they fail is the policy's doing alone."""
    secrets, work = place / "secrets", place / "work"
    (secrets / "empty").mkdir(parents=True)
    for path in (secrets / "key.pem", secrets / "old", secrets / "gone", work / "unseen.key"):
        path.write_text("secret")
        path.chmod(0o666)
    for directory in (secrets, secrets / "empty", work):
        directory.chmod(0o777)
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield {"${SECRETS}": str(secrets), "${WORK}": str(work), "${PORT}": str(server.getsockname()[1])}
    finally:
        shutil.rmtree(secrets)
        for name in ("unseen.key", "unseen.key.moved", "dropped.so", "way"):
            (work / name).unlink(missing_ok=True)
        if (work / "made").exists():
            (work / "made").rmdir()


def attacked(place: Path, policy: Path | str, program: Path) -> dict[str, str]:
    """Attack → its answer; an answer that is missing is a program that was replaced: the exec succeeded."""
    with targets(place) as values:
        words = []
        for attack in ATTACKS:
            for name, value in values.items():
                attack = attack.replace(name, value)
            words.append(attack)
        result = selftrace.run(argv=[str(program), *words], policy=policy, cwd=place / "work")
    assert (result.reason, result.exit_code) == ("exit", 0), (result, result.stderr)
    answers = dict(line.split(" ", 1) for line in result.stdout.decode().splitlines())
    return {attack: answers.get(word, "ok") for attack, word in zip(ATTACKS, words, strict=True)}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if shutil.which("gcc") is None:
        pytest.skip("not installed: apt-get install gcc")
    target = Path(f"/tmp/attack-{os.getpid()}")
    subprocess.run(["gcc", "-static", "-O1", "-o", str(target), str(ATTACK)], check=True)
    target.chmod(0o755)
    yield target
    target.unlink()


def test_unprotected_all_succeed(place: Path, program: Path) -> None:
    (place / "work").mkdir()
    assert {attack for attack, answer in attacked(place, "builtin:observe", program).items() if answer != "ok"} == set()


@pytest.mark.parametrize("name", CASES)
def test_under_what_was_learned_none_does(name: str, place: Path, program: Path) -> None:
    """The policy is widened by the program itself, and by nothing else."""
    _, policy = taught(name, place)
    bad = place / "bad.toml"
    bad.write_text(
        f'policy = 1\nextends = ["./{policy.name}"]\n[fs]\nread = ["{program}"]\nexec = ["{program}"]\n[process]\nexec = true\n'
    )
    answers = attacked(place, bad, program)
    assert len(answers) >= 24
    assert {attack for attack, answer in answers.items() if answer == "ok"} == set()
