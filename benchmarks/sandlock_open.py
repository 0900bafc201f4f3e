"""open and close under sandlock with a Python handler that lets every openat pass: `sandlock_open.py LOOP COUNT`.

Run by the open+close case where sandlock is installed (pip install sandlock). Prints what the loop prints.
"""

from __future__ import annotations

import sys

from sandlock import Handler, NotifAction, Sandbox


class Pass(Handler):  # type: ignore[misc]
    """Reads nothing, refuses nothing."""

    def handle(self, _context: object) -> object:
        """Every call goes on."""
        return NotifAction.continue_()


if __name__ == "__main__":
    box = Sandbox(fs_readable=["/"], fs_writable=["/dev/null"])
    result = box.run_with_handlers([sys.argv[1], "plain", "open", sys.argv[2]], [("openat", Pass())])
    sys.stdout.write((result.stdout or b"").decode() if isinstance(result.stdout, bytes) else str(result.stdout))
