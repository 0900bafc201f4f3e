"""Writes the C source of `selftrace._native`: `python native_build.py OUT.c`.

The declarations are those between the cffi markers of the headers, so that C and Python read the same structures.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
HEADERS = (
    *("selftrace.h", "module/module.h", "trace/stacks.h", "trace/lines.h"),
    *("ptrace/supervisor.h", "ptrace/judge.h", "inject/inject.h"),
)


def declarations(header: Path) -> str:
    """The parts of a header that cffi reads."""
    parts = re.findall(r"/\* cffi: begin \*/\n(.*?)/\* cffi: end \*/", header.read_text(), re.DOTALL)
    return "".join(parts)


def builder() -> FFI:
    """The module's description."""
    ffi = FFI()
    for name in HEADERS:
        ffi.cdef(declarations(HERE / name))
    ffi.cdef('extern "Python+C" void st_python_handler(struct st_call *);')
    includes = "".join(f'#include "{name}"\n' for name in HEADERS[1:])
    ffi.set_source("selftrace._native", includes)
    return ffi


if __name__ == "__main__":
    builder().emit_c_code(sys.argv[1])
