"""Declarative configuration: one dataclass definition yields parsing, validation and documentation.

A configuration is a frozen dataclass whose fields are made by :func:`setting`.  :func:`parse`
turns a nested mapping (from YAML or from ROS parameters) into it and raises one clear
:class:`~ab_ros.errors.ConfigError` for a wrong key, type or value.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import enum
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ab_ros.errors import ConfigError, one_of

T = TypeVar("T")
REQUIRED: Any = dataclasses.MISSING


@dataclass(frozen=True)
class Rule:
    """What a setting means and which values it takes."""

    doc: str
    unit: str = ""
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    one_of: tuple[Any, ...] | None = None
    live: bool = False

    def allowed(self) -> str:
        """Say in words which values are allowed."""
        if self.one_of is not None:
            return one_of(self.one_of)
        bounds = [
            f"{sign} {bound:g}"
            for sign, bound in ((">=", self.ge), (">", self.gt), ("<=", self.le), ("<", self.lt))
            if bound is not None
        ]
        unit = f" {self.unit}" if self.unit else ""
        return " and ".join(bounds) + unit if bounds else f"any finite value{unit}"

    def broken_by(self, value: Any) -> bool:
        """Whether ``value`` (a scalar) breaks the rule."""
        if self.one_of is not None and value not in self.one_of:
            return True
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if not math.isfinite(value):
            return True
        return (
            (self.ge is not None and value < self.ge)
            or (self.gt is not None and value <= self.gt)
            or (self.le is not None and value > self.le)
            or (self.lt is not None and value >= self.lt)
        )


def setting(
    default: Any = REQUIRED,
    *,
    doc: str,
    unit: str = "",
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    one_of: tuple[Any, ...] | None = None,
    live: bool = False,
) -> Any:
    """Declare a dataclass field as a setting.

    Parameters
    ----------
    default : the default value; a callable is called for each new object; without one the
        setting is required.
    doc : one sentence, shown as the ROS parameter's description.
    unit : SI unit, as text.
    ge, gt, le, lt : bounds of a number, or of every number in a tuple.
    one_of : the allowed values.
    live : whether a running node may change it.
    """
    metadata = {"rule": Rule(doc, unit, ge, gt, le, lt, one_of, live)}
    if default is REQUIRED:
        return field(metadata=metadata)
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Source:
    """Where a mapping came from: a file and the line of each key path, where known.

    Attributes
    ----------
    file : its name, or empty.
    lines : of key paths from the top of the file on; the k-th entry of a list is the key ``[k]``.
    prefix : keys that lead to the mapping.
    named : as many of the last of them are told in messages.
    """

    file: str = ""
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    named: int = 0

    def at(self, path: tuple[str, ...]) -> str:
        """Describe a key path, as ``demo.yaml:12: brain.dt``."""
        full = self.prefix + path
        known = full
        while known and known not in self.lines:
            known = known[:-1]
        line = f":{self.lines[known]}" if known in self.lines else ""
        name = _dotted(full[len(self.prefix) - self.named :])
        if not self.file:
            return name or "(top level)"
        return f"{self.file}{line}{name and f': {name}'}"

    def below(self, *keys: str) -> Source:
        """Return the source of the mapping under ``keys``."""
        return Source(self.file, self.lines, self.prefix + keys)

    def within(self, *keys: str) -> Source:
        """Return the source of the mapping under ``keys``, whose messages tell these keys, too."""
        return Source(self.file, self.lines, self.prefix + keys, self.named + len(keys))

    def placed(self, error: ConfigError, *keys: str) -> ConfigError:
        """Return an error of one who knew no file as one of the mapping under ``keys``.

        A message that begins with the name of a key, as ``gain: must be more than 0``, is put where
        that key stands.
        """
        sentence = str(error)
        if self.file and sentence.startswith(f"{self.file}:"):
            return error
        head, _, tail = sentence.partition(": ")
        path = error.path or tuple(head.replace("[", ".[").split("."))
        known = bool(error.path) or (*self.prefix, *keys, path[0]) in self.lines
        if known and head == _dotted(path):
            placed = _wrong(self, (*keys, *path), tail)
        else:
            placed = _wrong(self, keys, sentence)
        placed.also = tuple(self.placed(fault, *keys) for fault in error.also)
        return placed


def rule_of(cls: type, name: str) -> Rule:
    """Return the rule of a configuration class's field."""
    for item in dataclasses.fields(cls):
        if item.name == name:
            rule = item.metadata.get("rule")
            return rule if isinstance(rule, Rule) else Rule(doc="")
    raise KeyError(f"{cls.__name__} has no setting {name!r}")


def parse(
    cls: type[T], data: Mapping[str, Any], source: Source | None = None, path: tuple[str, ...] = ()
) -> T:
    """Build a configuration object from a nested mapping.

    Raises
    ------
    ConfigError
        for an unknown or missing key, a value of the wrong type, or one out of bounds; the message
        has the file, line and key, the value, and what is allowed.  It is about the first that is
        wrong, and has the others in ``also``.
    """
    source = source or Source()
    if not isinstance(data, Mapping):
        raise _wrong(source, path, f"must be a mapping, not {data!r}")
    hints = typing.get_type_hints(cls)
    known = {item.name: item for item in dataclasses.fields(cls) if item.init}  # type: ignore[arg-type]
    faults: list[ConfigError] = []
    for key in data:
        if key not in known:
            close = difflib.get_close_matches(str(key), list(known), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            said = f"unknown key{hint} Allowed is {one_of(sorted(known))}"
            faults.append(_wrong(source, (*path, str(key)), said))
    values: dict[str, Any] = {}
    for name, item in known.items():
        if name in data:
            rule = item.metadata.get("rule") or Rule(doc="")
            with _noted(faults):
                values[name] = _coerce(hints[name], data[name], rule, source, (*path, name))
        elif item.default is REQUIRED and item.default_factory is REQUIRED:
            faults.append(_wrong(source, (*path, name), "is required but missing"))
    _raise_first(faults)
    try:
        return cls(**values)
    except ConfigError as error:
        if not source.file and not path:
            raise  # of options that stand in no file, the message names the key itself
        raise source.placed(error, *path) from None


def _dotted(path: Sequence[str]) -> str:
    """Return a key path as it is told, as ``lessons[0].reward``."""
    return ".".join(path).replace(".[", "[")


def _wrong(source: Source, path: tuple[str, ...], sentence: str) -> ConfigError:
    error = ConfigError(f"{source.at(path)}: {sentence}")
    error.path = path
    return error


@contextlib.contextmanager
def _noted(faults: list[ConfigError]) -> Iterator[None]:
    """Go on after an error, so that all of them can be told at once."""
    try:
        yield
    except ConfigError as error:
        faults += [error, *error.also]


def _raise_first(faults: Sequence[ConfigError]) -> None:
    if faults:
        faults[0].also = tuple(faults[1:])
        raise faults[0] from None


def _coerce(hint: Any, value: Any, rule: Rule, source: Source, path: tuple[str, ...]) -> Any:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = [a for a in arguments if a is not type(None)]
        if value is None:
            return None
        return _coerce(inner[0], value, rule, source, path)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return parse(hint, value, source, path)
    if origin in (dict, Mapping) or origin is typing.get_origin(Mapping[str, int]):
        if not isinstance(value, Mapping):
            raise _wrong(source, path, f"must be a mapping of names, not {value!r}")
        entries: dict[str, Any] = {}
        faults: list[ConfigError] = []
        for k, v in value.items():
            with _noted(faults):
                entries[str(k)] = _coerce(arguments[1], v, rule, source, (*path, str(k)))
        _raise_first(faults)
        return entries
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            raise _wrong(source, path, f"must be a list, not {value!r}")
        item_hint = arguments[0]
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            pass
        elif len(value) != len(arguments):
            raise _wrong(source, path, f"must have {len(arguments)} items, not {len(value)}")
        if not dataclasses.is_dataclass(item_hint):
            return tuple(_coerce(item_hint, v, rule, source, path) for v in value)
        return tuple(
            _coerce(item_hint, v, rule, source, (*path, f"[{k}]")) for k, v in enumerate(value)
        )
    return _scalar(hint, value, rule, source, path)


def _scalar(hint: Any, value: Any, rule: Rule, source: Source, path: tuple[str, ...]) -> Any:
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        try:
            return hint(value)
        except ValueError:
            said = f"{value!r} is not allowed; {one_of(m.value for m in hint)}"
            raise _wrong(source, path, said) from None
    wrong = False
    if hint is bool:
        wrong = not isinstance(value, bool)
    elif hint is int:
        wrong = isinstance(value, bool) or not isinstance(value, int)
    elif hint is float:
        wrong = isinstance(value, bool) or not isinstance(value, (int, float))
        value = value if wrong else float(value)
    elif hint is str:
        wrong = not isinstance(value, str)
    elif hint is Path:
        wrong = not isinstance(value, (str, Path))
        value = value if wrong else Path(value)
    if wrong:
        kind = {bool: "true or false", int: "an integer", float: "a number", str: "text"}
        said = f"must be {kind.get(hint, 'a path')}, not {value!r} ({type(value).__name__})"
        raise _wrong(source, path, said)
    if rule.broken_by(value):
        raise _wrong(source, path, f"{value!r} is not allowed; must be {rule.allowed()}")
    return value


def load_yaml(path: Path) -> tuple[dict[str, Any], Source]:
    """Read a YAML file and remember the line of every key.

    Raises
    ------
    ConfigError
        if the file is missing, is not YAML, repeats a key, or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines = dict(_lines(node, (), str(path))) if node is not None else {}
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: must hold a mapping at the top level, not {data!r}")
    return data, Source(str(path), lines)


def _lines(
    node: yaml.Node, path: tuple[str, ...], file: str
) -> Iterator[tuple[tuple[str, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise ConfigError(
                    f"{file}:{key.start_mark.line + 1}: key {key.value!r} stands twice"
                )
            seen.add(key.value)
            below = (*path, str(key.value))
            yield below, key.start_mark.line + 1
            yield from _lines(value, below, file)
    elif isinstance(node, yaml.SequenceNode):
        for k, value in enumerate(node.value):
            below = (*path, f"[{k}]")
            yield below, value.start_mark.line + 1
            yield from _lines(value, below, file)


def node_parameters(
    data: Mapping[str, Any], source: Source, node: str
) -> tuple[dict[str, Any], Source]:
    """Return the ``ros__parameters`` of one node in a ROS 2 parameter file.

    Keys may be ``brain``, ``/brain``, ``/**/brain`` or ``/**`` (for all nodes); a later, more
    specific one wins key by key.
    """
    merged: dict[str, Any] = {}
    found = source
    for key in sorted(data, key=lambda k: k.rsplit("/", 1)[-1] == node):
        last = key.rsplit("/", 1)[-1]
        if last not in (node, "**"):
            continue
        block = data[key]
        if not isinstance(block, Mapping) or "ros__parameters" not in block:
            raise ConfigError(f"{source.at((key,))}: must hold a mapping 'ros__parameters'")
        merged = overlay(merged, block["ros__parameters"] or {})
        found = source.below(key, "ros__parameters")
    return merged, found


def overlay(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested mappings laid over each other, key by key; ``high`` wins."""
    merged = dict(low)
    for key, value in high.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = overlay(merged[key], value) if both else value
    return merged


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted parameter names into a nested mapping."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *above, last = name.split(".")
        place = nested
        for key in above:
            below = place.setdefault(key, {})
            if not isinstance(below, dict):
                raise ConfigError(f"{name}: {key!r} is both a value and a group")
            place = below
        place[last] = value
    return nested


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the (dotted name, value) pairs of a configuration object or nested mapping."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        items: Mapping[str, Any] = {
            f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init
        }
    elif isinstance(value, Mapping):
        items = value
    else:
        yield prefix, value
        return
    for key, item in items.items():
        yield from flatten(item, f"{prefix}.{key}" if prefix else str(key))


def rules(cls: type, prefix: str = "") -> Iterator[tuple[str, Any, Rule]]:
    """Yield (dotted name, type, rule) of every setting.

    ``*`` stands for a name of the user's, ``[]`` for an entry of a list.
    """
    hints = typing.get_type_hints(cls)
    for item in dataclasses.fields(cls):
        if not item.init:
            continue
        name = f"{prefix}{item.name}"
        hint = hints[item.name]
        arguments = typing.get_args(hint)
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            hint = next(a for a in arguments if a is not type(None))
            arguments = typing.get_args(hint)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from rules(hint, f"{name}.")
        elif len(arguments) == 2 and dataclasses.is_dataclass(arguments[1]):
            yield from rules(typing.cast(type, arguments[1]), f"{name}.*.")
        elif arguments[1:] == (Ellipsis,) and dataclasses.is_dataclass(arguments[0]):
            yield from rules(typing.cast(type, arguments[0]), f"{name}[].")
        else:
            yield name, hint, item.metadata.get("rule") or Rule(doc="")


def describe(cls: type) -> str:
    """Return a table of all settings of a configuration class, as Markdown.

    Its columns are name, type, default, what is allowed, and meaning; ``live`` ones may be changed
    while a node runs.
    """
    rows = ["| setting | type | default | allowed | meaning |", "|---|---|---|---|---|"]
    for name, hint, rule in rules(cls):
        default = _default(cls, name.replace("[]", ".*").split("."))
        shown = "required" if default is REQUIRED else _shown(default)
        kind, allowed = _kind(hint), rule.allowed()
        if rule.one_of is None and not {"number", "integer"} & set(kind.split()):
            allowed = ""
        live = " (live)" if rule.live else ""
        rows.append(f"| `{name}` | {kind} | {shown} | {allowed} | {rule.doc}{live} |")
    return "\n".join(rows)


_KINDS: Mapping[Any, str] = {
    bool: "true/false",
    int: "integer",
    float: "number",
    str: "text",
    Path: "path",
    Any: "any",
}


def _kind(hint: Any) -> str:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return f"list of {_kind(arguments[0])}"
    if len(arguments) == 2:
        return "mapping"
    return _KINDS.get(hint, getattr(hint, "__name__", str(hint)))


def _shown(default: Any) -> str:
    if default is None:
        return "unset"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return "[" + ", ".join(map(_shown, default)) + "]"
    return "{}" if default == {} else str(getattr(default, "value", default)) or '""'


def _default(cls: Any, path: list[str]) -> Any:
    """Return the default of a setting, ``*`` standing for any entry; REQUIRED if it has none."""
    item = next(f for f in dataclasses.fields(cls) if f.name == path[0])
    hint = typing.get_type_hints(cls)[path[0]]
    if len(path) > 1:
        inner = [a for a in typing.get_args(hint) if dataclasses.is_dataclass(a)]
        below = path[2:] if path[1] == "*" else path[1:]
        return _default(inner[0] if inner else hint, below)
    return item.default_factory() if callable(item.default_factory) else item.default
