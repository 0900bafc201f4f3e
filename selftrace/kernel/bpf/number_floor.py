"""The part of a filter that needs only the call's number, built by libseccomp through pyseccomp.

It says nothing that our own filter does not say too: a second, independent hand on the same floor. Built in the launcher
and cached, because pyseccomp's import alone costs 22 ms; the tracee loads bytes.
"""

from __future__ import annotations

import importlib.util
import os
import zlib

from selftrace import cache
from selftrace.kernel.bpf.compiler import AUDIT_ARCH_X86_64, CHILD_NR, POST_NR, X32_BIT
from selftrace.kernel.bpf.program import (
    JEQ,
    JGE,
    JMP_JA,
    LD_W_ABS,
    OFFSET_ARCH,
    OFFSET_NR,
    RET_ALLOW,
    RET_K,
    Instruction,
    Program,
)
from selftrace.kernel.features import libseccomp_stamp
from selftrace.policy.plan import FilterSpec

_VERSION = 3
_SECCOMP = 317
"""Our own filter is loaded after this one, and refuses it from then on."""


def refused_numbers(spec: FilterSpec) -> dict[int, int]:
    """sysno → errno of the calls that are refused whatever their arguments."""
    refused = {}
    for sysno in spec.known - {_SECCOMP}:
        rules = [rule for rule in spec.rules if sysno in rule.sysnos]
        decision = spec.default
        if rules:
            if rules[0].conditions:
                continue
            decision = rules[0].decision
        if decision.kind in ("deny", "errno"):
            refused[sysno] = decision.errno
    return refused


def _key(refused: dict[int, int]) -> bytes:
    """Everything that decides what libseccomp makes of it. The cached file begins with it; its name is only a sum."""
    library = importlib.util.find_spec("pyseccomp")
    where = library.origin if library else ""
    stamp = os.stat(where).st_mtime_ns if where else 0
    return repr((_VERSION, sorted(refused.items()), where, stamp, libseccomp_stamp(), os.uname().release)).encode() + b"\n"


def _build(refused: dict[int, int]) -> bytes | None:
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError):
        return None
    made = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    made.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, 2)
    for sysno, number in sorted(refused.items()):
        made.add_rule(pyseccomp.ERRNO(number), sysno)
    import tempfile

    with tempfile.TemporaryFile() as file:
        made.export_bpf(file)
        file.seek(0)
        return _behind_our_numbers(file.read())


def _behind_our_numbers(exported: bytes) -> bytes:
    """libseccomp kills numbers from 0x40000000 on; ours and -1 must reach the other filter, which knows them."""
    prologue = (
        Instruction(LD_W_ABS, 0, 0, OFFSET_ARCH),
        Instruction(JEQ, 0, 4, AUDIT_ARCH_X86_64),
        Instruction(LD_W_ABS, 0, 0, OFFSET_NR),
        Instruction(JGE, 0, 2, POST_NR),
        Instruction(RET_K, 0, 0, RET_ALLOW),
        Instruction(JMP_JA, 0, 0, 0),
    )
    assert POST_NR < CHILD_NR < X32_BIT
    return Program(prologue).to_bytes() + exported


def number_floor(spec: FilterSpec) -> bytes | None:
    """BPF instructions of the number-only floor, from the cache if it was built before.

    None where libseccomp is absent (our own filter then stands alone) or nothing is refused by number.
    """
    refused = refused_numbers(spec)
    if not refused:
        return None
    key = _key(refused)
    name = f"floor-{zlib.crc32(key):08x}.bpf"
    cached = cache.read(name)
    if cached is not None and cached.startswith(key):
        return cached[len(key) :]
    built = _build(refused)
    if built is not None:
        cache.write(name, key + built)
    return built
