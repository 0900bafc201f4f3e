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


class Output:
    """The two files being written: space for them is made before the program runs, they appear together at the end."""

    def __init__(self, path: str) -> None:
        """Raises OSError where they cannot be written."""
        if os.path.isdir(path):
            raise IsADirectoryError(21, "is a directory; give a file", path)
        self.path = path
        self._made: list[str] = []
        directory = os.path.dirname(os.path.abspath(path))
        try:
            for _ in range(2):
                fd, name = tempfile.mkstemp(prefix=".selftrace-learn-", dir=directory)
                os.close(fd)
                self._made.append(name)
        except OSError as error:
            self.close()
            raise OSError(error.errno, f"cannot be written: {error.strerror}", path) from None

    def write(self, policy: str, seen: str) -> None:
        """Puts both in place. Raises OSError."""
        umask = os.umask(0)
        os.umask(umask)
        for name, text, target in zip(self._made, (policy, seen), (self.path, self.path + SUFFIX), strict=True):
            with open(name, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
            os.chmod(name, 0o666 & ~umask)
            os.replace(name, target)
        self._made = []

    def close(self) -> None:
        """Removes what was not put in place."""
        for name in self._made:
            os.unlink(name)
        self._made = []
