"""Programs that nobody wrote for us, under builtin:untrusted-program: what they are good at elsewhere is refused here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from attacks.harness import with_a_blind_interposer

import selftrace


@pytest.fixture
def victim() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="victim-"))
    directory.chmod(0o777)
    secret = directory / "secret"
    secret.write_text("the secret")
    secret.chmod(0o666)
    yield directory
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()


# name → (argv, what shows that it worked); V is the victim directory
PROGRAMS = {
    "cat": (["cat", "V/secret"], "the secret"),
    "a child of a child": (["sh", "-c", "env -i /bin/sh -c '/bin/cat V/secret'"], "the secret"),
    "through its own loader": (["/lib64/ld-linux-x86-64.so.2", "/bin/cat", "V/secret"], "the secret"),
    "a copy of a program": (
        ["sh", "-c", "cp /bin/cat c && chmod +x c && ./c V/secret || /lib64/ld-linux-x86-64.so.2 ./c V/secret"],
        "the secret",
    ),
    "a link": (["sh", "-c", "ln -s V/secret l; cat l"], "the secret"),
    "listing": (["ls", "V"], "secret"),
    "overwriting": (["sh", "-c", "echo x > V/secret && echo done"], "done"),
    "making": (["sh", "-c", "mkdir V/new && echo done; rmdir V/new"], "done"),
    "removing": (["sh", "-c", "mv V/secret V/gone && echo done; mv V/gone V/secret"], "done"),
}


def words(argv: list[str], victim: Path) -> list[str]:
    return [word.replace("V/", f"{victim}/").replace("V", str(victim)) if "V" in word else word for word in argv]


@pytest.mark.parametrize("name", PROGRAMS)
def test_files_outside_are_out_of_reach(name: str, victim: Path) -> None:
    argv, shown = PROGRAMS[name]
    argv = words(argv, victim)
    held = selftrace.run(argv=argv)
    assert shown not in held.stdout.decode()
    assert held.violations, "each attempt is reported"
    assert shown not in with_a_blind_interposer(argv).stdout.decode()
    assert (victim / "secret").read_text() == "the secret"
    assert shown in selftrace.run(argv=argv, policy="builtin:observe").stdout.decode(), "it works where nothing is refused"


def test_no_network() -> None:
    code = "exec 3<>/dev/tcp/127.0.0.1/9 && echo connected"
    held = selftrace.run(argv=["bash", "-c", code])
    assert b"connected" not in held.stdout
    assert [violation.call for violation in held.violations if violation.rule.startswith("net")] == ["socket"]


def test_a_program_that_is_not_listed_is_not_started(victim: Path) -> None:
    program = victim / "program"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    result = selftrace.run(argv=["sh", "-c", f"{program}; echo $?"])
    assert result.stdout == b"126\n"
    assert [(v.call, v.error) for v in result.violations if v.call == "execve"] == [("execve", "EACCES")]


def test_set_id_programs_run_without_their_privilege_and_say_so() -> None:
    """su is set-uid root on every Debian."""
    result = selftrace.run(argv=["su", "-c", "id -u"])
    assert b"0\n" not in result.stdout
    assert sum("set-id" in event.note for event in result.events) == 1


def test_a_plan_without_programs_starts_none() -> None:
    with pytest.raises(selftrace.UnsupportedError, match="starts no program"):
        selftrace.run(argv=["true"], policy="builtin:untrusted-script")
