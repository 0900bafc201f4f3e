"""What lies beside a learned policy: every observation as it was, so that the policy can be made anew."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile

from selftrace.errors import SelftraceError
from selftrace.learning.observation import Observation, from_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT = 1
SUFFIX = ".seen"


def digest(text: str) -> str:
    """What tells whether a policy is as it was written."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def load(policy: str) -> tuple[Observation, ...]:
    """The observations of a learned policy. Raises SelftraceError, OSError."""
    with open(policy, encoding="utf-8", errors="surrogateescape") as file:
        text = file.read()
    try:
        with open(policy + SUFFIX, encoding="utf-8", errors="surrogateescape") as file:
            data = json.load(file)
        if data["selftrace learn"] != FORMAT:
            raise SelftraceError(f"{policy}{SUFFIX}: of another version of selftrace ({data['selftrace learn']})")
        found = tuple(from_dict(item) for item in data["runs"])
        known = data["policy"]
    except FileNotFoundError:
        raise SelftraceError(f"{policy}: was not learned: there is no {policy}{SUFFIX} beside it") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SelftraceError(f"{policy}{SUFFIX}: holds no observations of selftrace learn") from None
    if known != digest(text):
        raise SelftraceError(
            f"{policy}: was changed after it was learned, and would be written anew; put the changes into a file that extends it"
        )
    return found


def dump(observations: Sequence[Observation], policy_text: str) -> str:
    """The content of the file beside it."""
    runs = [seen.to_dict() for seen in observations]
    return json.dumps({"selftrace learn": FORMAT, "policy": digest(policy_text), "runs": runs}, indent=1) + "\n"


def joined(known: Sequence[Observation], new: Observation) -> tuple[Observation, ...]:
    """The observations with one more; one that says the same as another is kept once."""
    every = {json.dumps(seen.to_dict(), sort_keys=True): seen for seen in (*known, new)}
    return tuple(every[key] for key in sorted(every))


def check_writable(path: str) -> None:
    """Raises OSError where the two files could not be written: before the program runs, which is not to find them."""
    if os.path.isdir(path):
        raise IsADirectoryError(21, "is a directory; give a file", path)
    try:
        tempfile.TemporaryFile(dir=os.path.dirname(os.path.abspath(path))).close()
    except OSError as error:
        raise OSError(error.errno, f"cannot be written: {error.strerror}", path) from None


def write(path: str, policy: str, seen: str) -> None:
    """Puts both in place, each whole or not at all. Raises OSError."""
    umask = os.umask(0)
    os.umask(umask)
    for text, target in ((policy, path), (seen, path + SUFFIX)):
        fd, name = tempfile.mkstemp(prefix=".selftrace-learn-", dir=os.path.dirname(os.path.abspath(path)))
        try:
            with open(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
            os.chmod(name, 0o666 & ~umask)
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
