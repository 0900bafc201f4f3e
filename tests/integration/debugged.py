"""The program that the debugger's tests debug, built once in several forms; and a prompt on a terminal of its own."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.waiting import PATIENCE_S

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "programs" / "debugged.c"
DEBUG = [sys.executable, "-m", "selftrace", "debug"]
PROMPT = "(selftrace) "
FLAGS = ["-Wall", "-Wextra", "-Werror", "-pthread"]


def line_of(text: str) -> int:
    """The number of the source line that holds a text."""
    return next(number for number, line in enumerate(SOURCE.read_text().splitlines(), 1) if text in line)


def compiled(place: Path, name: str, *options: str) -> str:
    """debugged.c as another program."""
    path = place / name
    subprocess.run(["gcc", *FLAGS, *options, "-o", path, SOURCE], check=True)
    return str(path)


def build() -> Iterator[Path]:
    """A directory with `program` (-g -O0, PIE), which others may use; and a library `plugin.so`."""
    place = Path(tempfile.mkdtemp(prefix="debugged-"))
    place.chmod(0o755)
    compiled(place, "program", "-g", "-O0")
    library = place / "plugin.c"
    library.write_text("int plugged(int x) { return x * 10; }\n")
    subprocess.run(["gcc", "-g", "-shared", "-fPIC", "-o", place / "plugin.so", library], check=True)
    yield place
    shutil.rmtree(place)


class Terminal:
    """`selftrace debug` on a pseudo terminal."""

    def __init__(self, *words: str, env: dict[str, str] | None = None) -> None:
        self._ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "dumb", **(env or {})}
        self.process = subprocess.Popen(
            [*DEBUG, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True,
            preexec_fn=_take_terminal,
        )  # fmt: skip
        os.close(theirs)
        self.greeting = self.read()

    def read(self, until: str = PROMPT) -> str:
        """What is printed until the next prompt, or the end."""
        text = ""
        while not (text.endswith(until) if until == PROMPT else until in text):
            if not select.select([self._ours], [], [], PATIENCE_S)[0]:
                raise AssertionError(f"nothing more than {text!r}")
            try:
                piece = os.read(self._ours, 4096)
            except OSError:
                break
            if not piece:
                break
            text += piece.decode(errors="replace")
        return re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", text).replace("\r", "").removesuffix(until)

    def send(self, text: str) -> None:
        """As typed."""
        os.write(self._ours, text.encode())

    def type(self, line: str) -> str:
        """A line; what it prints, without its echo."""
        self.send(line + "\n")
        return self.read().partition("\n")[2]

    def end(self, line: str | None = "quit") -> str:
        """Types the last line, waits for the end; what was printed."""
        if line is not None:
            self.send(line + "\n")
        text = self.read("\0")
        self.process.wait(PATIENCE_S)
        return text

    def close(self) -> None:
        """Whatever state it is in."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE_S)
        os.close(self._ours)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def batch(*commands: str, program: Sequence[str], options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Commands by -ex, with --batch."""
    words = [word for command in commands for word in ("-ex", command)]
    return subprocess.run(
        [*DEBUG, "--batch", *options, *words, *program],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        stdin=subprocess.DEVNULL,
    )


class Server:
    """The program's `serve`: threads, and a line for each line."""

    def __init__(self, program: str) -> None:
        self.process = subprocess.Popen([program, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        assert self.process.stdout is not None and self.process.stdin is not None
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, word: str) -> str:
        """Its answer: how many SIGUSR1 it has handled, and the word."""
        assert self.process.stdout is not None and self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")

    def states(self) -> set[str]:
        """The states of its threads: S and R are unharmed, t and T are not."""
        found = set()
        for task in os.listdir(f"/proc/{self.pid}/task"):
            found.add(Path(f"/proc/{self.pid}/task/{task}/stat").read_text().rpartition(")")[2].split()[0])
        return found

    def tracer(self) -> int:
        """Who traces it."""
        match = re.search(r"TracerPid:\s*(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        assert match is not None
        return int(match[1])

    def close(self) -> int:
        """Ends its input; its exit status."""
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.close()
