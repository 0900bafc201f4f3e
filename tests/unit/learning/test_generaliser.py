"""What patterns are made of what was seen, without a run."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from selftrace import Policy, SelftraceError
from selftrace.learning import store
from selftrace.learning.families import closed
from selftrace.learning.generalise import generalise
from selftrace.learning.names import HOLE, TREE, extension, matcher, merged, overlap, with_holes
from selftrace.learning.observation import Observation, from_dict
from selftrace.learning.patterns import READS, WRITES, generalised
from selftrace.learning.places import is_protected, root_of, variables
from selftrace.learning.writer import to_toml
from selftrace.policy.terms import Context

PLACES = variables(tmp="/tmp/selftrace-x", home="/home/u", cwd="/srv/job")
CONTEXT = Context(home="/home/u", tmp="/tmp/selftrace-x", cwd="/srv/job", python=("/usr/lib/python3",), site=("/usr/lib/p",))


def seen(uses: dict[str, str], **more: object) -> Observation:
    values = {name: frozenset(value) for name, value in more.items()}  # type: ignore[call-overload]
    values.setdefault("calls", frozenset({"read", "openat"}))
    used = {path: frozenset(how.split()) for path, how in uses.items()}
    return Observation(argv=("prog",), uses=used, **values)


def reads(*runs: str) -> set[str]:
    return {text.replace(HOLE, "*") for text in generalised([run.split() for run in runs], READS)}


def writes(*runs: str) -> set[str]:
    return {text.replace(HOLE, "*") for text in generalised([run.split() for run in runs], WRITES)}


def text_of(*observations: Observation) -> str:
    return to_toml(generalise(observations), PLACES, "p.toml.seen")


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/v/pack-3de736bb4f2f03865fd6705d59701c4e9951298c.idx", "/v/pack-*.idx"),
        ("/v/6ba7b810-9dad-11d1-80b4-00c04fd430c8.log", "/v/*.log"),
        ("/v/report-20261128.csv", "/v/report-*.csv"),
        ("/v/tmpab12_x9z/file", "/v/tmp*/file"),
        ("/v/cc.Ab3dE9", "/v/cc.*"),
        ("/v/9d/82a1eb2b39b76b2aa7b6e849ba759096d0c3bd", "/v/??/*"),
        ("/v/in1.json", "/v/in1.json"),
        ("/v/python3.11/deadbeef", "/v/python3.11/deadbeef"),
        ("/v/libfoo.so.6", "/v/libfoo.so.6"),
    ],
)
def test_volatile_parts_become_holes(path: str, pattern: str) -> None:
    assert with_holes(path).replace(HOLE, "*").replace("\1", "?") == pattern


def test_siblings_two_for_reads_three_for_writes() -> None:
    assert reads("/d/a.txt /d/b.txt /d/c.csv /d/LICENSE /d/README") == {"/d/*.txt", "/d/c.csv", "/d/LICENSE", "/d/README"}
    assert writes("/d/a.txt /d/b.txt") == {"/d/a.txt", "/d/b.txt"}
    assert writes("/d/a.txt /d/b.txt /d/c.txt") == {"/d/*.txt"}
    assert writes("/d/log-11111111.txt /d/log-22222222.txt /d/log-33333333.txt") == {"/d/log-*.txt"}
    assert reads("/d/a.txt /e/b.txt") == {"/d/a.txt", "/e/b.txt"}


def test_what_differs_between_runs_becomes_a_hole() -> None:
    assert writes("/d/out1.json", "/d/out2.json") == {"/d/out*.json"}
    assert writes("/d/a/x.json", "/d/b/x.json") == {"/d/*/x.json"}
    assert writes("/d/one", "/d/two") == {"/d/one", "/d/two"}, "nothing is shared: no name at all is no evidence for any"
    assert reads("/d/heads/one", "/d/heads/two") == {"/d/heads/*"}
    assert reads("${CWD}/one", "${CWD}/two") == {"${CWD}/one", "${CWD}/two"}
    assert reads("/d/a.c /d/k.h", "/d/a.c /d/k.h") == {"/d/a.c", "/d/k.h"}


def test_writes_are_never_granted_above_the_directories_that_were_seen() -> None:
    for runs in (("/d/a/b/1.x /d/a/b/2.x /d/a/b/3.x /d/a/c/1.x",), ("/d/a/b/one.x /d/a/c/two.y", "/d/a/b/three.x")):
        for text in writes(*runs):
            assert text.startswith(("/d/a/b/", "/d/a/c/")) and "**" not in text


@pytest.mark.parametrize("directory", ["", "${HOME}", "/home", "/root", "${HOME}/.ssh"])
def test_nothing_is_generalised_in_places_of_others(directory: str) -> None:
    names = f"{directory}/a.key {directory}/b.key {directory}/c.key {directory}/k-20261128.key"
    assert reads(names) == set(names.split())
    assert reads(f"{directory}/one/x", f"{directory}/two/x") == {f"{directory}/one/x", f"{directory}/two/x"}


@pytest.mark.parametrize("directory", ["/etc", "/etc/app", "/proc/sys/kernel", "/sys/class", "/dev", "/boot"])
def test_system_places_are_granted_literally(directory: str) -> None:
    assert reads(f"{directory}/a.x {directory}/b.x {directory}/c.x") == {f"{directory}/{name}.x" for name in "abc"}


def test_protected_places_become_comments() -> None:
    paths = ["/", "${HOME}", "${HOME}/.ssh/id_rsa", "/root/.aws/credentials", "/home/x/.netrc", "/etc/shadow", "/a/.kube/config"]
    text = text_of(seen(dict.fromkeys(paths, "read write")))
    for path in paths:
        assert is_protected(path)
        assert f"# not granted: {path} (read, write: a protected place)" in text
    assert not [line for line in text.splitlines() if line.startswith("    ") and any(f'"{path}"' in line for path in paths)]


def test_what_is_literal_and_volatile_is_left_to_the_user() -> None:
    text = text_of(seen({"/proc/12345/status": "read", "/dev/shm/sem.Ab3dE9": "write"}))
    assert "# not granted: /proc/12345/status (read: another name in every run)" in text
    assert "# not granted: /dev/shm/sem.Ab3dE9 (write: another name in every run)" in text


def test_known_roots_are_one_grant_each() -> None:
    paths = """/usr/lib/python3.11/os.py /usr/lib/python3.11/json/tool.py /usr/lib/x86_64-linux-gnu/libc.so.6
        /usr/share/zoneinfo/Etc/UTC /usr/lib/locale/C.utf8/LC_TIME /etc/ssl/certs/a.pem /home/u/v/lib/python3.12/site-packages/x.py"""
    learned = generalise([seen(dict.fromkeys(map(PLACES.shown, paths.split()), "read"), absent={"/usr/lib/python3.11/x.so"})])
    assert [(grant.text.removesuffix(TREE), grant.label) for grant in learned.files["read"]] == [
        ("${HOME}/v/lib/python3.12", "interpreter"),
        ("/etc/ssl/certs", "CA"),
        ("/usr/lib/locale", "locale"),
        ("/usr/lib/python3.11", "interpreter"),
        ("/usr/lib/x86_64-linux-gnu", "loader"),
        ("/usr/share/zoneinfo", "zone"),
    ]
    assert learned.absent == ()
    assert root_of("/etc/ssl/private/key") is None


def test_the_runs_own_files() -> None:
    learned = generalise([seen({"${TMP}/a": "write", "${TMP}/b/c": "read"})])
    assert learned.own_tmp
    assert [grant.text for how in ("read", "write") for grant in learned.files[how]] == [f"${{TMP}}{TREE}"] * 2


def test_failed_probes_grant_nothing() -> None:
    learned = generalise([seen({"/d/a": "read"}, absent={"/d/b", "/e/1.h", "/e/2.h", "/f/w", "/f/x", "/f/y", "/f/z"})])
    assert [grant.text for grant in learned.files["read"]] == ["/d/a"]
    assert [path.replace(HOLE, "*") for path in learned.absent] == ["/d/b", "/e/*.h", "/f/*"]


def test_what_is_answered_as_absent_never_hides_a_grant() -> None:
    missing = {f"/d/{name}" for name in "wxyz"} | {"/e/1.h", "/e/2.h"}
    learned = generalise([seen({"/d/a": "read", "/e/3.h": "read", "/d/sub/deep/file": "read"}, absent=missing)])
    assert set(learned.absent) == missing
    granted = ["/d/a", "/e/3.h", "/d/sub", "/d/sub/deep/file"]
    assert not any(matcher(pattern).fullmatch(path) for pattern in learned.absent for path in granted)


def test_directories_above_a_grant_need_none() -> None:
    learned = generalise(
        [seen({"/d": "look", "/d/e": "look", "/d/e/f.txt": "read", "/x": "look", "/y": "read look", "/y/z": "read"})]
    )
    assert [grant.text for grant in learned.files["read"]] == ["/d/e/f.txt", "/x", "/y", "/y/z"]


def test_addresses() -> None:
    learned = generalise(
        [seen({}, connect={"127.0.0.1:40001", "10.0.0.1:40001", "udp://127.0.0.1:53", "unix:/run/x"}, bind={"127.0.0.1:0"})]
    )
    assert learned.connect == ("10.0.0.1:40001", "127.0.0.1:32768-60999", "udp://127.0.0.1:53", "unix:/run/x")
    assert learned.bind == ("127.0.0.1:0",)


def test_calls_are_closed_under_siblings() -> None:
    families = closed({"openat", "newfstatat", "connect", "exit_group", "seccomp"}, addresses=False)
    assert families[0][0] == "mmap" and "readlink" in families[0]
    assert families[1:] == [
        ("open", "openat", "openat2", "creat"),
        ("stat", "lstat", "fstat", "newfstatat", "statx"),
        ("seccomp",),
    ]
    assert ("connect",) in closed({"connect"}, addresses=True)


def test_every_listed_call_exists() -> None:
    from selftrace.calls import table
    from selftrace.learning.families import FAMILIES, OWN

    names = [name for family in FAMILIES for name in family]
    assert len(names) == len(set(names))
    assert {*names, *OWN} <= set(table().by_name)


def test_order_and_repetition_of_runs_do_not_matter() -> None:
    runs = [
        seen({f"${{CWD}}/in{n}.json": "read", f"${{CWD}}/out{n}.json": "write", "/etc/hosts": "read"}, absent={f"/a/x{n}"})
        for n in range(3)
    ]
    texts = {text_of(*order) for order in itertools.permutations(runs)}
    assert len(texts) == 1
    assert texts == {text_of(*runs, runs[0])}


def test_a_learned_policy_can_be_read_and_names_odd_paths() -> None:
    odd = [
        '/d/quo"te',
        "/d/st*r",
        "/d/{a,b}",
        "/d/back\\slash",
        "/d/$$HOME",
        "/d/new\nline",
        "/d/\x7f",
        "${CWD}/ünï",
        "/d/\ue000\ue001",
    ]
    text = text_of(seen(dict.fromkeys(odd, "read"), absent={'/e/"*'}, present={"/e/dir"}, traits={"other sockets", "fork"}))
    model = Policy.parse(text).model(CONTEXT)
    assert model.fs is not None and model.process is not None and model.process.fork
    from selftrace.policy.patterns import compile_pattern

    meant = {path.replace("${CWD}", "/srv/job").replace("$$", "$").encode() for path in odd}
    assert {pattern.text for entry in model.fs.read for pattern in compile_pattern(entry.text)} == meant
    assert {rule.id for rule in model.rules} == {"absent", "present"}


def test_names_that_toml_cannot_write_are_left_out() -> None:
    text = text_of(seen({"/d/\udcff": "read", "/d/a\x01b": "read"}, absent={"/d/\udcfe", "/d/\x01", f"/gone{TREE}"}))
    assert Policy.parse(text).model(CONTEXT).fs.read == ()  # type: ignore[union-attr]
    assert text.count("its name is no UTF-8") == 2
    assert '"/gone/**"' in text.encode().decode()


def test_counts_say_what_a_pattern_grants(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt", "d.csv"):
        (tmp_path / name).write_text("")
    directory = PLACES.shown(str(tmp_path))
    text = text_of(seen({f"{directory}/a.txt": "read", f"{directory}/b.txt": "read"}))
    assert f'"{directory}/*.txt",  # grants 3 files, 2 seen' in text


def test_overlap_is_never_missed() -> None:
    rng = random.Random(4)
    parts = ["a", "ab", "b", HOLE, f"a{HOLE}", f"{HOLE}b", "\1", "a\1", f"a{HOLE}b"]
    names = ["a", "b", "ab", "aab", "ba", "abb"]
    for _ in range(1000):
        one, two = ("".join(f"/{rng.choice(parts)}" for _ in range(rng.randint(1, 3))) for _ in range(2))
        one += rng.choice(["", TREE])
        path = "".join(f"/{rng.choice(names)}" for _ in range(rng.randint(1, 4)))
        if matcher(one).fullmatch(path) and matcher(two).fullmatch(path):
            assert overlap(one, two) and overlap(two, one), (one, two, path)


def test_small_things() -> None:
    assert merged("in1.json", "in22.json") == (f"in{HOLE}.json", True)
    assert merged("one", "two") == (HOLE, False)
    assert [extension(name) for name in ("/d/a.txt", "/d/.rc", "/d/a.so.6", "/d/a", "/d.x/a")] == ["txt", "", "", "", ""]
    assert PLACES.shown("/srv/job/a$b") == "${CWD}/a$$b" and PLACES.paths("${CWD}/a$$b") == ["/srv/job/a$b"]
    assert PLACES.shown("/srv/jobs") == "/srv/jobs"


def test_observations_are_kept_as_they_were(tmp_path: Path) -> None:
    one = seen({"/d/a": "read"}, absent={"/d/b"}, traits={"fork"})
    assert from_dict(one.to_dict()) == one
    other = seen({"/d/c": "write"})
    assert store.joined((one,), one) == (one,)
    assert store.joined((other,), one) == store.joined((one,), other)
    policy = tmp_path / "p.toml"
    store.check_writable(str(policy))
    assert list(tmp_path.iterdir()) == []
    store.write(str(policy), "text\n", store.dump((one, other), "text\n"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.toml", "p.toml.seen"]
    assert store.load(str(policy)) == (one, other)
    policy.write_text("changed\n")
    with pytest.raises(SelftraceError, match="was changed after it was learned"):
        store.load(str(policy))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"selftrace learn": 1, "policy": "", "runs": [{}]}', "\xff"])
def test_a_file_that_holds_no_observations_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("")
    (tmp_path / "p.toml.seen").write_text(content, encoding="latin-1")
    with pytest.raises(SelftraceError, match="holds no observations"):
        store.load(str(tmp_path / "p.toml"))


def test_a_newer_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("")
    (tmp_path / "p.toml.seen").write_text('{"selftrace learn": 2}')
    with pytest.raises(SelftraceError, match="another version"):
        store.load(str(tmp_path / "p.toml"))
