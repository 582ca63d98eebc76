"""What differs between two contracts, in sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ab_ros.contract import DEFAULT_CONSTANTS, Contract, Port

_DIRECTIONS = (("inputs", "input"), ("outputs", "output"), ("feedback", "feedback"))
_MISSING = object()
_LONGEST = 60


def contract_changes(old: Contract, new: Contract) -> tuple[str, ...]:
    """Return what changed from ``old`` to ``new``, a sentence each; empty if nothing did.

    It is empty exactly if the two have the same digest: order and every key of an item count.

    Returns
    -------
    sentences such as ``constant gamma: was 64, is 20``, ``output 'pan' was removed``,
    ``feedback 'fb' was added (n 50)``, ``output 'tilt': n was 32, is 64``, ``the order of the
    outputs changed``.
    """
    changes = [
        f"constant {name}: was {old.constants[name]}, is {new.constants[name]}"
        for name in DEFAULT_CONSTANTS
        if old.constants[name] != new.constants[name]
    ]
    for what, one in _DIRECTIONS:
        changes += _port_changes(one, what, getattr(old, what), getattr(new, what))
    changes += _layer_changes(old.stdp3_layers, new.stdp3_layers)
    return tuple(changes)


def _port_changes(one: str, what: str, old: Sequence[Port], new: Sequence[Port]) -> Iterator[str]:
    before, after = {port.id: port for port in old}, {port.id: port for port in new}
    for name, port in before.items():
        if name not in after:
            yield f"{one} {_shown(name)} was removed"
        else:
            yield from _item_changes(f"{one} {_shown(name)}", port.item, after[name].item)
    for name, port in after.items():
        if name not in before:
            size = f" (n {port.n})" if port.n else ""
            yield f"{one} {_shown(name)} was added{size}"
    yield from _order_change(f"the {what}", list(before), list(after))


def _item_changes(where: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys((*old, *new)):
        was, now = old.get(key, _MISSING), new.get(key, _MISSING)
        # As JSON, for that is what the digest sees: 1, 1.0 and true are three values.
        if _json(was) != _json(now):
            yield f"{where}: {_bare(key)} was {_shown(was)}, is {_shown(now)}"


def _layer_changes(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    yield from (f"STDP3 layer {_shown(name)} was removed" for name in old if name not in new)
    yield from (f"STDP3 layer {_shown(name)} was added" for name in new if name not in old)
    yield from _order_change("the STDP3 layers", old, new)


def _order_change(what: str, old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    if [name for name in old if name in new] != [name for name in new if name in old]:
        yield f"the order of {what} changed"


def _json(value: Any) -> str:
    return "" if value is _MISSING else json.dumps(value, sort_keys=True)


def _shown(value: Any) -> str:
    if value is _MISSING:
        return "missing"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _bare(key: Any) -> str:
    return str(key) if str(key).isidentifier() else _shown(str(key))
