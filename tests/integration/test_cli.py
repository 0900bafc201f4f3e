"""The commands: options, exit codes, JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

import selftrace
from selftrace.doctor import diagnose
from tests.waiting import PATIENCE_S

Script = Callable[..., str]
SCHEMA = json.loads((Path(selftrace.__file__).parent / "reports" / "result.schema.json").read_text())


def command(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "selftrace", *words], capture_output=True, text=True, timeout=PATIENCE_S, **options
    )  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("run", "-c", "import sys; sys.exit(7)"), 7),
        (("run", "-c", "import os; os.kill(os.getpid(), 15)"), 143),
        (("run", "--timeout", "0.5", "-c", "while 1: pass"), 124),
        (("run", "-c", "import os\nwhile 1: os.write(1, b'x' * 65536)"), 137),
        (("run", "/nowhere.py"), 127),
        (("run",), 125),
        (("run", "--no-such-option", "-c", "1"), 125),
        (("run", "--timeout", "-1", "-c", "1"), 125),
        (("run", "--policy", "builtin:nothing", "-c", "1"), 125),
        (("run", "--policy", "/nowhere.toml", "-c", "1"), 125),
        (("run", "--", "/bin/true"), 0),
        (("run", "--input", "/nowhere", "-c", "1"), 125),
        (("run", "--env", "SELFTRACE_NOT_SET", "-c", "1"), 125),
        (("run", "--python", "/nowhere/python", "-c", "1"), 125),
        (("run", "/bin/ls"), 125),
        (("trace", "--trce=open", "ls"), 125),
        (("learn",), 2),
        (("nothing",), 2),
        (("explain", "builtin:nothing"), 2),
        (("explain", "--call", "nothing("), 2),
        (("check", "/nowhere.toml"), 2),
        (("help", "nothing"), 2),
        (("policy", "show"), 2),
        (("--version",), 0),
        (("policy", "list"), 0),
        (("policy", "schema"), 0),
        (("help",), 0),
        (("help", "policy"), 0),
        (("explain",), 0),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else str(value),
)
def test_exit_codes(words: tuple[str, ...], code: int) -> None:
    done = command(*words)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if code in (125, 126, 127, 2) or "nothing" in words:
        assert (done.stderr + done.stdout).strip(), "a refusal says why"


def test_json_is_what_its_schema_says(tmp_path: Path) -> None:
    target = tmp_path / "r.json"
    done = command(
        "run",
        "--json",
        str(target),
        "-c",
        "print(1)\ntry: open('/etc/passwd')\nexcept OSError: pass\nimport os; os.write(2, b'\\xff')",
        errors="replace",
    )
    assert done.stdout == "1\n"
    data = json.loads(target.read_text())
    jsonschema.validate(data, SCHEMA)
    assert data["stderr"] == {"base64": "/w=="}
    assert data["violations"][0]["rule"] == "fs.default"
    assert data["usage"]["calls"]["openat"] > 1


@pytest.mark.parametrize(
    "code", ["1 // 0", "import os; os.kill(os.getpid(), 9)", "open('x', 'w').write('1')", "import os; os.mkdir('/nope')"]
)
def test_every_result_fits_the_schema(code: str) -> None:
    result = selftrace.run(code=code, outputs=["*"])
    jsonschema.validate(json.loads(result.to_json()), SCHEMA)


def test_options_end_at_the_script(script: Script) -> None:
    path = script("import sys; print(sys.argv[1:])")
    assert command("run", path, "--timeout", "-q", "--", "x").stdout == "['--timeout', '-q', '--', 'x']\n"
    assert command("run", "-q", "-c", "import sys; print(sys.argv)", "-m").stdout == "['-c', '-m']\n"
    assert command("run", "-m", "json.tool", "--help").stdout.startswith("usage:")


def test_an_audit_says_so() -> None:
    done = command("run", "--audit", "-c", "open('/etc/passwd').close(); print('read')")
    assert done.stdout == "read\n"
    assert "audit: nothing is refused, the script runs unprotected" in done.stderr
    assert "would deny openat" in done.stderr


def test_quiet() -> None:
    done = command("run", "-q", "-c", "try: open('/etc/passwd')\nexcept OSError: print('no')")
    assert (done.stdout, done.stderr) == ("no\n", "")


def test_reports_are_few() -> None:
    done = command("run", "-c", "for n in range(500):\n    try: open(f'/etc/{n}')\n    except OSError: pass")
    lines = done.stderr.splitlines()
    assert len(lines) == 21
    assert lines[-1].startswith("selftrace: 500 violations in all")


def test_outputs_come_back(tmp_path: Path) -> None:
    done = command(
        "run",
        "--output",
        "**/*.txt",
        "--output-dir",
        str(tmp_path),
        "-c",
        "import os; os.mkdir('d'); open('d/a.txt', 'w').write('x')",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "d" / "a.txt").read_text() == "x"


def test_explain_prints_one_label_per_rule() -> None:
    for name in ("untrusted-script", "untrusted-program", "python", "pure-compute", "read-only", "no-network", "observe"):
        done = command("explain", f"builtin:{name}", "--json", "-")
        data = json.loads(done.stdout)
        labels = {"kernel", "supervisor", "supervisor-racy", "advisory", None}
        assert all(rule["enforcement"] in labels for rule in data["rules"])
        assert any(rule["enforcement"] == "kernel" for rule in data["rules"])
        table = command("explain", f"builtin:{name}").stdout
        assert f"policy {name}" in table


def test_grants_on_the_command_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    file = tmp_path / "f*"
    file.write_text("star")
    (tmp_path / "fx").write_text("other")
    code = f"print(open({str(file)!r}).read())\nopen({str(tmp_path / 'fx')!r})"
    done = command("run", "--allow-read", str(file), "-c", code)
    assert done.stdout == "star\n"
    assert "PermissionError" in done.stderr


def test_broken_pipe_is_no_traceback() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m selftrace run -c 'print(\"x\" * 10000000)' | head -c 1"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.stdout == "x"
    assert "Traceback" not in done.stderr


def test_doctor() -> None:
    done = command("doctor", "--json", "-")
    data = json.loads(done.stdout)
    assert data["uses"]["sandbox"] == "yes: everything that was tried was refused"
    assert len(data["denials"]) > 10
    assert "allowed" not in data["denials"].values()
    assert data["uses"]["trace"] == data["uses"]["tracing in process"] == "yes"
    assert data["uses"]["attach"].startswith("yes")


def test_doctor_says_what_a_missing_feature_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selftrace.kernel.features.has_gs_base", lambda: False)
    monkeypatch.setattr("selftrace.doctor._try_denials", lambda found: None)
    assert any("FSGSBASE" in note and "every call costs a signal" in note for note in diagnose().notes)


def test_run_a_program() -> None:
    done = command("run", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout) == (3, "out\n")
    assert "err" in done.stderr
    assert command("run", "--", "no-such-program").returncode == 127
    assert command("run", "--", "/etc/hostname").returncode == 126
    assert command("run", "--").returncode == 125


def test_check_with_a_program(tmp_path: Path) -> None:
    policy = tmp_path / "p.toml"
    policy.write_text('policy = 1\nextends = ["builtin:untrusted-program"]\n')
    held = command("check", str(policy), "--", "cat", "/etc/hostname")
    assert held.returncode == 1
    assert 'would deny openat("/etc/hostname"' in held.stderr.replace("AT_FDCWD, ", "")
    assert held.stdout == Path("/etc/hostname").read_text()
    assert command("check", str(policy), "--", "true").returncode == 0
    assert command("check", "--", "true").returncode == 2
    assert command("check", str(policy), "--", "no-such-program").returncode == 2
