"""`@pytest.mark.fault(...)`: a test whose calls fail, and which fails itself if none did."""

from __future__ import annotations

from selftrace.inprocess.faults import inject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import pytest

_MOST_SHOWN = 5


class Faulty:
    """One mark at work."""

    def __init__(self, mark: pytest.Mark, tmp_path: str | None) -> None:
        """tmp_path: what "${TMP_PATH}" in a path stands for. Raises ValueError, TypeError for a mark that makes no sense."""
        values = dict(mark.kwargs)
        self.must_fire = bool(values.pop("must_fire", True))
        if len(mark.args) != 1:
            raise TypeError('fault takes one expression, e.g. fault("write", error="ENOSPC", when="2")')
        expression = str(mark.args[0])
        if "${TMP_PATH}" in expression or "${TMP_PATH}" in str(values.get("path", "")):
            if tmp_path is None:
                raise ValueError("${TMP_PATH} is for tests that use the fixture tmp_path")
            expression = expression.replace("${TMP_PATH}", tmp_path)
            values = {name: value.replace("${TMP_PATH}", tmp_path) if name == "path" else value for name, value in values.items()}
        self.inject = inject(expression, **values)

    def complaint(self) -> str:
        """What is to be said of a fault that was to fire; empty: nothing."""
        if not self.must_fire or self.inject.fired:
            return ""
        near = self.inject.near
        if not near:
            return f"fault {self.inject.text} never fired: no such call was made"
        lines = [f"  {miss}" for miss in near[:_MOST_SHOWN]]
        if len(near) > _MOST_SHOWN:
            lines.append(f"  and {len(near) - _MOST_SHOWN} more")
        return "\n".join([f"fault {self.inject.text} never fired; near misses:", *lines])


def of_marks(marks: Any, tmp_path: str | None) -> list[Faulty]:
    """The faults of a test, the outermost first. marks: closest first."""
    return [Faulty(mark, tmp_path) for mark in reversed(list(marks))]
