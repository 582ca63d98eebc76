"""ROS parameters from one configuration dataclass: declared, described, validated as a whole.

The overrides that a node was started with (parameter files, command line, launch) are parsed
together by :func:`ab_ros.config.parse`, so that a node starts with a configuration that is right or
not at all.  Afterwards every setting is a declared parameter, and a live change is accepted only if
the whole configuration stays right.
"""

from __future__ import annotations

import array
import dataclasses
import enum
import math
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from ab_ros.config import Rule, Source, nest, parse
from ab_ros.errors import AbRosError, ConfigError, one_of
from ab_ros.nodes.parameter_files import ParameterSource, parameter_source, standard

S = TypeVar("S")

_SCALARS: Mapping[type, Parameter.Type] = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
    Path: Parameter.Type.STRING,
}
_ARRAYS: Mapping[Parameter.Type, Parameter.Type] = {
    Parameter.Type.BOOL: Parameter.Type.BOOL_ARRAY,
    Parameter.Type.INTEGER: Parameter.Type.INTEGER_ARRAY,
    Parameter.Type.DOUBLE: Parameter.Type.DOUBLE_ARRAY,
    Parameter.Type.STRING: Parameter.Type.STRING_ARRAY,
}
# What rcl's own YAML parser hands over, as text, for a value left out.
_UNSET = ("null", "~", "Null", "NULL")


@dataclasses.dataclass(frozen=True)
class Setting:
    """One leaf of a configuration object: its dotted name, type, rule and value."""

    name: str
    hint: Any
    optional: bool
    rule: Rule
    value: Any

    @property
    def ros_type(self) -> Parameter.Type:
        """The type of its ROS parameter."""
        return ros_type(self.hint, self.name)

    @property
    def ros_value(self) -> Any:
        """Its value as a ROS parameter takes it."""
        return _ros_value(self.value)

    def descriptor(self) -> ParameterDescriptor:
        """Describe it: meaning, unit, what is allowed, and whether a running node may change it."""
        unit = f" ({self.rule.unit})" if self.rule.unit else ""
        allowed = self.rule.allowed()
        if isinstance(self.hint, type) and issubclass(self.hint, enum.Enum):
            allowed = one_of(member.value for member in self.hint)
        elif self.ros_type in (Parameter.Type.STRING, Parameter.Type.BOOL) and not self.rule.one_of:
            allowed = ""
        described = ParameterDescriptor(
            name=self.name,
            type=self.ros_type.value,
            description=f"{self.rule.doc}{unit}",
            additional_constraints=allowed,
            read_only=not self.rule.live,
            # Only a dynamically typed parameter may be declared without a value.
            dynamic_typing=self.value is None,
        )
        low = self.rule.ge if self.rule.ge is not None else self.rule.gt
        high = self.rule.le if self.rule.le is not None else self.rule.lt
        if low is None or high is None or self.value is None:
            return described
        if self.ros_type is Parameter.Type.DOUBLE:
            described.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high))
            ]
        elif self.ros_type is Parameter.Type.INTEGER:
            described.integer_range = [
                IntegerRange(from_value=math.ceil(low), to_value=math.floor(high), step=1)
            ]
        return described


def settings(config: Any, prefix: str = "") -> Iterator[Setting]:
    """Yield every leaf of a configuration object, entries that users name included."""
    hints = typing.get_type_hints(type(config))
    for item in dataclasses.fields(config):
        if item.init:
            rule = item.metadata.get("rule") or Rule(doc="")
            value = getattr(config, item.name)
            yield from _below(f"{prefix}{item.name}", hints[item.name], rule, value)


def _below(name: str, hint: Any, rule: Rule, value: Any) -> Iterator[Setting]:
    inner, optional = _without_none(hint)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from settings(value, f"{name}.")
    elif isinstance(value, Mapping):
        # Options of a part that is chosen by name are typed by what they are.
        of = Any if inner is Any else typing.get_args(inner)[1]
        for key, entry in value.items():
            yield from _below(f"{name}.{key}", of, rule, entry)
    elif inner is Any:
        yield Setting(name, _type_of(value), optional, rule, value)
    elif not (value is None and (dataclasses.is_dataclass(inner) or _is_mapping(inner))):
        yield Setting(name, inner, optional, rule, value)


def _type_of(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        item: Any = _type_of(value[0]) if value else str
        return tuple[item, ...]
    return type(value)


def ros_type(hint: Any, name: str) -> Parameter.Type:
    """Return the ROS parameter type for a setting's Python type."""
    if typing.get_origin(hint) is tuple:
        item = ros_type(typing.get_args(hint)[0], name)
        if item in _ARRAYS:
            return _ARRAYS[item]
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _SCALARS[type(next(iter(hint)).value)]
    elif hint in _SCALARS:
        return _SCALARS[hint]
    raise TypeError(f"setting {name}: {hint} cannot be a ROS parameter")


def _ros_value(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_ros_value(item) for item in value]
    return value


def _without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(hint) if a is not type(None)]
        return inner[0], True
    return hint, False


def _is_mapping(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _hint_at(hint: Any, keys: Sequence[str]) -> tuple[Any, bool] | None:
    """Return the type at a key path and whether it may be unset; None if there is no such path."""
    inner, optional = _without_none(hint)
    if not keys or inner is Any:
        return inner, optional
    if dataclasses.is_dataclass(inner) and isinstance(inner, type):
        below = typing.get_type_hints(inner).get(keys[0])
        return None if below is None else _hint_at(below, keys[1:])
    if _is_mapping(inner):
        return _hint_at(typing.get_args(inner)[1], keys[1:])
    return None


def _from_ros(cls: type, name: str, value: Any) -> Any:
    """Undo what ROS parameters lose: empty lists have no type there, and nothing can be unset."""
    if isinstance(value, (list, tuple, array.array)):
        return tuple(value)
    found = _hint_at(cls, name.split("."))
    if found is None:
        return value
    hint, optional = found
    if value is None and typing.get_origin(hint) is tuple:
        return ()
    return None if optional and isinstance(value, str) and value in _UNSET else value


class Parameters(Generic[S]):
    """The parameters of one node, and the configuration object that they stand for.

    Parameters
    ----------
    node : the node to declare them on.
    cls : the configuration dataclass.
    arguments : the process's arguments, to say in which file and line a bad value stands.
    check : called with every new configuration; it raises an AbRosError to refuse it.
    changed : called with (new, old) after a live change was accepted.

    Raises
    ------
    ConfigError
        for an unknown or missing parameter, or a wrong type or value.
    """

    def __init__(
        self,
        node: Node,
        cls: type[S],
        *,
        arguments: Sequence[str] | None = None,
        check: Callable[[S], None] = lambda _: None,
        changed: Callable[[S, S], None] = lambda _new, _old: None,
    ) -> None:
        self._node = node
        self._cls = cls
        self._check = check
        self._changed = changed
        self.source: ParameterSource = parameter_source(
            sys.argv if arguments is None else arguments, node.get_fully_qualified_name()
        )
        self._given = {
            name: _from_ros(cls, name, parameter.value)
            for name, parameter in node._parameter_overrides.items()
            if not standard(name)
        }
        self.value: S = self._parse(self._given, self.source)
        self._types: dict[str, Parameter.Type] = {}
        for item in settings(self.value):
            self._types[item.name] = item.ros_type
            self._declare(item)
        self._pending: S | None = None
        node.add_pre_set_parameters_callback(self._convert)
        node.add_on_set_parameters_callback(self._judge)
        node.add_post_set_parameters_callback(self._accept)

    def _parse(self, flat: Mapping[str, Any], source: Source | None = None) -> S:
        value = parse(self._cls, nest(flat), source)
        try:
            self._check(value)
        except ConfigError as error:
            if source is None:
                raise
            raise ConfigError(self.located(error) or f"{source.at(())}: {error}") from None
        return value

    def located(self, error: ConfigError) -> str:
        """Return an error's sentence with file and line of the setting that it begins with.

        Empty if it begins with none.
        """
        name, colon, rest = str(error).partition(": ")
        path = tuple(name.split("."))
        if not colon or _hint_at(self._cls, path) is None:
            return ""
        return f"{self.source.at(path)}: {rest}"

    def _declare(self, item: Setting) -> None:
        described = item.descriptor()
        if item.value != ():
            self._node.declare_parameter(item.name, item.ros_value, described, ignore_override=True)
            return
        # rclpy takes an empty list for bytes, unless its type is declared first and set afterwards.
        self._node.declare_parameter(item.name, item.ros_type, ignore_override=True)
        self._node.set_parameters([Parameter(item.name, item.ros_type, [])])
        self._node.set_descriptor(item.name, described)

    def _convert(self, changes: list[Parameter[Any]]) -> list[Parameter[Any]]:
        """Accept ``1`` for a decimal and ``[]`` for any list, which rclpy would refuse."""
        converted = []
        for change in changes:
            wanted = self._types.get(change.name)
            value = change.value
            is_list = isinstance(value, (list, tuple, array.array))
            if wanted is Parameter.Type.DOUBLE and change.type_ is Parameter.Type.INTEGER:
                change = Parameter(change.name, wanted, float(value))
            elif wanted is not None and wanted in _ARRAYS.values() and is_list and not len(value):
                change = Parameter(change.name, wanted, [])
            elif wanted is Parameter.Type.DOUBLE_ARRAY and (
                change.type_ is Parameter.Type.INTEGER_ARRAY
            ):
                change = Parameter(change.name, wanted, [float(number) for number in value])
            converted.append(change)
        return converted

    def _judge(self, changes: list[Parameter[Any]]) -> SetParametersResult:
        ours = [change for change in changes if change.name in self._types]
        if not ours:
            return SetParametersResult(successful=True)
        flat = {item.name: item.value for item in settings(self.value)}
        for change in ours:
            value = _from_ros(self._cls, change.name, change.value)
            # As text, null comes where nothing was declared, and would take a live value away.
            if change.type_ is Parameter.Type.NOT_SET or value is None:
                return SetParametersResult(
                    successful=False, reason=f"{change.name}: a running node cannot unset it"
                )
            flat[change.name] = value
        try:
            self._pending = self._parse(flat)
        except AbRosError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _accept(self, _changes: list[Parameter[Any]]) -> None:
        if self._pending is None:
            return
        old, self.value, self._pending = self.value, self._pending, None
        self._changed(self.value, old)
