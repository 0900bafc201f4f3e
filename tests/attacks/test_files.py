"""Files: nothing outside the lists is opened, made, removed, renamed or executed, not even through the gate."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from attacks.harness import attack, breached

from selftrace.policy.terms import Features


@pytest.fixture
def victim() -> Iterator[Path]:
    """A directory that everybody may read and write, with a secret in it."""
    directory = Path(tempfile.mkdtemp(prefix="victim-"))
    directory.chmod(0o777)
    secret = directory / "secret"
    secret.write_text("the secret")
    secret.chmod(0o666)
    (directory / "sub").mkdir(mode=0o777)
    (directory / "sub").chmod(0o777)
    yield directory
    for path in sorted(directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    directory.rmdir()


# name → code; V is the victim directory. Numbers are those of x86-64.
ATTACKS = {
    "open": "fd = call(2, V + b'/secret', 0); breach(fd >= 0 and os.read(fd, 10) == b'the secret')",
    "openat": "fd = call(257, AT_FDCWD, V + b'/secret', 0); breach(fd >= 0 and os.read(fd, 10) == b'the secret')",
    "openat2": ("fd = call(437, AT_FDCWD, V + b'/secret', bytes(24), 24)\nbreach(fd >= 0 and os.read(fd, 10) == b'the secret')"),
    "dot-dot": "fd = call(2, os.getcwdb() + b'/../' + V[len(os.path.dirname(V)) + 1:] + b'/secret', 0); breach(fd >= 0)",
    "proc-root": "fd = call(2, b'/proc/self/root' + V + b'/secret', 0); breach(fd >= 0)",
    "symlink": "call(88, V + b'/secret', b'link'); fd = call(2, b'link', 0); breach(fd >= 0)",
    "hard link": "call(86, V + b'/secret', b'hard'); fd = call(2, b'hard', 0); breach(fd >= 0)",
    "rename in": "call(82, V + b'/secret', b'moved'); breach(os.path.exists('moved'))",
    "create": "breach(call(85, V + b'/new', 0o600) >= 0)",
    "append": "fd = call(2, V + b'/secret', 0o2001); breach(fd >= 0 and os.write(fd, b'x') == 1)",
    "truncate": "breach(call(76, V + b'/secret', 0) == 0)",
    "open-truncate": "breach(call(2, V + b'/secret', 0o1000) >= 0)",
    "unlink": "breach(call(87, V + b'/secret') == 0)",
    "mkdir": "breach(call(83, V + b'/dir', 0o700) == 0)",
    "rmdir": "breach(call(84, V + b'/sub') == 0)",
    "make symlink": "breach(call(88, b'/etc', V + b'/etc') == 0)",
    "make fifo": "breach(call(133, V + b'/fifo', 0o10600, 0) == 0)",
    "rename out": "open('mine', 'w').close(); breach(call(82, b'mine', V + b'/mine') == 0)",
    "link out": "open('mine', 'w').close(); breach(call(86, b'mine', V + b'/mine') == 0)",
    "tmpfile": "breach(call(2, V, 0o20200002, 0o600) >= 0)",
    "list": "fd = call(2, V, 0o200000); b = ctypes.create_string_buffer(1024); breach(fd >= 0 and call(217, fd, b, 1024) > 0 and b'secret' in b.raw)",
    "shared mapping": (
        "fd = call(2, V + b'/secret', 0)\nbreach(fd >= 0 and mmap.mmap(fd, 10, prot=mmap.PROT_READ)[:10] == b'the secret')"
    ),
}
REPORTED = {"symlink": "open", "hard link": "link", "rename in": "rename", "rename out": "rename", "link out": "link"}


def program(name: str, victim: Path) -> str:
    return f"V = {os.fsencode(victim)!r}\n{ATTACKS[name]}"


@pytest.mark.parametrize("name", ATTACKS)
def test_held_by_the_kernel(name: str, victim: Path) -> None:
    code = program(name, victim)
    held = attack(code, route="gate")
    assert not breached(held), held
    assert (victim / "secret").read_text() == "the secret"
    assert sorted(p.name for p in victim.iterdir()) == ["secret", "sub"]
    assert breached(attack(code, route="gate", off="fs.default")), "with the floor off the attack must succeed"


def test_what_others_put_into_the_temporary_directory_is_out_of_reach() -> None:
    """[fs] tmp = "own": the run's directory is new; what lies beside it, under names that anybody can guess, is not its."""
    with tempfile.TemporaryDirectory(prefix="selftrace-", dir=Path(tempfile.gettempdir()).resolve()) as beside:
        Path(beside).chmod(0o777)
        planted = Path(beside) / "planted"
        planted.write_text("planted")
        planted.chmod(0o666)
        code = f"breach(call(2, {os.fsencode(planted)!r}, 2) >= 0 or call(2, b'../{Path(beside).name}/planted', 2) >= 0)"
        for route in ("gate", "libc"):
            assert not breached(attack(code, route=route, policy="builtin:untrusted-script"))
        assert breached(attack(code, route="gate", off="fs.tmp"))


@pytest.mark.parametrize("name", ATTACKS)
def test_reported_outside_the_gate(name: str, victim: Path) -> None:
    result = attack(program(name, victim))
    assert not breached(result)
    assert (victim / "secret").read_text() == "the secret"
    assert any(v.rule == "fs.default" and v.enforcement == "kernel" and v.remedy for v in result.violations), result.violations


@pytest.mark.parametrize("abi", [1, 2, 4, 6])
@pytest.mark.parametrize("name", ATTACKS)
def test_held_by_older_kernels(name: str, abi: int, victim: Path, features: Features) -> None:
    if features.landlock_abi < abi:
        pytest.skip(f"this kernel has Landlock ABI {features.landlock_abi}")
    result = attack(program(name, victim), route="gate", abi=abi)
    assert not breached(result), result
    assert (victim / "secret").read_text() == "the secret"


SECRETS = [
    "/etc/shadow",
    "~/.ssh/id_rsa",
    "/proc/1/environ",
    "/proc/PARENT/environ",
    "/proc/PARENT/mem",
    "/etc/passwd",
    "/dev/mem",
]


@pytest.mark.parametrize("route", ["libc", "gate", "foreign"])
def test_secrets(route: str) -> None:
    code = "import os\n" + "\n".join(
        f"p = os.path.expanduser({path!r}).replace('PARENT', str(os.getppid())).encode(); breach(call(2, p, 0) >= 0, p)"
        for path in SECRETS
    )
    assert not breached(attack(code, route=route))


def test_another_process_environment_is_open_without_the_floor() -> None:
    """The parent is the monitor, which is not dumpable; a sibling run's process stands for the service."""
    pid = os.getpid()
    code = f"fd = call(2, b'/proc/{pid}/environ', 0); breach(fd >= 0 and os.read(fd, 10))"
    assert not breached(attack(code, route="gate"))
    assert breached(attack(code, route="gate", landlock=False, identity=False))


@pytest.mark.parametrize("route", ["libc", "gate"])
def test_executing(route: str) -> None:
    code = "argv = (ctypes.c_char_p * 2)(b'echo', None)\n_kept.append(argv)\nbreach(call(59, b'/bin/echo', argv, 0) >= 0)"
    result = attack(code, route=route)
    assert not breached(result)
    assert (route == "gate") or any(v.rule == "process.exec" for v in result.violations)


def test_executing_succeeds_without_both_floors() -> None:
    """BPF and Landlock each hold it alone. Without both the program is started, and dies of its first trapped call."""
    code = "argv = (ctypes.c_char_p * 2)(b'echo', None)\n_kept.append(argv)\nbreach(call(59, b'/bin/echo', argv, 0) >= 0)"
    assert not breached(attack(code, route="gate", off="process.exec"))
    assert not breached(attack(code, route="gate", off="fs.default"))
    assert attack(code, route="gate", off=("process.exec", "fs.default")).signal == 31


@pytest.mark.parametrize("route", ["libc", "gate"])
def test_a_memory_file_is_not_executed(route: str) -> None:
    code = (
        "fd = os.memfd_create('x'); os.write(fd, b'#!/bin/sh\\n'); argv = (ctypes.c_char_p * 2)(b'x', None); _kept.append(argv)\n"
        "breach(call(322, fd, b'', argv, 0, 0x1000) >= 0)"
    )
    assert not breached(attack(code, route=route))


def test_metadata_is_advisory_and_says_so(victim: Path) -> None:
    code = f"buf = ctypes.create_string_buffer(256); breach(call(4, {os.fsencode(victim / 'secret')!r}, buf) == 0)"
    result = attack(code)
    assert not breached(result)
    assert [v.enforcement for v in result.violations if v.rule == "fs.metadata"] == ["advisory"]
    assert breached(attack(code, route="gate")), "stat through the gate is not held: the label must stay advisory"


RACE = """
import threading
good, bad = os.getcwdb() + b"/good", SECRET
open("good", "w").write("good")
path = ctypes.create_string_buffer(max(len(good), len(bad)) + 1)
stop = False
def flip():
    n = 0
    while not stop:
        n += 1
        ctypes.memmove(path, (good if n & 1 else bad) + bytes(1), len(good if n & 1 else bad) + 1)
thread = threading.Thread(target=flip); thread.start()
won = tries = 0
while tries < 4000 or (sys.argv[3:] and not won and tries < 400000):  # with an argument: until it is won
    tries += 1
    fd = call(2, path, 0)
    if fd >= 0:
        won += os.read(fd, 6) == b"the se"
        os.close(fd)
stop = True; thread.join()
breach(won, won)
"""


@pytest.mark.parametrize("route", ["libc", "gate"])
def test_a_second_thread_that_flips_the_path_wins_nothing(route: str, victim: Path) -> None:
    code = f"SECRET = {os.fsencode(victim / 'secret')!r}\n{RACE}"
    assert not breached(attack(code, route=route))
    until = ("until it is won",)
    if route == "gate":
        assert breached(attack(code, route=route, landlock=False, identity=False, args=until))
    else:
        assert breached(attack(code, backend="none", args=until))


def test_a_symbolic_link_that_is_flipped_wins_nothing(victim: Path) -> None:
    code = f"""
import threading
open("good", "w").write("good"); os.symlink("good", "link")
stop = False
def flip():
    while not stop:
        for target in ("good", {str(victim / "secret")!r}):
            os.symlink(target, "next"); os.rename("next", "link")
thread = threading.Thread(target=flip); thread.start()
won = tries = 0
while tries < 2000 or (sys.argv[3:] and not won and tries < 200000):  # with an argument: until it is won
    tries += 1
    fd = call(2, b"link", 0)
    if fd >= 0:
        won += os.read(fd, 6) == b"the se"
        os.close(fd)
stop = True; thread.join()
breach(won, won)
"""
    assert not breached(attack(code))
    assert breached(attack(code, backend="none", args=("until it is won",)))


def test_a_descriptor_from_before_and_renames_of_parents(victim: Path) -> None:
    """A granted directory is left by .. and by renaming what it lies in: the kernel looks at where the file is."""
    code = (
        f"os.mkdir('a'); fd = os.open('a', os.O_DIRECTORY); r = call(257, fd, b'../../{victim.name}/secret', 0); breach(r >= 0)\n"
        "os.chdir('a'); os.rename('../a', '../b'); r = call(2, b'../../../etc/passwd', 0); breach(r >= 0)"
    )
    for route in ("libc", "gate"):
        assert not breached(attack(code, route=route))
