# Stands in front of the standard library's `site` for the one moment before a tracee's first line: everything that
# site would run (.pth files, sitecustomize) then runs under the policy. Arms, steps aside, becomes the real site.
import os as _os
import sys as _sys


def _arm() -> None:
    here = _os.path.dirname(__file__)
    first, _, rest = _os.environ.get("PYTHONPATH", "").partition(_os.pathsep)
    if _os.path.abspath(first) != here:
        return  # a subinterpreter: the process is armed already
    try:
        from _frozen_importlib_external import SourceFileLoader

        name = "_selftrace_bootstrap"
        path = _os.path.join(_os.path.dirname(here), "bootstrap.py")
        bootstrap = SourceFileLoader(name, path).load_module(name)
        bootstrap.start()
    except BaseException as error:
        _os.write(2, f"selftrace: cannot start the sandbox: {error}\n".encode("utf-8", "replace"))
        _os._exit(125)
    if rest:
        _os.environ["PYTHONPATH"] = rest
    else:
        del _os.environ["PYTHONPATH"]


_sys.path[:] = [_entry for _entry in _sys.path if _entry != _os.path.dirname(__file__)]
_arm()
from _frozen_importlib_external import PathFinder as _PathFinder  # noqa: E402

__spec__ = _PathFinder.find_spec("site", _sys.path)
__file__, __loader__, __cached__ = __spec__.origin, __spec__.loader, __spec__.cached
exec(__loader__.get_code("site"), globals())
