"""A real program that makes a million calls, as `selftrace trace --json` tells it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import jsonschema_rs
import pytest

import selftrace

BLOCKS = 500_000


@pytest.mark.slow
def test_each_line_is_what_the_schema_says_and_no_call_is_missing(tmp_path: Path) -> None:
    words = ["trace", "--json", str(tmp_path / "json"), "--"]
    program = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", f"count={BLOCKS}"]
    subprocess.run([sys.executable, "-m", "selftrace", *words, *program], check=True, capture_output=True, timeout=900)
    schema = json.loads((Path(selftrace.__file__).parent / "reports/trace.schema.json").read_text())
    validator = jsonschema_rs.validator_for(schema)
    kinds: Counter[str] = Counter()
    blocks: Counter[tuple[str, str]] = Counter()
    last = {}
    with open(tmp_path / "json") as file:
        for line in file:
            last = json.loads(line)
            validator.validate(last)
            kinds[last["kind"]] += 1
            if last["kind"] == "call" and last["result"] == 1:
                blocks[last["name"], str(last["args"].get("fd"))] += 1
    assert kinds["call"] > 2 * BLOCKS and kinds["trace"] == kinds["exit"] == 1 and kinds["lost"] == 0
    assert blocks["read", "0"] == blocks["write", "1"] == BLOCKS
    assert (last["kind"], last["exit_code"]) == ("exit", 0)
