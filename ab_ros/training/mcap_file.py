"""MCAP files of signals: topics of JSON that Foxglove and PlotJuggler show, without ROS."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np

from ab_ros import __version__
from ab_ros.errors import RecordError


def require_mcap() -> Any:
    """Return the library's writer.

    Raises
    ------
    RecordError
        if the library is not installed.
    """
    try:
        from mcap import writer
    except ImportError as error:
        raise RecordError(
            f"signals as MCAP need the library mcap ({error}): pip install 'ab_ros[mcap]', or"
            f" write .npz"
        ) from None
    return writer


def write_mcap(
    file: IO[bytes], columns: Mapping[str, Sequence[Any]], episode: int, step_time: float
) -> None:
    """Write the signals of an episode.

    The topics ``/state`` and ``/action`` have a key for each field, ``/reward`` has ``reward`` and
    ``terminal``, and ``/spikes`` for each output ``total`` and ``counts``: the spikes of all its
    neurons, and of each.  A topic has a message per step, of the time at which the step is over:
    step k = 1, 2, … has k · ``step_time``.  The metadata ``episode`` tells the episode's number,
    its steps and ``step_time``.

    Parameters
    ----------
    file : to write to.
    columns : of ``state.<field>``, ``action.<field>``, ``reward``, ``terminal`` and
        ``spikes.<output>``, a value per step.
    episode : its number.
    step_time : s, what a step takes.
    """
    library = require_mcap()
    writer = library.Writer(file)
    writer.start(profile="", library=f"ab_ros {__version__}")
    topics = _topics(columns)
    channels = {}
    for topic, keys in topics.items():
        kinds = {key: _schema(columns[name]) for key, name in keys.items()}
        schema = {"type": "object", "properties": kinds}
        number = writer.register_schema(
            name=f"ab_ros.{topic}", encoding="jsonschema", data=json.dumps(schema).encode()
        )
        channels[topic] = writer.register_channel(
            topic=f"/{topic}", message_encoding="json", schema_id=number
        )
    steps = len(columns.get("reward", ()))
    for step in range(steps):
        stamp = round((step + 1) * step_time * 1e9)
        for topic, keys in topics.items():
            message = {key: _plain(columns[name][step]) for key, name in keys.items()}
            writer.add_message(
                channel_id=channels[topic],
                log_time=stamp,
                publish_time=stamp,
                sequence=step + 1,
                data=json.dumps(message, allow_nan=False).encode(),
            )
    told = {"episode": episode, "steps": steps, "step_time": step_time}
    writer.add_metadata("episode", {name: str(value) for name, value in told.items()})
    writer.finish()


def _topics(columns: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, str]]:
    """Return of each topic its keys, and the column of each."""
    topics: dict[str, dict[str, str]] = {}
    for name in columns:
        topic, _, key = name.partition(".")
        topics.setdefault("reward" if topic == "terminal" else topic, {})[key or name] = name
    return topics


def _schema(column: Sequence[Any]) -> dict[str, Any]:
    first = column[0]
    if isinstance(first, np.ndarray):
        counts = {"type": "array", "items": {"type": "integer"}}
        return {"type": "object", "properties": {"total": {"type": "integer"}, "counts": counts}}
    kinds = {bool: "boolean", int: "integer"}
    return {"type": kinds.get(type(first), "number")}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"total": int(value.sum()), "counts": value.tolist()}
    return value
