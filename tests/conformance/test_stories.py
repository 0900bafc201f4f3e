"""Every trace case on every backend: the program runs as without, and the same is told of it. What differs stands in
exceptions.py, with its reason."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from selftrace.events.event import TraceEvent
from tests.conformance.exceptions import TRACES
from tests.conformance.stories import MARK, OPENING, STORIES, Story
from tests.integration.traced import RESTART, TRACE, events_of
from tests.waiting import PATIENCE_S

RUNS = "say('ready')\nsys.stdin.readline()\nmark()\n{body}\nmark()\n"
IN_PROCESS = """
import json, selftrace
sys.stdin.readline()
with selftrace.tracing("{calls}") as trace:
    mark()
{body}
    mark()
with open(sys.argv[1], "w") as file:
    for e in trace.events:
        json.dump((e.kind, e.tid, e.name, e.error, e.path, e.flags), file)
        print(file=file)
"""
Told = tuple[str, int, str, str | None, str | None, int]
STORM = ("SIGALRM", "a storm of signals")


def told(events: Iterable[Told], story: Story) -> list[tuple[str, ...]]:
    """Of each task what it did, sorted; of the one that makes the marks what lies between them."""
    tasks: dict[int, list[str]] = {}
    marks = 0
    for kind, tid, name, error, path, flags in events:
        if kind == "call" and name == MARK:
            marks += 1
            continue
        if not marks or marks > 1 or kind not in ("call", "signal") or name == "SIGCHLD":
            continue
        if kind == "signal" and story.name == STORM[1]:
            continue
        outcome = "interrupted" if flags & RESTART else error or ""
        words = [name] if kind == "signal" else [name, outcome, path or ""]
        tasks.setdefault(tid, []).append(" ".join(filter(None, words)))
    return sorted(tuple(did) for did in tasks.values())


def plainly(found: Iterable[TraceEvent]) -> list[Told]:
    return [(e.kind, e.tid, e.name, e.error, e.path, e.flags) for e in sorted(found, key=lambda e: e.time_ns)]


def started(story: Story, place: Path, words: list[str]) -> tuple[str, list[Told]]:
    """The script started under the tracer; without words: under nobody."""
    command = [sys.executable, "-c", OPENING + RUNS.format(body=story.body)]
    capture = place / "o.strc"
    tracer = [*TRACE, *words, "-e", f"trace={story.calls},{MARK}", "-o", str(capture)] if words else []
    done = subprocess.run([*tracer, *command], input="\n", capture_output=True, text=True, timeout=PATIENCE_S, cwd=place)
    assert done.returncode == 0, done.stderr
    return done.stdout, plainly(events_of(capture)) if words else []


def attached(story: Story, place: Path, words: list[str]) -> tuple[str, list[Told]]:
    """The script runs already, and waits, when the tracer comes."""
    capture = place / "o.strc"
    command = [sys.executable, "-c", OPENING + RUNS.format(body=story.body)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=place) as program:
        assert program.stdin is not None and program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        words = [*TRACE, *words, "-f", "-e", f"trace={story.calls},{MARK}", "-o", str(capture), "-p", str(program.pid)]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            line = tracer.stderr.readline()
            assert "attached" in line, line + tracer.stderr.read()
            printed, _ = program.communicate("\n", timeout=PATIENCE_S)
            tracer.communicate(timeout=PATIENCE_S)
    assert program.returncode == 0
    return "ready\n" + printed, plainly(events_of(capture))


def in_process(story: Story, place: Path) -> tuple[str, list[Told]]:
    """The script traces itself."""
    body = "".join(f"    {line}\n" for line in story.body.splitlines())
    code = OPENING + IN_PROCESS.format(calls=f"{story.calls},{MARK}", body=body)
    words = [sys.executable, "-c", code, str(place / "events")]
    done = subprocess.run(words, input="\n", capture_output=True, text=True, timeout=PATIENCE_S, cwd=place)
    assert done.returncode == 0, done.stderr
    return "ready\n" + done.stdout, [json.loads(line) for line in (place / "events").read_text().splitlines()]


BACKENDS = {
    "none": lambda story, place: started(story, place, []),
    "trap": lambda story, place: started(story, place, ["--backend", "trap"]),
    "dispatch": in_process,
    "ptrace": lambda story, place: started(story, place, ["--backend", "ptrace"]),
    "ptrace -p": lambda story, place: attached(story, place, ["--backend", "ptrace"]),
    "inject": lambda story, place: attached(story, place, ["--backend", "inject"]),
}
PROBES = re.findall(r"^void (probe_\w+)\(void\)", (Path(__file__).parent / "probes.c").read_text(), re.M)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("probes") / "probes.so"
    source = Path(__file__).parent / "probes.c"
    subprocess.run(["gcc", "-O1", "-w", "-shared", "-fPIC", "-pthread", "-o", str(target), str(source)], check=True)
    return target


ALL = [(story, backend) for story in STORIES for backend in BACKENDS if (story.name, backend) not in TRACES]


@pytest.mark.parametrize(("story", "backend"), ALL, ids=[f"{story.name}-{backend}" for story, backend in ALL])
def test_a_story(story: Story, backend: str, tmp_path: Path) -> None:
    printed, events = BACKENDS[backend](story, tmp_path)
    assert printed == "ready\n" + (f"{story.printed}\n" if story.printed else "")
    if backend == "none":
        assert not events
        return
    assert told(events, story) == sorted(story.told)


HELD = [(name, one) for name in PROBES for one in ("dispatch", "ptrace -p", "inject") if (name, one) not in TRACES]


@pytest.mark.parametrize(("name", "backend"), HELD, ids=[f"{name}-{one}" for name, one in HELD])
def test_a_probe(name: str, backend: str, library: Path, tmp_path: Path) -> None:
    """Started under trap and ptrace: test_traced.py."""
    story = Story(name, "getppid,kill,tgkill,wait4", f"ctypes.CDLL({str(library)!r}).{name}()", ())
    plain, _ = BACKENDS["none"](story, tmp_path)
    printed, events = BACKENDS[backend](story, tmp_path)
    assert printed == plain != "ready\n"
    assert sum(event[2] == MARK for event in events) >= 2


def test_the_exceptions_are_of_stories_that_there_are() -> None:
    assert {name for name, _ in TRACES} <= {*(story.name for story in STORIES), *PROBES}
    assert {backend for _, backend in TRACES} <= {*BACKENDS}
