"""Files that honest programs look for and do without: refused like any other, but not worth a line in the report."""

from __future__ import annotations

from functools import lru_cache

from selftrace.policy.patterns import compile_pattern
from selftrace.policy.plan import PathPattern

_PROBES = (
    "/**/__pycache__",
    "/**/__pycache__/**",
    "/**/pyvenv.cfg",
    "/**/pybuilddir.txt",
    "/**/Modules/Setup*",
    "/usr/bin/python*",
    "/usr/local/bin/python*",
    "/etc/ld.so.preload",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/mime.types",
    "/etc/httpd/**",
    "/etc/apache*/**",
    "/usr/local/etc/**",
    "/opt/www/**",
    "/proc/self/oom_score_adj",
    "/sys/kernel/mm/transparent_hugepage/**",
    "/sys/fs/cgroup/**",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/kernel/**",
    "/var/run/nscd/**",
    "/run/nscd/**",
    "/run",
    "/run/systemd",
    "/run/systemd/userdb/**",
    "/usr/lib/userdb/**",
    "/etc/userdb/**",
    "/run/host/**",
    "/etc/inputrc",
    "/selinux",
    "/sys/fs/selinux",
)


@lru_cache(maxsize=1)
def quiet_patterns() -> tuple[PathPattern, ...]:
    """The probes as patterns."""
    return tuple(pattern for text in _PROBES for pattern in compile_pattern(text))
