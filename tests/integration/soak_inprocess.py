"""Many threads that trace, inject, fork and start programs at random under a signal storm: SEED SECONDS. Exits 0 if
each saw what was its own, and nothing is left of us."""

import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import selftrace
from selftrace.inprocess.sites import patch_sites, sites

seed = int(sys.argv[1])
T = float(sys.argv[2])
random.seed(seed)
patch_sites(True, at_once=seed % 2 == 0)
end = time.time() + T
hits = [0]
signal.signal(signal.SIGALRM, lambda s, f: hits.__setitem__(0, hits[0] + 1))
signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
errors = []
done = [0] * 6
patched = [0]
parent = os.getppid()


def expect(c, *a):
    if not c:
        errors.append(a)
        print("BAD", a, flush=True)


def one(rng, i):
    k = rng.randrange(11)
    if k == 0:
        with selftrace.tracing("getppid", threads="current") as t:
            n = rng.randrange(5)
            for _ in range(n):
                os.getppid()
        expect(t.count() == n, "count", t.count(), n)
    elif k == 1:
        with selftrace.inject("getcwd", error="EACCES", when="2+") as f:
            os.getcwd()
            try:
                os.getcwd()
                expect(0, "noerr")
            except PermissionError:
                pass
        expect(f.fired == 1, "fired", f.fired)
    elif k == 2:
        with selftrace.tracing(threads="all") as t:
            one(rng, i) if rng.random() < 0.5 else None
        expect(t._share.stuck == 0, "stuck")
    elif k == 3:
        x = threading.Thread(target=lambda: os.stat("/"))
        x.start()
        x.join()
    elif k == 4 and rng.random() < 0.3:
        expect(subprocess.run(["true"]).returncode == 0, "true")
    elif k == 5 and rng.random() < 0.3:
        pid = os.fork()
        if not pid:
            ok = signal.getsignal(signal.SIGALRM) is not None
            os._exit(9 if ok else 1)
        expect(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9, "fork")
    elif k == 6:
        time.sleep(0.001)
    elif k == 7:
        a, b = socket.socketpair()
        b.send(b"x")
        select.select([a], [], [], 1)
        expect(a.recv(1) == b"x", "sock")
        a.close()
        b.close()
    elif k in (8, 9):
        with selftrace.inject("reboot,getpgrp", error="EPERM") as f:
            for _ in range(rng.randrange(30)):
                expect(os.getppid() == parent and os.stat("/") and os.close(os.dup(0)) is None, "passes")
            patched[0] = max(patched[0], sites().patched)
            expect(os.getpgrp() == -1, "not judged")
        expect(f.fired == 1, "fired", f.fired)
    else:
        with open("/proc/self/comm") as f:
            expect(f.read(), "comm")


def work(i):
    rng = random.Random(seed * 100 + i)
    while time.time() < end:
        one(rng, i)
        done[i] += 1


ths = [threading.Thread(target=work, args=(i,)) for i in range(1, 5)]
[t.start() for t in ths]
work(0)
[t.join() for t in ths]
signal.setitimer(signal.ITIMER_REAL, 0)
with open("/proc/self/maps") as maps:
    left = [line for line in maps if line.startswith("7e9")]
print(done, hits, errors, left, patched)
sys.exit(bool(errors or left or not all(done[:5])))
