"""Call sites that are patched, so that calls which nobody wants to see cost what they always do (native/interposer/patch.c)."""

from __future__ import annotations

import errno

from selftrace.inprocess.engine import engine
from selftrace.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_REASONS = (
    "",
    "in no file that was mapped when it began, or in one without a table of functions",
    "no padding between functions near it",
    "its instruction lies in two cache lines",
    "its instruction is another one by now",
    "no memory near it",
    "the kernel refuses",
)
"""By st_patch_result of native/selftrace.h."""
_PATIENCE, _NEVER = 8, 255


@record
class Sites:
    """What became of the `syscall` instructions whose calls came often and were nobody's, since tracing last began."""

    patched: int
    left: Mapping[str, int]
    """Those that go on arriving, by the reason."""
    refused: str = ""
    """The errno by which the kernel refused, if it did."""


def sites() -> Sites:
    """Of the tracing or faults that are active, or were last."""
    one = engine()
    with one.aside():
        results = one.patches()
        left = {reason: count for reason, count in zip(_REASONS, results[:-1], strict=True) if reason and count}
        refused = results[-1]
        return Sites(results[0], left, errno.errorcode.get(refused, str(refused)) if refused else "")


def patch_sites(on: bool, *, at_once: bool = False) -> None:
    """Whether sites are patched, as they are unless this says otherwise; again from where tracing next begins.

    at_once: at a site's first call, which tests want.
    """
    engine().set_patience(_NEVER if not on else 0 if at_once else _PATIENCE)


__all__ = ("Sites", "patch_sites", "sites")
