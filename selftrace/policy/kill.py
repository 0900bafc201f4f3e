"""Ending the tracee from a handler."""

from __future__ import annotations


class Kill(BaseException):
    """Raised by a handler: `raise Kill("why")` ends the tracee with that reason in the report."""
