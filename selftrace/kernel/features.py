"""What this machine and kernel have."""

from __future__ import annotations

import os
import sys

from selftrace.errors import UnsupportedError
from selftrace.policy.terms import Features

OLDEST_KERNEL = (5, 15)
_PR_GET_SECCOMP, _MSEAL, _SYS_SECCOMP = 21, 462, 317
_GET_ACTION_AVAIL = 2
_AT_HWCAP2, _HWCAP2_FSGSBASE = 26, 2


def kernel_version() -> tuple[int, int]:
    """(major, minor) of the running kernel; (0, 0) if it cannot be read."""
    words = os.uname().release.split(".")
    try:
        return int(words[0]), int("".join(c for c in words[1] if c.isdigit()))
    except (IndexError, ValueError):
        return 0, 0


def require_platform() -> None:
    """Raises UnsupportedError where nothing can be run: another system, architecture or an old kernel."""
    remedy = "explain, check and report work here; run needs Linux on x86-64 with kernel 5.15 or newer"
    if sys.platform != "linux":
        raise UnsupportedError(f"{sys.platform} is not supported", remedy)
    if os.uname().machine != "x86_64":
        raise UnsupportedError(f"{os.uname().machine} is not supported", remedy)
    if kernel_version() < OLDEST_KERNEL:
        raise UnsupportedError(f"kernel {os.uname().release} is too old", remedy)


def _has_trap() -> bool:
    from selftrace._native import ffi
    from selftrace.kernel.syscall import syscall

    action = ffi.new("uint32_t *", 0x00030000)
    try:
        syscall(_SYS_SECCOMP, _GET_ACTION_AVAIL, 0, int(ffi.cast("uintptr_t", action)), name="seccomp")
    except OSError:
        return False
    return True


def _has_mseal() -> bool:
    from selftrace.kernel.syscall import syscall

    try:
        syscall(_MSEAL, 0, 0, 0, name="mseal")
    except OSError:
        return False
    return True


def has_gs_base() -> bool:
    """Whether programs may set GS themselves, by which a traced thread is known without a signal (native/interposer/objects.c).

    Source: arch/x86/include/uapi/asm/hwcap2.h.
    """
    with open("/proc/self/auxv", "rb") as file:
        words = memoryview(file.read()).cast("Q")
    return any(kind == _AT_HWCAP2 and value & _HWCAP2_FSGSBASE for kind, value in zip(words[::2], words[1::2], strict=True))


def libseccomp_stamp() -> int:
    """When the library was last changed, in ns; 0 if there is none."""
    for directory in ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib"):
        try:
            return os.stat(f"{directory}/libseccomp.so.2").st_mtime_ns
        except OSError:
            continue
    return 0


def code_stamp() -> tuple[int, ...]:
    """Numbers that change with the native part, and with what compiles policies.

    An installed package changes as a whole; in an editable install (the native part lies elsewhere) each file may.
    """
    from selftrace import _native

    native = str(_native.__file__)
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found = [os.stat(native).st_mtime_ns]
    if os.path.dirname(native) != package:
        for room in ("", "policy", "policy/gates", "calls", "kernel", "kernel/bpf", "trace"):
            with os.scandir(os.path.join(package, room)) as entries:
                found += [entry.stat().st_mtime_ns for entry in entries if entry.name.endswith(".py")]
    return tuple(sorted(found))


def probe() -> Features:
    """Asks the kernel. Raises UnsupportedError where the platform is not supported."""
    from selftrace.kernel import landlock

    require_platform()
    return Features(
        landlock_abi=landlock.abi(),
        seccomp=_has_trap(),
        mseal=_has_mseal(),
        libseccomp=libseccomp_stamp() != 0,
        root=os.geteuid() == 0,
        arch=os.uname().machine,
    )


def assumed() -> Features:
    """A current kernel's features, for explain where nothing can be asked."""
    return Features(landlock_abi=7, seccomp=True, mseal=True, root=False)
