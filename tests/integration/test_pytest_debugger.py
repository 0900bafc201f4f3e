"""The pytest plugin under debugpy: a debugger stops inside a test that is traced and has a fault, steps, and goes on."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from selftrace.inprocess.engine import known_problem
from tests.waiting import PATIENCE_S, free_port

pytestmark = [
    pytest.mark.skipif(bool(known_problem()), reason=known_problem() or "available"),
    pytest.mark.skipif(importlib.util.find_spec("debugpy") is None, reason="debugpy is missing: pip install debugpy"),
]
SUITE = """import os
import pytest

@pytest.mark.fault("getcwd", error="EACCES", when="2")
def test_it(syscalls):
    before = os.getcwd()
    found = None
    try:
        os.getcwd()
    except PermissionError as error:
        found = error
    assert before and found
    assert syscalls.count("getcwd") == 2
"""
STOP, NEXT = 7, 8
"""The line with the breakpoint, and the one that a step comes to: between the call that is made and the one that fails."""


class Client:
    """As much of the Debug Adapter Protocol as an editor needs to set a breakpoint."""

    def __init__(self, port: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "debugpy does not listen"
                time.sleep(0.05)
        self._file = self._socket.makefile("rb")
        self._sent = 0

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def send(self, command: str, **arguments: Any) -> None:
        self._sent += 1
        message = {"seq": self._sent, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    def until(self, **wanted: str) -> dict[str, Any]:
        """The body of the next message that is so."""
        while True:
            size = 0
            while line := self._file.readline().strip():
                size = int(line.partition(b":")[2])
            assert size, "debugpy has gone away"
            message = json.loads(self._file.read(size))
            if all(message.get(name) == value for name, value in wanted.items()):
                found: dict[str, Any] = message.get("body", {})
                return found

    def stopped_at(self) -> tuple[int, int]:
        """(thread, line) of the next stop."""
        thread = self.until(event="stopped")["threadId"]
        self.send("stackTrace", threadId=thread, levels=1)
        return thread, self.until(command="stackTrace")["stackFrames"][0]["line"]


@contextmanager
def debugged(port: int, place: Path) -> Iterator[subprocess.Popen[bytes]]:
    """pytest, which waits for a debugger. debugpy's adapter goes on by itself until its client has gone; then it ends, too."""
    words = ["-m", "debugpy", "--listen", f"127.0.0.1:{port}", "--wait-for-client"]
    words += ["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    with (
        open(place / "out", "wb") as out,  # no pipe: the adapter has it too
        subprocess.Popen([sys.executable, *words], cwd=place, stdout=out, stderr=out) as pytest_,
    ):
        try:
            yield pytest_
        finally:
            pytest_.kill()


def test_a_breakpoint_in_a_test_with_a_fault(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SUITE)
    port = free_port()
    with debugged(port, tmp_path) as pytest_, closing(Client(port)) as client:
        client.send("initialize", adapterID="tests")
        client.until(command="initialize")
        client.send("attach", justMyCode=False)
        client.until(event="initialized")
        client.send("setBreakpoints", source={"path": os.path.realpath(tmp_path / "test_it.py")}, breakpoints=[{"line": STOP}])
        assert client.until(command="setBreakpoints")["breakpoints"][0]["verified"]
        client.send("configurationDone")
        thread, line = client.stopped_at()
        assert line == STOP
        client.send("next", threadId=thread)
        assert client.stopped_at() == (thread, NEXT)
        client.send("continue", threadId=thread)
        code = pytest_.wait(PATIENCE_S)
    out = (tmp_path / "out").read_text()
    assert code == 0, out
    assert "1 passed" in out
