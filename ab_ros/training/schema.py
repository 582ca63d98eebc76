"""Schemas: the fields of a config, an action or a state, their types, and what they may hold."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ab_ros.errors import AbRosError, ConfigError, one_of, shown

_INTEGERS = {
    f"{sign}Int{bits}": ((0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
_LARGEST = float(np.finfo(np.float32).max)
TYPES = ("Bool", *_INTEGERS, "Float32", "Float64")
_FORM = re.compile(r"\s*(\w+)\s*(?:\{([^{}]*)\})?\s*")


class SchemaError(AbRosError):
    """A config, action or state that does not fit its schema."""


class Message(dict[str, Any]):
    """The values of a schema's fields, by name: ``message["angle"]`` or ``message.angle``."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no field {name!r}; {one_of(self)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


@dataclass(frozen=True)
class Field:
    """One field.

    Parameters
    ----------
    name : of the field.
    type : one of :data:`TYPES`.
    bounds : lowest and highest value, or None.
    values : all that is allowed, in ascending order; empty: whatever lies within the bounds.
    """

    name: str
    type: str
    bounds: tuple[float, float] | None = None
    values: tuple[float, ...] = ()

    @classmethod
    def parse(cls, name: str, text: str) -> Field:
        """Read a field's type, as ``Float32``, ``Float32{-1:1}`` or ``Int8{0, 1}``.

        Raises
        ------
        ConfigError
            if the text is none.
        """
        where = f"field {name!r}"
        if not name.isidentifier():
            raise ConfigError(f"{where}: a field's name must be an identifier")
        match = _FORM.fullmatch(text) if isinstance(text, str) else None
        if match is None or match[1] not in TYPES:
            raise ConfigError(
                f"{where}: {shown(text)} is no type; {one_of(TYPES)}, followed by {{low:high}} or"
                f" {{value, value}} where it is bounded"
            )
        kind, given = match[1], match[2]
        if given is None:
            return cls(name, kind, None, (0, 1) if kind == "Bool" else ())
        if kind == "Bool":
            raise ConfigError(f"{where}: Bool takes no bounds")
        parts = given.split(":" if ":" in given else ",")
        try:
            read = [_number(part, kind) for part in parts]
        except ValueError:
            raise ConfigError(
                f"{where}: {{{given}}} must hold numbers that a {kind} can have"
            ) from None
        if ":" in given:
            if len(read) != 2 or not read[0] < read[1]:
                raise ConfigError(f"{where}: {{{given}}} must be {{low:high}}, low below high")
            return cls(name, kind, (read[0], read[1]))
        if len(set(read)) != len(read):
            raise ConfigError(f"{where}: {{{given}}} must name each value once")
        if len(read) == 1:
            raise ConfigError(
                f"{where}: {{{given}}} must name at least two values, or {{low:high}}"
            )
        read.sort()
        return cls(name, kind, (read[0], read[-1]), tuple(read))

    @property
    def discrete(self) -> bool:
        """Whether there is a list of values."""
        return bool(self.alternatives)

    @property
    def alternatives(self) -> tuple[float, ...]:
        """The values it may have, where they are listed or are at most 32 integers; else empty."""
        if self.values or self.bounds is None or self.type.startswith("Float"):
            return self.values
        low, high = (int(bound) for bound in self.bounds)
        return tuple(range(low, high + 1)) if high - low < 32 else ()

    @property
    def span(self) -> tuple[float, float] | None:
        """The lowest and the highest value, where they are known."""
        return (0.0, 1.0) if self.type == "Bool" else self.bounds

    def read(self, value: Any, strict: bool) -> Any:
        """Return a value as this field has it.

        Parameters
        ----------
        value : a number or bool, or an array's scalar.
        strict : whether a Float must lie within its bounds.

        Raises
        ------
        ValueError
            saying what would be right.
        """
        # What states are made of, without a detour; NaN and what is too large go the long way.
        if not strict and type(value) is float and abs(value) <= _LARGEST and not self.values:
            if self.type == "Float32":
                return float(np.float32(value))
            if self.type == "Float64":
                return value
        if getattr(value, "shape", None) == () and hasattr(value, "item"):
            value = value.item()
        kind = self.type
        if not isinstance(value, (bool, int, float)):
            raise ValueError(f"must be {self.allowed()}, not {shown(value)}")
        if kind == "Bool":
            if value not in (0, 1):
                raise ValueError(f"must be true or false, not {shown(value)}")
            return bool(value)
        if not math.isfinite(value):
            raise ValueError(f"must be finite, not {value}")
        read: float
        if kind in _INTEGERS:
            if value != int(value):
                raise ValueError(f"must be a whole number, not {value}")
            read = int(value)
            low, high = _INTEGERS[kind]
            if not low <= read <= high:
                raise ValueError(f"must be within {low} to {high}, as any {kind}, not {read}")
        else:
            read = float(value)
            if kind == "Float32":
                read = float(np.float32(read)) if abs(read) <= _LARGEST else math.inf
                if not math.isfinite(read):
                    raise ValueError(f"must be a number that a Float32 can hold, not {value}")
        bounded = strict or kind in _INTEGERS
        if self.values:
            if read not in self.values and float(value) not in self.values:
                raise ValueError(f"must be {self.allowed()}, not {read}")
        elif bounded and self.bounds is not None:
            low, high = self.bounds
            # The bounds were written as decimals, which a Float32 may pass by its rounding.
            if not (low <= read <= high or low <= value <= high):
                raise ValueError(f"must be {self.allowed()}, not {read}")
        return read

    def allowed(self) -> str:
        """Say in words what is allowed."""
        if self.type == "Bool":
            return "true or false"
        if self.values:
            return one_of(f"{value:g}" for value in self.values)
        if self.bounds is None:
            return f"a number ({self.type})"
        low, high = self.bounds
        return f"a number within {low:g} to {high:g} ({self.type})"

    def text(self) -> str:
        """Return the type as it is written in a definition."""
        if self.type == "Bool" or self.bounds is None:
            return self.type
        if self.values:
            return f"{self.type}{{{', '.join(repr(value) for value in self.values)}}}"
        return f"{self.type}{{{self.bounds[0]!r}:{self.bounds[1]!r}}}"


class Schema:
    """The fields of a config, an action or a state.

    Parameters
    ----------
    name : what it is of, for messages.
    fields : {name: type}, see :meth:`Field.parse`.
    strict : whether floats must lie within their bounds; if not, the bounds describe.

    Raises
    ------
    ConfigError
        for a field that cannot be read.
    """

    def __init__(self, name: str, fields: Mapping[str, str], strict: bool = True) -> None:
        self.name = name
        self.strict = strict
        try:
            self.fields = {key: Field.parse(key, text) for key, text in fields.items()}
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from None

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields.values())

    def __len__(self) -> int:
        return len(self.fields)

    def read(self, values: Any) -> Message:
        """Return the values of all fields, each as its type.

        Raises
        ------
        SchemaError
            naming the field, if it is missing, unknown, or does not fit.
        """
        if not isinstance(values, Mapping):
            raise SchemaError(
                f"{self.name}: must be a dictionary with the fields {', '.join(self.fields)}, not"
                f" {shown(values)}"
            )
        message = Message()
        for name, field in self.fields.items():
            if name not in values:
                raise SchemaError(
                    f"{self.name}: field {name!r} ({field.type}) is missing; there are"
                    f" {', '.join(map(str, values)) or 'none'}"
                )
            try:
                message[name] = field.read(values[name], self.strict)
            except ValueError as error:
                raise SchemaError(f"{self.name}.{name}: {error}") from None
        if len(values) != len(self.fields):
            extra = next(name for name in values if name not in self.fields)
            close = difflib.get_close_matches(str(extra), list(self.fields), n=1)
            hint = f"did you mean {close[0]!r}?" if close else one_of(self.fields)
            raise SchemaError(f"{self.name}: no field {shown(extra)}; {hint}")
        return message


def _number(text: str, kind: str) -> float:
    number: float = int(text) if kind in _INTEGERS else float(text)
    if not math.isfinite(number):
        raise ValueError("not finite")
    if kind in _INTEGERS and not _INTEGERS[kind][0] <= number <= _INTEGERS[kind][1]:
        raise ValueError("out of the type's range")
    return number
