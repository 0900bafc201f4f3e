"""Exec through the loader: what a plain exec refuses is refused with the same errno and leaves nothing behind, and what it
starts finds the same world. One run each way makes all the attempts of attempts.py; a test compares each."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.elves import ET_DYN, EXIT_7, PT_INTERP, PT_NULL, Segment, elf, exits

import selftrace
from selftrace import Result
from tests.waiting import PATIENCE_S

HERE = Path(__file__).resolve().parent
LDSO = b"/lib64/ld-linux-x86-64.so.2\0"
BUILDS = {
    "shown": ["-pie"],
    "shown-fixed": ["-no-pie"],
    "shown-static": ["-static", "-no-pie"],
    "shown-static-pie": ["-static-pie"],
    "shown-2mib": ["-pie", "-Wl,-z,max-page-size=0x200000"],
    "shown-execstack": ["-pie", "-Wl,-z,execstack"],
    "shown-nostack": ["-static", "-no-pie", "-Wl,-z,noexecstack"],
}
CUTS = (1, 4, 16, 20, 63, 64, 65, 120, 500, 700, 4096, 5000, 12288, 13000, -5000, -1)
INTERPRETERS = {
    "missing": b"/missing",
    "a directory": b"/tmp",
    "a device": b"/dev/null",
    "no ELF file": b"./words",
    "empty": b"./empty",
    "too short": b"./short",
    "for another machine": b"./arm",
    "without permission": b"./forbidden",
    "relative": b"./ld.so",
    "a program": b"./exits",
    "empty name": b"",
}
SCRIPTS: dict[str, bytes] = {
    "script": b"#!./shown argument of it \nrest\n",
    "without a newline": b"#!./shown",
    "without a newline, argument": b"#!./shown one two",
    "blanks": b"#! \t ./shown \t one \t two\t \n",
    "blanks behind": b"#!./shown   \n",
    "a zero": b"#!./shown\0./other\n",
    "a zero in the argument": b"#!./shown one\0two\n",
    "zero first": b"#!  \0\n",
    "nothing": b"#!",
    "nothing but a newline": b"#!\n",
    "only blanks": b"#!   \t\n",
    "only blanks to the end": b"#!" + b" " * 400,
    "carriage return": b"#!./shown\r\n",
    "missing interpreter": b"#!./missing\n",
    "interpreter is a directory": b"#!./directory\n",
    "interpreter without permission": b"#!./forbidden\n",
    "interpreter is no program": b"#!./words\n",
    "relative": b"#!shown\n",
    "long argument": b"#!./shown " + b"a" * 400 + b"\n",
    "long name": b"#!./" + b"b" * 400 + b"\n",
    "just fits": b"#!./shown " + b"c" * (255 - 10) + b"\n",
    "one too long": b"#!./shown " + b"d" * (256 - 10) + b"\n",
    "not a line": b"# !./shown\n",
}
RAW: dict[str, bytes] = {
    "empty": b"",
    "short": b"\x7fELF\x02\x01\x01",
    "words": b"just words\n",
    "zeros": bytes(4096),
    "arm": exits(machine=183),
    "i386": exits(machine=3, bits=1),
    "not a program": exits(kind=1),
    "core file": exits(kind=4),
    "headers of another size": exits(phentsize=32),
    "no header": elf([]),
    "nothing to load": elf([Segment(PT_NULL)], entry=0x400000),
    "more in the file than in memory": exits(more=[Segment(address=0x500000, data=bytes(100), memory=10)]),
    "wraps around": exits(more=[Segment(address=0x500000, data=b"x", memory=(1 << 64) - 0x400000)]),
    "too low": exits(0),
    "too high": exits(0x7FFFFFFFF000),
    "in the kernel": exits((1 << 64) - 0x1000000),
    "entry at nothing": elf([Segment(address=0x400000, data=EXIT_7)], entry=0x900000),
    "exits": exits(),
    "moves": exits(0, kind=ET_DYN),
    "moves, linked high": exits(0x7000000, kind=ET_DYN),
    "segments share a page": exits(
        more=[Segment(address=0x400100, data=b"x" * 8), Segment(address=0x400200, data=b"y", memory=8192)]
    ),
    "bss that ends at a page's end": exits(more=[Segment(address=0x500FF0, data=b"z" * 8, memory=0x10)]),
    "bss of whole pages": exits(more=[Segment(address=0x500000, memory=0x3000)]),
    "a hundred headers": exits(more=[Segment(PT_NULL) for _ in range(100)]),
    "a hundred segments": exits(more=[Segment(address=0x500000 + 8192 * n, memory=4096) for n in range(100)]),
    "1,170 headers": exits(more=[Segment(PT_NULL) for _ in range(1169)]),
    "1,171 headers": exits(more=[Segment(PT_NULL) for _ in range(1170)]),
    "odd alignment": exits(more=[Segment(address=0x500000, data=b"x", align=12345)]),
    "large alignment": elf([Segment(address=0, data=EXIT_7, align=1 << 30)], kind=ET_DYN),
    "read-only bss": exits(more=[Segment(address=0x500FF0, data=b"z" * 8, memory=0x1010, flags=4)]),
    "interpreter without an end": exits(more=[Segment(PT_INTERP, data=b"/bin/true")]),
    "interpreter of one byte": exits(more=[Segment(PT_INTERP, data=b"\0")]),
    "interpreter too long": exits(more=[Segment(PT_INTERP, data=b"/" * 5000 + b"\0")]),
    "interpreter behind the end": exits(more=[Segment(PT_INTERP, data=b"", file_size=20, address=1 << 20)]),
    "two interpreters": exits(more=[Segment(PT_INTERP, data=b"/missing\0"), Segment(PT_INTERP, data=LDSO)]),
    "where the interposer lies": exits(0x7E9000000000),
    "on both sides of the interposer": exits(more=[Segment(address=0x7F1000000000, memory=4096)]),
}
PATHS = {
    "missing": "./missing",
    "missing directory": "./missing/shown",
    "a file in a file": "./shown/x",
    "a slash behind": "./shown/",
    "a directory": "./directory",
    "a fifo": "./fifo",
    "a device": "/dev/null",
    "no permission": "./forbidden",
    "a script without permission": "./forbidden script",
    "a link to itself": "./loop",
    "a broken link": "./broken",
    "a program for i386 in the right form": "./i386",
    "cannot be entered": "./closed/shown",
}


def make_files(at: Path) -> dict[str, str]:
    """All that is executed, in `at`. Returns the attempts that are no more than a path."""
    for name, options in BUILDS.items():
        subprocess.run(["gcc", "-O1", "-Wall", "-Wextra", "-Werror", *options, "-o", at / name, HERE / "shown.c"], check=True)
    shown, static = (at / "shown").read_bytes(), (at / "shown-static").read_bytes()
    files: dict[str, tuple[bytes, int]] = {name: (content, 0o755) for name, content in {**SCRIPTS, **RAW}.items()}
    for cut in CUTS:
        files[f"dynamic cut at {cut}"] = (shown[:cut], 0o755)
        files[f"static cut at {cut}"] = (static[:cut], 0o755)
    for name, path in INTERPRETERS.items():
        assert shown.count(LDSO) == 1
        files[f"ld.so {name}"] = (shown.replace(LDSO, path.ljust(len(LDSO), b"\0")), 0o755)
    for level in range(1, 9):
        before = f"./chain-{level - 1}" if level > 1 else "./shown"
        files[f"chain-{level}"] = (f"#!{before} level {level}\n".encode(), 0o755)
    for name, (content, mode) in files.items():
        path = at / name
        path.write_bytes(content)
        path.chmod(mode)
    result = {name: f"./{name}" for name in files} | {name: f"./{name}" for name in BUILDS} | PATHS
    for name, content in {"forbidden": shown, "forbidden script": SCRIPTS["script"]}.items():
        (at / name).write_bytes(content)
        (at / name).chmod(0o644)
    shutil.copy(at / "shown", at / "busy")
    shutil.copy(Path(LDSO[:-1].decode()).resolve(), at / "ld.so")
    (at / "directory").mkdir()
    (at / "closed").mkdir(mode=0)
    (at / "link").symlink_to("shown")
    (at / "loop").symlink_to("loop")
    (at / "broken").symlink_to("missing")
    (at / "files.json").write_text(json.dumps(result))
    return result


def attempts(at: Path, backend: str) -> Result:
    shutil.copy(HERE / "attempts.py", at / "attempts.py")
    argv = [sys.executable, "-I", "-S", str(at / "attempts.py")]
    return selftrace.run(argv=argv, policy="builtin:observe", backend=backend, cwd=at, timeout_s=PATIENCE_S)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="exec-"))
    directory.chmod(0o755)
    make_files(directory)
    yield directory
    (directory / "closed").chmod(0o700)
    shutil.rmtree(directory)


Outcomes = dict[str, list[object]]


@pytest.fixture(scope="module")
def outcomes(place: Path) -> tuple[Outcomes, Outcomes, Result]:
    plain, interposed = attempts(place, "none"), attempts(place, "auto")
    assert plain.exit_code == 0, plain.stderr
    assert interposed.exit_code == 0, interposed.stderr
    return json.loads(plain.stdout), json.loads(interposed.stdout), interposed


NAMES = [*SCRIPTS, *RAW, *PATHS, *BUILDS]
NAMES += [f"{kind} cut at {cut}" for kind in ("dynamic", "static") for cut in CUTS]
NAMES += [f"ld.so {name}" for name in INTERPRETERS] + [f"chain-{level}" for level in range(1, 9)]
SPECIAL = re.findall(r'^        "([^"]+)":', (HERE / "attempts.py").read_text(), re.M)


def expected(name: str, plain: list[object]) -> list[object]:
    """What differs, and INTERPOSER.md says so."""
    if name == "where the interposer lies":
        assert plain[0] == 7
        return [0, "errno 12"]
    return plain


@pytest.mark.parametrize("name", [*NAMES, *SPECIAL])
def test_same_as_plain(name: str, outcomes: tuple[Outcomes, Outcomes, Result]) -> None:
    plain, interposed, _ = outcomes
    assert interposed[name] == expected(name, plain[name])
    assert "are left" not in str(plain[name])


def test_attempts_are_what_they_seem(outcomes: tuple[Outcomes, Outcomes, Result]) -> None:
    """Programs ran and refusals were refused, in both runs: the same nonsense twice would be the same, too."""
    _, interposed, _ = outcomes
    ran = {name for name, (status, _) in interposed.items() if status == 7}
    assert {*BUILDS, "script", "exits", "moves", "a hundred headers", "1,170 headers", "from a thread", "much"} <= ran
    errors = {int(number) for _, text in interposed.values() for number in re.findall(r"errno (\d+)", str(text))}
    assert errors == {2, 5, 7, 8, 9, 12, 13, 14, 20, 22, 26, 36, 40, 80} - ({13} if os.getuid() == -1 else set())
    assert not [name for name, (_, text) in interposed.items() if "Error" in str(text) and "errno" not in str(text)]


def test_limits_are_said(outcomes: tuple[Outcomes, Outcomes, Result]) -> None:
    """What the loader cannot run is refused in words, once for each path."""
    notes = [(event.text, event.note) for event in outcomes[2].events if event.kind == "note"]
    assert len(notes) == len(set(notes))
    said = {note for _, note in notes}
    assert "a program for i386 cannot be run: its calls would not be seen" in said
    assert "a program that must lie where the interposer does cannot be run" in said


def run_shown(place: Path, name: str, backend: str = "auto") -> Result:
    result = selftrace.run(argv=[str(place / name)], policy="builtin:observe", cwd=place, backend=backend)
    assert result.exit_code == 7, result
    return result


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a program to another user")
def test_set_id(place: Path) -> None:
    """The privilege is not given (no_new_privs), which the report says once for each program."""
    shutil.copy(place / "shown", place / "set-id")
    os.chown(place / "set-id", 65534, 65534)
    (place / "set-id").chmod(0o6755)
    (place / "twice").write_text("#!/bin/sh\n./set-id\n./set-id\nexit 7\n")
    (place / "twice").chmod(0o755)
    assert b"secure 1" in run_shown(place, "twice", "none").stdout
    interposed = run_shown(place, "twice")
    assert interposed.stdout.count(b"secure 0") == 2
    assert [event.note for event in interposed.events] == ["a set-id program or one with capabilities runs without its privilege"]


IN_A_NAMESPACE = """
import os, shutil, subprocess, sys
import selftrace
place = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec,mode=755", "tmpfs", place], check=True)
for name in ("shown", "script"):
    shutil.copy(os.path.join(sys.argv[2], name), place)
code = "import os, sys\\nfor n in ('shown', 'script', '../../bin/true'):\\n    try: os.posix_spawn(n, [n], {}); print(0)\\n    except OSError as e: print(e.errno)"
for backend in ("none", "auto"):
    print(selftrace.run(argv=[sys.executable, "-c", code], policy="builtin:observe", cwd=place, backend=backend).check().stdout)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_noexec_mount(place: Path) -> None:
    mounted = place / "mounted"
    mounted.mkdir()
    argv = ["unshare", "-m", sys.executable, "-c", IN_A_NAMESPACE, str(mounted), str(place)]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0] == lines[1]
    assert lines[0].startswith("b'13\\n13\\n")


UNDER_A_FILTER = """
import sys
import pyseccomp
import selftrace
filter = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
filter.add_rule(pyseccomp.ERRNO(1), "prctl", pyseccomp.Arg(0, pyseccomp.EQ, 35))
filter.load()
result = selftrace.run(argv=[sys.argv[1]], policy="builtin:observe", cwd=sys.argv[2])
assert result.exit_code == 7, result
sys.stdout.write(result.stdout.decode())
"""


def test_kernel_that_does_not_take_the_description(place: Path) -> None:
    """Without PR_SET_MM_MAP (no CONFIG_CHECKPOINT_RESTORE, or a filter from outside) a program runs all the same."""
    argv = [sys.executable, "-c", UNDER_A_FILTER, str(place / "shown"), str(place)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    usual = run_shown(place, "shown").stdout.decode().splitlines()
    differs = {line.split()[0] for line in set(done.stdout.splitlines()) ^ set(usual) if "/selftrace-" not in line}
    assert {"cmdline", "auxv"} <= differs <= {"cmdline", "auxv", "sbrk"}  # brk then lies behind the loader: room by chance


def test_broken_programs_are_named(outcomes: tuple[Outcomes, Outcomes, Result]) -> None:
    """What exec takes and cannot map dies as it does plain; the report says of what."""
    notes = {event.note for event in outcomes[2].events}
    assert "a program cannot be mapped" in notes
    assert "a program's file makes no sense and cannot be mapped" in notes
