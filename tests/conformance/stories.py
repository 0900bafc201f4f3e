"""What a program does between two marks, one thing a case, and what a trace tells of it: on every backend the same."""

from __future__ import annotations

from dataclasses import dataclass

from tests.conformance.cases import PRELUDE

MARK = "getpriority"
OPENING = PRELUDE + "\ndef mark():\n    raw(140, 99, 99)\n"


@dataclass(frozen=True)
class Story:
    """calls: that are traced. body: of a Python script, between the marks. told: of each task, in the order in which they
    begin to do something, what it did: a call's name, its errno and first path, or a signal. printed: by the script."""

    name: str
    calls: str
    body: str
    told: tuple[tuple[str, ...], ...]
    printed: str = ""


STORIES = (
    Story(
        "files",
        "openat,unlink,close,write,read,mkdir,rmdir,lseek",
        "fd = os.open('/proc/self/comm', 0); os.lseek(fd, 0, 0); os.read(fd, 1); os.close(fd); opened('/nowhere')\n"
        "said(os.unlink, '/nowhere'); said(os.write, 777, b'x')",
        (
            (
                *("openat /proc/self/comm", "lseek", "read", "close", "openat ENOENT /nowhere"),
                *("unlink ENOENT /nowhere", "write EBADF"),
            ),
        ),
    ),
    Story(
        "arguments that point nowhere",
        "openat,read,write,newfstatat,pipe2,getcwd",
        "bad = ctypes.c_void_p(0xdead000)\nraw(257, -100, bad, 0); raw(293, bad, 0); raw(79, bad, 4096); raw(262, -100, bad, bad, 0)",
        (("openat EFAULT", "pipe2 EFAULT", "getcwd EFAULT", "newfstatat EFAULT"),),
    ),
    Story(
        "sockets",
        "socketpair,sendto,recvfrom,sendmsg,recvmsg,shutdown,socket,connect",
        "a, b = socket.socketpair(); a.send(b'x'); b.recv(9); b.setblocking(False); said(b.recv, 9)\n"
        "a.sendmsg([b'y', b'z']); b.recvmsg(9); a.shutdown(2); said(to, 1, '/nowhere')",
        (("socketpair", "sendto", "recvfrom", "recvfrom EAGAIN", "sendmsg", "recvmsg", "shutdown", "socket", "connect ENOENT"),),
    ),
    Story(
        "a signal and its handler",
        "kill,getppid",
        "signal.signal(signal.SIGUSR1, lambda *_: os.getppid())\nos.kill(os.getpid(), signal.SIGUSR1)",
        (("kill", "SIGUSR1", "getppid"),),
    ),
    Story(
        "a call that a signal interrupts",
        "nanosleep,setitimer",
        "signal.signal(signal.SIGALRM, lambda *_: None)\nsignal.setitimer(signal.ITIMER_REAL, 0)\npid = os.fork()\n"
        "if not pid:\n    while 'nanosleep' not in open(f'/proc/{os.getppid()}/wchan').read(): time.sleep(0.01)\n"
        "    os.kill(os.getppid(), signal.SIGALRM); os._exit(0)\n"
        "t = (ctypes.c_long * 2)(1000, 0)\nsay(raw(35, t, None)); os.waitpid(pid, 0)",
        (("setitimer", "nanosleep interrupted", "SIGALRM"),),
        "EINTR",
    ),
    Story(
        "threads",
        "getppid,getpgrp",
        "gate = threading.Barrier(2)\ndef work(call):\n    [call() for _ in range(3)]\n    gate.wait()\n"
        "t = [threading.Thread(target=work, args=(c,)) for c in (os.getppid, os.getpgrp)]\n[x.start() for x in t]; [x.join() for x in t]",
        (("getppid",) * 3, ("getpgrp",) * 3),
    ),
    Story(
        "children",
        "getppid,wait4",
        "child(os.getppid); say('reaped')",
        (("wait4",), ("getppid",)),
        "reaped",
    ),
    Story(
        "what is executed",
        "execve,wait4,chdir",
        "child(lambda: os.execv('/bin/sh', ['sh', '-c', 'cd /usr; cd /nowhere 2>/dev/null']))",
        (("execve /bin/sh", "chdir /usr", "chdir ENOENT /nowhere"), ("wait4",)),
    ),
    Story(
        "a storm of signals",
        "getpgrp",
        "n = []\nsignal.signal(signal.SIGALRM, lambda *_: n.append(1))\nsignal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)\n"
        "for _ in range(500): os.getpgrp()\nwhile len(n) < 20: pass\nsignal.setitimer(signal.ITIMER_REAL, 0); say(len(n) >= 20)",
        (("getpgrp",) * 500,),
        "True",
    ),
)
