"""Commands that let the tracee run."""

from __future__ import annotations

from selftrace.calls import errno_value, signal_name, table
from selftrace.prompt.base import Base, Mistake, words_of

_SIGNALS = [*range(1, 32), 34, 64]


class Running(Base):
    """cont, step, stepi, next, finish, until, sys, signal, signals, handle, catch, kill."""

    def do_cont(self, text: str) -> None:
        """cont [N]: let all processes run until something stops one; N: until the Nth stop."""
        for _ in range(self.integer(text, 1)):
            stop = self.tracee.cont()
            if stop.is_end:
                break
        self.after(stop)

    def do_step(self, text: str) -> None:
        """step [N]: one instruction, where a call counts as one."""
        for _ in range(self.integer(text, 1)):
            stop = self.tracee.step_over()
            if stop.kind != "step":
                break
        self.after(stop)

    def do_stepi(self, text: str) -> None:
        """stepi [N]: one instruction; goes into calls."""
        for _ in range(self.integer(text, 1)):
            stop = self.tracee.step()
            if stop.kind != "step":
                break
        self.after(stop)

    def do_next(self, text: str) -> None:
        """next [N]: to the next source line; calls are passed over."""
        for _ in range(self.integer(text, 1)):
            stop = self.tracee.next_line()
            if stop.kind != "step":
                break
        self.after(stop)

    def do_finish(self, _: str) -> None:
        """finish: until the current function returns; prints what it returns (rax)."""
        self.after(self.tracee.finish())

    def do_until(self, text: str) -> None:
        """until PLACE: until the current thread is there: main, prog.c:12, $rip+8, 0x401000."""
        if not text.strip():
            raise Mistake("until where? until PLACE")
        self.after(self.tracee.until(text))

    def do_sys(self, text: str) -> None:
        """sys [NAME …]: until the next entry or exit of a system call; with names, of one of these."""
        tracee = self.tracee
        if text.strip():
            handler = tracee.handle_syscall(text.split(), on_enter=lambda call: True, on_exit=lambda call: True)
            try:
                self.after(tracee.cont())
            finally:
                handler.delete()
        else:
            self.after(tracee.next_syscall())

    def do_signal(self, text: str) -> None:
        """signal SIGNAL: let it run, with this signal instead of the one it stopped at; signal 0 suppresses that one."""
        if not text.strip():
            raise Mistake("which signal? signal USR1, signal 0")
        self.after(self.tracee.cont(self.signal(text)))

    def do_signals(self, _: str) -> None:
        """signals: all of them, and what is done with each (handle changes it)."""
        for number in _SIGNALS:
            stops, passes = self.tracee.signal_policy(number)
            self.say(f"{number:>2} {signal_name(number):<10} {'stop' if stops else 'nostop':<7} {'pass' if passes else 'nopass'}")

    def do_handle(self, text: str) -> None:
        """handle SIGNAL [stop|nostop] [pass|nopass]: what is done with a signal from now on."""
        name, *wishes = text.split() or [""]
        unknown = set(wishes) - {"stop", "nostop", "pass", "nopass"}
        if not name or not wishes or unknown:
            raise Mistake("handle SIGNAL [stop|nostop] [pass|nopass]")
        number = self.signal(name)
        stops, passes = self.tracee.signal_policy(number)
        for wish in wishes:
            if wish.endswith("stop"):
                stops = wish == "stop"
            else:
                passes = wish == "pass"
        self.tracee.handle_signal(number, stop=stops, deliver=passes)

    def do_siginfo(self, _: str) -> None:
        """siginfo: who has sent the signal that it stopped at, or the address of the fault."""
        info = self.tracee.signal_info()
        parts = [signal_name(info.number), f"code {info.code}"]
        parts += [f"address {info.address:#x}"] if info.address is not None else [f"pid {info.pid}", f"uid {info.uid}"]
        parts += [f"status {info.status}"] if info.status is not None else []
        self.say(", ".join(parts))

    def do_catch(self, text: str) -> None:
        """catch fork|vfork|clone|exec … | catch syscall NAME …: stop there too; catch none: no longer."""
        kind, *names = text.split() or [""]
        if kind == "syscall" and names:
            self.tracee.handle_syscall(names, on_enter=lambda call: True, on_exit=lambda call: True)
        elif kind == "none":
            self.tracee.stop_on.clear()
            self.tracee.calls.handlers.clear()
        elif kind in ("fork", "vfork", "clone", "exec"):
            self.tracee.stop_on |= {kind, *names} & {"fork", "vfork", "clone", "exec"}
        else:
            raise Mistake("catch fork, vfork, clone, exec, none, or syscall NAME")

    def do_hijack(self, text: str) -> None:
        """hijack CALL VALUE: answer every such system call with a number or an error's name, without carrying it out."""
        name, _, answer = text.strip().partition(" ")
        if not answer:
            raise Mistake("hijack CALL VALUE: hijack openat ENOENT, hijack getuid 0")
        answer = answer.strip()
        result = -errno_value(answer) if answer[:1] == "E" else self.value(answer)
        self.tracee.handle_syscall(name, on_enter=lambda call: call.skip(result))

    def do_kill(self, _: str) -> None:
        """kill: end the process by SIGKILL."""
        tracee = self.tracee
        tracee.kill()
        assert tracee.stop is not None
        self.after(tracee.stop)

    def complete_until(self, text: str, _line: str, _begin: int, _end: int) -> list[str]:
        """Symbols."""
        return words_of(self.current, text)

    def complete_signal(self, text: str, _line: str, _begin: int, _end: int) -> list[str]:
        """Names of signals."""
        return [name for name in map(signal_name, range(1, 32)) if name.startswith(text.upper())]

    complete_handle = complete_signal

    def complete_sys(self, text: str, _line: str, _begin: int, _end: int) -> list[str]:
        """Names of calls."""
        return [name for name in table().by_name if name.startswith(text)]

    complete_catch = complete_hijack = complete_sys
