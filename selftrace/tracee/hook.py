"""Python handlers inside a tracee: from a trapped call to a user's function and back.

Loaded by bootstrap.py only for plans with handlers. `st_python_handler` is called by the native hook with the GIL, on the
program's own stack. Whatever goes wrong here refuses the call.
"""

from __future__ import annotations

import os
import sys
from _frozen_importlib import ModuleSpec, module_from_spec
from _frozen_importlib_external import SourceFileLoader

TYPE_CHECKING = False  # see bootstrap.py
if TYPE_CHECKING:
    from typing import Any

_PASS, _RESULT, _KILL, _PYTHON = range(4)
_LOG, _ERROR, _VIOLATION = 2, 3, 1
_EPERM, _EINTR = 1, 4
_MAX_ERRNO = 4096
_BY_CLASS = {
    PermissionError: 13,
    FileNotFoundError: 2,
    FileExistsError: 17,
    IsADirectoryError: 21,
    NotADirectoryError: 20,
    InterruptedError: 4,
    TimeoutError: 110,
    ConnectionRefusedError: 111,
    ConnectionResetError: 104,
    ConnectionAbortedError: 103,
    BrokenPipeError: 32,
    BlockingIOError: 11,
    ChildProcessError: 10,
    ProcessLookupError: 3,
}
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10

_lib: Any = None
_ffi: Any = None
_specification: dict[str, Any] = {}
_functions: list[Any] = []
_loaded = False
_kill: type[BaseException] = SystemExit


class Address:
    """A socket address: family (AF_*), host and port for internet families, path for unix."""

    __slots__ = ("family", "host", "path", "port")

    def __init__(self, raw: bytes) -> None:
        self.family = int.from_bytes(raw[:2], sys.byteorder)
        self.host: str | None = None
        self.port: int | None = None
        self.path: str | None = None
        if self.family == _AF_INET:
            self.host, self.port = ".".join(map(str, raw[4:8])), int.from_bytes(raw[2:4], "big")
        elif self.family == _AF_INET6:
            from socket import AF_INET6, inet_ntop

            self.host, self.port = inet_ntop(AF_INET6, raw[8:24]), int.from_bytes(raw[2:4], "big")
        elif self.family == _AF_UNIX:
            self.path = os.fsdecode(raw[2:].split(b"\0", 1)[0])

    def __repr__(self) -> str:
        return self.path if self.path is not None else f"{self.host}:{self.port}"


class Call:
    """One system call under way, as a handler sees it. Everything is decoded when asked for."""

    __slots__ = ("_failed", "_keep", "_proceeded", "_raw", "_result", "_shape")

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._shape = _specification["shapes"][raw.sysno]
        self._proceeded = False
        self._result = 0
        self._failed: OSError | None = None
        self._keep: list[Any] = []

    @property
    def name(self) -> str:
        """The call's name, e.g. "openat"."""
        return str(self._shape[0])

    @property
    def sysno(self) -> int:
        """The call's number."""
        return int(self._raw.sysno)

    @property
    def tid(self) -> int:
        """The thread that made the call."""
        return int(self._raw.tid)

    @property
    def args(self) -> tuple[int, ...]:
        """The arguments as unsigned numbers, as many as the call has."""
        return tuple(self._raw.args[0 : len(self._shape[1])])

    def _index(self, *wanted: str) -> int:
        for index, (name, role, _width) in enumerate(self._shape[1]):
            if role in wanted or name in wanted:
                return index
        raise AttributeError(f"{self.name} has no argument {wanted[0]!r}")

    def _number(self, *wanted: str) -> int:
        index = self._index(*wanted)
        value = int(self._raw.args[index])
        return value & 0xFFFFFFFF if self._shape[1][index][2] == 4 else value

    def _descriptor(self, *wanted: str) -> int:
        value = self._number(*wanted) & 0xFFFFFFFF
        return value - (1 << 32) if value >> 31 else value

    @property
    def path_bytes(self) -> bytes:
        """The first path as the call gave it."""
        return self._path(0)

    @property
    def path(self) -> str:
        """The first path as the call gave it, decoded like os.fsdecode."""
        return os.fsdecode(self._path(0))

    @property
    def path2(self) -> str:
        """The second path of rename, link and their like."""
        return os.fsdecode(self._path(1))

    def _path(self, which: int) -> bytes:
        length = self._raw.path_length[which]
        if length < 0:
            raise AttributeError(f"{self.name} has no {'second ' if which else ''}path")
        return bytes(_ffi.buffer(self._raw.path[which], length))

    @property
    def dirfd(self) -> int:
        """The directory descriptor; -100 is AT_FDCWD."""
        return self._descriptor("dirfd")

    @property
    def fd(self) -> int:
        """The first descriptor argument."""
        return self._descriptor("fd", "dirfd")

    @property
    def fd_path(self) -> str:
        """What the descriptor is open on, e.g. "/tmp/x" or "pipe:[123]"."""
        return os.readlink(f"/proc/self/fd/{self.fd}")

    @property
    def flags(self) -> int:
        """The flags argument."""
        return self._number("flags")

    @property
    def mode(self) -> int:
        """The mode argument."""
        return self._number("mode")

    @property
    def addr(self) -> Address:
        """The socket address."""
        if self._raw.address_length > 0:
            return Address(bytes(_ffi.buffer(self._raw.address, self._raw.address_length)))
        index = self._index("sockaddr")
        length = min(int(self._raw.args[index + 1]) & 0xFFFFFFFF, 128)
        return Address(self._memory(int(self._raw.args[index]), length))

    @property
    def buf(self) -> bytes:
        """The data that the call is given, e.g. what is to be written."""
        index = self._index("buffer")
        return self._memory(int(self._raw.args[index]), int(self._raw.args[self._length_index()]))

    def _length_index(self) -> int:
        return self._index("length", "count", "len")

    def _memory(self, address: int, size: int) -> bytes:
        data = _ffi.new("char[]", max(size, 1))
        if _lib.st_read_memory(data, address, size) < 0:
            raise OSError(14, "the argument cannot be read")
        return bytes(_ffi.buffer(data, size))

    def stack(self) -> list[tuple[str, int, str]]:
        """The Python stack of the caller: (file, line, function), innermost first."""
        text, foreign = _ffi.new("uint8_t[]", 4096), _ffi.new("uint32_t *")
        size = _lib.st_python_stack(text, 4096, foreign)
        frames = []
        for line in bytes(_ffi.buffer(text, size)).decode("utf-8", "replace").splitlines():
            rest, _, function = line.rpartition(":")
            file, _, number = rest.rpartition(":")
            if file != __file__:
                frames.append((file, int(number), function))
        return frames[1:]  # without the handler itself

    def content(self, data: bytes) -> int:
        """Answers with `data` in place of the file: returns the descriptor of a sealed memory file."""
        return int(_checked(_lib.st_make_content(_ffi.from_buffer(data), len(data))))

    def log(self, message: str, **fields: Any) -> None:
        """Writes a line into the run's report."""
        text = " ".join([message, *(f"{key}={value}" for key, value in fields.items())])
        _report(self._raw, _LOG, 0, text)

    def proceed(self, **changes: Any) -> int:
        """The rest of the chain, then the call itself; once. Returns its result; raises OSError if it fails.

        changes: arguments by name; bytes become a private copy.
        """
        if self._proceeded:
            raise RuntimeError("proceed() was called already: a call is made once")
        self._proceeded = True
        for name, value in changes.items():
            self._change(name, value)
        self._result = _go_on(self._raw)
        if self._result < 0:
            self._failed = OSError(-self._result, os.strerror(-self._result))
            raise self._failed
        return self._result

    def _change(self, name: str, value: Any) -> None:
        if name in ("path", "path2"):
            self._change_path(int(name == "path2"), os.fsencode(value))
            return
        index = self._index("buffer" if name == "buf" else name)
        if isinstance(value, (bytes, bytearray)):
            data = _ffi.new("char[]", bytes(value))
            self._keep.append(data)
            self._raw.args[index] = int(_ffi.cast("uintptr_t", data))
            if self._shape[1][index][1] == "buffer":
                self._raw.args[self._length_index()] = len(value)
        else:
            self._raw.args[index] = int(value) & 0xFFFFFFFFFFFFFFFF

    def _change_path(self, which: int, path: bytes) -> None:
        if len(path) > 4095 or b"\0" in path:
            raise OSError(36, "the path is too long, or has a NUL in it")
        paths = [index for index, (_name, role, _width) in enumerate(self._shape[1]) if role == "path"]
        _ffi.memmove(self._raw.path[which], path + b"\0", len(path) + 1)
        self._raw.path_length[which], self._raw.resolved_length[which] = len(path), -1
        self._raw.args[paths[which]] = int(_ffi.cast("uintptr_t", self._raw.path[which]))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def _report(raw: Any, kind: int, result: int, text: str) -> None:
    data = text.encode("utf-8", "replace")
    _lib.st_report_text(raw, kind, raw.rule_row, result, _ffi.from_buffer(data) if data else _ffi.NULL, len(data))


def _go_on(raw: Any) -> int:
    """The rest of the rules; then the call. Its result, or -errno."""
    while True:
        verdict = _lib.st_proceed_next(raw)
        if verdict == _PASS:
            return int(_lib.st_proceed_execute(raw))
        if verdict == _RESULT:
            return int(raw.result)
        if verdict == _KILL:
            _end()
        decided, result = _ask(raw)
        if decided:
            return result


def _end() -> None:
    os.kill(os.getpid(), 9)


def _errno_of(error: OSError) -> int:
    if error.errno:
        return int(error.errno)
    if len(error.args) == 1 and isinstance(error.args[0], int) and 0 < error.args[0] < _MAX_ERRNO:
        return error.args[0]  # OSError(errno.ENOSPC)
    for kind, number in _BY_CLASS.items():
        if isinstance(error, kind):
            return number
    return _EPERM


def _failed(raw: Any) -> int:
    import traceback

    _report(raw, _ERROR, -_EPERM, traceback.format_exc())
    if _specification["kill_on_error"]:
        _end()
    return -_EPERM


def _ask(raw: Any) -> tuple[int, int]:
    """One handler: (whether it decided, as st_call.decided has it; the result)."""
    if not _loaded:
        return False, 0  # the handlers' own imports
    row = raw.rule_row
    call = Call(raw)
    try:
        answer = _functions[raw.handler](call)
        if answer is None:
            return call._proceeded, call._result
        if isinstance(answer, bool) or not isinstance(answer, int):
            raise TypeError(f"a handler returned {answer!r}: return None to let it pass, raise PermissionError to deny")
        return True, answer
    except OSError as error:
        raw.rule_row = row
        if error is call._failed:
            return True, call._result
        result = -_errno_of(error)
        _report(raw, _VIOLATION, result, str(error))
        return (False, 0) if _specification["audit"] and not call._proceeded else (True, result)
    except KeyboardInterrupt:
        return _lib.ST_INTERRUPTED, -_EINTR
    except _kill as error:
        raw.rule_row = row
        _report(raw, _VIOLATION, -_lib.ST_KILLED, str(error))
        _end()
        return True, -_EPERM
    except BaseException:
        raw.rule_row = row
        result = _failed(raw)
        return (False, 0) if _specification["audit"] and not call._proceeded else (True, result)


def prepare(native: Any, specification: dict[str, Any]) -> None:
    """Connects the native hook; before arming."""
    global _lib, _ffi
    _lib, _ffi = native.lib, native.ffi
    _specification.update(specification)

    @_ffi.def_extern(name="st_python_handler")  # type: ignore[untyped-decorator]
    def st_python_handler(raw: Any) -> None:
        decided, result = _ask(raw)
        raw.result = result
        raw.decided = decided


def adopt() -> None:
    """Takes the interposer that is at work already."""
    _checked(_lib.st_adopt())


def _import_handlers() -> None:
    sources = dict(_specification["handler_files"])
    for module_name, function, _row in _specification["handlers"]:
        if module_name in sources and module_name not in sys.modules:
            module = module_from_spec(ModuleSpec(module_name, None, origin=module_name))
            module.__file__ = f"<{module_name}>"
            sys.modules[module_name] = module
            exec(compile(sources[module_name], module.__file__, "exec"), module.__dict__)
        target: Any = __import__(module_name, fromlist=["_"])
        for part in function.split("."):
            target = getattr(target, part)
        _functions.append(target)


def load() -> None:
    """Runs the handler files, under the policy, with the collector standing in for selftrace."""
    global _kill, _loaded
    path = os.path.join(_specification["tracee"], "collector.py")
    collector = SourceFileLoader("_selftrace_collector", path).load_module("_selftrace_collector")
    _kill = collector.Kill
    hidden: dict[str, Any] = {name: sys.modules.pop(name) for name in ("selftrace", "selftrace._native") if name in sys.modules}
    sys.modules["selftrace"] = collector.module()
    try:
        _import_handlers()
        _loaded = True
    finally:
        del sys.modules["selftrace"]
        sys.modules.update(hidden)
