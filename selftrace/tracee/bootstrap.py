"""Arms the interposer in a tracee, before its first line and before site (start/encodings calls `start`).

Until `st_arm_interposer` returns only code of the interpreter's and ours runs: no .pth, no sitecustomize, no directory
that a script may write. Imports nothing of the policy parser: the plan is a table already. Descriptors are those of
backends/trap.py; what is left open are the three that a run which starts programs keeps.
"""

import marshal
import os
import sys
from _frozen_importlib import ModuleSpec, module_from_spec
from _frozen_importlib_external import ExtensionFileLoader, SourceFileLoader

TYPE_CHECKING = False  # typing, importlib.util, __future__ and what they import would cost each run 8 ms
if TYPE_CHECKING:
    from typing import Any

_SPEC_FD = 3


def _load(name: str, path: str, loader: "Any") -> "Any":
    spec = ModuleSpec(name, loader(name, path), origin=path)
    spec.has_location = True
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def _check_threads() -> None:
    """A thread that exists already would stay outside: Landlock binds only the one that asks for it."""
    tasks = [task for task in os.listdir("/proc/self/task") if int(task) != os.getpid()]
    if not tasks:
        return
    names = []
    for task in tasks:
        fd = os.open(f"/proc/self/task/{task}/comm", os.O_RDONLY)
        names.append(f"{task} ({os.read(fd, 64).decode('utf-8', 'replace').strip()})")
        os.close(fd)
    raise RuntimeError(f"threads run before the sandbox is armed: {', '.join(sorted(names))}")


def _hide_traces() -> None:
    """sys as plain `python script` has it."""
    sys.dont_write_bytecode = True
    for name in ("_start", "selftrace._native", "selftrace._native.lib", "_cffi_backend"):
        sys.modules.pop(name, None)


def _content(fd: int) -> bytes:
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    os.close(fd)
    return data


class _AtSite:
    """Stands first in sys.meta_path until site is imported: the handlers' own imports need a whole Python. No line of the
    script, of a .pth file or of sitecustomize has run by then."""

    def __init__(self, load: "Any", ready: "Any") -> None:
        self.load, self.ready = load, ready

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name != "site":
            return
        sys.meta_path.remove(self)
        try:
            self.load()
            self.ready()
        except BaseException as error:
            os.write(2, f"selftrace: cannot start the sandbox: {error}\n".encode("utf-8", "replace"))
            os._exit(125)


def start() -> None:
    """Arms. Raises OSError or RuntimeError; the caller ends the process then."""
    spec = marshal.loads(_content(_SPEC_FD))
    _check_threads()
    native = _load("_start", spec["native"], ExtensionFileLoader)
    if spec["supervised"]:
        native.guard(*spec["descriptors"], spec["own_proc"])
        _hide_traces()
        return
    hook = _hook(spec) if spec["handlers"] else None
    native.arm(*spec["descriptors"], spec["own_proc"], hook is not None)
    _hide_traces()
    if hook is None:
        native.ready()
    else:
        sys.meta_path.insert(0, _AtSite(hook.load, native.ready))


def _hook(spec: "dict[str, Any]") -> "Any":
    _load("_cffi_backend", spec["cffi"], ExtensionFileLoader)
    native = _load("selftrace._native", spec["native"], ExtensionFileLoader)
    hook = _load("_selftrace_hook", os.path.join(spec["tracee"], "hook.py"), SourceFileLoader)
    hook.prepare(native, spec)
    return hook


def embed(specification: bytes) -> None:
    """In a Python that the preload shim has put into a program, or found there, armed already: loads the handlers."""
    spec = marshal.loads(specification)
    hook = _hook(spec)
    hook.adopt()
    for name in ("_selftrace_bootstrap", "_selftrace_hook", "selftrace._native", "selftrace._native.lib", "_cffi_backend"):
        sys.modules.pop(name, None)
    hook.load()
