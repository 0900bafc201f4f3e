"""What a policy says, one thing a case, and what a program then sees: on every backend the same."""

from __future__ import annotations

from dataclasses import dataclass

OPEN = 'policy = 1\nname = "case"\n[default]\naction = "allow"\n'
SCRIPT = 'policy = 1\nname = "case"\nextends = ["builtin:untrusted-script"]\n'
PRELUDE = """
import ctypes, errno, os, signal, socket, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def said(call, *args):
    try:
        return call(*args)
    except OSError as error:
        return errno.errorcode[error.errno]
def raw(number, *args):
    result = libc.syscall(number, *args)
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]
def say(*values):
    print(*values, flush=True)
def child(work):
    pid = os.fork()
    if not pid:
        work()
        os._exit(0)
    return os.waitpid(pid, 0)[1]
def opened(path, flags=os.O_RDONLY, **more):
    got = said(os.open, path, flags, 0o600)
    if isinstance(got, str):
        return got
    os.close(got)
    return "opened"
def to(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as one:
        return said(one.connect, address)
"""


@dataclass(frozen=True)
class Case:
    """name; rules: of the policy; body: of a Python script; held: what it prints; plain: the same with nobody's policy, where
    that is not told apart by the machine, None. reports: (call, errno's name or kind, rule) of each violation and event,
    as often as it came."""

    name: str
    rules: str
    body: str
    held: str
    plain: str | None
    reports: tuple[tuple[str, str, str], ...] = ()
    reason: str = "exit"


def rule(name: str, calls: str, action: str, **more: str) -> str:
    """One [[rule]]. more: key → TOML."""
    names = ", ".join(f'"{call}"' for call in calls.split())
    lines = [
        f'[[rule]]\nid = "{name}"\ncalls = [{names}]\naction = "{action}"',
        *(f"{key} = {value}" for key, value in more.items()),
    ]
    return "\n".join(lines) + "\n"


EIO = {"error": '"EIO"'}
TAKES = """
def took():
    t = time.monotonic(); raw(24); return time.monotonic() - t
say(min(took() for _ in range(5)) >= 0.2)"""
FOUR = "say([os.getppid() == 42 for _ in range(6)])"


def counted(when: str, **more: str) -> str:
    """The nth getppid is 42."""
    return OPEN + rule("nth", "getppid", "retval", retval="42", when=f'"{when}"', **more)


CASES = (
    # ---- actions
    Case("error", OPEN + rule("r", "sched_yield", "error", **EIO), "say(raw(24))", "EIO", "0", (("sched_yield", "EIO", "r"),)),
    Case("retval", OPEN + rule("r", "getppid", "retval", retval="42"), "say(os.getppid() == 42)", "True", "False"),
    Case(
        "allow ends the rules",
        OPEN + rule("first", "sched_yield", "allow") + rule("second", "sched_yield", "error", **EIO),
        "say(raw(24))",
        "0",
        "0",
    ),
    Case(
        "log", OPEN + rule("r", "sched_yield", "log"), "say(raw(24), raw(24))", "0 0", "0 0", (("sched_yield", "log", "r"),) * 2
    ),
    Case(
        "kill",
        OPEN + rule("r", "sched_yield", "kill"),
        "say(1); raw(24); say(2)",
        "1",
        "1\n2",
        (("sched_yield", "killed", "r"),),
        "violation",
    ),
    Case(
        "kill in a child",
        OPEN + rule("r", "sched_yield", "kill"),
        "say(1)\nif child(lambda: raw(24)): time.sleep(1000)",
        "1",
        None,
        (("sched_yield", "killed", "r"),),
        "violation",
    ),
    Case(
        "content",
        OPEN + rule("r", "open openat", "content", match='{ "@path" = "/etc/hostname" }', content='"made up"'),
        "say(open('/etc/hostname').read())",
        "made up",
        None,
    ),
    Case(
        "content cannot be written",
        OPEN + rule("r", "open openat", "content", match='{ "@path" = "/etc/hostname" }', content='"made up"'),
        "fd = os.open('/etc/hostname', os.O_RDONLY)\nsay(said(os.write, fd, b'x'), os.read(fd, 99), os.fstat(fd).st_size)",
        "EPERM b'made up' 7",
        None,
    ),
    Case(
        "data",
        OPEN + rule("r", "read", "data", match="{ fd = 55 }", data='"abcdefgh"'),
        "os.dup2(0, 55); say(os.read(55, 5), os.read(55, 100))",
        "b'abcde' b'abcdefgh'",
        "b'' b''",
    ),
    Case(
        "short",
        OPEN + rule("r", "write", "short", match="{ fd = 55 }", short="3"),
        "r, w = os.pipe(); os.dup2(w, 55)\nsay(os.write(55, b'12345'), os.read(r, 9), os.write(55, b'12'), os.read(r, 9))",
        "3 b'123' 2 b'12'",
        "5 b'12345' 2 b'12'",
    ),
    Case(
        "poke_exit",
        OPEN + rule("r", "read", "poke_exit", match="{ fd = 55 }", poke='"@arg2=5858"'),
        "r, w = os.pipe(); os.dup2(r, 55); os.write(w, b'1234'); say(os.read(55, 9))",
        "b'XX34'",
        "b'1234'",
    ),
    Case(
        "poke_enter",
        OPEN + rule("r", "write", "poke_enter", match="{ fd = 55 }", poke='"@arg2=5858"'),
        "r, w = os.pipe(); os.dup2(w, 55); os.write(55, bytearray(b'1234')); say(os.read(r, 9))",
        "b'XX34'",
        "b'1234'",
    ),
    Case(
        "delay_enter",
        OPEN + rule("r", "sched_yield", "delay_enter", delay='"200ms"'),
        TAKES,
        "True",
        "False",
    ),
    Case(
        "delay_exit",
        OPEN + rule("r", "sched_yield", "delay_exit", delay='"200ms"'),
        TAKES,
        "True",
        "False",
    ),
    Case(
        "signal",
        OPEN + rule("r", "sched_yield", "signal", signal='"SIGUSR1"'),
        "got = []\nsignal.signal(signal.SIGUSR1, lambda *_: got.append(1))\nsay(raw(24), got, raw(24), got)",
        "0 [1, 1] 0 [1, 1]",
        "0 [] 0 []",
    ),
    Case(
        "a signal and an answer",
        OPEN + rule("a", "sched_yield", "signal", signal='"SIGUSR1"') + rule("b", "sched_yield", "retval", retval="9"),
        "got = []\nsignal.signal(signal.SIGUSR1, lambda *_: got.append(1))\nn = raw(24)\nsay(n, got)",
        "9 [1]",
        "0 []",
    ),
    # ---- conditions on numbers
    Case(
        "a number",
        OPEN + rule("r", "lseek", "error", match="{ whence = 2 }", **EIO),
        "fd = os.open('x', os.O_RDWR | os.O_CREAT)\nsay(said(os.lseek, fd, 0, 0), said(os.lseek, fd, 0, 2))",
        "0 EIO",
        "0 0",
        (("lseek", "EIO", "r"),),
    ),
    Case(
        "flags",
        OPEN + rule("r", "openat", "error", match='{ flags = { any = "O_APPEND" } }', **EIO),
        "say(opened('/', os.O_APPEND), opened('/'))",
        "EIO opened",
        "opened opened",
        (("openat", "EIO", "r"),),
    ),
    Case(
        "a set",
        OPEN + rule("r", "socket", "error", match='{ family = { in = ["AF_UNIX", "AF_INET6"] } }', **EIO),
        "say(*[type(said(socket.socket, f)).__name__ for f in (socket.AF_INET, socket.AF_UNIX)])",
        "socket str",
        "socket socket",
        (("socket", "EIO", "r"),),
    ),
    Case(
        "between",
        OPEN + rule("r", "close", "error", match="{ fd = { between = [700, 800] } }", **EIO),
        "say(*[said(os.close, n) for n in (699, 700, 800, 801)])",
        "EBADF EIO EIO EBADF",
        "EBADF EBADF EBADF EBADF",
        (("close", "EIO", "r"),) * 2,
    ),
    # ---- counters
    Case("when: from the nth on", counted("3+"), FOUR, "[False, False, True, True, True, True]", "[" + "False, " * 5 + "False]"),
    Case("when: the nth", counted("2"), FOUR, "[False, True, False, False, False, False]", None),
    Case("when: a range", counted("2..3"), FOUR, "[False, True, True, False, False, False]", None),
    Case("when: steps", counted("1+2"), FOUR, "[True, False, True, False, True, False]", None),
    Case(
        "count_by thread",
        counted("3+"),
        f"one = lambda: {FOUR}\none()\nt = threading.Thread(target=one); t.start(); t.join()\nchild(one)",
        "\n".join(["[False, False, True, True, True, True]"] * 3),
        None,
    ),
    Case(
        "count_by process",
        counted("3+", count_by='"process"'),
        f"one = lambda: {FOUR}\none()\nt = threading.Thread(target=one); t.start(); t.join()\nchild(one)",
        "[False, False, True, True, True, True]\n[True, True, True, True, True, True]\n[False, False, True, True, True, True]",
        None,
    ),
    Case(
        "count_by tree",
        counted("3+", count_by='"tree"'),
        f"one = lambda: {FOUR}\none()\nchild(one)",
        "[False, False, True, True, True, True]\n[True, True, True, True, True, True]",
        None,
    ),
    Case(
        "@thread",
        OPEN + rule("r", "getppid", "retval", match='{ "@thread" = "other" }', retval="42"),
        "one = lambda: say(os.getppid() == 42)\none()\nt = threading.Thread(target=one); t.start(); t.join()",
        "False\nTrue",
        "False\nFalse",
    ),
    # ---- paths
    Case(
        "@path, however it is written",
        OPEN + rule("r", "open openat openat2 creat", "error", match='{ "@path" = "/etc/hostname" }', **EIO),
        "os.symlink('/etc/hostname', 'link')\nd = os.open('/etc', os.O_PATH)\n"
        "say(opened('/etc/hostname'), opened('/usr/../etc/./hostname'), opened('link'), opened('/etc/passwd'))\n"
        "os.chdir('/usr'); say(opened('../etc/hostname'), said(os.open, 'hostname', 0) == 'ENOENT')\n"
        "os.chdir('/etc'); say(opened('hostname'))\n"
        "how = (ctypes.c_uint64 * 3)(); say(raw(437, d, b'hostname', how, 24), raw(257, d, b'hostname', 0))",
        "EIO EIO EIO opened\nEIO True\nEIO\nEIO EIO",
        None,
        (("openat", "EIO", "r"),) * 6 + (("openat2", "EIO", "r"),),
    ),
    Case(
        "@path by a pattern",
        OPEN + rule("r", "openat", "error", match='{ "@path" = "/etc/host*" }', **EIO),
        "say(opened('/etc/hosts'), opened('/etc/hostname'), opened('/etc/passwd'))",
        "EIO EIO opened",
        "opened opened opened",
        (("openat", "EIO", "r"),) * 2,
    ),
    Case(
        "@path2",
        OPEN + rule("r", "rename", "error", match='{ "@path2" = "/**/no" }', **EIO),
        "open('a', 'w').close(); say(said(os.rename, 'a', 'yes'), said(os.rename, 'yes', 'no'))",
        "None EIO",
        "None None",
        (("rename", "EIO", "r"),),
    ),
    Case(
        "@fd_path",
        OPEN + rule("r", "fsync", "error", match='{ "@fd_path" = "/**/held" }', **EIO),
        "say(*[said(os.fsync, os.open(name, os.O_RDWR | os.O_CREAT)) for name in ('held', 'free')])",
        "EIO None",
        "None None",
        (("fsync", "EIO", "r"),),
    ),
    Case(
        "an unreadable path is no way in",
        OPEN + rule("r", "openat", "error", match='{ "@path" = "/etc/hostname" }', **EIO),
        "say(raw(257, -100, ctypes.c_void_p(0xdead000), 0), raw(257, -100, None, 0))",
        "EFAULT EFAULT",
        "EFAULT EFAULT",
    ),
    Case(
        "[fs] closes",
        SCRIPT + '[fs]\nread = ["/etc/host*"]\ndeny = ["/etc/hosts"]\n',
        "say(opened('/etc/hostname'), opened('/etc/hosts'), opened('/etc/passwd'), opened('/usr/x', os.O_WRONLY | os.O_CREAT))\n"
        "say(opened('mine', os.O_WRONLY | os.O_CREAT), said(os.listdir, '.'), said(os.stat, '/etc/passwd'), said(os.mkdir, '/x'))",
        "opened EACCES EACCES EACCES\nopened ['mine'] EACCES EACCES",
        None,
        (
            ("openat", "EACCES", "fs.deny[/etc/hosts]"),
            ("openat", "EACCES", "fs.default"),
            ("openat", "EACCES", "fs.default"),
            ("newfstatat", "EACCES", "fs.metadata"),
            ("mkdir", "EACCES", "fs.default"),
        ),
    ),
    # ---- addresses
    Case(
        "@addr",
        OPEN + rule("r", "connect", "error", match='{ "@addr" = "127.0.0.1:9" }', **EIO),
        "say(to(2, ('127.0.0.1', 9)), to(2, ('127.0.0.2', 9)), to(10, ('::ffff:127.0.0.1', 9)))",
        "EIO ECONNREFUSED EIO",
        None,
        (("connect", "EIO", "r"),) * 2,
    ),
    Case(
        "@addr of a unix socket",
        OPEN + rule("r", "connect", "error", match='{ "@addr" = "unix:/run/a*" }', **EIO),
        "say(to(1, '/run/a.sock'), to(1, '/run/b.sock'))",
        "EIO ENOENT",
        "ENOENT ENOENT",
        (("connect", "EIO", "r"),),
    ),
    Case(
        "[net] closes",
        SCRIPT + '[net]\nconnect = ["127.0.0.1:9"]\n',
        "say(to(2, ('127.0.0.1', 9)), to(2, ('127.0.0.2', 9)), to(2, ('127.0.0.1', 10)))\n"
        "say(said(socket.socket, socket.AF_INET, socket.SOCK_DGRAM), said(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW))",
        "ECONNREFUSED EACCES EACCES\nEACCES EACCES",
        None,
        (("connect", "EACCES", "net.addresses"),) * 2 + (("socket", "EACCES", "net.sockets"),) * 2,
    ),
    # ---- calls and processes
    Case(
        "[calls] deny",
        OPEN + '[calls]\ndeny = ["sched_yield"]\n',
        "say(raw(24))",
        "EPERM",
        "0",
        (("sched_yield", "EPERM", "calls.deny[sched_yield]"),),
    ),
    Case(
        "a number that nobody knows",
        OPEN + "[calls]\ndeny = []\n",
        "say(raw(509), raw(100000))",
        "ENOSYS ENOSYS",
        "ENOSYS ENOSYS",
        (("syscall_0x1fd", "ENOSYS", "calls.unknown"),),
    ),
    Case(
        "[calls] allow",
        SCRIPT,
        "say(raw(172, 3), raw(101, 0, 0, 0, 0), raw(162))",
        "EPERM EPERM 0",
        None,
        (("iopl", "EPERM", "calls.deny[@raw-io]"), ("ptrace", "EPERM", "calls.deny[@debug]")),
    ),
    Case(
        "no exec, no fork",
        SCRIPT + "[process]\nexec = false\nfork = false\n",
        "say(said(os.execv, '/bin/true', ['true']), said(os.fork))",
        "EPERM EPERM",
        None,
        (("execve", "EPERM", "process.exec"), ("clone", "EPERM", "process.fork")),
    ),
    Case(
        "no threads",
        SCRIPT + "[process]\nthreads = false\n",
        "try: threading.Thread(target=lambda: 0).start()\nexcept RuntimeError: say('none')",
        "none",
        "",
        (("clone", "EPERM", "process.threads"),),
    ),
    Case(
        "what takes the supervision apart",
        OPEN,
        "say(raw(317, 1, 0, 0), raw(157, 22, 2, 0, 0, 0), raw(157, 59, 1, 0, 0, 0), raw(425, 1, 0))",
        "EPERM EPERM EPERM ENOSYS",
        None,
        (
            ("seccomp", "EPERM", "integrity"),
            ("prctl", "EPERM", "integrity"),
            ("prctl", "EPERM", "integrity"),
            ("io_uring_setup", "ENOSYS", "integrity.io_uring"),
        ),
    ),
    Case(
        "rules hold in what is executed",
        OPEN + rule("r", "sched_yield", "error", **EIO),
        "code = 'import ctypes; l = ctypes.CDLL(None, use_errno=True); print(l.syscall(24), ctypes.get_errno())'\n"
        "say(subprocess.run(['/usr/bin/python3', '-c', code], capture_output=True, text=True).stdout.strip())",
        "-1 5",
        "0 0",
        (("sched_yield", "EIO", "r"),),
    ),
    Case(
        "an audit refuses nothing",
        'policy = 1\nname = "case"\nmode = "audit"\n[default]\naction = "allow"\n' + rule("r", "sched_yield", "error", **EIO),
        "say(raw(24))",
        "0",
        "0",
        (("sched_yield", "EIO", "r"),),
    ),
)
