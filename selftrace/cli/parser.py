"""argparse with our exit codes."""

from __future__ import annotations

import argparse
from typing import NoReturn

from selftrace.cli.main import BAD_INPUT, OURS


class Parser(argparse.ArgumentParser):
    """Usage mistakes of `run` are 125, because a script may itself exit with 2."""

    def __init__(self, prog: str, description: str | None) -> None:
        super().__init__(
            prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def error(self, message: str) -> NoReturn:
        """One line that says what to do."""
        code = OURS if self.prog.endswith(" run") else BAD_INPUT
        self.exit(code, f"{self.prog}: {message}; see {self.prog} --help\n")
