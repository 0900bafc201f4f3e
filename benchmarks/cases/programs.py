"""Programs at work under selftrace, where each call is counted, and under strace: three commands, and three servers whose
clients are not traced."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAME, UNIT = "programs", "ms; servers: µs a request"
HERE = Path(__file__).resolve().parent.parent
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
ORDINARY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] if os.getuid() == 0 else []


def _needs(*programs: str) -> list[str]:
    return [program for program in programs if shutil.which(program, path=PATH) is None]


def _quietly(words: Sequence[str], **options: Any) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, **options).stdout


def _history(directory: Path) -> Path:
    """A repository of 400 commits."""
    text = ""
    for n in range(400):
        content = "".join(f"line {i} of {n * (i % 7)}\n" for i in range(100))
        text += f"commit refs/heads/main\ncommitter A <a@example.com> {1577836800 + n} +0000\ndata 2\nx\n"
        text += f"M 644 inline file{n % 9}\ndata {len(content)}\n{content}\n"
    _quietly(["git", "init", "-q", "--bare", str(directory)])
    _quietly(["git", "-C", str(directory), "fast-import", "--quiet"], input=text)
    return directory


def _commands(directory: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Name → (programs that are missing, words)."""
    source, git = str(HERE / "calls.c"), _needs("git")
    history = directory / "history" if git else _history(directory / "history")
    return {
        "gcc -O2 -c": (_needs("gcc"), ["/usr/bin/gcc", "-O2", "-c", "-o", str(directory / "calls.o"), source]),
        "git log --stat": (git, ["/usr/bin/git", "--git-dir", str(history), "log", "--stat", "main"]),
        "tar -c /usr/include": (_needs("tar"), ["/bin/tar", "-cPf", str(directory / "all.tar"), "/usr/include"]),
    }


@contextmanager
def _served(words: Sequence[str], ready: Sequence[str], stop: Sequence[str]) -> Iterator[None]:
    """A server while it answers; stop: the command that ends it."""
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if subprocess.run(ready, capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.05)
        yield
    finally:
        subprocess.run(stop, capture_output=True, check=False)
        server.wait(timeout=60)


def _redis(directory: Path) -> Callable[[list[str]], float]:
    socket = str(directory / "redis")
    client = ["redis-cli", "-s", socket]
    server = ["/usr/bin/redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", str(directory)]

    def once(prefix: list[str]) -> float:
        with _served(
            [*prefix, *server], ["sh", "-c", f"redis-cli -s {socket} ping | grep -q PONG"], [*client, "shutdown", "nosave"]
        ):
            text = _quietly(["redis-benchmark", "-s", socket, "-t", "set", "-n", "20000", "-c", "20", "--csv"])
        return 1e6 / float(text.splitlines()[-1].split(",")[1].strip('"'))

    return once


def _postgres(directory: Path) -> Callable[[list[str]], float]:
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    home = directory / "postgres"
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    data, client = str(home / "data"), ["-h", str(home), "-U", "bench", "postgres"]
    options = ["-F", "-c", "listen_addresses=", "-c", f"unix_socket_directories={home}"]
    server = [*ORDINARY, str(binaries / "postgres"), "-D", data, *options]
    stop = [*ORDINARY, str(binaries / "pg_ctl"), "-D", data, "-w", "-m", "fast", "stop"]
    _quietly([*ORDINARY, str(binaries / "initdb"), "--no-sync", "-A", "trust", "-U", "bench", "-D", data], cwd=home)
    ready = ["pg_isready", "-q", *client[:-1]]
    with _served(server, ready, stop):
        _quietly(["pgbench", "-i", "-q", *client])

    def once(prefix: list[str]) -> float:
        with _served([*prefix, *server], ready, stop):
            text = _quietly(["pgbench", "-S", "-n", "-c", "2", "-T", "2", *client])
        return 1e6 / float(next(line for line in text.splitlines() if line.startswith("tps")).split()[2])

    return once


def _nginx(directory: Path) -> Callable[[list[str]], float]:
    (directory / "index.html").write_text("x" * 1000)
    port = 8000 + os.getpid() % 1000
    configuration = directory / "nginx.conf"
    temporary = "".join(f"{name}_temp_path {directory}/{name};" for name in "client_body proxy fastcgi uwsgi scgi".split())
    configuration.write_text(
        f"daemon off; pid {directory}/pid; worker_processes 1; error_log {directory}/error.log; events {{ }}\n"
        f"http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port}; root {directory}; }} }}\n"
    )
    base = ["/usr/sbin/nginx", "-e", str(directory / "error.log"), "-c", str(configuration)]
    url = f"http://127.0.0.1:{port}/index.html"

    def once(prefix: list[str]) -> float:
        with _served([*prefix, *base], ["curl", "-sf", "-o", "/dev/null", url], [*base, "-s", "quit"]):
            text = _quietly(["wrk", "-t", "1", "-c", "16", "-d", "2s", url])
        return 1e6 / float(next(line for line in text.splitlines() if line.startswith("Requests/sec")).split()[1])

    return once


SERVERS = {
    "redis-benchmark set": (("redis-server", "redis-benchmark"), _redis),
    "pgbench -S": (("pgbench", "pg_isready"), _postgres),
    "nginx under wrk": (("nginx", "wrk", "curl"), _nginx),
}


def measure(tools: Any) -> dict[str, dict[str, float]]:
    """Each program plain, under selftrace and under strace; what is not installed is left out, and said."""
    found: dict[str, dict[str, float]] = {}
    for name, (missing, words) in _commands(tools.directory).items():
        if missing:
            print(f"left out: {name}: no {', '.join(missing)}", file=sys.stderr)
            continue
        found[name] = tools.interleaved({how: tools.timed(prefix, 3, words) for how, prefix in tools.tracers().items()})
    for name, (programs, prepare) in SERVERS.items():
        if missing := _needs(*programs):
            print(f"left out: {name}: no {', '.join(missing)}", file=sys.stderr)
            continue
        once = prepare(tools.directory)
        found[name] = tools.interleaved({how: lambda p=prefix, o=once: o(p) for how, prefix in tools.tracers().items()})
    return found
