"""What is to be run: a script, a module or a piece of code, by which Python."""

from __future__ import annotations

import os
import sys

from selftrace.errors import UnsupportedError
from selftrace.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    Kind = Literal["script", "module", "code", "program"]

_asked: dict[tuple[str, int], Interpreter] = {}
_own_known: dict[tuple[object, ...], Interpreter] = {}


@record
class Job:
    """kind and target as python's command line has them; args for sys.argv[1:]; python: absolute path.

    program: target is the file that is executed, args its whole argv.
    """

    kind: Kind
    target: str
    args: tuple[str, ...] = ()
    python: str = sys.executable

    @property
    def script_directory(self) -> str:
        """The script's directory; empty for modules and code."""
        return os.path.dirname(self.target) if self.kind == "script" else ""


def make_job(
    script: str | os.PathLike[str] | None,
    args: Sequence[str],
    *,
    code: str | None = None,
    module: str | None = None,
    python: str = sys.executable,
) -> Job:
    """A Job of exactly one of script, code, module.

    Raises ValueError unless exactly one is given; FileNotFoundError for a script or interpreter that does not exist;
    IsADirectoryError for a directory.
    """
    given = [name for name, value in (("script", script), ("code", code), ("module", module)) if value is not None]
    if len(given) != 1:
        raise ValueError(f"give exactly one of script, code, module, argv; got {', '.join(given) or 'none'}")
    if not python or not os.path.exists(python):
        raise FileNotFoundError(2, "no such Python interpreter", python)
    python = os.path.abspath(python)
    words = tuple(os.fsdecode(word) for word in args)
    if module is not None:
        return Job("module", module, words, python)
    if code is not None:
        return Job("code", code, words, python)
    assert script is not None
    path = os.path.abspath(os.fsdecode(script))
    with open(path, "rb"):  # not found, a directory, no permission: said here, with the name
        pass
    return Job("script", path, words, python)


def make_program(argv: Sequence[str | os.PathLike[str]]) -> Job:
    """A Job of any program: argv[0] is a path, or a name that is looked for in PATH.

    Raises ValueError without a word; FileNotFoundError; PermissionError for what is not executable.
    """
    words = tuple(os.fsdecode(word) for word in argv)
    if not words or not words[0]:
        raise ValueError("argv needs a program")
    name = words[0]
    if "/" in name:
        path = os.path.abspath(name)
        if not os.path.exists(path):
            raise FileNotFoundError(2, "no such program", name)
        if os.path.isdir(path) or not os.access(path, os.X_OK):
            raise PermissionError(13, "is not executable", name)
        return Job("program", path, words)
    for directory in os.get_exec_path():
        path = os.path.abspath(os.path.join(directory, name))
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return Job("program", path, words)
    raise FileNotFoundError(2, "no such program in PATH", name)


@record
class Interpreter:
    """Where a Python keeps its files. Paths are absolute and resolved, without duplicates.

    added: directories outside that .pth files put on sys.path (editable installs). They are no part of the installation,
    and a run may not read them; but each import looks into them.
    """

    prefixes: tuple[str, ...]
    site: tuple[str, ...]
    version: tuple[int, int]
    added: tuple[str, ...] = ()


def _unique(paths: Sequence[str]) -> tuple[str, ...]:
    found = [path for raw in paths for path in (os.path.abspath(raw), os.path.realpath(raw)) if raw]
    return tuple(dict.fromkeys(found))


def _own() -> Interpreter:
    """Remembered in this process while sys and the site directories are as they were."""
    import site

    places = [*site.getsitepackages()]
    if site.ENABLE_USER_SITE:
        places.append(site.getusersitepackages())
    places += [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(sys.executable))
    key = (prefixes, tuple(places), tuple(_changed(path) for path in places))
    if key not in _own_known:
        _own_known.clear()
        _own_known[key] = _describe(prefixes, places, sys.version_info[:2])
    return _own_known[key]


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _describe(prefixes: Sequence[str], places: Sequence[str], version: tuple[int, int]) -> Interpreter:
    """/usr itself is too much to grant for a Python that lies there: its own directories are named instead."""
    name = f"python{version[0]}.{version[1]}"
    found: list[str] = []
    for prefix in _unique(prefixes):
        if prefix in ("/usr", "/usr/local", "/", "/usr/bin", "/usr/local/bin", "/bin"):
            base = prefix.removesuffix("/bin") or "/usr"
            names = (
                f"lib/{name}",
                "lib/python3",
                f"local/lib/{name}",
                f"include/{name}",
                f"lib64/{name}",
                f"bin/{name}",
                "bin/python3",
            )
            found += [os.path.join(base, item) for item in names]
            found.append(f"/etc/{name}")  # Debian's sitecustomize
        else:
            found.append(prefix)
    existing = tuple(path for path in _unique(found) if os.path.exists(path))
    site = tuple(path for path in _unique(places) if os.path.isdir(path))
    return Interpreter(existing, site, version, _added(site))


def _added(site: Sequence[str]) -> tuple[str, ...]:
    """The paths that the .pth files of site directories name."""
    found = []
    for directory in site:
        for name in os.listdir(directory):
            if not name.endswith(".pth"):
                continue
            try:
                with open(os.path.join(directory, name), encoding="utf-8", errors="surrogateescape") as file:
                    lines = [line.strip() for line in file]
            except OSError:
                continue
            found += [line for line in lines if line.startswith("/")]
    return tuple(dict.fromkeys(found))


def _foreign(python: str, stamp: int) -> Interpreter:
    """Asked of the interpreter itself: 20 ms, once in a process for each."""
    if (python, stamp) not in _asked:
        _asked[python, stamp] = _ask(python)
    return _asked[python, stamp]


def _ask(python: str) -> Interpreter:
    import subprocess

    question = (
        "import sys,site,os;print(repr(((sys.prefix,sys.base_prefix,sys.exec_prefix,os.path.dirname(sys.executable)),"
        "site.getsitepackages()+([site.getusersitepackages()] if site.ENABLE_USER_SITE else []),tuple(sys.version_info[:2]))))"
    )
    import ast

    answer = subprocess.run([python, "-c", question], capture_output=True, text=True, check=False)
    if answer.returncode:
        raise UnsupportedError(f"{python} is no Python that can be used", f"it says: {answer.stderr.strip()[-200:]}")
    prefixes, places, version = ast.literal_eval(answer.stdout)
    return _describe(prefixes, places, version)


def interpreter(python: str) -> Interpreter:
    """Where `python` keeps its files. Raises UnsupportedError for one of another version than ours: the native part fits
    only the one that it was built for."""
    if os.path.realpath(python) == os.path.realpath(sys.executable) and os.path.abspath(python) == os.path.abspath(
        sys.executable
    ):
        return _own()
    found = _foreign(python, os.stat(python).st_mtime_ns)
    if found.version != sys.version_info[:2]:
        ours, theirs = (".".join(map(str, version)) for version in (sys.version_info[:2], found.version))
        raise UnsupportedError(
            f"{python} is Python {theirs}, selftrace's native part is built for {ours}",
            f"install selftrace with {python} -m pip, and run it from there",
        )
    return found
