"""Observations of training runs → what a policy has to grant, and no more than the evidence is good for."""

from __future__ import annotations

from selftrace.learning.families import closed
from selftrace.learning.names import TREE, is_pattern, is_text, is_volatile, overlap, without_covered
from selftrace.learning.patterns import NEVER, READS, WRITES, crowds, generalised
from selftrace.learning.places import TMP, is_literal, is_protected, is_tmp, root_of
from selftrace.record import fresh, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from selftrace.learning.observation import Observation

_EPHEMERAL = 32768


@record
class Grant:
    """One entry of a list. text: a path or pattern, holes as in `names`. seen: the paths that it was made of. label: the
    known root that it is."""

    text: str
    seen: frozenset[str] = frozenset()
    label: str = ""


@record
class Learned:
    """What the policy says. files: "read" "write" "exec" → grants. refused: (path, why) that is left to the user."""

    program: str
    calls: tuple[tuple[str, ...], ...] = ()
    files: Mapping[str, tuple[Grant, ...]] = fresh(default_factory=dict)
    own_tmp: bool = False
    connect: tuple[str, ...] = ()
    bind: tuple[str, ...] = ()
    fork: bool = False
    threads: bool = False
    exec: bool = False
    absent: tuple[str, ...] = ()
    present: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()


def generalise(observations: Sequence[Observation]) -> Learned:
    """The policy's content, from at least one run. The same observations give the same, in whatever order."""
    traits = {trait for seen in observations for trait in seen.traits}
    write = _files(observations, WRITES, "write")
    execute = _files(observations, NEVER, "exec")
    read = _reads(observations, write, execute)
    granted = (*read, *write, *execute)
    connect, bind = (_addresses([getattr(seen, name) for seen in observations]) for name in ("connect", "bind"))
    refused = {*_left_out(observations)}
    if "other sockets" in traits:
        refused.add(("socket", "a family that [net] has no words for (netlink, packet …) was used: it is refused"))
    return Learned(
        program=min(_program(seen) for seen in observations),
        calls=tuple(closed({call for seen in observations for call in seen.calls}, addresses=bool(connect or bind))),
        files={"read": read, "write": write, "exec": execute},
        own_tmp=any(grant.text == TMP + TREE for grant in write),
        connect=connect,
        bind=bind,
        fork=not traits.isdisjoint(("fork", "old fork")),
        threads="threads" in traits,
        exec=bool(execute),
        absent=_missing([seen.absent for seen in observations], granted),
        present=_missing([seen.present for seen in observations], write),
        refused=tuple(sorted(refused)),
    )


def _program(seen: Observation) -> str:
    return seen.argv[1 if seen.argv[0] in ("script", "module") else 0].rpartition("/")[2].splitlines()[0][:64]


# ---- files -----------------------------------------------------------------------------------------


def _askable(path: str) -> bool:
    """Whether a policy may grant it by itself."""
    if is_tmp(path):
        return True
    return is_text(path) and not is_protected(path) and not (is_literal(path) and is_volatile(path))


def _files(observations: Sequence[Observation], siblings: int, how: str) -> tuple[Grant, ...]:
    """Grants to write or execute: patterns in directories that were seen, and the run's own."""
    runs = [{path for path in seen.paths(how) if _askable(path)} for seen in observations]
    grants = [_own(runs)] if how == "write" and any(is_tmp(path) for run in runs for path in run) else []
    outside = [{path for path in run if how == "exec" or not is_tmp(path)} for run in runs]
    grants += [Grant(text, frozenset(paths)) for text, paths in generalised(outside, siblings).items()]
    return tuple(sorted(grants, key=lambda grant: grant.text))


def _own(runs: Iterable[set[str]]) -> Grant:
    return Grant(TMP + TREE, frozenset(path for run in runs for path in run if is_tmp(path)), "the run's own")


def _reads(observations: Sequence[Observation], write: Sequence[Grant], execute: Sequence[Grant]) -> tuple[Grant, ...]:
    """Grants to read: known roots whole, the rest by patterns; not what an exec grant lets be read."""
    runs = [{path for path in seen.paths("read", "look") if _askable(path)} for seen in observations]
    absent = {path for seen in observations for path in seen.absent}
    roots, rest = _split(runs)
    for path in absent:  # what is looked for in a root may be there the next time
        root = root_of(path)
        if root in roots:
            roots[root].add(path)
    grants = [Grant(directory + TREE, frozenset(paths), label) for (label, directory), paths in sorted(roots.items())]
    if any(map(is_tmp, absent)) or any(is_tmp(path) for run in rest for path in run) or _own(rest).text in _texts(write):
        grants.append(_own(rest))
    made = generalised([{path for path in run if not is_tmp(path)} for run in rest], READS)
    texts = without_covered(made, [*_texts(grants), *_texts(execute)])
    opened = {path for seen in observations for path in seen.paths("read")}
    above = {text for text in _above([*texts, *_texts(grants), *_texts(write)]) if not is_pattern(text)}
    grants += [Grant(text, frozenset(made[text])) for text in texts if text in opened or text not in above]
    return tuple(sorted(grants, key=lambda grant: grant.text))


def _texts(grants: Iterable[Grant]) -> list[str]:
    return [grant.text for grant in grants]


def _split(runs: Sequence[set[str]]) -> tuple[dict[tuple[str, str], set[str]], list[set[str]]]:
    """(label, directory) of known roots → paths; and what lies in none, by run."""
    roots: dict[tuple[str, str], set[str]] = {}
    rest: list[set[str]] = []
    for run in runs:
        rest.append(set())
        for path in run:
            root = None if is_tmp(path) else root_of(path)
            if root:
                roots.setdefault(root, set()).add(path)
            else:
                rest[-1].add(path)
    return roots, rest


def _above(texts: Iterable[str]) -> set[str]:
    """Directories above a grant: they may be looked at in any case."""
    found: set[str] = set()
    for text in texts:
        parts = text.split("/")
        found.update("/".join(parts[:at]) for at in range(1, len(parts)))
    return found


def _missing(runs: Sequence[frozenset[str]], granted: Sequence[Grant]) -> tuple[str, ...]:
    """Names outside the grants that are answered as they were in training: it is not there, or it is there already."""
    from selftrace.learning.quietly import is_quiet

    paths = [{path for path in run if _askable(path) and not is_tmp(path) and not is_quiet(path)} for run in runs]
    made, texts = generalised(paths, NEVER), _texts(granted)
    siblings = generalised(paths, READS)
    near = {*texts, *_above(texts)}

    def harmless(pattern: str) -> bool:
        """A rule comes before the grants: a pattern of it must not speak of what they give."""
        return not is_pattern(pattern) or not any(overlap(pattern, text) for text in near)

    found = set(filter(harmless, (*crowds(made), *siblings, *made)))
    found.update(path for pattern, missing in made.items() if not harmless(pattern) for path in missing)
    return tuple(without_covered(found, texts))


def _left_out(observations: Sequence[Observation]) -> Iterable[tuple[str, str]]:
    for seen in observations:
        for path in seen.paths("read", "write", "exec"):
            if _askable(path):
                continue
            how = ", ".join(sorted(seen.uses[path] - {"look"}))
            yield path, f"{how}: {_why(path)}"
        for path in seen.absent | seen.present:
            if is_protected(path) and not is_tmp(path):
                yield path, "looked for: a protected place"


def _why(path: str) -> str:
    if not is_text(path):
        return "its name is no UTF-8"
    return "a protected place" if is_protected(path) else "another name in every run"


# ---- addresses -------------------------------------------------------------------------------------


def _addresses(runs: Sequence[frozenset[str]]) -> tuple[str, ...]:
    """Ports that the kernel hands out are another in every run: on this machine they become the range of those."""
    found = set()
    for address in {item for run in runs for item in run}:
        host, _, port = address.rpartition(":")
        local = host.removeprefix("udp://").startswith(("127.", "[::1]"))
        if local and port.isdigit() and int(port) >= _EPHEMERAL:
            address = f"{host}:{_EPHEMERAL}-60999"
        found.add(address)
    return tuple(sorted(found))
