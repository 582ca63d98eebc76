"""Numbers from any message, by the paths of its fields.

A path names fields from the outside in, and which items of a list::

    twist.twist.linear.x    ranges[*]    data[3]    points[2:5].x    position    ranges[-1]

It works on messages, plain objects, mappings and arrays alike.  A list of numbers at the end of a
path is read whole, whether ``[*]`` follows it or not; true and false are 1 and 0.
"""

from __future__ import annotations

import array
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.config import setting
from ab_ros.errors import ConfigError, ObservationError, one_of, shown
from ab_ros.values import read_only

_PART = re.compile(r"(?P<name>[A-Za-z_]\w*)(?P<places>(?:\[[^\[\]]*\])*)", re.ASCII)
_PLACE = re.compile(r"(?P<from>-?\d{1,9})?(?P<colon>:(?P<to>-?\d{1,9})?)?", re.ASCII)
_LISTS = (list, tuple, array.array, np.ndarray)

NON_FINITE = ("", "refuse", "range_max", "replace")
"""Rules for numbers that are infinite or NaN."""

NON_FINITE_DOC = (
    "What becomes of a sample with numbers that are infinite or NaN. refuse: it is refused, and"
    " counted; replace: each becomes replacement; range_max: infinite ones become the message's"
    " range_max, or its range_min if negative, and NaN becomes replacement, or the sample is"
    " refused; empty: range_max for ranges of messages with these limits (LaserScan, Range), for"
    " there inf says that nothing is in range, else refuse"
)

RANGE_LIMITS = ("range_min", "range_max")


@dataclass(frozen=True)
class Step:
    """One step of a path: to a field, an item, or some items; and the text up to it."""

    key: str | int | slice
    text: str


@dataclass(frozen=True)
class FieldPath:
    """Where numbers are in a message; made by :meth:`parse`."""

    text: str
    steps: tuple[Step, ...]

    @property
    def is_range(self) -> bool:
        """Whether it leads to distances, as LaserScan and Range call them."""
        return self.steps[0].key in ("range", "ranges")

    @classmethod
    def parse(cls, text: str) -> FieldPath:
        """Read a path.

        Raises
        ------
        ConfigError
            if it is none; the message says which part is not.
        """
        steps: list[Step] = []
        done = ""
        for part in text.split("."):
            match = _PART.fullmatch(part)
            if match is None:
                raise ConfigError(
                    f"field {shown(text)}: {shown(part)} must be a name, which items in brackets"
                    f" may follow, as in ranges[*], data[3] or points[2:5].x"
                )
            done += f".{match['name']}" if done else match["name"]
            steps.append(Step(match["name"], done))
            for place in match["places"][1:-1].split("][") if match["places"] else ():
                done += f"[{place}]"
                steps.append(Step(_place(place, text), done))
        return cls(text, tuple(steps))

    def read(self, source: Any, where: str = "") -> NDArray[np.float64]:
        """Return the numbers of a message, float64[n], n >= 0; they may be infinite or NaN.

        Parameters
        ----------
        source : the message, or an object, mapping or structured array.
        where : what the message is, for messages of errors.

        Raises
        ------
        ObservationError
            if a field or an item is not there, or what is there is no number; the message says how
            far the path leads, and which fields there are.
        """
        where = f"{where}: " if where else ""
        # All values that the path has led to so far; more than one behind a slice.
        found: list[Any] = [source]
        above = "the message"
        for place, step in enumerate(self.steps):
            last = place == len(self.steps) - 1
            if isinstance(step.key, str):
                found = [self._field(v, step.key, where, above) for v in found]
            else:
                items = [self._items(value, step.key, where, above) for value in found]
                if isinstance(step.key, slice) and not last:
                    found = [item for some in items for item in some]
                else:
                    found = items
            above = step.text
        parts = [self._numbers(value, where) for value in found]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _field(self, value: Any, name: str, where: str, above: str) -> Any:
        """Return a field of a value."""
        names = list(_fields(value))
        if name in names:
            by_key = isinstance(value, (Mapping, np.ndarray, np.void))
            return value[name] if by_key else getattr(value, name)
        has = one_of(names) if names else "it has no fields"
        if isinstance(value, _LISTS) and not names:
            has = f"it is a list: {above}[*] or {above}[0] names items of it"
        raise ObservationError(
            f"{where}field {self.text!r}: {above} ({type(value).__name__}) has no {name!r}; {has}"
        )

    def _items(self, value: Any, key: int | slice, where: str, above: str) -> Any:
        """Return an item of a list, or some."""
        if not isinstance(value, _LISTS) or (isinstance(value, np.ndarray) and not value.ndim):
            raise ObservationError(
                f"{where}field {self.text!r}: {above} ({type(value).__name__}) is no list"
            )
        size = len(value)
        inside = -size <= key < size if isinstance(key, int) else _inside(key, size)
        if not inside:
            raise ObservationError(f"{where}field {self.text!r}: {above} has {size} items")
        return value[key]

    def _numbers(self, value: Any, where: str) -> NDArray[np.float64]:
        """Return what a path leads to as float64[n]."""
        try:
            table = np.asarray(value) if _may_be_numbers(value) else None
            if table is not None and (table.dtype.kind in "buif" or not table.size):
                return table.astype(np.float64).reshape(-1)
        except (ValueError, OverflowError):  # rows of different lengths, or of things
            pass
        kind, item = type(value).__name__, value
        if isinstance(value, _LISTS) and len(value):
            item = value[0]
            kind = f"list of {type(item).__name__}"
        names = list(_fields(item))
        hint = f"; name one of its fields: {', '.join(names)}" if names else ""
        raise ObservationError(f"{where}field {self.text!r}: is no number, but {kind}{hint}")


@dataclass(frozen=True)
class FieldSettings:
    """Numbers of a message that make a sample."""

    fields: tuple[str, ...] = setting(
        doc="Paths of fields, one after the other, as twist.twist.linear.x or ranges[*]."
    )
    size: int = setting(
        0,
        doc="Numbers in a sample; 0: as many as the first one has. Others are refused.",
        ge=0,
        le=1_000_000,
    )
    non_finite: str = setting("", doc=f"{NON_FINITE_DOC}.", one_of=NON_FINITE)
    replacement: float | None = setting(
        None, doc="What replaces numbers that are not finite, by the rules replace and range_max."
    )

    def __post_init__(self) -> None:
        if not self.fields:
            raise ConfigError("fields: must have at least one path")
        for text in self.fields:
            FieldPath.parse(text)
        if self.non_finite == "replace" and self.replacement is None:
            raise ConfigError("replacement: is required where non_finite is 'replace'")
        if self.replacement is not None and self.non_finite in ("", "refuse"):
            raise ConfigError(
                f"replacement: is for non_finite: replace or range_max, not for"
                f" {self.non_finite or 'the default'!r}"
            )


class FieldReader:
    """Reads samples of one size from messages.

    Parameters
    ----------
    settings : paths, size, and what becomes of values that are not finite.

    Attributes
    ----------
    size : numbers in a sample; 0 until the first one, where the settings do not say.
    """

    def __init__(self, settings: FieldSettings) -> None:
        self.settings = settings
        self.size = settings.size
        self._paths = [FieldPath.parse(text) for text in settings.fields]

    def read(self, message: Any, where: str = "") -> NDArray[np.float64]:
        """Return the numbers of a message, float64[size], all finite, path by path.

        Parameters
        ----------
        message : see :meth:`FieldPath.read`.
        where : what the message is, for messages of errors.

        Raises
        ------
        ObservationError
            if a field is not there or no number, the sample is empty or has another size, or a
            value is not finite and the rule for such ones refuses it.
        """
        parts = [path.read(message, where) for path in self._paths]
        values = np.concatenate(parts)
        where = f"{where}: " if where else ""
        if not values.size or self.size not in (0, values.size):
            wanted = f"{self.size} number{'s' * (self.size > 1)}" if self.size else "a number"
            sizes = ", ".join(
                f"{path.text} {part.size}" for path, part in zip(self._paths, parts, strict=True)
            )
            raise ObservationError(
                f"{where}a sample must have {wanted}, but has {values.size} ({sizes})"
            )
        if not np.isfinite(values).all():
            if self.settings.non_finite != "refuse":
                values = self._made_finite(message, parts)
            bad = np.flatnonzero(~np.isfinite(values))
            if bad.size:
                place = int(bad[0])
                raise ObservationError(
                    f"{where}field {self._name(place, parts)} must be finite, not {values[place]};"
                    f" the setting non_finite can give it a value"
                )
        self.size = int(values.size)
        return read_only(values)

    def _made_finite(self, message: Any, parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the numbers, with values for those that are not finite where the rule has some."""
        s = self.settings
        limits = range_limits(message) if s.non_finite != "replace" else None
        done = []
        for path, part in zip(self._paths, parts, strict=True):
            if limits is not None and (s.non_finite == "range_max" or path.is_range):
                part = np.where(np.isposinf(part), limits[1], part)
                part = np.where(np.isneginf(part), limits[0], part)
            if s.replacement is not None:
                rest = np.isnan(part) if s.non_finite == "range_max" else ~np.isfinite(part)
                part = np.where(rest, s.replacement, part)
            done.append(part)
        return np.concatenate(done)

    def _name(self, place: int, parts: Sequence[NDArray[np.float64]]) -> str:
        for path, part in zip(self._paths, parts, strict=True):
            if place < part.size:
                return f"{path.text!r}" + (f" (number {place})" if part.size > 1 else "")
            place -= part.size
        raise AssertionError(place)


def range_limits(message: Any) -> tuple[float, float] | None:
    """Return what a message says of the least and the greatest distance it measures, if it does."""
    names = set(_fields(message))
    if not names.issuperset(RANGE_LIMITS):
        return None
    by_key = isinstance(message, (Mapping, np.ndarray, np.void))
    low, high = (float(message[n] if by_key else getattr(message, n)) for n in RANGE_LIMITS)
    return low, high


def _place(text: str, path: str) -> int | slice:
    match = _PLACE.fullmatch(text)
    if text == "*":
        return slice(None)
    if not text or match is None:
        raise ConfigError(
            f"field {shown(path)}: {shown(text)} in brackets must be *, an item as 3 or -1, or a"
            f" range as 2:5"
        )
    start, end = (int(match[name]) if match[name] else None for name in ("from", "to"))
    return slice(start, end) if match["colon"] or start is None else start


def _inside(key: slice, size: int) -> bool:
    """Whether both ends of a slice are within a list: Python itself would give fewer items."""
    ends = [end for end in (key.start, key.stop) if end is not None]
    return all(-size <= end <= size for end in ends)


def _may_be_numbers(value: Any) -> bool:
    if isinstance(value, (bool, int, float, np.generic)):
        return not isinstance(value, np.void)
    return isinstance(value, _LISTS)


def _fields(value: Any) -> Iterator[str]:
    """Yield the names of a value's fields."""
    declared = getattr(type(value), "get_fields_and_field_types", None)
    if isinstance(value, Mapping):
        yield from (key for key in value if isinstance(key, str))
    elif isinstance(value, (np.ndarray, np.void)):
        yield from value.dtype.names or ()
    elif callable(declared):  # a ROS message
        yield from declared()
    elif not isinstance(value, (bool, int, float, str, bytes, np.generic, *_LISTS, type(None))):
        names = [*getattr(value, "__dict__", ())]
        for base in type(value).__mro__:
            slots = base.__dict__.get("__slots__", ())
            names += (slots,) if isinstance(slots, str) else slots
        yield from (name for name in names if not name.startswith("_"))
