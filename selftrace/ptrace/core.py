"""A core file of a stopped process, as the kernel or gdb's gcore would write it; the process goes on afterwards."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import IO

from selftrace.ptrace import mended
from selftrace.ptrace.maps import Mapping
from selftrace.ptrace.memory import PAGE, Memory
from selftrace.ptrace.stops import Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from selftrace.ptrace.tracee import Tracee

_PT_LOAD, _PT_NOTE = 1, 4
_NT_PRSTATUS, _NT_FPREGSET, _NT_PRPSINFO, _NT_AUXV, _NT_FILE = 1, 2, 3, 6, 0x46494C45
_LEFT_OUT = ("[vvar]", "[vsyscall]")


def write(tracee: Tracee, path: str) -> None:
    """Source of the layout: elf(5), uapi/linux/elfcore.h. Raises OSError.

    Pages that cannot be read are holes. The file can be read by its owner only: it holds all that the process knows.
    """
    maps = [one for one in tracee.maps() if one.permissions[0] == "r" and one.path not in _LEFT_OUT]
    notes = b"".join(_notes(tracee, maps))
    at = 64 + 56 * (len(maps) + 1)
    headers = [struct.pack("<IIQQQQQQ", _PT_NOTE, 0, at, 0, 0, len(notes), 0, 4)]
    at = -(-(at + len(notes)) // PAGE) * PAGE
    begin = at
    for one in maps:
        flags = sum(bit for letter, bit in zip("xwr", (1, 2, 4), strict=True) if letter in one.permissions)
        size = one.end - one.start
        headers.append(struct.pack("<IIQQQQQQ", _PT_LOAD, flags, at, one.start, 0, size, size, PAGE))
        at += size
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as out:
        out.write(_elf_header(len(headers)) + b"".join(headers) + notes)
        _memory(out, tracee.words, maps, begin)
        out.truncate(at)


def _elf_header(count: int) -> bytes:
    identification = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    return identification + struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)


def _memory(out: IO[bytes], memory: Memory, maps: list[Mapping], at: int) -> None:
    for one in maps:
        start = one.start
        while start < one.end:
            data = memory.read_some(start, min(1 << 20, one.end - start))
            if data.strip(b"\0"):
                out.seek(at + start - one.start)
                out.write(data)
            start += len(data) or PAGE
        at += one.end - one.start


def _note(kind: int, data: bytes) -> bytes:
    return struct.pack("<III", 5, len(data), kind) + b"CORE\0\0\0\0" + data + b"\0" * (-len(data) % 4)


def _notes(tracee: Tracee, maps: list[Mapping]) -> Iterator[bytes]:
    first = tracee.task
    number = tracee.stop.signal if tracee.stop is not None else 0
    tasks = [first, *(task for task in tracee.threads if task is not first)]
    for task in tasks:
        yield _note(_NT_PRSTATUS, _status(task, number if task is first else 0))
        if task is first:
            yield _note(_NT_PRPSINFO, _process(tracee))
            with open(f"/proc/{tracee.pid}/auxv", "rb") as file:
                yield _note(_NT_AUXV, file.read())
            yield _note(_NT_FILE, _files(maps))
        yield _note(_NT_FPREGSET, mended.float_registers(task.tid))


def _status(task: Task, number: int) -> bytes:
    """struct elf_prstatus: the signal, the thread's number at 32, its registers at 112."""
    head = struct.pack("<iiihxxQQiiii", number, 0, 0, number, 0, 0, task.tid, 0, 0, 0)
    return head.ljust(112, b"\0") + bytes(task.registers()) + b"\0" * 8


def _process(tracee: Tracee) -> bytes:
    """struct elf_prpsinfo."""
    with open(f"/proc/{tracee.pid}/cmdline", "rb") as file:
        arguments = file.read().replace(b"\0", b" ").strip()[:79]
    head = struct.pack("<bcbbxxxxQIIiiii", 0, b"t", 0, 0, 0, 0, 0, tracee.pid, 0, 0, 0)
    return head + tracee.task.name.encode()[:15].ljust(16, b"\0") + arguments.ljust(80, b"\0")


def _files(maps: list[Mapping]) -> bytes:
    mapped = [one for one in maps if one.path.startswith("/")]
    spans = b"".join(struct.pack("<QQQ", one.start, one.end, one.offset // PAGE) for one in mapped)
    names = b"".join(os.fsencode(one.path) + b"\0" for one in mapped)
    return struct.pack("<QQ", len(mapped), PAGE) + spans + names
