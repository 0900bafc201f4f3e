"""What must be in a wheel and an sdist, and what must not: `python tests/check_distribution.py DIRECTORY`."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

IN_WHEEL = (
    "selftrace/__init__.py",
    "selftrace/py.typed",
    "selftrace/_dispatch.so",
    "selftrace/_interposer",
    "selftrace/_mechanism",
    "selftrace/_monitor",
    "selftrace/_preload.so",
    "selftrace/_pystack.so",
    "selftrace/policies/untrusted-script.toml",
    "selftrace/manual/policy.md",
    "selftrace/reports/page.html",
    "selftrace/reports/result.schema.json",
    "selftrace/reports/trace.schema.json",
    "selftrace/tracee/start/encodings/__init__.py",
)
IN_SDIST = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "native/CMakeLists.txt",
    "native/interposer/x86_64.S",
    "native/mechanism/main.c",
    "native/monitor/main.c",
    "native/preload.c",
    "policies/python.toml",
)
UNWANTED = ("__pycache__", ".so.", "tests/", "benchmarks/", ".ci/")


def check(directory: Path) -> list[str]:
    """Sentences about what is wrong."""
    (wheel,) = directory.glob("*.whl")
    (sdist,) = directory.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    found = [f"{wheel.name} has no {name}" for name in IN_WHEEL if name not in names]
    if not any(name.startswith("selftrace/_native") and name.endswith(".so") for name in names):
        found.append(f"{wheel.name} has no selftrace/_native*.so")
    found += [f"{wheel.name} has {name}" for name in names if any(part in name for part in UNWANTED)]
    if not any(name.endswith(".data/scripts/selftrace") for name in names):
        found.append(f"{wheel.name} has no command")
    for name in ("_interposer", "_mechanism", "_monitor"):
        if f"selftrace/{name}" in names and not zipfile.ZipFile(wheel).getinfo(f"selftrace/{name}").external_attr >> 16 & 0o111:
            found.append(f"{wheel.name}: {name} is not executable")
    with tarfile.open(sdist) as archive:
        members = [name.partition("/")[2] for name in archive.getnames()]
    found += [f"{sdist.name} has no {name}" for name in IN_SDIST if name not in members]
    found += [
        f"{sdist.name} has {name}"
        for name in members
        if name.endswith((".so", ".pyc")) or name.startswith("selftrace/_interposer")
    ]
    return found


if __name__ == "__main__":
    problems = check(Path(sys.argv[1]))
    print("\n".join(problems) or "the wheel and the sdist hold what they must")
    sys.exit(bool(problems))
