"""Numbers that several people add to are different."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HEADER = Path(__file__).resolve().parents[3] / "native" / "selftrace.h"


@pytest.mark.parametrize("prefix", ["ST_EVENT_(?!MAX|STAMP|PAD)", "ST_PLAN_(?!MAGIC|ADDRESS)", "ST_FLAG_"])
def test_flags_are_bits_of_their_own(prefix: str) -> None:
    found = [int(value, 0) for value in re.findall(rf"^#define {prefix}\w+ (\d+|0x[0-9a-f]+)\b", HEADER.read_text(), re.M)]
    assert len(found) > 2
    assert all(value & (value - 1) == 0 for value in found)
    assert len(set(found)) == len(found)
