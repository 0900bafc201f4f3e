"""What a run used: files and addresses that were granted."""

from __future__ import annotations

import os

from selftrace.events.ring import Record
from selftrace.record import fresh, mutable

USE = 4
_GRANTS = {1: "read", 2: "write", 4: "exec"}


@mutable
class Uses:
    """Collected from records of kind USE. cwd: what relative paths are relative to."""

    cwd: str
    files: dict[str, set[str]] = fresh(default_factory=dict)
    wanted: dict[str, None] = fresh(default_factory=dict)
    """Relative paths that were opened for reading, as given."""
    connections: dict[str, None] = fresh(default_factory=dict)

    def add(self, record: Record) -> None:
        """Takes one record."""
        if record.address:
            self._connection(record.address)
        elif record.path:
            given = os.fsdecode(record.path)
            how = {name for bit, name in _GRANTS.items() if record.result & bit}
            self.files.setdefault(os.path.normpath(os.path.join(self.cwd, given)), set()).update(how)
            if not given.startswith("/") and how == {"read"}:
                self.wanted[given] = None

    def _connection(self, raw: bytes) -> None:
        from selftrace.calls import format_sockaddr
        from selftrace.events.addresses import as_policy

        self.connections[as_policy(raw) or format_sockaddr(raw)] = None
