"""From files to a PolicyModel: finds and reads the bases, merges them, substitutes variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from selftrace.calls import Table, nearest, table
from selftrace.errors import PolicyError, Problem
from selftrace.policy.api import BUILTIN
from selftrace.policy.layer import LISTS, SECTIONS, Entries, Layer, read_layer
from selftrace.policy.model import Calls, Default, Entry, Fs, Limits, Net, PolicyModel, Position, Process, Rule
from selftrace.policy.rules import RuleReader, calls_named
from selftrace.policy.terms import Context
from selftrace.policy.variables import substitute
from selftrace.record import replace

MAX_DEPTH = 8
_STRICTNESS = {"allow": 0, "log": 1, "error": 2, "kill": 3}
_REQUIRE = ("advisory", "supervisor", "kernel")
_WIDENING = frozenset({("calls", "allow"), ("fs", "read"), ("fs", "write"), ("fs", "exec"), ("net", "connect"), ("net", "bind")})


def policy_directories() -> list[Path]:
    """Where shipped policies lie: beside the package, or in the checkout."""
    package = Path(__file__).resolve().parent.parent
    return [package / "policies", package.parent / "policies"]


def builtin_names() -> list[str]:
    """The names of the shipped policies, sorted."""
    return sorted({path.stem for directory in policy_directories() for path in directory.glob("*.toml")})


def builtin_path(name: str) -> Path:
    """The file of a shipped policy. Raises PolicyError that names the nearest."""
    for directory in policy_directories():
        path = directory / f"{name}.toml"
        if path.is_file():
            return path
    names = builtin_names()
    raise PolicyError(f'unknown policy "{BUILTIN}{name}"{nearest(name, names)}; shipped: {", ".join(names)}')


def locate(reference: str, directory: Path) -> Path:
    """The file that "builtin:name" or a path (relative to `directory`) names."""
    return builtin_path(reference[len(BUILTIN) :]) if reference.startswith(BUILTIN) else directory / reference


def _read_file(path: Path) -> Layer:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PolicyError([Problem(str(path), 0, 0, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise PolicyError([Problem(str(path), 0, 0, "is not UTF-8")]) from None
    return read_layer(text, str(path), path.resolve().parent)


def chain_of(layer: Layer, trail: tuple[Path, ...] = ()) -> list[Layer]:
    """The layer's bases, outermost first, then itself."""
    found: list[Layer] = []
    extends = layer.values.get(("", "extends"), Entries())
    for entry in extends.items:
        where = entry.where or Position(layer.file, 1, 1)
        try:
            path = locate(entry.text, Path(layer.directory)).resolve()
            if path in trail or (Path(layer.file).exists() and path == Path(layer.file).resolve()):
                raise PolicyError(f"extends itself through {entry.text}")
            if len(trail) >= MAX_DEPTH:
                raise PolicyError(f"extends more than {MAX_DEPTH} policies deep")
            for base in chain_of(_read_file(path), (*trail, path)):
                if all(base.file != seen.file for seen in found):
                    found.append(base)
        except PolicyError as error:
            for problem in error.problems:
                if problem.line:
                    layer.problems.append(problem)
                else:
                    layer.fail(where, f'"{entry.text}": {problem.message}' if problem.file != "policy" else problem.message)
    return [*found, layer]


class _Merger:
    """Joins layers in order; what a later one may not do is noted there."""

    def __init__(self, layers: Sequence[Layer], context: Context, given: Mapping[str, str], calls: Table) -> None:
        self.layers = layers
        self.context = context
        self.given = given
        self.table = calls
        self.values: dict[tuple[str, str], Any] = {}
        self.places: dict[tuple[str, str], Position] = {}
        self.lists: dict[tuple[str, str], list[Entry]] = {}
        self.rules: list[Rule] = []
        self.vars: dict[str, tuple[str, ...]] = {}
        self.sealed = False

    def known(self, layer: Layer) -> dict[str, tuple[str, ...]]:
        return {**self.context.values(), "POLICY_DIR": (layer.directory,), **self.vars}

    def merge(self) -> None:
        for layer in self.layers:
            self._vars(layer)
            for key, value in layer.values.items():
                if key in LISTS:
                    self._list(layer, key, value)
                else:
                    self._value(layer, key, value)
            for (section, name), place in layer.places.items():
                if not name:
                    self.places.setdefault((section, ""), place)
            reader = RuleReader(layer, self.table, self.known(layer))
            self.rules += [reader.read(data, index) for data, index in layer.rules]
            self.sealed = self.sealed or bool(layer.values.get(("", "sealed")))

    def _vars(self, layer: Layer) -> None:
        for name, text in layer.vars.items():
            if name in self.given:
                continue
            if self.sealed and name in self.vars:
                layer.fail(layer.at("vars", name), f"{name} belongs to a sealed policy and cannot be changed")
                continue
            try:
                self.vars[name] = tuple(substitute(text, self.known(layer), pattern=False))
            except ValueError as error:
                layer.fail(layer.at("vars", name), f"{name}: {error}")
        for name, text in self.given.items():
            self.vars.setdefault(name, (text,))

    def _list(self, layer: Layer, key: tuple[str, str], entries: Entries) -> None:
        section = key[0]
        items: list[Entry] = []
        for entry in entries.items:
            where = entry.where or Position(layer.file, 1, 1)
            try:
                if section == "calls":
                    calls_named(entry.text, self.table)
                    items.append(entry)
                    continue
                for text in substitute(entry.text, self.known(layer), pattern=section == "fs"):
                    if section == "fs" and not text.startswith("/"):
                        raise ValueError(f'"{text}" is not absolute: paths start with / or a variable')
                    items.append(Entry(text, where))
            except ValueError as error:
                layer.fail(where, str(error))
        held = self.lists.get(key)
        if self.sealed and key in _WIDENING and not entries.only and held is not None and items:
            layer.fail(layer.places[key], f"{key[1]} would widen a sealed policy")
            return
        if self.sealed and key not in _WIDENING and entries.only:
            layer.fail(layer.places[key], f"{key[1]} = {{ only = … }} would take refusals away from a sealed policy")
            return
        if self.sealed and key in _WIDENING and entries.only and not {e.text for e in items} <= {e.text for e in held or []}:
            layer.fail(layer.places[key], f"{key[1]} would widen a sealed policy")
            return
        self.lists[key] = items if entries.only or held is None else [*held, *items]
        self.places.setdefault(key, layer.places[key])

    def _value(self, layer: Layer, key: tuple[str, str], value: Any) -> None:
        section, name = key
        where = layer.places[key]
        held = self.values.get(key)
        if section == "limits" and held is not None and value > held:
            if f"limits.{name}" not in {e.text for e in layer.values.get(("", "override"), Entries()).items}:
                return  # the smallest counts
            if self.sealed:
                layer.fail(where, f"{name} would widen a sealed policy")
                return
        if key == ("", "require") and held is not None:
            value = max(held, value, key=_REQUIRE.index)
        if key == ("", "mode") and layer is not self.layers[-1]:
            return
        if key == ("", "allow_degraded"):
            value = [*(held or []), *(entry.text for entry in value.items)]
        widened = (section == "process" and value and held is False) or (
            key == ("default", "action") and held is not None and _STRICTNESS[value] < _STRICTNESS[held]
        )
        if self.sealed and widened:
            layer.fail(where, f"{name} would widen a sealed policy")
            return
        self.values[key] = value
        self.places[key] = where


def _entries(merger: _Merger, section: str, key: str) -> tuple[Entry, ...]:
    return tuple(merger.lists.get((section, key), ()))


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _model(merger: _Merger, last: Layer) -> PolicyModel:
    values, places = merger.values, merger.places

    def present(section: str) -> bool:
        return (section, "") in places

    def get(section: str, key: str, default: Any = None) -> Any:
        return values.get((section, key), default)

    base = Default()
    default = Default(
        get("default", "action", base.action),
        get("default", "error", base.error),
        get("default", "on_error", base.on_error),
        places.get(("default", "action"), places.get(("default", ""))),
    )
    calls = None
    if present("calls"):
        allow = _entries(merger, "calls", "allow") if ("calls", "allow") in merger.lists else None
        where = places.get(("calls", "allow"), places["calls", ""])
        calls = Calls(allow, _entries(merger, "calls", "deny"), get("calls", "unknown", 38), where)
    fs = None
    if present("fs"):
        read, write, execute, deny = (_entries(merger, "fs", key) for key in ("read", "write", "exec", "deny"))
        fs = Fs(read, write, execute, deny, get("fs", "tmp", "any"), places["fs", ""])
    net = None
    if present("net"):
        net = Net(_entries(merger, "net", "connect"), _entries(merger, "net", "bind"), places["net", ""])
    process = None
    if present("process"):
        process = Process(get("process", "exec"), get("process", "fork"), get("process", "threads"), places["process", ""])
    limits = Limits(
        **{key: get("limits", key) for key in SECTIONS["limits"]},
        where={key: places["limits", key] for key in SECTIONS["limits"] if ("limits", key) in places},
    )
    limits = replace(limits, tasks=_whole(limits.tasks), open_files=_whole(limits.open_files))
    return PolicyModel(
        name=get("", "name", "") or Path(last.file).stem,
        mode=cast(Any, get("", "mode", "enforce")),
        require=cast(Any, get("", "require", "advisory")),
        allow_degraded=frozenset(get("", "allow_degraded", [])),
        default=default,
        calls=calls,
        fs=fs,
        net=net,
        process=process,
        limits=limits,
        rules=tuple(merger.rules),
        sources=tuple(layer.file for layer in merger.layers),
    )


def _check_whole(model: PolicyModel, last: Layer) -> None:
    """What only the merged policy shows."""
    switch = model.process.exec if model.process else None
    listed = bool(model.fs and model.fs.exec)
    if listed and switch is False:
        last.fail(model.fs.exec[0].where or last.at("fs"), "[fs] exec lists programs, but [process] exec = false")  # type: ignore[union-attr]
    if switch and model.fs is not None and not listed:
        where = model.process.where if model.process else None
        last.fail(where or last.at("process"), "[process] exec = true, but [fs] exec lists no program: nothing could be executed")
    seen: dict[str, Position | None] = {}
    for rule in model.rules:
        if rule.id and rule.id in seen:
            last.fail(rule.where or last.at("rule"), f'the id "{rule.id}" is used twice, first at {seen[rule.id]}')
        seen.setdefault(rule.id, rule.where)


def read_model(layer: Layer, context: Context, given: Mapping[str, str] | None = None, arch: str = "x86_64") -> PolicyModel:
    """The whole policy that ends in `layer`.

    given: variables that win over [vars]. Raises PolicyError with every mistake of every file.
    """
    layers = chain_of(layer)
    merger = _Merger(layers, context, given or {}, table(arch))
    merger.merge()
    model = _model(merger, layer)
    _check_whole(model, layer)
    problems = sorted({problem for each in layers for problem in each.problems})
    if problems:
        raise PolicyError(problems)
    return model


def read_path(path: str | Path) -> Layer:
    """The layer of "builtin:name" or of a file. Raises PolicyError."""
    return _read_file(locate(str(path), Path()))
