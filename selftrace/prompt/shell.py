"""The prompt itself: reads lines, from a terminal, a file or arguments, and turns every mistake into one line."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable

from selftrace.errors import SelftraceError
from selftrace.prompt.base import Mistake
from selftrace.prompt.looking import Looking, unknown
from selftrace.prompt.running import Running
from selftrace.prompt.stopping import Stopping
from selftrace.ptrace.stops import Stop

_SHORT = {
    "b": "break",
    "bt": "backtrace",
    "c": "cont",
    "continue": "cont",
    "d": "delete",
    "h": "help",
    "i": "breakpoints",
    "n": "next",
    "p": "print",
    "q": "quit",
    "s": "step",
    "si": "stepi",
    "x": "hexdump",
}
_REPEATED = ("cont", "step", "stepi", "next", "sys", "until", "finish")


class Prompt(Running, Looking, Stopping):
    """All commands. `failed`: whether one could not be carried out."""

    prompt = "(selftrace) "
    failed = False
    intro = None
    doc_header = "commands (help COMMAND tells more; ; separates several on a line; an empty line repeats cont, step, next …):"

    def emptyline(self) -> bool:
        """Again what runs; anything else is not repeated by mistake."""
        if self.lastcmd.split(" ")[0] in _REPEATED:
            return self.onecmd(self.lastcmd)
        return False

    def onecmd(self, line: str) -> bool:
        """One line. Returns whether it was the last."""
        if not line.strip():
            return self.emptyline()
        for part in split(line):
            name, rest, _ = self.parseline(part)
            if name is None and not part.strip():
                continue
            if self._carry_out(part, name or "", rest or ""):
                return True
        return False

    def _carry_out(self, line: str, name: str, rest: str) -> bool:
        try:
            full = self._full(name, line)
            self.lastcmd = f"{full} {rest}".strip()
            return bool(getattr(self, f"do_{full}")(rest))
        except KeyboardInterrupt:
            self.say("")
            self._interrupted()
        except SelftraceError as error:
            self._mistake(str(error))
        except (ValueError, KeyError) as error:
            self._mistake(str(error.args[0]) if error.args else str(error))
        except OSError as error:
            self._mistake(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return False

    def _mistake(self, text: str) -> None:
        self.failed = True
        print(f"selftrace: {text}", file=sys.stderr, flush=True)

    def _interrupted(self) -> None:
        tracee = self.current
        if tracee is not None and tracee.alive:
            tracee.stop = Stop("interrupted", tracee, tracee.task.tid)
            self.after(tracee.stop)

    def _full(self, name: str, line: str) -> str:
        known = [each[3:] for each in self.get_names() if each.startswith("do_")]
        if name in _SHORT:
            return _SHORT[name]
        if name in known:
            return name
        begun = [each for each in known if name and each.startswith(name)]
        if len(begun) == 1:
            return begun[0]
        if begun:
            raise Mistake(f'"{name}" may be {", ".join(sorted(begun))}')
        raise unknown(name or line.strip(), known)

    def do_quit(self, _: str) -> bool:
        """quit: end; started processes are killed, attached ones run on."""
        return True

    def do_EOF(self, _: str) -> bool:  # noqa: N802
        """End of input: as quit."""
        self.say("")
        return True

    def cmdloop(self, intro: str | None = None) -> None:
        """Ctrl-C at the prompt makes a new line."""
        while True:
            try:
                return super().cmdloop(intro)
            except KeyboardInterrupt:
                self.say("^C")

    def preloop(self) -> None:
        """History from former times, where there is a home to keep it in."""
        if self.stdin is sys.stdin and sys.stdin.isatty():
            import readline

            try:
                readline.read_history_file(history_path())
            except OSError:
                pass
            readline.set_completer_delims(" \t;=+-*/()$&")

    def postloop(self) -> None:
        """Keeps the last thousand lines of it."""
        if self.stdin is sys.stdin and sys.stdin.isatty():
            import readline

            readline.set_history_length(1000)
            try:
                os.makedirs(os.path.dirname(history_path()), mode=0o700, exist_ok=True)
                readline.write_history_file(history_path())
            except OSError:  # no home
                pass

    def script(self, lines: Iterable[str], *, ends_at_mistake: bool) -> bool:
        """Carries lines out; # begins a comment. Returns whether one of them was quit."""
        for line in lines:
            if line.strip() and not line.lstrip().startswith("#"):
                if self.onecmd(line.strip()):
                    return True
                if self.failed and ends_at_mistake:
                    return True
        return False

    def close(self) -> None:
        """Lets everything go, as it is said for each."""
        for one in self.alive:
            one.close()


def history_path() -> str:
    """Beside the other things that selftrace keeps."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "selftrace", "debug_history")


def split(line: str) -> list[str]:
    """Commands of a line, at each ; that is not in quotes."""
    lexer = shlex.shlex(line, posix=False, punctuation_chars=";")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = "", True, ""
    try:
        parts = list(lexer)
    except ValueError:  # an open quote: the command says so
        return [line]
    return [part.strip() for part in parts if part.strip("; ")]
