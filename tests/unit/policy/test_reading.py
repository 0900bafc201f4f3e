"""Reading policies: every mistake with its place, merging, variables, sealing."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from selftrace import Policy, PolicyError
from selftrace.policy.model import PolicyModel
from selftrace.policy.terms import Context

CONTEXT = Context(
    script="/srv/a*b/job.py",
    script_dir="/srv/a*b",
    home="/home/u",
    tmp="/tmp/run",
    cwd="/w",
    python=("/usr/py",),
    site=("/s1", "/s2"),
)


def read(text: str, **vars: str) -> PolicyModel:
    return Policy.parse(textwrap.dedent(text), name="p.toml", vars=vars or None).model(CONTEXT)


def mistakes(text: str) -> list[str]:
    with pytest.raises(PolicyError) as info:
        read(text)
    return [str(problem) for problem in info.value.problems]


def test_all_mistakes_at_once_sorted_with_places() -> None:
    found = mistakes(
        """\
        policy = 1
        nmae = "x"
        [fs]
        wirte = ["/a"]
        read = "x"
        [limits]
        memory = "lots"
        [[rule]]
        calls = ["opena"]
        action = "eror"
        [[rule]]
        calls = ["socket"]
        match = { famly = "AF_INET", type = { bigger = 1 } }
        action = "error"
        """
    )
    assert found == [
        'p.toml:2:1: error: unknown key "nmae" in the top level; did you mean "name"?',
        'p.toml:4:1: error: unknown key "wirte" in [fs]; did you mean "write"?',
        'p.toml:5:1: error: read: expected a list of strings, got a string; write ["x"]',
        'p.toml:7:1: error: memory: "lots" is no size: write e.g. "512M", "64K" or a number of bytes',
        'p.toml:9:10: error: unknown call "opena"; did you mean "openat"?',
        found[5],
        found[6],
        found[7],
        found[8],
    ]
    assert found[5].startswith('p.toml:10:1: error: unknown action "eror"; did you mean "error"?')
    assert found[6].startswith("p.toml:12:1: error: ") or "error" in found[6]
    assert any('socket has no argument "famly"; did you mean "family"?' in line for line in found)
    assert any('unknown operator "bigger"' in line for line in found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[fs]\nread = []", '"policy = 1" is missing'),
        ("policy = 2", "format 2 is not known"),
        ("policy = 1\n[fs", "not TOML"),
        ('policy = 1\nmode = "maybe"', '"maybe" is none of enforce, audit'),
        ('policy = 1\n[fs]\nread = ["a/b"]', "is not absolute"),
        ('policy = 1\n[fs]\nread = ["${NOPE}/x"]', 'unknown variable "NOPE"'),
        ('policy = 1\n[fs]\nread = ["${env:SELFTRACE_UNSET}/x"]', "is unset or empty"),
        ('policy = 1\n[fs]\nread = ["$x"]', "a lone $"),
        ("policy = 1\n[fs]\nread = [1]", "expected a string, got a number"),
        ('policy = 1\n[process]\nexec = "yes"', "expected true or false, got a string"),
        ("policy = 1\n[process]\nexec = true\n[fs]\nread = []", "lists no program"),
        ('policy = 1\n[process]\nexec = false\n[fs]\nexec = ["/bin/**"]', "[process] exec = false"),
        ('policy = 1\nextends = ["builtin:untrusted-scirpt"]', 'did you mean "untrusted-script"'),
        ('policy = 1\nextends = ["./nowhere.toml"]', "cannot be read"),
        ('policy = 1\n[calls]\nallow = ["@sytem-service"]', 'did you mean "@system-service"'),
        ('policy = 1\n[calls]\nallow = ["nr:9999"]', "is no call number"),
        ('policy = 1\n[calls]\nunknown = "EWHAT"', "EWHAT"),
        ("policy = 1\n[limits]\ntasks = -1", "is negative"),
        ('policy = 1\n[[rule]]\ncalls = ["open"]\naction = "error"', "error"),
        ('policy = 1\n[[rule]]\ncalls = ["open"]\naction = "allow"\nwhen = "x"', "when:"),
        ('policy = 1\n[[rule]]\ncalls = ["open"]\naction = "allow"\ncount_by = "moon"', "count_by"),
        (
            'policy = 1\n[[rule]]\ncalls = ["open"]\naction = "allow"\nenforce = "supervisor"',
            "needs the supervisor, which is not built yet",
        ),
        (
            'policy = 1\n[[rule]]\ncalls = ["open"]\naction = "allow"\nid = "a"\n[[rule]]\ncalls = ["stat"]\naction = "allow"\nid = "a"',
            "is used twice",
        ),
        ('policy = 1\n[[rule]]\ncalls = ["open"]\naction = "allow"\nmatch = { "@paht" = "/x" }', 'did you mean "@path"'),
        ('policy = 1\n[[rule]]\ncalls = []\naction = "allow"', "expected a list of calls"),
        (
            'policy = 1\n[[rule]]\ncalls = ["read"]\naction = "allow"\nmatch = { count = { between = [5, 1] } }',
            "greater than the last",
        ),
        ('policy = 1\n[[rule]]\ncalls = ["read"]\naction = "short"', "needs short"),
        ('policy = 1\n[[rule]]\ncalls = ["read"]\naction = "short"\nshort = 0', "no number of bytes"),
        ('policy = 1\n[[rule]]\ncalls = ["read"]\naction = "poke_exit"\npoke = "arg2=00"', "is no poke"),
        ('policy = 1\n[[rule]]\ncalls = ["read"]\naction = "error"\nerror = "EIO"\nprob = 1.5', "no probability"),
        ('policy = 1\n[[rule]]\ncalls = ["read"]\naction = "error"\nerror = "EIO"\nseed = 5', "seed is for prob"),
        ('policy = 1\n[[rule]]\ncalls = ["getuid"]\naction = "syscall"', "unknown action"),
        ("policy = 1\nfs = 3", "expected a table"),
    ],
)
def test_each_mistake_says_what_to_do(text: str, message: str) -> None:
    assert message in "\n".join(mistakes(text))


def test_paths_substitute_and_escape() -> None:
    model = read('policy = 1\n[vars]\nD = "${SCRIPT_DIR}/d"\n[fs]\nread = ["${D}/*", "${SITE}/**", "/a$$b"]')
    assert model.fs is not None
    assert [entry.text for entry in model.fs.read] == [r"/srv/a\*b/d/*", "/s1/**", "/s2/**", "/a$b"]


def test_given_variables_win() -> None:
    model = read('policy = 1\n[vars]\nD = "/x"\n[fs]\nread = ["${D}"]', D="/y")
    assert model.fs is not None and [entry.text for entry in model.fs.read] == ["/y"]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "base.toml").write_text(
        'policy = 1\nrequire = "kernel"\n[default]\naction = "allow"\n[fs]\nread = ["/a"]\nwrite = ["/w"]\n'
        '[net]\nconnect = []\n[limits]\nmemory = "100M"\ntasks = 4\n[[rule]]\nid = "first"\ncalls = ["read"]\naction = "log"\n'
    )
    return tmp_path


def extended(base: Path, text: str) -> PolicyModel:
    path = base / "site.toml"
    path.write_text(f'policy = 1\nextends = ["./base.toml"]\n{text}')
    return Policy.load(path).model(CONTEXT)


def test_lists_are_unions_and_only_replaces(base: Path) -> None:
    model = extended(base, '[fs]\nread = ["/b"]\nwrite = { only = ["/v"] }')
    assert model.fs is not None
    assert [e.text for e in model.fs.read] == ["/a", "/b"]
    assert [e.text for e in model.fs.write] == ["/v"]


def test_limits_take_the_smallest_unless_overridden(base: Path) -> None:
    model = extended(base, '[limits]\nmemory = "200M"\ntasks = 2')
    assert (model.limits.memory, model.limits.tasks) == (100 << 20, 2)
    (base / "site.toml").write_text(
        'policy = 1\nextends = ["./base.toml"]\noverride = ["limits.memory"]\n[limits]\nmemory = "200M"\n'
    )
    assert Policy.load(base / "site.toml").model(CONTEXT).limits.memory == 200 << 20


def test_require_is_the_strongest_and_mode_is_not_inherited(base: Path) -> None:
    (base / "base.toml").write_text('policy = 1\nmode = "audit"\nrequire = "kernel"\n')
    model = extended(base, "")
    assert (model.require, model.mode) == ("kernel", "enforce")


def test_rules_come_in_order_bases_first(base: Path) -> None:
    model = extended(base, '[[rule]]\nid = "second"\ncalls = ["write"]\naction = "log"')
    assert [rule.id for rule in model.rules] == ["first", "second"]


@pytest.mark.parametrize(
    "text",
    [
        '[fs]\nread = ["/b"]',
        '[net]\nconnect = ["1.2.3.4:5"]',
        '[default]\naction = "log"',
        "[process]\nexec = true",
        "[fs]\ndeny = { only = [] }",
    ],
)
def test_a_sealed_base_is_not_widened(base: Path, text: str) -> None:
    path = base / "base.toml"
    path.write_text(
        'policy = 1\nsealed = true\n[default]\naction = "error"\n[fs]\nread = ["/a"]\ndeny = ["/a/b"]\n[net]\nconnect = []\n[process]\nexec = false\n'
    )
    with pytest.raises(PolicyError, match="sealed"):
        extended(base, text)


def test_a_sealed_base_may_be_tightened(base: Path) -> None:
    (base / "base.toml").write_text('policy = 1\nsealed = true\n[fs]\nread = ["/a", "/b"]\n[limits]\ntasks = 4\n')
    model = extended(base, '[fs]\nread = { only = ["/a"] }\n[limits]\ntasks = 2')
    assert model.fs is not None and [e.text for e in model.fs.read] == ["/a"]
    assert model.limits.tasks == 2


def test_cycles_and_depth_are_errors(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('policy = 1\nextends = ["b.toml"]\n')
    (tmp_path / "b.toml").write_text('policy = 1\nextends = ["a.toml"]\n')
    with pytest.raises(PolicyError, match="extends itself"):
        Policy.load(tmp_path / "a.toml").model(CONTEXT)
    for n in range(12):
        (tmp_path / f"{n}.toml").write_text(f'policy = 1\nextends = ["{n + 1}.toml"]\n')
    (tmp_path / "12.toml").write_text("policy = 1\n")
    with pytest.raises(PolicyError, match="deep"):
        Policy.load(tmp_path / "0.toml").model(CONTEXT)


def test_mistakes_in_a_base_name_the_base(base: Path) -> None:
    (base / "base.toml").write_text("policy = 1\n[fs]\nraed = []\n")
    with pytest.raises(PolicyError, match=r"base\.toml:3:1: error: unknown key \"raed\""):
        extended(base, "")


def test_flag_expressions_and_numbers() -> None:
    model = read(
        'policy = 1\n[[rule]]\ncalls = ["openat"]\nmatch = { flags = { any = "O_WRONLY|O_RDWR" }, mode = { eq = 0o600 } }\naction = "error"\nerror = "EPERM"\n'
        '[[rule]]\ncalls = ["socket"]\nmatch = { family = { in = ["AF_ALG", "AF_VSOCK", 16] }, a1 = 0x2 }\naction = "error"\nerror = "EACCES"\n'
    )
    first, second = model.rules
    assert [(m.subject, m.op, m.operands) for m in first.matches] == [("flags", "any", (3,)), ("mode", "eq", (0o600,))]
    assert [(m.subject, m.op, m.operands) for m in second.matches] == [("family", "in", (38, 40, 16)), ("a1", "eq", (2,))]


@pytest.mark.parametrize(
    ("text", "expected"), [("5", (5, None, 0)), ("5+", (5, None, 1)), ("3..9", (3, 9, 1)), ("1+2", (1, None, 2))]
)
def test_when(text: str, expected: tuple[int, int | None, int]) -> None:
    (rule,) = read(f'policy = 1\n[[rule]]\ncalls = ["read"]\naction = "log"\nwhen = "{text}"').rules
    assert rule.when is not None
    first, last, step = (rule.when.first, rule.when.last, rule.when.step)
    if text == "5":
        assert first == 5 and (last == 5 or step == 0)
    else:
        assert (first, last, step) == expected


def test_the_schema_accepts_what_the_reader_accepts() -> None:
    import tomllib

    import jsonschema

    from selftrace.policy.reader import builtin_names, builtin_path
    from selftrace.policy.schema import schema

    for name in builtin_names():
        jsonschema.validate(tomllib.loads(builtin_path(name).read_text()), schema())
    for wrong in ({"policy": 2}, {"policy": 1, "fs": {"wirte": []}}, {"policy": 1, "rule": [{"calls": []}]}, {}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema())
