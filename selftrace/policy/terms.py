"""What goes into the compiler besides the policy (kernel, context), and what comes out for the launcher (limits).

Apart from plan.py, because a run under a kept plan needs nothing else of the policy's room.
"""

from __future__ import annotations

import os

from selftrace.record import fresh, record


@record
class Features:
    """What this kernel and machine have, as `kernel.features.probe()` found it, or masked by a test."""

    landlock_abi: int = 0
    """0: none."""
    seccomp: bool = True
    mseal: bool = False
    libseccomp: bool = False
    root: bool = False
    arch: str = "x86_64"


@record
class LimitSpec:
    """Limits for rlimits (C, before exec) and the monitor's watches. None: none. Bytes, seconds."""

    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    memory: int | None = None
    tasks: int | None = None
    open_files: int | None = None
    file_size: int | None = None
    output: int | None = None
    disk: int | None = None


@record
class Context:
    """What the variables of one run stand for. Paths are absolute; empty: not known here."""

    script: str = ""
    script_dir: str = ""
    home: str = ""
    tmp: str = ""
    cwd: str = ""
    python: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    embedded: tuple[str, ...] = ()
    """What a Python reads that is put into the program for handlers; granted where the policy has some."""
    uid: int = fresh(default_factory=os.geteuid)

    def values(self) -> dict[str, tuple[str, ...]]:
        """By name, without the empty ones."""
        single: dict[str, str] = {
            "SCRIPT": self.script,
            "SCRIPT_DIR": self.script_dir,
            "HOME": self.home,
            "TMP": self.tmp,
            "CWD": self.cwd,
            "UID": str(self.uid),
        }
        found: dict[str, tuple[str, ...]] = {name: (value,) for name, value in single.items() if value}
        found.update({name: values for name, values in (("PYTHON", self.python), ("SITE", self.site)) if values})
        return found
