"""Records: small classes of named fields, as dataclasses make them, without the 36 ms that those cost a command.

`dataclasses` imports inspect, ast and tokenize, and compiles several functions for every class. These have one
`__init__` for all. Fields are the annotations of the class, in order; what they are set to is their default.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar, dataclass_transform

    Class = TypeVar("Class", bound=type)
    Instance = TypeVar("Instance")
else:

    def dataclass_transform(**_options):
        """What type checkers know of `record`; nothing at run time."""
        return lambda function: function


class _Fresh:
    """A default that is made anew for each record."""

    __slots__ = ("compare", "make")

    def __init__(self, make: Callable[[], Any], compare: bool) -> None:
        self.make, self.compare = make, compare


def fresh(*, default_factory: Callable[[], Any], compare: bool = True) -> Any:
    """The default of a field whose value must not be shared, e.g. fresh(default_factory=dict).

    compare: whether it takes part in equality and hash.
    """
    return _Fresh(default_factory, compare)


def _init(self: Any, *args: Any, **named: Any) -> None:
    cls = type(self)
    names: tuple[str, ...] = cls.__slots__
    store = object.__setattr__
    if len(args) > len(names):
        raise TypeError(f"{cls.__name__} has {len(names)} fields, {len(args)} values are given")
    for name, value in zip(names, args, strict=False):
        if name in named:
            raise TypeError(f"{cls.__name__}: {name} is given twice")
        store(self, name, value)
    if len(args) == len(names) and not named:
        return
    defaults: dict[str, Any] = cls._defaults_
    for name in names[len(args) :]:
        if name in named:
            value = named.pop(name)
        elif name in defaults:
            value = defaults[name]
            if type(value) is _Fresh:
                value = value.make()
        else:
            raise TypeError(f"{cls.__name__}: {name} is missing")
        store(self, name, value)
    if named:
        raise TypeError(f"{cls.__name__} has no field {', '.join(named)}")


def _values(self: Any) -> tuple[Any, ...]:
    return tuple([getattr(self, name) for name in type(self).__slots__])


def _compared(self: Any) -> tuple[Any, ...]:
    return tuple([getattr(self, name) for name in type(self)._compared_])


def _equal(self: Any, other: object) -> Any:
    return _compared(self) == _compared(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_compared(self))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).__slots__ if not name.startswith("_"))
    return f"{type(self).__qualname__}({shown})"


def _reduce(self: Any) -> tuple[Any, ...]:
    return type(self), _values(self)


def _refuse(self: Any, name: str, *_: object) -> None:
    raise AttributeError(f"{type(self).__name__}.{name}: a {type(self).__name__} does not change; use replace()")


@dataclass_transform(frozen_default=True, field_specifiers=(fresh,))
def record(cls: Class) -> Class:
    """Class decorator: the annotated names become slots, set once by `__init__`; equal and hashed by value, picklable."""
    made: Class = _made(cls, {"__setattr__": _refuse, "__delattr__": _refuse, "__hash__": _hash})
    return made


@dataclass_transform(field_specifiers=(fresh,))
def mutable(cls: Class) -> Class:
    """The same for a class whose fields may be set; not hashable."""
    made: Class = _made(cls, {"__hash__": None})
    return made


def _made(cls: Any, methods: dict[str, Any]) -> Any:
    own = dict(vars(cls))
    names = tuple(own.get("__annotations__", ()))
    defaults = {name: own.pop(name) for name in names if name in own}
    ignored = [name for name, value in defaults.items() if type(value) is _Fresh and not value.compare]
    for name in ("__dict__", "__weakref__"):
        own.pop(name, None)
    common = {
        "__init__": _init,
        "__eq__": _equal,
        "__repr__": _repr,
        "__reduce__": _reduce,
        "__replace__": replace,
        "__slots__": names,
        "__match_args__": names,
        "_defaults_": defaults,
        "_compared_": tuple(name for name in names if name not in ignored),
    }
    return type(cls)(cls.__name__, cls.__bases__, {**common, **methods, **own})


def fields(cls: type) -> tuple[str, ...]:
    """The names of a record's fields, in order."""
    names: tuple[str, ...] = cls.__slots__  # type: ignore[attr-defined]
    return names


def replace(instance: Instance, /, **changes: Any) -> Instance:
    """A copy with some fields changed."""
    values = {name: getattr(instance, name) for name in fields(type(instance))}
    return type(instance)(**{**values, **changes})


def to_tuple(instance: Any) -> tuple[Any, ...]:
    """The values of its fields, in order."""
    return _values(instance)


def to_dict(instance: Any) -> dict[str, Any]:
    """Field → value, records within likewise."""
    return {name: _plain(getattr(instance, name)) for name in fields(type(instance))}


def _plain(value: Any) -> Any:
    if hasattr(type(value), "_defaults_"):
        return to_dict(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
