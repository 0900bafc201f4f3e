"""Twenty ordinary scripts: unchanged under a fitting builtin policy, with the output and exit status of a plain run."""

from __future__ import annotations

import os

import pytest

import selftrace

DATA = "builtin:untrusted-script"
LOCAL = "builtin:python"

SCRIPTS: dict[str, tuple[str, str]] = {
    "numpy": (
        DATA,
        "import numpy as np\na = np.arange(12).reshape(3, 4); print(a @ a.T, np.linalg.inv(np.eye(3) * 2), np.fft.fft([1, 2, 3]).round(3))",
    ),
    "pandas": (
        DATA,
        "import pandas as pd\nd = pd.DataFrame({'g': list('aabb'), 'v': [1, 2, 3, 4]}); print(d.groupby('g').v.agg(['sum', 'mean']))\n"
        "d.to_csv('x.csv'); print(pd.read_csv('x.csv').shape)",
    ),
    "csv and statistics": (
        DATA,
        "import csv, io, statistics\nr = list(csv.DictReader(io.StringIO('a,b\\n1,2\\n3,4'))); print(r, statistics.mean(int(x['a']) for x in r))",
    ),
    "sqlite": (
        DATA,
        "import sqlite3\nc = sqlite3.connect('x.db'); c.execute('create table t (a, b)'); c.executemany('insert into t values (?, ?)', [(i, i * i) for i in range(100)])\n"
        "c.commit(); print(c.execute('select sum(b) from t where a > 50').fetchall()); c.close()",
    ),
    "threads": (
        DATA,
        "from concurrent.futures import ThreadPoolExecutor\nimport threading\nlock = threading.Lock(); total = 0\ndef f(n):\n    global total\n    with lock: total += n\n    return n * n\n"
        "with ThreadPoolExecutor(8) as pool: print(sum(pool.map(f, range(1000))), total)",
    ),
    "queue and timers": (
        DATA,
        "import queue, threading\nq = queue.Queue()\nfor n in range(3): threading.Timer(0.01 * n, q.put, (n,)).start()\nprint([q.get() for _ in range(3)])",
    ),
    "fork and pipes": (
        DATA,
        "import os\nr, w = os.pipe()\nif os.fork() == 0:\n    os.write(w, b'child'); os._exit(7)\nprint(os.read(r, 10), os.waitstatus_to_exitcode(os.wait()[1]))",
    ),
    "multiprocessing": (
        LOCAL,
        "import multiprocessing as mp\nmp.set_start_method('fork')\ndef f(n): return n * n\nif __name__ == '__main__':\n    with mp.Pool(3) as p: print(p.map(f, range(20)))\n    q = mp.Queue(); x = mp.Process(target=q.put, args=('hi',)); x.start(); print(q.get()); x.join(); print(x.exitcode)",
    ),
    "asyncio server and client": (
        LOCAL,
        "import asyncio\nasync def serve(r, w):\n    w.write((await r.readline()).upper()); await w.drain(); w.close()\nasync def main():\n"
        "    s = await asyncio.start_server(serve, '127.0.0.1', 0)\n    p = s.sockets[0].getsockname()[1]\n    async def ask(n):\n        r, w = await asyncio.open_connection('127.0.0.1', p)\n"
        "        w.write(f'hello {n}\\n'.encode()); line = await r.readline(); w.close(); return line\n    print(await asyncio.gather(*(ask(n) for n in range(20))))\n    s.close()\nasyncio.run(main())",
    ),
    "asyncio alone": (
        DATA,
        "import asyncio\nasync def f(n): await asyncio.sleep(0.001 * n); return n\nasync def main(): print(await asyncio.gather(*(f(n) for n in range(20))), await asyncio.to_thread(sum, [1, 2]))\nasyncio.run(main())",
    ),
    "http.server on loopback": (
        LOCAL,
        "import http.server, threading, urllib.request\ns = http.server.ThreadingHTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\nhttp.server.SimpleHTTPRequestHandler.log_message = lambda *a: None\n"
        "open('a.txt', 'w').write('page')\nthreading.Thread(target=s.serve_forever, daemon=True).start()\nprint(urllib.request.urlopen(f'http://127.0.0.1:{s.server_port}/a.txt').read())",
    ),
    "requests on loopback": (
        LOCAL,
        "import http.server, threading, requests\nclass H(http.server.BaseHTTPRequestHandler):\n    def do_POST(self):\n        b = self.rfile.read(int(self.headers['Content-Length'])); self.send_response(200); self.end_headers(); self.wfile.write(b[::-1])\n    def log_message(self, *a): pass\n"
        "s = http.server.HTTPServer(('127.0.0.1', 0), H); threading.Thread(target=s.serve_forever, daemon=True).start()\nprint(requests.post(f'http://127.0.0.1:{s.server_port}/', data='abc').text)",
    ),
    "ssl": (
        DATA,
        "import ssl\nc = ssl.create_default_context(); print(c.verify_mode, len(ssl.get_default_verify_paths()) > 0)\na, b = ssl.MemoryBIO(), ssl.MemoryBIO(); o = c.wrap_bio(a, b, server_hostname='x')\ntry: o.do_handshake()\nexcept ssl.SSLWantReadError: print(len(b.read()) > 100)",
    ),
    "zip and tar": (
        DATA,
        "import zipfile, tarfile, io\nopen('a', 'w').write('x' * 1000)\nwith zipfile.ZipFile('z.zip', 'w', zipfile.ZIP_DEFLATED) as z: z.write('a')\nwith tarfile.open('t.tgz', 'w:gz') as t: t.add('a')\n"
        "print(zipfile.ZipFile('z.zip').read('a') == tarfile.open('t.tgz').extractfile('a').read())",
    ),
    "compression": (
        DATA,
        "import gzip, bz2, lzma, zlib\nd = b'abc' * 1000; print([len(m.compress(d)) > 0 and m.decompress(m.compress(d)) == d for m in (gzip, bz2, lzma, zlib)])",
    ),
    "logging": (
        DATA,
        "import logging, logging.handlers\nh = logging.handlers.RotatingFileHandler('x.log', maxBytes=200, backupCount=2); l = logging.getLogger(); l.addHandler(h); l.setLevel(10)\nfor n in range(50): l.info('line %d', n)\nimport os; print(sorted(f for f in os.listdir('.') if 'log' in f))",
    ),
    "tempfile and shutil": (
        DATA,
        "import tempfile, shutil, os, pathlib\nwith tempfile.TemporaryDirectory() as d:\n    p = pathlib.Path(d, 'a/b'); p.mkdir(parents=True); (p / 'f').write_text('x'); shutil.copytree(pathlib.Path(d, 'a'), pathlib.Path(d, 'c')); print(sorted(str(x.relative_to(d)) for x in pathlib.Path(d).rglob('*')))\nwith tempfile.NamedTemporaryFile() as f: f.write(b'1'); f.flush(); print(os.path.getsize(f.name))\nwith tempfile.TemporaryFile() as f: f.write(b'22'); f.seek(0); print(f.read())",
    ),
    "signals and alarms": (
        DATA,
        "import signal, time\nn = 0\ndef f(*a):\n    global n; n += 1\nsignal.signal(signal.SIGALRM, f); signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)\nwhile n <= 10: open('/dev/null').close()\nsignal.setitimer(signal.ITIMER_REAL, 0); print(n > 10)",
    ),
    "mmap and struct": (
        DATA,
        "import mmap, struct\nwith open('m', 'wb') as f: f.write(bytes(8192))\nwith open('m', 'r+b') as f:\n    m = mmap.mmap(f.fileno(), 0); m[0:8] = struct.pack('<q', 42); m.flush(); m.close()\nprint(struct.unpack('<q', open('m', 'rb').read(8)))",
    ),
    "dates and zones": (
        DATA,
        "import datetime, zoneinfo, locale, time\nprint(datetime.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo('UTC')).isoformat(), time.strftime('%Y', time.gmtime(0)), datetime.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin')).utcoffset())",
    ),
    "pickles, copies, hashes": (
        DATA,
        "import pickle, copy, hashlib, secrets, random, uuid\nx = {'a': [1, (2, 3)]}; print(pickle.loads(pickle.dumps(x)) == copy.deepcopy(x), hashlib.sha256(b'x').hexdigest(), len(secrets.token_bytes(8)), random.Random(1).random(), len(str(uuid.uuid4())))",
    ),
    "an exception": (DATA, "def f(): return 1 // 0\nf()"),
    "exit in the middle": (DATA, "import atexit, sys\natexit.register(print, 'bye')\nsys.exit('message')"),
    "unix sockets in pairs": (
        DATA,
        "import socket, selectors\na, b = socket.socketpair(); s = selectors.DefaultSelector(); s.register(b, selectors.EVENT_READ); a.send(b'x'); print([(k.fileobj is b, b.recv(1)) for k, _ in s.select(1)])",
    ),
    "ctypes": (
        DATA,
        "import ctypes\nlibc = ctypes.CDLL(None); print(libc.abs(-3), ctypes.sizeof(ctypes.c_long)); C = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int)); v = (ctypes.c_int * 4)(3, 1, 2, 0); libc.qsort(v, 4, 4, C(lambda p, q: p[0] - q[0])); print(list(v))",
    ),
    "dataclasses, typing, re, json, decimal": (
        DATA,
        "import dataclasses, json, re, decimal, fractions, textwrap\n@dataclasses.dataclass\nclass P: x: int\nprint(json.dumps(dataclasses.asdict(P(1))), re.sub(r'(a)', r'<\\1>', 'banana'), decimal.Decimal('1.1') + 1, fractions.Fraction(1, 3), textwrap.fill('a b ' * 10, 20))",
    ),
}
LOOKED_FOR = {"zip and tar": {"/etc/passwd", "/etc/group"}}
"""What a script reads of the system's accounts is refused and reported, and it does without."""
# numpy's OpenBLAS needs these on some of the machines that run the tests
KEPT = {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}


@pytest.mark.parametrize("name", SCRIPTS)
def test_same_as_plain_and_nothing_to_report(name: str) -> None:
    policy, code = SCRIPTS[name]
    plain, interposed = (selftrace.run(code=code, policy=policy, backend=backend, env=KEPT) for backend in ("none", "trap"))
    assert (interposed.stdout, interposed.exit_code, interposed.signal) == (plain.stdout, plain.exit_code, plain.signal), (
        interposed.stderr
    )
    assert plain.reason == "exit"
    assert plain.stdout or name == "an exception"
    if name not in ("an exception", "exit in the middle"):
        assert plain.exit_code == 0, plain.stderr
    assert interposed.stderr == plain.stderr
    assert {v.path for v in interposed.violations} <= LOOKED_FOR.get(name, set())
    assert [str(event) for event in interposed.events] == []


@pytest.mark.parametrize("policy", ["builtin:read-only", "builtin:no-network", "builtin:observe", "builtin:untrusted-program"])
@pytest.mark.parametrize("name", ["numpy", "sqlite", "threads", "fork and pipes", "zip and tar", "tempfile and shutil"])
def test_under_the_other_builtins(name: str, policy: str) -> None:
    code = SCRIPTS[name][1]
    plain, interposed = (selftrace.run(code=code, policy=policy, backend=backend, env=KEPT) for backend in ("none", "trap"))
    assert interposed.check().stdout == plain.check().stdout
    assert {v.path for v in interposed.violations} <= LOOKED_FOR.get(name, set())


def test_pure_compute() -> None:
    result = selftrace.run(code="import math, json, fractions; print(math.factorial(20))", policy="builtin:pure-compute")
    assert result.check().stdout == b"2432902008176640000\n"
    assert result.violations == ()
    for code, error in (
        ("open('x', 'w')", "Permission"),
        ("import os; os.fork()", "not permitted"),
        ("import threading; threading.Thread(target=print).start()", "can't start"),
    ):
        refused = selftrace.run(code=code, policy="builtin:pure-compute")
        assert refused.exit_code == 1
        assert error in refused.stderr.decode()
        assert refused.violations


def test_observe_counts_and_refuses_nothing() -> None:
    code = "open('/etc/passwd').close(); import socket; socket.socket().close()"
    result = selftrace.run(code=code, policy="builtin:observe")
    assert result.check().mode == "audit"
    assert result.usage.calls["openat"] > 0
    assert result.usage.calls["socket"] == 1
    assert result.usage.files["/etc/passwd"] == ("read",)
    assert result.guarantees == ()


def test_audit_reports_what_would_be_denied() -> None:
    from selftrace import Policy

    code = "print(open('/etc/passwd').read(4))"
    result = selftrace.run(code=code, policy=Policy.builtin("untrusted-script").with_grants(audit=True))
    assert result.check().stdout == b"root\n"
    assert {(violation.audit, violation.path) for violation in result.violations} == {(True, "/etc/passwd")}
    assert str(result.violations[0]).startswith("would deny openat(")
