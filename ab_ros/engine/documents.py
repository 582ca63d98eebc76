"""JSON documents that people write: read, checked against a schema, refused with their faults."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, relevance

from ab_ros.errors import ConfigError, one_of

_SHOWN = 60


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    ConfigError
        naming the file, and line and column or JSON path: if it cannot be read, is not JSON, has a
        key twice in one object, or a number that is not finite.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    return parse_json(text, str(path))


def parse_json(text: str, where: str) -> Any:
    """Parse JSON text; ``where`` starts the messages of errors.  See :func:`read_json`."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        if len(document) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ConfigError(f"{where}: the key {twice!r} stands twice in one object")
        return document

    try:
        document = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{where}, line {error.lineno}, column {error.colno}: invalid JSON: {error.msg}"
        ) from None
    except RecursionError:
        raise ConfigError(f"{where}: invalid JSON: nested too deeply") from None
    for place, number in _numbers(document, ()):
        if not math.isfinite(number):
            raise ConfigError(f"{where}: {json_path(place)}: must be finite (got {number})")
    return document


def check_schema(document: Any, validator: Draft202012Validator, where: str) -> None:
    """Refuse a document that does not fit a JSON Schema.

    Parameters
    ----------
    document : as JSON gives it.
    validator : of the schema.
    where : starts the message, such as the file's name.

    Raises
    ------
    ConfigError
        with the JSON path of the first fault, the value, and what is allowed.
    """
    faults = list(validator.iter_errors(document))
    if not faults:
        return
    # What stands deepest says most; among equals, the first in the document.
    fault = max(faults, key=relevance)
    while fault.context:
        fault = max(fault.context, key=lambda error: len(error.absolute_path))
    raise ConfigError(f"{where}: {_explained(fault)}")


def json_path(place: Iterable[str | int]) -> str:
    """Write a place in a document, such as ``paths[3].weight``; the document itself is ``$``."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".") or "$"


def shown(value: Any) -> str:
    """Return a value as JSON, shortened where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _explained(fault: ValidationError) -> str:
    place = list(fault.absolute_path)
    value: Any = fault.instance
    rule: Any = fault.validator_value
    schema: Any = fault.schema
    keyword = str(fault.validator)
    if keyword == "additionalProperties":
        allowed = sorted(schema.get("properties", {}))
        key = next(key for key in value if key not in allowed)
        return f"{json_path([*place, key])}: unknown key (got {shown(value[key])}); " + one_of(
            allowed
        )
    if keyword == "required":
        missing = next(key for key in rule if key not in value)
        return f"{json_path(place)}: the key {missing!r} is missing; needed: {', '.join(rule)}"
    texts: dict[str, Callable[[], str]] = {
        "enum": lambda: one_of(rule),
        "const": lambda: f"must be {shown(rule)}",
        "type": lambda: "must be " + " or ".join([rule] if isinstance(rule, str) else rule),
        "minimum": lambda: f"must be at least {rule}",
        "maximum": lambda: f"must be at most {rule}",
        "exclusiveMinimum": lambda: f"must be greater than {rule}",
        "exclusiveMaximum": lambda: f"must be less than {rule}",
        "minLength": lambda: "must not be empty",
        "minItems": lambda: f"must have at least {rule} items",
        "maxItems": lambda: f"must have at most {rule} items",
        "minProperties": lambda: f"must have at least {rule} entries",
        "pattern": lambda: f"must match {rule}",
        "uniqueItems": lambda: "must not have the same item twice",
    }
    text = texts[keyword]() if keyword in texts else fault.message
    if "propertyNames" in fault.absolute_schema_path:
        return f"{json_path(place)}: the name {shown(value)} {text}"
    return f"{json_path(place)}: {text} (got {shown(value)})"


def _numbers(value: Any, place: tuple[str | int, ...]) -> Iterator[tuple[tuple[Any, ...], float]]:
    if isinstance(value, float):
        yield place, value
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from _numbers(entry, (*place, key))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _numbers(entry, (*place, index))
