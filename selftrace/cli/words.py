"""Options of a command as a table: argparse is built from it for help and for mistakes, and not needed for the rest.

Importing argparse and setting a parser up costs 8 ms, more than `run` may cost in all besides starting Python.
"""

from __future__ import annotations

from selftrace.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import Any


@record
class Option:
    """One option. names: "--input", "-q" …; metavar: of its value, empty for a flag; many: it may be given again;
    rest: it takes all the words that follow; convert: text → value, raising ValueError."""

    names: tuple[str, ...]
    help: str
    metavar: str = ""
    many: bool = False
    rest: bool = False
    dest: str = ""
    default: Any = None
    convert: Callable[[str], Any] | None = None

    @property
    def attribute(self) -> str:
        """What the parsed value is called."""
        return self.dest or self.names[0].lstrip("-").replace("-", "_")

    def empty(self) -> Any:
        """The value of an option that is not given."""
        return [] if self.many else False if not self.metavar else self.default


class Words:
    """The values of a command line, as attributes; what argparse.Namespace is."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

        def __setattr__(self, name: str, value: Any) -> None: ...


def add_options(parser: argparse.ArgumentParser, options: Sequence[Option]) -> None:
    """Tells argparse of the options."""
    import argparse

    def typed(convert: Callable[[str], Any]) -> Callable[[str], Any]:
        def value(text: str) -> Any:
            try:
                return convert(text)
            except ValueError as error:
                raise argparse.ArgumentTypeError(str(error)) from None

        return value

    for option in options:
        extra: dict[str, Any] = {"help": option.help, "dest": option.attribute}
        if not option.metavar:
            extra["action"] = "store_true"
        else:
            extra.update(metavar=option.metavar, default=option.empty())
            if option.rest:
                extra["nargs"] = argparse.REMAINDER
            elif option.many:
                extra["action"] = "append"
            if option.convert is not None:
                extra["type"] = typed(option.convert)
        parser.add_argument(*option.names, **extra)


def read(words: Sequence[str], options: Sequence[Option], rest: str) -> Words | None:
    """The command line, if it is a plain one; None: argparse has to say what it is (help, a mistake, a rare form).

    rest: the attribute that gets the first word that is no option, and all after it.
    """
    by_name = {name: option for option in options for name in option.names}
    found = {option.attribute: option.empty() for option in options}
    found[rest] = []
    at = 0
    while at < len(words):
        name, equals, value = words[at].partition("=")
        option = by_name.get(name)
        at += 1
        if option is None:
            if words[at - 1].startswith("-") and words[at - 1] != "--":
                return None
            found[rest] = list(words[at - 1 :])
            break
        if option.rest and not equals:
            found[option.attribute] = list(words[at:])
            break
        if not option.metavar:
            if equals:
                return None
            found[option.attribute] = True
            continue
        if not equals:
            if at >= len(words) or words[at].startswith("-"):
                return None
            value, at = words[at], at + 1
        try:
            held = option.convert(value) if option.convert else value
        except ValueError:
            return None
        if option.many:
            found[option.attribute].append(held)
        else:
            found[option.attribute] = held
    return Words(**found)
