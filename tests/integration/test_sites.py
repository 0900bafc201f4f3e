"""Call sites that are patched in process: what is seen does not depend on it, and the program cannot tell."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import selftrace
from selftrace.inprocess.engine import known_problem
from selftrace.inprocess.sites import patch_sites, sites
from tests.waiting import PATIENCE_S, sleeps_in, wait_for

pytestmark = pytest.mark.skipif(bool(known_problem()), reason=known_problem() or "available")
HERE = Path(__file__).parent
GETPID, GETPGRP, GETPPID, GETUID, ACCESS = 39, 111, 110, 102, 21
NO_PADDING, TWO_LINES, NO_FILE = (
    "no padding between functions near it",
    "its instruction lies in two cache lines",
    "in no file that",
)


def built(directory: Path) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is missing")
    path = directory / "sites.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", str(path), str(HERE / "sites.c")], check=True)
    return path


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    found = ctypes.CDLL(str(built(tmp_path_factory.mktemp("sites"))))
    found.made.restype = ctypes.c_void_p
    for name in (
        "padded",
        "two_lines",
        "no_padding",
        "no_function",
        "hopping",
        "flags",
        "red_zone",
        "registers_kept",
        "interrupted",
        "stormed",
        "hits",
        "changed",
    ):
        getattr(found, name).restype = ctypes.c_long
    return found


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    patch_sites(True, at_once=True)
    yield
    patch_sites(True)


def another() -> selftrace.inject:
    """A fault for a call that nobody makes."""
    return selftrace.inject("reboot", error="EPERM")


def code_of(function: object, size: int = 256) -> bytes:
    return ctypes.string_at(ctypes.cast(function, ctypes.c_void_p).value or 0, size)  # type: ignore[arg-type]


def patched_by(work: Callable[[], object]) -> int:
    before = sites().patched
    work()
    return sites().patched - before


# ---- coverage ----------------------------------------------------------------------------------------------------


def test_what_is_wanted_later_is_seen_from_a_patched_site() -> None:
    with another():
        for _ in range(3):
            os.getppid()
        assert sites().patched >= 1
        with selftrace.tracing("getppid", threads="current") as trace:
            for _ in range(5):
                os.getppid()
        os.getppid()
        with selftrace.inject("getppid", retval=7) as fault:
            assert os.getppid() == 7
        assert os.getppid() != 7
    assert (trace.count(), fault.fired) == (5, 1)


def test_a_site_of_many_numbers(library: ctypes.CDLL) -> None:
    """Patched by one call; another from the same instruction arrives, and one that the kernel does not have is the kernel's."""
    with selftrace.inject("getppid", retval=7) as fault:
        assert patched_by(lambda: library.padded(GETPID)) == 1
        assert library.padded(GETPPID) == 7
        assert library.padded(GETPID) == os.getpid()
        for number in (-1, 511, 512, 1000, 65536 + GETPID, 0x40000000 + GETPID, 1 << 31):
            assert library.padded(ctypes.c_long(number)) == -errno.ENOSYS
        assert library.padded(ctypes.c_long((5 << 32) + GETPPID)) == 7  # the kernel reads 32 bits
    assert fault.fired == 2
    assert library.padded(GETPPID) == os.getppid()


def test_only_calls_that_nobody_judges(library: ctypes.CDLL) -> None:
    with selftrace.inject("getppid", retval=7) as fault:
        assert patched_by(lambda: library.padded(GETPPID)) == 0
        assert patched_by(lambda: library.padded(GETPID)) == 1
        library.padded(GETPPID)
    assert fault.fired == 2


# ---- recorded without a signal ---------------------------------------------------------------------------------------


def test_what_is_recorded_is_what_arrives(library: ctypes.CDLL, tmp_path: Path) -> None:
    """Path arguments, results and errors of a patched site's calls are those of one that is not."""
    (tmp_path / "there").write_text("x")

    def work() -> None:
        for name in ("there", "missing", "there"):
            with contextlib.suppress(OSError):
                os.stat(tmp_path / name)
            library.padded(ACCESS, 1, 0)

    def shown() -> list[tuple[object, ...]]:
        with selftrace.tracing("newfstatat,access,stat", threads="current") as trace:
            work()
        return [(event.name, event.args.get("filename"), event.result, event.tid) for event in trace.calls()]

    first = shown()
    assert len(first) == 6 and patched_by(lambda: None) == 0
    assert shown() == first
    patch_sites(False)
    assert shown() == first


def test_recorded_calls_in_a_storm_of_signals(library: ctypes.CDLL) -> None:
    """Each is recorded once, answered rightly, and seen at its site by handlers."""
    main, over, hits = threading.get_ident(), threading.Event(), 0

    def storm() -> None:
        while not over.is_set():
            signal.pthread_kill(main, signal.SIGPROF)

    library.watch_signals(1)
    thread = threading.Thread(target=storm)
    try:
        thread.start()
        for _ in range(300):
            with selftrace.tracing("getppid", threads="current") as trace:
                assert library.stormed(20_000, os.getppid()) == 0
            assert sites().patched >= 1
            assert trace.count() == 20_001
            assert {event.result for event in trace.calls()} == {os.getppid()}
            hits += library.hits()
            if hits > 300:
                break
    finally:
        over.set()
        thread.join()
        library.watch_signals(0)
    assert hits > 300


def test_recorded_calls_keep_registers(library: ctypes.CDLL) -> None:
    with selftrace.tracing("getppid", threads="current") as trace:
        assert patched_by(lambda: library.changed(1)) == 1
        assert library.changed(1000) == 0
    assert trace.count() == 1003


def test_an_unreadable_argument_with_faults_blocked(library: ctypes.CDLL) -> None:
    """Where the program has SIGSEGV blocked, a read of its memory that faults would be the end of it."""
    with selftrace.tracing("access", threads="current") as trace:
        assert patched_by(lambda: library.padded(ACCESS, 1, 0)) == 1
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGSEGV})
        for _ in range(20):
            assert library.padded(ACCESS, 1, 0) == -errno.EFAULT
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGSEGV})
        for _ in range(20):
            assert library.padded(ACCESS, 1, 0) == -errno.EFAULT
    assert trace.count() == 41


def test_a_vforked_child_is_not_recorded() -> None:
    """It has its parent's memory, and so the parent's thread-local storage."""
    read, write = os.pipe()
    with selftrace.tracing("dup2", threads="current") as trace:
        os.dup2(read, write)
        os.dup2(read, write)
        for _ in range(3):
            subprocess.run(["true"], stdout=subprocess.PIPE, check=True)
        os.dup2(read, write)
    os.close(read), os.close(write)
    assert trace.count() == 3


def test_threads_that_are_not_traced_pass(library: ctypes.CDLL) -> None:
    wrong: list[int] = []
    with selftrace.inject("getppid", retval=7):
        library.padded(GETPID)
        bystander = threading.Thread(target=lambda: None)
        assert library.padded(GETPPID) == 7
        bystander.start()
        bystander.join()
    go, stop = threading.Event(), threading.Event()

    def work() -> None:
        go.set()
        while not stop.is_set():
            if library.padded(GETPPID) != os.getppid():
                wrong.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    go.wait()
    for _ in range(50):
        with selftrace.inject("getppid", retval=7):
            library.padded(GETPID)
            assert library.padded(GETPPID) == 7
    stop.set()
    thread.join()
    assert wrong == []


# ---- which sites ---------------------------------------------------------------------------------------------------


def test_a_short_jump_to_a_far_one(library: ctypes.CDLL) -> None:
    before = code_of(library.hopping, 700)
    with another():
        assert patched_by(lambda: library.hopping(GETPID)) == 1
        during = code_of(library.hopping, 700)
        assert library.hopping(GETPID) == os.getpid()
    site = before.index(b"\x0f\x05")
    hop = site + 2 + int.from_bytes(during[site + 1 : site + 2], "little", signed=True)
    assert during[site] == 0xEB
    assert during[hop] == 0xEB


@pytest.mark.parametrize(("name", "reason"), [("no_padding", NO_PADDING), ("two_lines", TWO_LINES), ("no_function", NO_PADDING)])
def test_sites_that_stay(library: ctypes.CDLL, name: str, reason: str) -> None:
    function = getattr(library, name)
    before = code_of(function, 400)
    with selftrace.inject("getppid", retval=7):
        left = dict(sites().left)
        for _ in range(20):
            assert function(GETPID) == os.getpid()
        assert sites().left[reason] == left.get(reason, 0) + 1
        assert function(GETPPID) == 7
        assert code_of(function, 400) == before


def test_code_that_is_in_no_file(library: ctypes.CDLL) -> None:
    address = library.made()
    function = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long)(address)
    before = ctypes.string_at(address, 32)
    with selftrace.inject("getppid", retval=7):
        assert function(GETPID) == os.getpid()
        assert any(reason.startswith(NO_FILE) for reason in sites().left)
        assert function(GETPPID) == 7
        assert ctypes.string_at(address, 32) == before


def test_a_site_is_patched_when_it_has_arrived_often_enough(library: ctypes.CDLL) -> None:
    patch_sites(True)
    with another():
        assert patched_by(lambda: [library.padded(GETPID) for _ in range(8)]) == 0
        assert patched_by(lambda: library.padded(GETPID)) == 1
    patch_sites(False)
    with another():
        assert patched_by(lambda: [library.padded(GETPID) for _ in range(20)]) == 0


def test_a_kernel_that_refuses() -> None:
    """PR_SET_MDWE: no memory is both writable and executable. The site goes on arriving."""
    code = """
import ctypes, os, selftrace
from selftrace.inprocess.sites import sites, patch_sites
patch_sites(True, at_once=True)
with selftrace.inject("reboot", error=1): os.getuid()
if ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0) < 0: print("no such thing"); raise SystemExit
with selftrace.inject("getppid", retval=7):
    for _ in range(20): os.getpgrp()
    print(sites().patched, sites().refused, os.getppid())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("0 EACCES 7", "no such thing")  # before Linux 6.3


# ---- what the program sees ------------------------------------------------------------------------------------------


def test_registers_flags_and_the_red_zone(library: ctypes.CDLL) -> None:
    plain = (library.registers_kept(), library.flags(GETPID), library.red_zone(12345))
    with another():
        assert patched_by(lambda: (library.registers_kept(), library.flags(GETPID), library.red_zone(1))) == 3
        for _ in range(1000):
            assert (library.registers_kept(), library.flags(GETPID), library.red_zone(12345)) == plain
        with selftrace.tracing("getpid,getppid", threads="current"):
            assert (library.registers_kept(), library.flags(GETPID), library.red_zone(12345)) == plain
    assert plain[1:] == (-1, 0)


@pytest.fixture
def watched(library: ctypes.CDLL) -> Iterator[None]:
    library.watch_signals(1)
    yield
    library.watch_signals(0)


@contextlib.contextmanager
def traced_elsewhere(work: Callable[[], object]) -> Iterator[None]:
    """Another thread has a fault, and does the work, until this ends."""
    started, stop = threading.Event(), threading.Event()

    def trace() -> None:
        with another():
            work()
            started.set()
            stop.wait()

    thread = threading.Thread(target=trace)
    thread.start()
    started.wait()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.usefixtures("watched")
def test_handlers_find_a_thread_at_its_site(library: ctypes.CDLL) -> None:
    with another():
        assert patched_by(lambda: library.forever(ctypes.byref(ctypes.c_long(1)))) == 1
        assert library.interrupted() == 0


@pytest.mark.usefixtures("watched")
def test_handlers_find_a_thread_that_is_not_traced_at_its_site(library: ctypes.CDLL) -> None:
    """Signals of the process's processor time go to the thread that uses it."""
    with traced_elsewhere(lambda: library.forever(ctypes.byref(ctypes.c_long(1)))):
        assert code_of(library.forever, 64).count(b"\xeb") >= 1
        assert library.interrupted() == 0


def test_a_handler_set_by_a_thread_that_is_not_traced() -> None:
    """It is entered by the kernel itself, on whatever stack is registered, and what it leaves is not taken for the program's."""
    hits: list[int] = []
    with traced_elsewhere(os.getppid):
        before = signal.signal(signal.SIGALRM, lambda number, _frame: hits.append(number))
        with another():
            os.kill(os.getpid(), signal.SIGALRM)
        with selftrace.tracing("getppid", threads="current") as trace:
            os.getppid()
        pid = os.fork()
        if not pid:
            with selftrace.tracing("getppid", threads="current") as trace:
                os.getppid()
            os._exit(trace.count())
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    signal.signal(signal.SIGALRM, before)
    assert (hits, trace.count()) == ([signal.SIGALRM], 1)


def test_a_blocked_call_outlives_its_patch() -> None:
    """Its thread was not traced when it began, is afterwards, and neither when it comes back."""
    read, write = os.pipe()
    other_read, other_write = os.pipe()
    go, got = threading.Event(), list[bytes]()

    def work() -> None:
        go.wait()
        got.append(os.read(read, 5))
        got.append(os.read(read, 5))

    def blocked() -> bool:
        assert thread.native_id
        return sleeps_in("pipe_read", os.getpid(), thread.native_id)

    thread = threading.Thread(target=work)
    thread.start()
    with another():
        os.write(other_write, b"x" * 3)
        for _ in range(3):
            os.read(other_read, 1)
        go.set()
        wait_for(blocked)
    with selftrace.tracing("read", threads="all") as trace:
        os.write(write, b"hello")
        wait_for(lambda: got and blocked())
    wait_for(blocked)
    os.write(write, b"again")
    thread.join()
    for fd in (read, write, other_read, other_write):
        os.close(fd)
    assert got == [b"hello", b"again"]
    assert [event.result for event in trace.calls() if event.tid == thread.native_id and event.result == 5] == [5]


def test_interrupted_calls(library: ctypes.CDLL) -> None:
    """A blocked read goes on after a handler, from the patched site."""
    read, write = os.pipe()
    hits: list[int] = []

    def handle(number: int, _frame: object) -> None:
        hits.append(number)
        if len(hits) == 20:
            os.write(write, b"hello")

    before = signal.signal(signal.SIGALRM, handle)
    with another():
        os.write(write, b"x")
        os.read(read, 1)
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        assert os.read(read, 5) == b"hello"
        signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    os.close(read), os.close(write)


# ---- processes ---------------------------------------------------------------------------------------------------------


def test_children(library: ctypes.CDLL) -> None:
    with selftrace.inject("getppid", retval=7):
        library.padded(GETPID)
        os.getuid(), os.close(os.dup(0)), os.stat("/")
        pid = os.fork()
        if not pid:
            fine = library.padded(GETPPID) != 7 and library.padded(GETPID) == os.getpid() and os.stat("/").st_mode
            with selftrace.inject("getppid", retval=8) as fault:
                fine = fine and library.padded(GETPID) == os.getpid() and library.padded(GETPPID) == 8 and fault.fired == 1
            os._exit(3 if fine and library.padded(GETPPID) != 8 else 4)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
        raw = library.padded(57)  # fork, past the C library
        if not raw:
            library.padded(231, 3 if library.padded(GETPPID) != 7 and library.padded(GETUID) >= 0 else 4)
        assert os.waitstatus_to_exitcode(os.waitpid(raw, 0)[1]) == 3
        assert subprocess.run([sys.executable, "-c", "import os; os.getppid()"], check=True).returncode == 0
        assert os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1]) == 0
        assert os.system("exit 5") == 5 << 8
        assert library.padded(GETPPID) == 7
        assert patched_by(lambda: library.flags(GETPID)) == 1  # children have not switched it off


def test_a_library_that_goes(tmp_path: Path) -> None:
    path = str(built(tmp_path))
    close = ctypes.CDLL(None).dlclose
    close.argtypes = [ctypes.c_void_p]
    for _ in range(3):
        library = ctypes.CDLL(path)
        with selftrace.inject("getppid", retval=7):
            assert patched_by(lambda: library.padded(GETPID)) == 1  # noqa: B023
            assert close(library._handle) == 0
            library = ctypes.CDLL(path)
            assert library.padded(GETPPID) == 7
            assert library.padded(GETPID) == os.getpid()
        assert library.padded(GETPPID) == os.getppid()
        assert close(library._handle) == 0


# ---- nothing stays behind ------------------------------------------------------------------------------------------------


def text_of(maps: str, name: str) -> list[str]:
    return [line.split()[0] + line.split()[1] for line in maps.splitlines() if name in line]


def test_the_bytes_are_the_files_again(library: ctypes.CDLL) -> None:
    before, maps = code_of(library.padded, 64), Path("/proc/self/maps").read_text()
    with another():
        library.padded(GETPID)
        during = code_of(library.padded, 64)
        assert "rwx" not in Path("/proc/self/maps").read_text()
    after = code_of(library.padded, 64)
    site = before.index(b"\x0f\x05")
    assert during[site] == 0xEB
    assert before[: site + 3] == after[: site + 3]  # the padding behind it keeps its jump
    for name in ("sites.so", "libc.so"):
        assert text_of(Path("/proc/self/maps").read_text(), name) == text_of(maps, name)


def test_a_site_is_patched_again(library: ctypes.CDLL) -> None:
    during = []
    for _ in range(3):
        with another():
            assert patched_by(lambda: library.padded(GETPID)) == 1
            during.append(code_of(library.padded, 64))
    assert during[0] == during[1] == during[2]


# ---- the decoder ---------------------------------------------------------------------------------------------------------


class Instruction(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint32), ("ends", ctypes.c_uint8), ("leads", ctypes.c_uint8), ("distance", ctypes.c_int32))


def test_lengths_of_instructions(tmp_path: Path) -> None:
    """Every instruction of the C library, against binutils."""
    if shutil.which("gcc") is None or shutil.which("objdump") is None:
        pytest.skip("gcc or objdump is missing")
    source = HERE.parents[1] / "native/interposer/instructions.c"
    path = tmp_path / "instructions.so"
    wrapper = tmp_path / "instructions.c"
    wrapper.write_text(
        f'#include "{source}"\n__attribute__((visibility("default"))) void look(const uint8_t *at, struct st_instruction *out) '
        "{ *out = st_instruction(at); }\n"
    )
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", str(path), str(wrapper)], check=True)
    look = ctypes.CDLL(str(path)).look
    libc = next(
        line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libc.so" in line or "libc-" in line
    )
    listing = subprocess.run(["objdump", "-dw", "-j", ".text", libc], capture_output=True, text=True, check=True).stdout
    checked, found = 0, Instruction()
    for line in re.finditer(r"^ *([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*\t(.*)$", listing, re.MULTILINE):
        code, text = bytes.fromhex(line[2]), line[3]
        if "(bad)" in text or code[0] == 0x9B:  # fwait, which binutils shows with what follows
            continue
        look(code + bytes(32), ctypes.byref(found))
        assert found.length == len(code), line[0]
        assert bool(found.ends) == bool(re.match(r"(bnd |notrack |repz |data16 |cs |ds )*(ret|jmp|ud2|hlt)", text)), line[0]
        to = re.match(r"(?:bnd |data16 |cs |ds )*(?:j\w+|call\w*|loop\w*)(?:,p[nt])? +([0-9a-f]+)\b(?: |$)", text)
        assert bool(found.leads) == bool(to), line[0]
        if to:
            assert int(line[1], 16) + found.length + found.distance == int(to[1], 16), line[0]
        checked += 1
    assert checked > 50000
