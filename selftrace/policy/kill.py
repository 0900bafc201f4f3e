"""Ending the tracee from a handler."""

from __future__ import annotations


class Kill(BaseException):  # noqa: N818 — a verdict, not an error; no `except Exception` may swallow it
    """Raised by a handler: `raise Kill("why")` ends the tracee with that reason in the report."""
