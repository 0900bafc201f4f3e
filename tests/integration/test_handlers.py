"""Python handlers in the tracee, by both deliveries, and what is refused when loading."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import selftrace
from selftrace import Policy, PolicyError

HEAD = """
import errno, os
from selftrace import Policy, Kill, Call
p = Policy.load("builtin:untrusted-script")
"""
Runner = Callable[..., selftrace.Result]


@pytest.fixture
def run_with(tmp_path: Path) -> Iterator[Runner]:
    """Runs code under a handler file with this text."""

    def run(handlers: str, code: str, **options: object) -> selftrace.Result:
        path = tmp_path / "handlers.py"
        path.write_text(HEAD + handlers)
        return selftrace.run(code=code, policy=path, **options)  # type: ignore[arg-type]

    yield run
    for name in [name for name in sys.modules if name.startswith("selftrace_policy_")]:
        del sys.modules[name]


def test_content(run_with: Runner) -> None:
    result = run_with(
        '@p.on("openat", "open", path="/etc/hostname")\ndef fake(call):\n    return call.content(b"sandbox\\n")',
        "print(open('/etc/hostname').read(), end='')",
    )
    assert result.check().stdout == b"sandbox\n"


def test_refusing_with_an_errno(run_with: Runner) -> None:
    result = run_with(
        '@p.on("unlink", "unlinkat")\ndef no(call):\n    raise OSError(errno.EBUSY, "not now")',
        "import os\nopen('x', 'w').close()\ntry: os.unlink('x')\nexcept OSError as e: print(e.errno)",
    )
    assert result.check().stdout == b"16\n"
    (violation,) = result.violations
    assert (violation.error, violation.note, violation.enforcement) == ("EBUSY", "[Errno 16] not now", "advisory")
    assert violation.place is not None and violation.place.line == 3


@pytest.mark.parametrize(
    ("raised", "number"),
    [
        ("PermissionError", 13),
        ("FileNotFoundError", 2),
        ("FileExistsError", 17),
        ("TimeoutError", 110),
        ("ConnectionRefusedError", 111),
        ("OSError", 1),
        ("OSError(5, 'x')", 5),
        ("BlockingIOError", 11),
    ],
)
def test_exceptions_have_their_errno(run_with: Runner, raised: str, number: int) -> None:
    result = run_with(
        f'@p.on("mkdir")\ndef no(call):\n    raise {raised}', "import os\ntry: os.mkdir('x')\nexcept OSError as e: print(e.errno)"
    )
    assert int(result.check().stdout) == number


def test_proceeding_and_logging(run_with: Runner) -> None:
    result = run_with(
        '@p.on("mkdir")\ndef look(call):\n    r = call.proceed()\n    call.log("made", path=call.path, mode=oct(call.mode))\n    return r',
        "import os\nos.mkdir('x', 0o700); print(os.listdir('.'))",
    )
    assert result.check().stdout == b"['x']\n"
    assert [event.note for event in result.events] == ["made path=x mode=0o700"]
    assert result.events[0].kind == "log"


def test_proceed_raises_what_the_call_returns(run_with: Runner) -> None:
    result = run_with(
        '@p.on("mkdir")\ndef look(call):\n    try: call.proceed()\n    except FileExistsError: call.log("there")\n    return 0',
        "import os\nos.mkdir('x'); os.mkdir('x'); print('ok')",
    )
    assert result.check().stdout == b"ok\n"
    assert [event.note for event in result.events] == ["there"]


def test_changed_arguments_live_in_a_private_copy(run_with: Runner) -> None:
    result = run_with(
        '@p.on("write", args={"fd": 1})\ndef upper(call):\n    return call.proceed(buf=call.buf.upper())',
        "import os\ndata = bytearray(b'quiet\\n'); os.write(1, data); assert data == b'quiet\\n'",
    )
    assert result.check().stdout == b"QUIET\n"


def test_a_changed_path_is_judged_again(run_with: Runner) -> None:
    handlers = '@p.on("openat", path="${TMP}/a")\ndef other(call):\n    return call.proceed(path="/etc/passwd")'.replace(
        '"${TMP}/a"', '"/**/a"'
    )
    result = run_with(handlers, "import os\ntry: open(os.getcwd() + '/a')\nexcept OSError as e: print(e.errno)")
    assert result.check().stdout == b"13\n"


def test_every_way_to_make_a_policy_works_inside_too(tmp_path: Path) -> None:
    """What the class offers in the launcher, its stand-in in the tracee offers as well."""
    from selftrace.tracee import collector

    public = {name for name in vars(Policy) if not name.startswith("_")} - {"name", "text", "model", "fingerprint", "with_file"}
    assert public <= set(vars(collector.Policy))
    path = tmp_path / "parsed_handlers.py"
    path.write_text(
        "from selftrace import Policy\np = Policy.parse('policy = 1\\n[default]\\naction = \"allow\"').with_grants(audit=False)\n"
        "@p.on('mkdir')\ndef no(call): raise PermissionError\n"
    )
    result = selftrace.run(code="import os\ntry: os.mkdir('x')\nexcept PermissionError: print('no')", policy=path)
    assert result.check().stdout == b"no\n"


def test_counting(run_with: Runner) -> None:
    result = run_with(
        '@p.on("openat", path="/**/file?", when="3+")\ndef full(call):\n    raise OSError(errno.ENOSPC)',
        "import os\nfor n in range(5):\n    try: open(os.getcwd() + f'/file{n}', 'w').close()\n    except OSError as e: print(n, e.errno)",
    )
    assert result.check().stdout == b"2 28\n3 28\n4 28\n"


def test_returning_none_is_no_opinion(run_with: Runner) -> None:
    result = run_with(
        '@p.on("mkdir")\ndef first(call):\n    call.log("first")\n@p.on("mkdir")\ndef second(call):\n    call.log("second")',
        "import os\nos.mkdir('x'); print(os.path.isdir('x'))",
    )
    assert result.check().stdout == b"True\n"
    assert [event.note for event in result.events] == ["first", "second"]


def test_proceed_runs_the_rest_of_the_chain(run_with: Runner) -> None:
    result = run_with(
        '@p.on("mkdir")\ndef outer(call):\n    call.log("in")\n    try: return call.proceed()\n    finally: call.log("out")\n'
        '@p.on("mkdir")\ndef inner(call):\n    call.log("inner")\n    raise PermissionError',
        "import os\ntry: os.mkdir('x')\nexcept PermissionError: print('no')",
    )
    assert result.check().stdout == b"no\n"
    assert [event.note for event in result.events] == ["in", "inner", "out"]


def test_emulating(run_with: Runner) -> None:
    result = run_with(
        '@p.on("getpriority")\ndef nice(call):\n    return 13', "import os; print(os.getpriority(os.PRIO_PROCESS, 0))"
    )
    assert result.check().stdout == b"7\n"  # the kernel's 20 - nice


def test_a_boolean_is_a_mistake_that_denies(run_with: Runner) -> None:
    result = run_with(
        '@p.on("mkdir")\ndef wrong(call):\n    return True', "import os\ntry: os.mkdir('x')\nexcept OSError as e: print(e.errno)"
    )
    assert result.check().stdout == b"1\n"
    assert "return None to let it pass" in result.events[0].note


def test_an_error_denies_and_shows_its_traceback(run_with: Runner) -> None:
    result = run_with(
        '@p.on("mkdir")\ndef broken(call):\n    return 1 // 0',
        "import os\ntry: os.mkdir('x')\nexcept OSError as e: print(e.errno)",
    )
    assert result.check().stdout == b"1\n"
    (event,) = result.events
    assert event.kind == "error"
    assert "ZeroDivisionError" in event.note and "in broken" in event.note


def test_on_error_kill(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('policy = 1\nextends = ["builtin:untrusted-script"]\n[default]\non_error = "kill"\n')
    path = tmp_path / "handlers_kill.py"
    path.write_text(
        f'from selftrace import Policy\np = Policy.load({str(tmp_path / "p.toml")!r})\n@p.on("mkdir")\ndef b(call): 1 // 0\n'
    )
    result = selftrace.run(code="import os\ntry: os.mkdir('x')\nfinally: print('on')", policy=path)
    assert (result.reason, result.stdout) == ("signal", b"")


def test_kill_ends_the_whole_run(run_with: Runner) -> None:
    result = run_with(
        '@p.on("mkdir")\ndef end(call):\n    raise Kill("enough")',
        "import os, time\nif os.fork() == 0: time.sleep(60)\ntry: os.mkdir('x')\nexcept BaseException: print('caught')",
    )
    assert (result.reason, result.exit_code, result.stdout) == ("violation", None, b"")
    assert result.violations[0].note == "enough"
    assert result.violations[0].error == "killed"


def test_proceed_twice_denies(run_with: Runner) -> None:
    result = run_with(
        '@p.on("mkdir")\ndef twice(call):\n    call.proceed()\n    call.proceed()',
        "import os\ntry: os.mkdir('x')\nexcept OSError as e: print(e.errno)",
    )
    assert result.check().stdout == b"1\n"
    assert "once" in result.events[0].note


def test_handlers_narrow_and_never_widen(run_with: Runner) -> None:
    result = run_with(
        '@p.on("openat", path="/etc/passwd")\ndef pass_it(call):\n    return call.proceed()',
        "try: open('/etc/passwd')\nexcept OSError as e: print(e.errno)",
    )
    assert result.check().stdout == b"13\n"


def test_what_a_call_shows(run_with: Runner) -> None:
    handlers = """
@p.on("renameat2", "rename", "renameat")
def look(call):
    call.log(f"{call.name} {call.sysno} {call.path} {call.path2} {call.path_bytes} {call.tid == os.getpid()} {len(call.args)}")
    call.log(f"{call.stack()[0][1:]}")
@p.on("fchmod")
def fd(call):
    call.log(f"{os.path.basename(call.fd_path)} {oct(call.mode)}")
"""
    code = "import os\nopen('a', 'w').close()\nos.rename('a', 'b')\nf = open('b'); os.fchmod(f.fileno(), 0o640)"
    result = run_with(handlers, code)
    assert result.check()
    notes = [event.note for event in result.events]
    assert notes[0] == "rename 82 a b b'a' True 2"
    assert notes[1:] == ["(3, '<module>')", "b 0o640"]


def test_addresses(run_with: Runner) -> None:
    handlers = '@p.on("connect", addr="127.0.0.1:*")\ndef look(call):\n    call.log(f"{call.addr.host} {call.addr.port} {call.addr.family}")'
    handlers = handlers.replace("@p.on", "p = p.with_grants(connect=['127.0.0.1:9'])\n@p.on")
    handlers = (
        "del p\np = Policy.load('builtin:untrusted-script').with_grants(connect=['127.0.0.1:9'])\n" + handlers.split("\n", 1)[1]
    )
    result = run_with(
        handlers, "import socket\ns = socket.socket()\ntry: s.connect(('127.0.0.1', 9))\nexcept OSError as e: print(e.errno)"
    )
    assert result.check().stdout == b"111\n"
    assert [event.note for event in result.events] == ["127.0.0.1 9 2"]


def test_threads_and_forks(run_with: Runner) -> None:
    handlers = '@p.on("mkdir")\ndef count(call):\n    call.log("x")'
    code = """
import os, threading
threads = [threading.Thread(target=os.mkdir, args=(f"t{n}",)) for n in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
if os.fork() == 0:
    os.mkdir("child"); os._exit(0)
os.wait(); print(len(os.listdir(".")))
"""
    result = run_with(handlers, code)
    assert result.check().stdout == b"9\n"
    assert len(result.events) == 9


def test_no_thread_gets_past_its_handler(run_with: Runner) -> None:
    """Threads that start at once, while helpers are started for those that find the GIL taken: each has a block of its own."""
    code = """
import os, threading
for round in range(6):
    threads = [threading.Thread(target=os.mkdir, args=(f"{round}-{n}",)) for n in range(12)]
    [t.start() for t in threads]; [t.join() for t in threads]
print(len(os.listdir(".")))
"""
    for _ in range(8):
        result = run_with('@p.on("mkdir")\ndef count(call):\n    call.log("x")', code)
        assert result.check().stdout == b"72\n"
        assert len(result.events) == 72


def test_waiting_for_the_gil_costs_few_tasks(run_with: Runner) -> None:
    """A helper waits for all threads that wait, or the program's limit of tasks would be ours."""
    code = """
import os, threading, time
for round in range(10):
    threads = [threading.Thread(target=os.mkdir, args=(f"{round}-{n}",)) for n in range(12)]
    [t.start() for t in threads]; [t.join() for t in threads]
for _ in range(5000):
    left = len(os.listdir("/proc/self/task"))
    if left <= 4: break
    time.sleep(0.01)
print(left)
"""
    result = run_with('@p.on("mkdir")\ndef count(call):\n    call.log("x")', code)
    assert int(result.check().stdout) <= 4
    assert len(result.events) == 120


def test_a_handler_that_lets_the_gil_go_does_not_hold_up_others(run_with: Runner) -> None:
    """Two wait for the same helper; the first one's handler sleeps for longer than the second may wait."""
    handlers = """
import time
@p.on("mkdir")
def slow(call):
    if "slow" in str(call.path): time.sleep(3)
    call.log("x")
"""
    code = """
import os, threading
threads = [threading.Thread(target=os.mkdir, args=(name,)) for name in ("slow1", "slow2", "slow3", "a", "b", "c")]
[t.start() for t in threads]; [t.join() for t in threads]
print(len(os.listdir(".")))
"""
    result = run_with(handlers, code)
    assert result.check().stdout == b"6\n"
    assert len(result.events) == 6


def test_a_thread_without_the_gil_waits_for_it(run_with: Runner) -> None:
    """getaddrinfo reads its files without the GIL while other threads import: the handlers are asked all the same."""
    handlers = '@p.on("openat")\ndef all(call):\n    return None'
    code = """
import socket, threading, importlib, sys
def resolve():
    for _ in range(5):
        try: socket.getaddrinfo("localhost", 80)
        except OSError: pass
def load():
    for name in ("decimal", "ctypes", "zlib", "bz2", "json"):
        sys.modules.pop(name, None); importlib.import_module(name)
threads = [threading.Thread(target=f) for f in (resolve, resolve, resolve, resolve, load, load)]
[t.start() for t in threads]; [t.join() for t in threads]; print("done")
"""
    result = run_with(handlers, code)
    assert result.check().stdout == b"done\n"


def test_keyboard_interrupt_reaches_the_program(run_with: Runner) -> None:
    handlers = '@p.on("mkdir")\ndef slow(call):\n    raise KeyboardInterrupt'
    result = run_with(
        handlers,
        "import os\ntry:\n    os.mkdir('x')\n    for _ in range(100): pass\nexcept (KeyboardInterrupt, InterruptedError): print('got it')",
    )
    assert result.stdout == b"got it\n"


def test_a_handler_in_a_module_beside_the_caller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "beside_module.py").write_text("def no(call):\n    raise PermissionError\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import beside_module

    policy = Policy.builtin("untrusted-script")
    policy.on("mkdir")(beside_module.no)
    result = selftrace.run(code="import os\ntry: os.mkdir('x')\nexcept PermissionError: print('no')", policy=policy)
    assert result.check().stdout == b"no\n"
    del sys.modules["beside_module"]


def test_a_rule_names_a_handler(tmp_path: Path) -> None:
    text = 'policy = 1\nextends = ["builtin:untrusted-script"]\n[[rule]]\ncalls = ["mkdir"]\naction = "python"\ncall = "os.path:nothing_here"\n'
    result = selftrace.run(code="print(1)", policy=Policy.parse(text))
    assert (result.reason, result.exit_code) == ("error", 125)
    assert b"nothing_here" in result.stderr


def _outer() -> Callable[[object], None]:
    value = 1

    def inner(_call: object) -> None:
        assert value

    return inner


async def _later(_call: object) -> None:
    pass


REFUSED = {
    "a lambda": (lambda call: None, "mkdir", "lambda.*needs the supervisor, which is not built yet"),
    "a closure": (_outer(), "mkdir", "closure.*needs the supervisor, which is not built yet"),
    "async": (_later, "mkdir", "async.*needs the supervisor, which is not built yet"),
    "memory": (test_addresses, "mmap", "no Python for mmap"),
    "threads": (test_addresses, "clone", "no Python for clone"),
    "fork": (test_addresses, "fork", "no Python for fork"),
    "signals": (test_addresses, "rt_sigprocmask", "no Python for rt_sigprocmask"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_when_loading(name: str) -> None:
    function, call, message = REFUSED[name]
    with pytest.raises(PolicyError, match=message):
        Policy.builtin("untrusted-script").on(call)(function)


def test_a_function_of_the_main_program_is_refused(script: Callable[..., str]) -> None:
    path = script(
        "import selftrace\np = selftrace.Policy.builtin('untrusted-script')\n"
        "try:\n    @p.on('mkdir')\n    def f(call): pass\nexcept selftrace.PolicyError as e: print(e)"
    )
    import subprocess

    output = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True).stdout
    assert "main program's" in output and "which is not built yet" in output


def test_a_notebook_cell_is_refused() -> None:
    import types

    cell = types.FunctionType(compile("def f(call): pass", "<cell>", "exec").co_consts[0], {"__name__": "__main__"}, "f")
    cell.__module__ = "__main__"
    with pytest.raises(PolicyError, match="notebook"):
        Policy.builtin("untrusted-script").on("mkdir")(cell)


def test_supervisor_enforcement_is_refused() -> None:
    with pytest.raises(PolicyError, match="which is not built yet"):
        Policy.builtin("untrusted-script").on("mkdir", enforce="supervisor")


def test_unknown_calls_and_arguments_are_refused() -> None:
    policy = Policy.builtin("untrusted-script")
    with pytest.raises(PolicyError, match='did you mean "mkdir"'):
        policy.on("mkdri")
    with pytest.raises(PolicyError, match='no argument "colour"'):
        policy.on("mkdir", args={"colour": 1})


@pytest.mark.parametrize(("text", "message"), [("x = (", "not Python"), ("x = 1", "makes 0 policies")])
def test_bad_handler_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad_handlers.py"
    path.write_text(text)
    with pytest.raises(PolicyError, match=message):
        Policy.load(path)


@pytest.mark.parametrize("error", ["PermissionError", "ValueError"])
def test_audit_refuses_nothing(tmp_path: Path, error: str) -> None:
    path = tmp_path / "audited.py"
    path.write_text(
        "from selftrace import Policy\np = Policy.builtin('observe')\n"
        f"@p.on('mkdir')\ndef no(call):\n    raise {error}('not here')\n"
    )
    try:
        result = selftrace.run(code="import os; os.mkdir('made'); print(os.listdir('.'))", policy=path)
    finally:
        sys.modules.pop("selftrace_policy_audited", None)
    assert result.check().stdout == b"['made']\n"
    assert any("not here" in (report.note or "") for report in (*result.violations, *result.events))
