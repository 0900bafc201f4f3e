"""What policies mean: the three that must stay clear, every block of the design document, labels on every kernel."""

from __future__ import annotations

import textwrap

import pytest

from selftrace import Policy, PolicyError, UnsupportedError
from selftrace.kernel.bpf import Gate, compile_filter
from selftrace.policy.compile import compile as compile_plan
from selftrace.policy.explain import explain_call, table
from selftrace.policy.lint import lint
from selftrace.policy.plan import Plan
from selftrace.policy.reader import builtin_names
from selftrace.policy.terms import Context, Features
from selftrace.record import replace

CONTEXT = Context(
    script="/srv/job.py", script_dir="/srv", home="/home/u", tmp="/tmp/run", cwd="/w", python=("/usr/lib/python3",), site=("/s",)
)
NOW = Features(landlock_abi=7, seccomp=True, mseal=True)


def plan_of(text: str, features: Features = NOW) -> Plan:
    return compile_plan(Policy.parse(textwrap.dedent(text), name="p.toml").model(CONTEXT), features)


def says(plan: Plan, call: str) -> str:
    return explain_call(plan, call)[1]


def test_x_a_section_that_is_present_closes_its_domain() -> None:
    plan = plan_of('policy = 1\n[default]\naction = "allow"\n[fs]\nread = ["/usr/**"]')
    assert "refused with EACCES, by fs.default (p.toml:4" in says(plan, 'open("/etc/passwd", O_RDONLY)')
    assert "allowed" in says(plan, 'open("/usr/x", O_RDONLY)')
    assert "refused" in says(plan, 'open("/usr/x", O_WRONLY)')


def test_y_default_error_and_no_calls_section() -> None:
    text = 'policy = 1\n[default]\naction = "error"\n[fs]\nread = ["/usr/**"]\n[[rule]]\ncalls = ["openat"]\naction = "allow"'
    plan = plan_of(text)
    for call in ("brk(0)", "getppid()"):
        assert "refused with EPERM" in says(plan, call)
    assert "refused with EACCES, by fs.default" in says(plan, 'openat(AT_FDCWD, "/etc/passwd", O_RDONLY)')
    model = Policy.parse(text, name="p.toml").model(CONTEXT)
    assert any("[calls] is missing" in p.message and "@system-service" in p.message for p in lint(model, plan))


def test_z_content_is_given_and_nothing_opened() -> None:
    plan = plan_of(
        'policy = 1\n[default]\naction = "allow"\n[fs]\nread = ["/**"]\ndeny = ["${HOME}/.ssh/**"]\n'
        '[[rule]]\nid = "bait"\ncalls = ["openat", "open"]\nmatch = { "@path" = "${HOME}/.ssh/id_rsa" }\naction = "content"\ncontent = "fake"'
    )
    assert "answered (content 4 bytes), nothing is executed" in says(plan, 'openat(AT_FDCWD, "/home/u/.ssh/id_rsa", O_RDONLY)')
    assert "refused with EACCES, by fs.deny" in says(plan, 'openat(AT_FDCWD, "/home/u/.ssh/other", O_RDONLY)')


def test_a_rule_for_calls_that_it_cannot_be_done_to() -> None:
    for rule, said in (
        ('calls = ["read", "open"]\naction = "short"\nshort = 5', "short"),
        ('calls = ["write"]\naction = "data"\ndata = "x"', "data"),
        ('calls = ["close"]\naction = "poke_enter"\npoke = "@arg2=00"', "close has 1 arguments"),
    ):
        with pytest.raises(PolicyError, match=said):
            plan_of(f'policy = 1\n[default]\naction = "allow"\n[[rule]]\n{rule}')


@pytest.mark.parametrize("abi", [1, 2, 3, 4, 5, 6, 7, 9])
@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("name", builtin_names())
def test_builtins_start_on_every_landlock(name: str, root: bool, abi: int) -> None:
    features = replace(NOW, landlock_abi=abi, root=root)
    plan = compile_plan(Policy.builtin(name).model(CONTEXT), features)
    assert all(row.enforcement != "unavailable" for row in plan.rows)
    denying = [row for row in plan.rows if row.enforcement]
    assert denying or plan.mode == "audit"
    assert (
        len({row.id for row in plan.rows if row.id.startswith(("fs.", "net.", "process.", "limits."))}) > 0
        or plan.mode == "audit"
    )
    program = compile_filter(plan.filter, Gate(0x7E900000D002, 0x7E900011FFF2, 15, 2))
    assert len(program.instructions) < 4096


@pytest.mark.parametrize("name", builtin_names())
def test_builtins_without_landlock_say_what_is_lost(name: str) -> None:
    features = replace(NOW, landlock_abi=0)
    policy = Policy.builtin(name)
    try:
        plan = compile_plan(policy.model(CONTEXT), features)
    except UnsupportedError as error:
        assert "--allow-degraded fs.default" in str(error)  # noqa: PT017
        plan = compile_plan(policy.with_grants(allow_degraded=["fs.default"]).model(CONTEXT), features)
        assert any("fs.default" in sentence for sentence in plan.degraded)
        (row,) = [row for row in plan.rows if row.id == "fs.default"]
        assert row.enforcement == "advisory"
    else:
        assert name in ("no-network", "observe")


def test_every_row_of_a_builtin_has_one_label_in_the_table() -> None:
    plan = compile_plan(Policy.builtin("untrusted-script").model(CONTEXT), NOW)
    text = table(plan)
    for row in plan.rows:
        assert row.id[:40] in text


def test_require_kernel_makes_weaker_denials_errors() -> None:
    with pytest.raises(PolicyError, match=r'p\.toml:4:\d+: error: require = "kernel", but fs\.deny'):
        plan_of('policy = 1\nrequire = "kernel"\n[fs]\ndeny = ["/a/b"]\nread = ["/a/**"]')


@pytest.mark.parametrize(
    ("rule", "label"),
    [
        ('calls = ["socket"]\nmatch = { family = "AF_ALG" }\naction = "error"\nerror = "EPERM"', "kernel"),
        ('calls = ["ioctl"]\nmatch = { cmd = { between = [0x5401, 0x54ff] } }\naction = "error"\nerror = "EPERM"', "kernel"),
        ('calls = ["socket"]\naction = "error"\nerror = "EPERM"\nwhen = "2+"', "advisory"),
        ('calls = ["openat"]\nmatch = { "@path" = "/x" }\naction = "error"\nerror = "EPERM"', "advisory"),
        ('calls = ["socket"]\naction = "error"\nerror = "EPERM"\nenforce = "advisory"', "advisory"),
        ('calls = ["socket"]\naction = "log"', None),
        ('calls = ["socket"]\naction = "allow"', None),
    ],
)
def test_labels_of_rules(rule: str, label: str | None) -> None:
    plan = plan_of(f'policy = 1\n[default]\naction = "allow"\n[[rule]]\nid = "r"\n{rule}')
    (row,) = [row for row in plan.rows if row.id == "r"]
    assert row.enforcement == label
    assert row.where is not None and row.where.line == 4


def test_enforce_kernel_that_is_impossible_is_an_error() -> None:
    with pytest.raises(PolicyError, match="the filter cannot count"):
        plan_of('policy = 1\n[[rule]]\ncalls = ["socket"]\naction = "error"\nerror = "EPERM"\nwhen = "2"\nenforce = "kernel"')


def test_an_earlier_answer_keeps_a_later_refusal_out_of_the_kernel() -> None:
    plan = plan_of(
        'policy = 1\n[default]\naction = "allow"\n[[rule]]\nid = "a"\ncalls = ["socket"]\nmatch = { family = 1 }\naction = "allow"\n'
        '[[rule]]\nid = "b"\ncalls = ["socket"]\naction = "error"\nerror = "EPERM"'
    )
    assert [row.enforcement for row in plan.rows if row.id == "b"] == ["advisory"]
    assert "allowed" in says(plan, "socket(AF_UNIX, SOCK_STREAM, 0)")
    assert "refused with EPERM, by b" in says(plan, "socket(AF_INET, SOCK_STREAM, 0)")


DESIGN = """
policy = 1
name = "demo"
sealed = false
override = ["limits.memory"]
allow_degraded = []
extends = ["builtin:python"]
mode = "enforce"
require = "advisory"
[vars]
DATA = "${SCRIPT_DIR}/data"
[default]
action = "error"
error = "EPERM"
on_error = "deny"
[calls]
allow = ["@system-service"]
deny = ["@mount", "@reboot"]
unknown = "ENOSYS"
[fs]
read = ["${PYTHON}/**", "${DATA}/**"]
write = ["${TMP}/**"]
exec = []
deny = ["${HOME}/.ssh/**"]
tmp = "own"
[net]
connect = ["127.0.0.1:8080"]
bind = []
[process]
exec = false
fork = false
threads = true
[limits]
wall_seconds = 60
cpu_seconds = 30
memory = "512M"
tasks = 32
open_files = 256
file_size = "64M"
output = "8M"
[[rule]]
id = "no-alg"
calls = ["socket", "socketpair"]
match = { family = { in = ["AF_ALG", "AF_VSOCK"] } }
action = "error"
error = "EAFNOSUPPORT"
when = "1+"
enforce = "auto"
"""


def test_the_design_documents_own_example() -> None:
    plan = plan_of(DESIGN)
    assert plan.limits.memory == 512 << 20
    assert plan.limits.wall_seconds == 60
    assert "refused" in says(plan, 'openat(AT_FDCWD, "/home/u/.ssh/id_rsa", O_RDONLY)')
    assert any(row.id == "no-alg" for row in plan.rows)


PATTERNS = [
    ("/a", "/a", True),
    ("/a", "/a/b", False),
    ("/a/*", "/a/b", True),
    ("/a/*", "/a/b/c", False),
    ("/a/**", "/a/b/c", True),
    ("/a/**", "/ab", False),
    ("/a?c", "/abc", True),
    ("/a?c", "/a/c", False),
    ("/{x,y}/z", "/y/z", True),
    ("/{x,y}/z", "/w/z", False),
    (r"/a\*b", "/a*b", True),
    (r"/a\*b", "/axb", False),
]


@pytest.mark.parametrize(("pattern", "path", "expected"), PATTERNS)
def test_patterns(pattern: str, path: str, expected: bool) -> None:
    from selftrace.policy.patterns import compile_pattern, matches

    assert any(matches(p, path.encode()) for p in compile_pattern(pattern)) is expected


@pytest.mark.parametrize("text", ["relative", "/a{b"])
def test_patterns_that_cannot_be_read(text: str) -> None:
    from selftrace.policy.patterns import compile_pattern

    with pytest.raises(ValueError, match=r"open \{|not absolute|relative"):
        compile_pattern(text)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("127.0.0.1:80", True),
        ("10.0.0.0/8:*", True),
        ("[::1]:80", True),
        ("unix:/run/x", True),
        ("udp://127.0.0.1:53", True),
        ("127.0.0.1", False),
        ("1.2.3.4:99999", False),
        ("[::1:80", False),
        ("unix:x", False),
        ("ftp://1.2.3.4:5", False),
    ],
)
def test_addresses(text: str, good: bool) -> None:
    from selftrace.policy.addresses import compile_address

    if good:
        assert compile_address(text)
    else:
        with pytest.raises(ValueError):
            compile_address(text)
