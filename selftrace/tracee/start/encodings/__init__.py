# Stands in front of the standard library's `encodings`, the first module that Python reads from a file: everything that
# follows (site, .pth files, sitecustomize) then runs under the policy. Arms, steps aside, becomes the real encodings.
#
# So early there is no `open` and no codec but the built-in ones; the module `os` is frozen and works.
import os as _os
import sys as _sys

_START = _os.path.dirname(_os.path.dirname(__file__))


def _arm() -> None:
    first, _, rest = _os.environ.get("PYTHONPATH", "").partition(_os.pathsep)
    if _os.path.abspath(first) != _START:
        return  # a subinterpreter: the process is armed already
    try:
        from _frozen_importlib import ModuleSpec, module_from_spec
        from _frozen_importlib_external import SourceFileLoader

        name, path = "_selftrace_bootstrap", _os.path.join(_os.path.dirname(_START), "bootstrap.py")
        spec = ModuleSpec(name, SourceFileLoader(name, path), origin=path)
        spec.has_location = True
        bootstrap = module_from_spec(spec)
        spec.loader.exec_module(bootstrap)
        bootstrap.start()
    except BaseException as error:
        _os.write(2, f"selftrace: cannot start the sandbox: {error}\n".encode("utf-8", "replace"))
        _os._exit(125)
    if rest:
        _os.environ["PYTHONPATH"] = rest
    else:
        del _os.environ["PYTHONPATH"]


_sys.path[:] = [_entry for _entry in _sys.path if _entry != _START]
_arm()
from _frozen_importlib_external import PathFinder as _PathFinder  # noqa: E402

__spec__ = _PathFinder.find_spec("encodings", _sys.path)
__file__, __loader__, __cached__ = __spec__.origin, __spec__.loader, __spec__.cached
__path__ = __spec__.submodule_search_locations
exec(__loader__.get_code("encodings"), globals())
