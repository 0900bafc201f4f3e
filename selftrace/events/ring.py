"""The launcher's end of the ring: a shared memory file that tracees write records into.

Whatever is in there was written by a program that nobody trusts: lengths are cut, a wrong checksum drops the record, a
slot that is never finished is passed over, and our own count of what has been read is kept here.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time

from selftrace.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_STALLED_S = 0.2
"""A slot whose writer has died is given up after this long."""


@record
class Record:
    """One record; fields as in native/selftrace.h. Texts are raw bytes."""

    kind: int
    time_ns: int
    pid: int
    tid: int
    sysno: int
    row: int
    result: int
    flags: int
    args: tuple[int, ...]
    address: bytes
    path: bytes
    path2: bytes
    stack: bytes
    note: bytes


def _layout() -> tuple[Any, Any]:
    from selftrace._native import ffi, lib

    return ffi, lib


def records_size() -> int:
    """Bytes of a ring without trace events."""
    _, lib = _layout()
    return int(lib.ST_RING_OFFSET + lib.ST_RING_SLOTS * lib.ST_RECORD_SIZE)


class Ring:
    """A ring: `fd` goes to the monitor and the tracee, `read` yields what they wrote."""

    def __init__(self, trace: int = 0, *, fd: int = -1) -> None:
        """Makes an empty ring. trace: bytes for trace events, a power of two; 0: none. fd: an empty memory file of the
        right size to make it in, from now on the ring's. Raises OSError."""
        ffi, lib = _layout()
        self._ffi, self._lib = ffi, lib
        records = records_size()
        self.size = records + trace
        self.fd = fd if fd >= 0 else os.memfd_create("selftrace-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            if fd < 0:
                os.ftruncate(self.fd, self.size)
                fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self._map = mmap.mmap(self.fd, self.size)
        except BaseException:
            os.close(self.fd)
            raise
        self._memory = ffi.from_buffer(self._map)
        self._header = ffi.cast("struct st_ring_header *", self._memory)
        self._header.magic, self._header.abi, self._header.slots = lib.ST_RING_MAGIC, lib.ST_ABI, lib.ST_RING_SLOTS
        self._header.trace_offset, self._header.trace_size = records, trace
        self.inode = os.fstat(self.fd).st_ino
        self.read_count = 0
        self.lost = 0
        """Records that were not whole."""
        self._stalled_since = 0.0

    @property
    def header(self) -> Any:
        """`struct st_ring_header *`."""
        return self._header

    @property
    def armed(self) -> bool:
        """Whether the interposer was at work, and its handlers loaded, before the script's first line."""
        return int(self._header.armed) == 2

    @property
    def start_error(self) -> int:
        """errno of a first program that could not be started; 0: none."""
        return int(self._header.start_error)

    @property
    def dropped(self) -> int:
        """Records that did not fit, as the tracees count them, and those that were not whole."""
        return int(self._header.dropped) + self.lost

    def calls(self) -> dict[int, int]:
        """Trapped calls by number."""
        counts = self._ffi.unpack(self._header.calls, self._lib.ST_NR_MAX)
        return {number: count for number, count in enumerate(counts) if count}

    def read(self, limit: int = 1024) -> Iterator[Record]:
        """What has come since the last time, at most `limit` records."""
        for _ in range(limit):
            if not self._ready():
                return
            slot = self.read_count % self._lib.ST_RING_SLOTS
            start = self._lib.ST_RING_OFFSET + slot * self._lib.ST_RECORD_SIZE
            raw = self._map[start : start + self._lib.ST_RECORD_SIZE]
            self.read_count += 1
            self._header.consumed = self.read_count
            record = self._decode(raw)
            if record is None:
                self.lost += 1
            else:
                yield record

    def _ready(self) -> bool:
        """Whether the next slot is finished; one that stays unfinished is passed over."""
        while self._header.reserved > self.read_count:
            slot = self.read_count % self._lib.ST_RING_SLOTS
            start = self._lib.ST_RING_OFFSET + slot * self._lib.ST_RECORD_SIZE
            commit = int.from_bytes(self._map[start : start + 8], "little")
            if commit == self.read_count + 1:
                self._stalled_since = 0.0
                return True
            now = time.monotonic()
            if not self._stalled_since:
                self._stalled_since = now
            if now - self._stalled_since < _STALLED_S:
                return False
            self._stalled_since = 0.0
            self.read_count += 1
            self.lost += 1
            self._header.consumed = self.read_count
        return False

    def _decode(self, raw: bytes) -> Record | None:
        ffi = self._ffi
        record = ffi.from_buffer("struct st_ring_record *", raw)
        if self._lib.st_record_sum(record) != record.checksum:
            return None
        text = raw[ffi.offsetof("struct st_ring_record", "text") :]
        parts, start = [], 0
        for length in (record.path_length, record.path2_length, record.stack_length, record.note_length):
            parts.append(text[start : start + length])
            start += length
        address = bytes(ffi.buffer(record.address))[: record.address_length]
        return Record(
            record.kind,
            record.time_ns,
            record.pid,
            record.tid,
            record.sysno,
            record.row,
            record.result,
            record.flags,
            tuple(record.args[0:6]),
            address,
            *parts,
        )

    def close(self) -> None:
        """Gives the memory back."""
        self._header = self._memory = None
        self._map.close()
        os.close(self.fd)
