"""The IO contract of a brain: its constants, inputs, outputs, feedback and learning layers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ab_ros.errors import ContractError, one_of, shown

DEFAULT_CONSTANTS: Mapping[str, int] = {
    "gamma": 64,
    "outputWindowN": 32,
    "feedbackN": 128,
    "feedbackT": 128,
}
_ALIASES = {"FEEDBACK_WINDOW_T": "feedbackT"}
_LARGEST = 1 << 24


@dataclass(frozen=True)
class Port:
    """One input, output or feedback of a brain.

    Parameters
    ----------
    id : unique among the ports of its direction.
    n : neurons; 0 where the contract does not say.
    kind : ``Image``, ``Audio``, ``Proprioception``, ``Feedback`` or a word of the brain's own.
    item : the contract's own JSON object, kept verbatim because the digest covers it.
    """

    id: str
    n: int
    kind: str
    item: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Contract:
    """What a brain takes and gives; immutable, validated when made.

    ``constants`` are integers: ``gamma`` timesteps per cycle, ``outputWindowN`` and ``feedbackN``
    default population sizes, ``feedbackT`` timesteps of a deviation.
    """

    constants: Mapping[str, int]
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    feedback: tuple[Port, ...] = ()
    stdp3_layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in DEFAULT_CONSTANTS:
            if self.constants.get(name, 0) < 1:
                raise ContractError(
                    f"contract: constants.{name} must be at least 1, not {self.constants.get(name)}"
                )
        for what in ("inputs", "outputs", "feedback"):
            _refuse_twice(what, [port.id for port in getattr(self, what)])
        _refuse_twice("stdp3.layers", self.stdp3_layers)
        try:
            self.canonical().encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ContractError(f"contract: has no digest: {error}") from None

    @property
    def gamma(self) -> int:
        """Timesteps per cycle."""
        return self.constants["gamma"]

    @property
    def feedback_timesteps(self) -> int:
        """Timesteps of a deviation (``feedbackT``)."""
        return self.constants["feedbackT"]

    def output(self, population: str) -> Port:
        """Return an output port, or raise a ContractError that names the alternatives."""
        return _find("output population", population, self.outputs)

    def input(self, name: str) -> Port:
        """Return an input port, or raise a ContractError that names the alternatives."""
        return _find("input", name, self.inputs)

    def feedback_port(self, name: str) -> Port:
        """Return a feedback port, or raise a ContractError that names the alternatives."""
        return _find("feedback", name, self.feedback)

    def canonical(self) -> str:
        """Return the canonical JSON that the digest is made over."""
        body = {
            "constants": {name: self.constants[name] for name in DEFAULT_CONSTANTS},
            "io": {
                "inputs": [dict(port.item) for port in self.inputs],
                "outputs": [dict(port.item) for port in self.outputs],
                "feedback": [dict(port.item) for port in self.feedback],
                "stdp3": {"layers": list(self.stdp3_layers)},
            },
        }
        return json.dumps(
            body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )

    @property
    def sha256(self) -> str:
        """Hex SHA-256 over the canonical JSON."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str) -> Contract:
        """Read a contract from JSON text.

        Raises
        ------
        ContractError
            if the text is not JSON or breaks the contract's form.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ContractError(f"contract: is not JSON: {error}") from None
        return cls.from_dict(data)

    @classmethod
    def from_dict(cls, data: Any) -> Contract:
        """Read a contract as the 0.1 protocol sends it: any part may be missing or null."""
        if not isinstance(data, Mapping):
            raise ContractError(f"contract: must be a JSON object, not {type(data).__name__}")
        constants = dict(DEFAULT_CONSTANTS)
        for key, value in _mapping(data, "constants").items():
            name = _ALIASES.get(key, key)
            if name in DEFAULT_CONSTANTS and value is not None:
                constants[name] = _integer(f"constants.{key}", value)
        io = _mapping(data, "io")
        default_n = {"outputs": constants["outputWindowN"], "feedback": constants["feedbackN"]}
        ports = {
            what: tuple(_ports(what, io.get(what) or (), default_n.get(what, 0)))
            for what in ("inputs", "outputs", "feedback")
        }
        layers = _mapping(io, "stdp3").get("layers") or ()
        if not isinstance(layers, (list, tuple)) or not all(isinstance(x, str) for x in layers):
            raise ContractError(
                f"contract: io.stdp3.layers must be a list of texts, not {shown(layers)}"
            )
        return cls(constants, stdp3_layers=tuple(layers), **ports)


def _ports(what: str, items: Any, default_n: int) -> Iterable[Port]:
    if isinstance(items, (str, Mapping)) or not isinstance(items, Iterable):
        raise ContractError(f"contract: io.{what} must be a list, not {shown(items)}")
    for index, item in enumerate(items):
        if not isinstance(item, Mapping) or not item.get("id"):
            raise ContractError(f"contract: io.{what}[{index}] must be an object with an id")
        given = item.get("n")
        n = default_n if given is None else _integer(f"io.{what}[{index}].n", given)
        kind = item.get("kind") or item.get("outputKind") or ""
        yield Port(str(item["id"]), n, str(kind), dict(item))


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key) or {}
    if not isinstance(value, Mapping):
        raise ContractError(f"contract: {key} must be an object, not {shown(value)}")
    return value


def _integer(name: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise ContractError(f"contract: {name} must be an integer, not {shown(value)}") from None
    if isinstance(value, bool) or not 1 <= number <= _LARGEST:
        raise ContractError(
            f"contract: {name} must be an integer of at least 1, at most {_LARGEST},"
            f" not {shown(value)}"
        )
    return number


def _find(what: str, name: str, ports: Iterable[Port]) -> Port:
    for port in ports:
        if port.id == name:
            return port
    raise ContractError(
        f"the contract has no {what} {name!r}; {one_of(port.id for port in ports) or 'it has none'}"
    )


def _refuse_twice(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ContractError(f"contract: io.{what} names {name!r} twice")
        seen.add(name)
