"""What the preload shim works from (`struct st_bundle` in native/selftrace.h): a policy, and the Python that its handlers
run in, for programs that are none."""

from __future__ import annotations

import marshal
import os
import sys

from selftrace.backends.base import native_directory
from selftrace.errors import UnsupportedError
from selftrace.prepared import Prepared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

PACKAGE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def specification(prepared: Prepared, descriptors: tuple[int, ...] = (), *, supervised: bool = False) -> bytes:
    """What tracee/bootstrap.py is given. descriptors: blob, plan, ring, rule set; none where the process is armed.
    supervised: gate, filter, rule set."""
    import _cffi_backend

    from selftrace import _native

    return marshal.dumps(
        {
            "native": _native.__file__,
            "cffi": _cffi_backend.__file__,
            "tracee": os.path.join(PACKAGE, "tracee"),
            "handlers": prepared.handlers,
            "handler_files": prepared.handler_files,
            "shapes": prepared.shapes,
            "kill_on_error": prepared.kill_on_error,
            "audit": prepared.mode == "audit",
            "supervised": supervised,
            "descriptors": descriptors,
            "own_proc": prepared.ruleset.own_proc if prepared.ruleset else 0,
        }
    )


def shim() -> str:
    """The shared object for LD_PRELOAD. Raises BuildError."""
    return os.path.join(native_directory(), "_preload.so")


def stack_shim() -> str:
    """What is put into programs to read their Python stacks."""
    return os.path.join(native_directory(), "_pystack.so")


def shared_library() -> str | None:
    """This Python as a shared library; None where there is none."""
    name = f"libpython{sys.version_info[0]}.{sys.version_info[1]}{sys.abiflags}.so.1.0"
    multiarch = getattr(sys.implementation, "_multiarch", "")
    for directory in ("lib", "lib64", f"lib/{multiarch}"):  # sysconfig, which knows, costs a run 5 ms
        path = os.path.join(sys.base_exec_prefix, directory, name)
        if os.path.isfile(path):
            return os.path.realpath(path)
    import sysconfig

    path = os.path.join(str(sysconfig.get_config_var("LIBDIR")), str(sysconfig.get_config_var("INSTSONAME")))
    return os.path.realpath(path) if ".so" in os.path.basename(path) and os.path.isfile(path) else None


def _search() -> list[str]:
    """The standard library."""
    library = os.path.dirname(os.path.abspath(os.__file__))
    extensions = [path for path in sys.path if path.endswith("lib-dynload")]
    return [library, *(extensions[:1] or [os.path.join(library, "lib-dynload")])]


def readable() -> tuple[str, ...]:
    """Files and directories that an embedded Python reads, apart from the program's own libraries."""
    import _cffi_backend

    library = shared_library()
    paths = (*_search(), PACKAGE, native_directory(), str(_cffi_backend.__file__), *([library] if library else []))
    return tuple(dict.fromkeys(os.path.realpath(path) for path in paths))


def _python(prepared: Prepared) -> dict[str, bytes]:
    from selftrace import _native

    library = shared_library()
    if library is None:
        raise UnsupportedError(
            f"Python handlers in other programs need Python as a shared library, and {sys.executable} has none",
            "install it (Debian: libpython3.x; pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared), or use native rules",
        )
    return {
        "libpython": os.fsencode(library),
        "native": os.fsencode(str(_native.__file__)),
        "bootstrap": os.fsencode(os.path.join(PACKAGE, "tracee", "bootstrap.py")),
        "version": sys.version.encode(),
        "home": os.fsencode(sys.base_prefix),
        "search": b"\0".join(map(os.fsencode, _search())),
        "specification": specification(prepared),
    }


def _words(*values: int) -> bytes:
    return b"".join((value & 0xFFFFFFFFFFFFFFFF).to_bytes(8, sys.byteorder) for value in values)


def _kernel_part(prepared: Prepared, limits: Mapping[int, tuple[int, int]]) -> dict[str, bytes]:
    parts = {"table": prepared.table, "rlimits": b"".join(_words(number, *pair) for number, pair in limits.items())}
    wanted = prepared.ruleset
    if wanted is not None:
        parts["ruleset"] = _words(*wanted.words)
        parts["paths"] = wanted.paths
        parts["ports"] = b"".join(_words(*pair) for pair in wanted.ports)
    return parts


def make(prepared: Prepared, limits: Mapping[int, tuple[int, int]] | None = None) -> bytes:
    """The bundle. limits: rlimits, if the shim itself is to arm; None: the loader has.

    Raises UnsupportedError where the policy has handlers and this Python cannot be embedded; BuildError.
    """
    from selftrace._native import ffi, lib

    parts = {"interposer": os.fsencode(os.path.join(native_directory(), "_interposer")), "shim": os.fsencode(shim())}
    if limits is not None:
        parts.update(_kernel_part(prepared, limits))
    if prepared.handlers:
        parts.update(_python(prepared))
    head: Any = ffi.new("struct st_bundle *")
    head.magic, head.abi = lib.ST_BUNDLE_MAGIC, lib.ST_ABI
    head.flags = prepared.hosts * lib.ST_BUNDLE_HOSTS | bool(prepared.handlers) * lib.ST_BUNDLE_PYTHON
    head.own_proc = prepared.ruleset.own_proc if prepared.ruleset is not None else 0
    body = bytearray(ffi.sizeof("struct st_bundle"))
    for name, data in parts.items():
        body += bytes(-len(body) % 8)
        setattr(head, name, {"offset": len(body), "length": len(data)})
        body += data + b"\0"
    head.size = len(body)
    body[: ffi.sizeof("struct st_bundle")] = ffi.buffer(head)[:]
    return bytes(body)
