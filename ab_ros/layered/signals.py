"""Values for sensors without a robot: test signals over the ranges of encoders, and CSV files."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.readings import NumberSettings, RangeSettings
from ab_ros.errors import ConfigError, one_of
from ab_ros.layered.sensor import Sensor

Values = list[dict[str, NDArray[np.float64]]]
"""Values of sensors by name, tick by tick."""

_PERIOD = 100  # ticks
_LARGEST = 1_000_000  # rows of a file


def _sine(ticks: NDArray[np.float64], k: int, random: np.random.Generator) -> NDArray[np.float64]:
    return np.asarray(0.5 - 0.5 * np.cos(2 * math.pi * ticks / (_PERIOD * (1 + 0.37 * k))))


def _sweep(ticks: NDArray[np.float64], k: int, random: np.random.Generator) -> NDArray[np.float64]:
    return np.asarray(np.mod(ticks / (_PERIOD * (1 + 0.37 * k)), 1.0))


def _noise(ticks: NDArray[np.float64], k: int, random: np.random.Generator) -> NDArray[np.float64]:
    return random.random(ticks.size)


SIGNALS: Mapping[str, Callable[..., NDArray[np.float64]]] = {
    "sine": _sine,
    "sweep": _sweep,
    "noise": _noise,
}
"""Signals in [0, 1] by name; every further number of a sensor has a longer period."""


def signal(sensors: Mapping[str, Sensor], name: str, ticks: int, seed: int = 0) -> Values:
    """Return a test signal for every sensor of numbers, over the range of its encoder.

    Parameters
    ----------
    sensors : by name; those of images and sound get nothing, and are silent.
    name : one of :data:`SIGNALS`.
    ticks : how many values.
    seed : of noise.

    Raises
    ------
    ConfigError
        for an unknown name, or if there is no sensor of numbers that has a range.
    """
    if name not in SIGNALS:
        raise ConfigError(f"there is no signal {name!r}; {one_of(SIGNALS)}")
    random = np.random.default_rng(seed)
    when = np.arange(ticks, dtype=np.float64)
    columns: dict[str, NDArray[np.float64]] = {}
    k = 0
    for each, sensor in sensors.items():
        settings = getattr(sensor.encoder, "settings", None)
        if not isinstance(settings, RangeSettings):
            continue
        shares = np.empty((ticks, settings.count))
        for j in range(settings.count):
            shares[:, j] = SIGNALS[name](when, k, random)
            k += 1
        columns[each] = settings.lower + shares * (settings.upper - settings.lower)
    if not columns:
        raise ConfigError("the brain has no sensor of numbers with a range: give it a CSV file")
    return [{each: column[t] for each, column in columns.items()} for t in range(ticks)]


def read_values(path: Path, sensors: Mapping[str, Sensor]) -> Values:
    """Read the values of sensors from a CSV file: a row for each tick.

    Its head names a sensor for each column; of a sensor with several numbers there are as many
    columns, in their order.  A row in which a sensor's cells are empty leaves it silent.

    Raises
    ------
    ConfigError
        naming the line, for a head that does not fit, or a cell that is no finite number.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            head = [cell.strip() for cell in next(rows, [])]
            places = _places(head, sensors, path)
            values: Values = []
            for row in rows:
                if len(values) >= _LARGEST:
                    raise ConfigError(f"{path}: has more than {_LARGEST} rows")
                if row:
                    values.append(_row(row, len(head), places, f"{path}:{rows.line_num}"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    if not values:
        raise ConfigError(f"{path}: has no rows of values")
    return values


def _places(head: list[str], sensors: Mapping[str, Sensor], path: Path) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for k, name in enumerate(head):
        if name not in sensors:
            raise ConfigError(f"{path}:1: {name!r} is no sensor of the brain; {one_of(sensors)}")
        places.setdefault(name, []).append(k)
    for name, columns in places.items():
        settings: Any = getattr(sensors[name].encoder, "settings", None)
        if not isinstance(settings, NumberSettings):
            raise ConfigError(f"{path}:1: the sensor {name!r} takes no numbers")
        if settings.count != len(columns):
            raise ConfigError(
                f"{path}:1: the sensor {name!r} takes {settings.count} numbers, but has"
                f" {len(columns)} columns"
            )
    return places


def _row(
    row: list[str], width: int, places: Mapping[str, list[int]], where: str
) -> dict[str, NDArray[np.float64]]:
    if len(row) != width:
        raise ConfigError(f"{where}: has {len(row)} cells, but the head has {width}")
    values = {}
    for name, columns in places.items():
        cells = [row[k].strip() for k in columns]
        if not any(cells):
            continue
        try:
            numbers = np.array([float(cell) for cell in cells])
        except ValueError:
            numbers = np.array([math.nan])
        if not np.isfinite(numbers).all():
            raise ConfigError(f"{where}: {name!r}: must be finite numbers (got {', '.join(cells)})")
        values[name] = numbers
    return values
