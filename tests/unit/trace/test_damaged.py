"""Frames that are cut, damaged or lie never end the reader: every call, with memory that does not fit."""

from __future__ import annotations

import random
import struct

import pytest
from selftrace._native import lib
from trace_frames import chunk, entry, frame, leave, text

from selftrace.calls import _x86_64 as calls

SIZES = (0, 1, 7, 8, 15, 16, 33, 56, 128, 512, 4096)
ADDRESSES = (0, 1, 0x1000, 0x1008, 0x2000, (1 << 64) - 8, (1 << 64) - 1)


def some_memory(chance: random.Random) -> list[bytes]:
    return [
        chunk(chance.choice(ADDRESSES), chance.randbytes(chance.choice(SIZES)), kind=chance.choice((0, 0, 0, 1, 9)))
        for _ in range(chance.randrange(4))
    ]


def some_argument(chance: random.Random) -> int:
    return chance.choice((*ADDRESSES, 1 << 31, (1 << 31) - 1, 3, 32, 4096, chance.getrandbits(64), chance.randrange(70)))


@pytest.mark.parametrize("seed", range(3))
def test_any_arguments_and_any_memory(seed: int) -> None:
    chance = random.Random(seed)
    for name in calls.CALLS:
        for _ in range(12):
            begun = entry(name, *(some_argument(chance) for _ in range(6)), memory=some_memory(chance))
            over = leave(name, chance.choice((0, 1, 8, 4096, -1, -22, -512, 1 << 40)), some_memory(chance))
            options = {
                "abbrev": chance.random() < 0.5,
                "decode": chance.choice((0, 1)),
                "names": chance.randrange(3),
                "stap": chance.randrange(2),
            }
            assert name in text(begun, over, **options)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_frames(seed: int) -> None:
    chance = random.Random(seed)
    whole = b"".join(
        entry(name, *(some_argument(chance) for _ in range(6)), memory=some_memory(chance)) + leave(name, 0, some_memory(chance))
        for name in calls.CALLS
    )
    for _ in range(300):
        damaged = bytearray(whole[: chance.randrange(len(whole))])
        for _ in range(chance.randrange(1, 60)):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.getrandbits(8)
        text(bytes(damaged), abbrev=bool(chance.randrange(2)))


def test_frames_of_no_size() -> None:
    assert text(struct.pack("<QII", 0, 0, 0) + bytes(100)) == ""
    assert text(frame(99, 0)) == ""
    assert text(frame(lib.ST_EVENT_ENTRY, 3)) == ""
    assert text(leave("close", 0)) == ""
