"""Where a path lies: below a variable of the run, below a known root, in a protected place."""

from __future__ import annotations

import os
import re

from selftrace.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

TMP, HOME = "${TMP}", "${HOME}"
PROTECTED_NAMES = frozenset({".ssh", ".aws", ".gnupg", ".kube", ".netrc"})
_PROTECTED = frozenset({"/", HOME, "/root", "/home", "/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-"})
_GUARDED = frozenset({"", "/", HOME, "/home", "/root"})
_LITERAL = re.compile(r"/(etc|proc|sys|dev|boot)(/|$)")
_ROOTS = (
    ("interpreter", re.compile(r"\$\{(?:PYTHON|SITE)\}(?=/|$)")),
    ("interpreter", re.compile(r".*/lib(?:64)?/python3(?:\.\d+)?(?=/|$)")),
    ("interpreter", re.compile(r"/usr/(?:local/)?(?:share|lib)/(?:[^/]+-linux-[^/]+/)?perl5?(?=/|$)")),
    ("interpreter", re.compile(r"/usr/lib/(?:[^/]+-linux-[^/]+/)?ruby(?=/|$)")),
    ("loader", re.compile(r"(?:/usr)?/lib(?:64)?/[^/]+-linux-[^/]+(?=/|$)")),
    ("locale", re.compile(r"/usr/(?:lib|share)/locale(?:-langpack)?(?=/|$)")),
    ("zone", re.compile(r"/usr/share/zoneinfo(?=/|$)")),
    ("CA", re.compile(r"/etc/ssl/certs(?=/|$)")),
    ("CA", re.compile(r"/usr/(?:local/)?share/ca-certificates(?=/|$)")),
    ("terminals", re.compile(r"(?:/usr)?(?:/lib|/share)/terminfo(?=/|$)")),
)


@record
class Variables:
    """What a run's variables stand for: (name in a policy, directory) pairs; a name may stand for several."""

    directories: tuple[tuple[str, str], ...]

    def shown(self, path: str) -> str:
        """The path with the innermost variable in front. A $ of its own is doubled."""
        around = [pair for pair in self.directories if path == pair[1] or path.startswith(f"{pair[1]}/")]
        name, root = max(around, key=lambda pair: len(pair[1]), default=("", ""))
        return name + path[len(root) :].replace("$", "$$")

    def above(self, shown: Collection[str]) -> set[str]:
        """Directories above those whose variables stand in these paths."""
        used = [root for name, root in self.directories if any(path.startswith(name) for path in shown)]
        parts = [root.split("/") for root in used]
        return {"/".join(names[:at]) or "/" for names in parts for at in range(1, len(names))}

    def paths(self, shown: str) -> list[str]:
        """The other way round."""
        name = shown.partition("/")[0]
        roots = [root for known, root in self.directories if known == name] or [name]
        return [root + shown[len(name) :].replace("$$", "$") for root in roots]


def variables(
    *, tmp: str, home: str, cwd: str, script: str = "", script_dir: str = "", python: Sequence[str] = (), site: Sequence[str] = ()
) -> Variables:
    """Those that a learned policy uses; of two that are the same directory, the first. A root directory is none."""
    single = [(TMP, tmp), (HOME, home), ("${CWD}", cwd), ("${SCRIPT_DIR}", script_dir), ("${SCRIPT}", script)]
    several = [*(("${SITE}", path) for path in site), *(("${PYTHON}", path) for path in python)]
    found: dict[str, str] = {}
    for name, directory in (*single, *several):
        real = os.path.realpath(directory) if directory else "/"
        if real != "/":
            found.setdefault(real, name)
    return Variables(tuple((name, directory) for directory, name in found.items()))


def root_of(shown: str) -> tuple[str, str] | None:
    """(what it is, its directory) of the known root that a path lies in."""
    for label, pattern in _ROOTS:
        match = pattern.match(shown)
        if match:
            return label, match[0]
    return None


def is_tmp(shown: str) -> bool:
    """Whether it lies in the run's private directory, or is it."""
    return shown == TMP or shown.startswith(f"{TMP}/")


def is_protected(shown: str) -> bool:
    """Whether a policy is not to grant it by itself."""
    return shown in _PROTECTED or not PROTECTED_NAMES.isdisjoint(shown.split("/"))


def is_literal(shown: str) -> bool:
    """Whether it is granted by its own name only."""
    return bool(_LITERAL.match(shown))


def is_variable(directory: str) -> bool:
    """Whether it is the directory of a variable itself: the user's own, full of other things."""
    return directory.startswith("${") and "/" not in directory


def is_guarded(directory: str) -> bool:
    """Whether no pattern is to stand directly in a directory: too much that is somebody else's lies there."""
    return directory in _GUARDED or is_protected(directory)
