"""Commands that look at the stopped tracee, and write into it."""

from __future__ import annotations

import re
import shlex
import shutil

from selftrace.backends.refusals import status_of
from selftrace.calls import nearest
from selftrace.errors import SelftraceError
from selftrace.prompt.base import Base, Mistake, words_of
from selftrace.ptrace.expressions import evaluate
from selftrace.ptrace.maps import mapping_at
from selftrace.ptrace.memory import MemoryFault

_STACK_WORDS = 5
_ROWS = 5
_MOST_ROWS = 40
_PROC = ("Name", "State", "Tgid", "PPid", "TracerPid", "Uid", "Gid", "Threads", "VmSize", "VmRSS", "SigQ", "Seccomp")


class Looking(Base):
    """regs, set, print, where, hexdump, stack, backtrace, pybacktrace, maps, proc, symbol, write, gcore."""

    def do_regs(self, text: str) -> None:
        """regs [NAME …]: all registers, or these."""
        values = self.tracee.registers.all()
        for name in text.replace("$", "").split() or values:
            self.say(f"{name:<9}{self.tracee.registers[name]:#018x}")

    def do_set(self, text: str) -> None:
        """set $REGISTER = VALUE: change a register."""
        match = re.fullmatch(r"\s*\$(\w+)\s*=\s*(.+)", text)
        if match is None:
            raise Mistake("set $REGISTER = VALUE: set $rax = 0")
        self.tracee.registers[match[1]] = self.value(match[2])
        self.say(f"${match[1]} = {self.tracee.registers[match[1]]:#x}")

    def do_print(self, text: str) -> None:
        """print EXPRESSION: in decimal and hexadecimal, and what is there: $rsp+8, *$rsp, main, word($rdi, 4), string($rsi)."""
        if not text.strip():
            raise Mistake("print what? print EXPRESSION")
        value = evaluate(self.tracee, text)
        if not isinstance(value, int) or isinstance(value, bool):
            self.say(value)
            return
        value &= 2**64 - 1
        signed = f" ({value - 2**64})" if value >> 63 else ""
        self.say(f"{value}{signed} = {value:#x}")
        mapping = mapping_at(self.tracee.maps(), value)
        if mapping is not None:
            self.say(f"  {self.tracee.describe(value)}")
            self.say(f"  in {mapping}")

    def do_where(self, text: str) -> None:
        """where [PLACE [END]]: the code there, breakpoints hidden; without capstone as bytes."""
        self._code(text, raw=False)

    def do_where2(self, text: str) -> None:
        """where2 [PLACE [END]]: the code as it is in memory, with the int3 of breakpoints."""
        self._code(text, raw=True)

    def _code(self, text: str, *, raw: bool) -> None:
        tracee = self.tracee
        places = self.values(text)
        here = tracee.registers["rip"]
        start = places[0] if places else here
        if raw or (len(places) > 1 and places[1] <= start):
            end = places[1] if len(places) > 1 else start + 32
            if end <= start:
                raise Mistake(f"the end {end:#x} is not behind the beginning {start:#x}")
            self.say(tracee.words.raw(start, min(end - start, 1024)).hex(" "))
            return
        self.say(tracee.describe(start))
        try:
            found = tracee.disassemble(start, 10 if len(places) < 2 else places[1] - start)
        except SelftraceError as error:
            if isinstance(error, MemoryFault):
                raise
            self.say(f"{start:#x}  {tracee.words.read_some(start, 32).hex(' ')}  ({error})")
            return
        marked = {address for one in tracee.breakpoints.listed for address in one.addresses}
        for one in found:
            if len(places) < 2 or one.address < places[1]:
                mark = "=>" if one.address == here else "* " if one.address in marked else "  "
                self.say(f"{mark} {one}")

    def do_hexdump(self, text: str) -> None:
        """hexdump START [END]: memory in hexadecimal and ASCII; what cannot be read is named."""
        places = self.values(text)
        if not places:
            raise Mistake("hexdump START [END]")
        width = 16 if shutil.get_terminal_size((80, 24)).columns >= 80 else 8
        start, end = places[0], places[1] if len(places) > 1 else places[0] + _ROWS * width
        if end <= start:
            raise Mistake(f"the end {end:#x} is not behind the beginning {start:#x}")
        limit = start + _MOST_ROWS * width
        for at in range(start, min(end, limit), width):
            wanted = min(width, end - at)
            data = self.tracee.words.read_some(at, wanted)
            shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)
            if data:
                self.say(f"{at:#014x}| {data.hex(' '):<{3 * width - 1}}| {shown}")
            if len(data) < wanted:
                self.say(f"{at + len(data):#014x}  cannot be read")
                return
        if end > limit:
            self.say(f"(stopped after {_MOST_ROWS} lines; hexdump {limit:#x} {end:#x} goes on)")

    def do_write(self, text: str) -> None:
        r"""write ADDRESS VALUE | write ADDRESS 'BYTES': a word, or bytes as Python writes them ('\x90\x90')."""
        address, _, what = text.strip().partition(" ")
        if not what:
            raise Mistake("write ADDRESS VALUE, or write ADDRESS 'BYTES'")
        if what.strip()[0] in "'\"":
            self.tracee.words.write(self.value(address), literal(what))
        else:
            self.tracee.words.set_word(self.value(address), self.value(what))

    def do_stack(self, text: str) -> None:
        """stack [N]: the words around the stack pointer, with what they point to."""
        tracee, count = self.tracee, self.integer(text, _STACK_WORDS)
        pointer, maps = tracee.registers["rsp"], tracee.maps()
        stack = mapping_at(maps, pointer)
        self.say(f"stack {stack}" if stack else f"{pointer:#x} is not mapped: the stack pointer is wrong")
        for at in range(-count, count + 1):
            data = tracee.words.read_some(pointer + 8 * at, 8)
            if len(data) == 8:
                value = int.from_bytes(data, "little")
                mapping = mapping_at(maps, value)
                what = f"  {tracee.describe(value)}" if mapping is not None and "x" in mapping.permissions else ""
                self.say(f"{'=>' if at == 0 else '  '} $rsp{8 * at:+4}  {value:#018x}{what}")

    def do_backtrace(self, text: str) -> None:
        """backtrace [N]: the functions that the current thread is in, innermost first."""
        limit = self.integer(text, 64)
        frames = self.tracee.backtrace(limit)
        for frame in frames:
            self.say(frame)
        if len(frames) == limit:
            self.say(f"(stopped at {limit} frames)")

    def do_pybacktrace(self, _: str) -> None:
        """pybacktrace: the Python functions of the current thread, innermost first (CPython 3.11 to 3.14; needs pystack)."""
        frames = self.tracee.python_backtrace()
        for number, frame in enumerate(frames):
            self.say(f"#{number} {frame}")
        if not frames:
            self.say("this thread runs no Python function")

    def do_maps(self, _: str) -> None:
        """maps: what is mapped in the process."""
        for mapping in self.tracee.maps():
            self.say(mapping)

    def do_proc(self, _: str) -> None:
        """proc: what /proc says of the process."""
        tracee, status = self.tracee, status_of(self.tracee.pid)
        with open(f"/proc/{tracee.pid}/cmdline", "rb") as file:
            command = shlex.join(word.decode(errors="replace") for word in file.read().split(b"\0")[:-1])
        self.say(f"{'program':<10}{tracee.program}\n{'command':<10}{command[:160]}")
        for name in _PROC:
            self.say(f"{name:<10}{' '.join(status.get(name, '?').split())}")

    def do_gcore(self, text: str) -> None:
        """gcore [FILE]: write a core file (default: core.PID), which gdb reads."""
        path = text.strip() or f"core.{self.tracee.pid}"
        self.tracee.core(path)
        self.say(f"core of {self.tracee.pid} in {path}")

    # ---- terms that are looked for in memory -------------------------------------------------------

    def do_follow(self, text: str) -> None:
        r"""follow 'BYTES': xray shows where in memory these are; as Python writes them: 'abc\x00'."""
        self.followed.append(literal(text))

    def do_showfollow(self, _: str) -> None:
        """showfollow: what is followed."""
        for term in self.followed:
            self.say(repr(term))

    def do_resetfollow(self, _: str) -> None:
        """resetfollow: nothing is followed any more."""
        self.followed.clear()

    def do_xray(self, _: str) -> None:
        """xray: where in the memory of each process the followed terms are, and what may point to them."""
        if not self.followed:
            raise Mistake("nothing is followed: follow 'BYTES'")
        for tracee in self.alive:
            maps = tracee.maps()
            for term in self.followed:
                for address in tracee.search(term):
                    pointers = [f"{at:#x}" for at in tracee.search(address.to_bytes(8, "little"))]
                    place = f"{address:#x} ({mapping_at(maps, address)})"
                    self.say(f"{term!r} in {tracee.pid} at {place}, pointers: {' '.join(pointers) or 'none'}")

    def complete_print(self, text: str, _line: str, begin: int, _end: int) -> list[str]:
        """Registers behind a $, symbols otherwise."""
        if _line[:begin].endswith("$"):
            return [name for name in self.tracee.registers if name.startswith(text)]
        return words_of(self.current, text)

    complete_set = complete_regs = complete_where = complete_hexdump = complete_print


def literal(text: str) -> bytes:
    r"""'ab\x00' → bytes. Raises Mistake."""
    import ast

    try:
        value = ast.literal_eval("b" + text.strip())
    except (SyntaxError, ValueError):
        raise Mistake(f"{text.strip()} is no quoted text: 'abc\\x00'") from None
    if not isinstance(value, bytes) or not value:
        raise Mistake("an empty text")
    return value


def unknown(name: str, known: list[str]) -> Mistake:
    """A command that there is not."""
    return Mistake(f'unknown command "{name}"{nearest(name, known)}; help lists them')
