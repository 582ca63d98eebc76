"""A circuit's state as arrays by name, and the checks before one is taken over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.circuit import Circuit
from ab_ros.engine.credit import SIGNAL
from ab_ros.engine.synapses.decay import DecayFrame
from ab_ros.engine.synapses.reward_plastic import RewardPlasticRule
from ab_ros.errors import EngineError

State = Mapping[str, NDArray[Any]]


def circuit_state(circuit: Circuit, signatures: bool = True) -> dict[str, NDArray[Any]]:
    """Return all arrays that change while a circuit is ticked or learns; most are its own.

    ``signatures`` adds a digest of each projection's wiring.
    """
    state: dict[str, NDArray[Any]] = {
        "neurons/parameters": np.stack([getattr(circuit.neurons, name) for name in "abcd"]),
        "neurons/v": circuit.neurons.v,
        "neurons/u": circuit.neurons.u,
        "neurons/pending": circuit.pending,
    }
    for name, placement in circuit.placements.items():
        rule = placement.rule
        if signatures:
            state[f"projection/{name}/signature"] = placement.signature
        for field in rule.per_synapse:
            state[f"projection/{name}/{field}"] = getattr(rule, field)[placement.slots]
        for field in rule.per_table:
            state[f"projection/{name}/{field}"] = getattr(rule, field)
    return state


def restore_circuit(circuit: Circuit, state: State) -> None:
    """Take over a checked state, except for the clock."""
    circuit.neurons.v[:] = state["neurons/v"]
    circuit.neurons.u[:] = state["neurons/u"]
    circuit.pending[:] = state["neurons/pending"]
    for name, placement in circuit.placements.items():
        rule = placement.rule
        for field in rule.per_synapse:
            values = state[f"projection/{name}/{field}"]
            if field == "weights":
                values = placement.projection.synapse.within_bounds(values.astype(np.float64))
            getattr(rule, field)[placement.slots] = values
        for field in rule.per_table:
            getattr(rule, field)[:] = state[f"projection/{name}/{field}"]
    for rule in circuit.rules:
        rule.taken_over()


def check_state(state: State, own: State, history: int) -> None:
    """Compare a state with the one that a network has.

    Raises
    ------
    EngineError
        naming the entry, and what does not fit.
    """
    for key in own:
        if key not in state and key != SIGNAL:
            raise EngineError(f"state: entry {key!r} is missing")
    for key in state:
        if key not in own:
            raise EngineError(f"state: entry {key!r} does not belong to this network")
    marks = state["credit/marks"].shape[:1]
    if marks > (history,):
        raise EngineError(f"state: holds {marks[0]} marked cycles, more than {history}")
    for key, mine in own.items():
        given = state.get(key, mine)
        # The history of marks is as long as it is; all other shapes follow from the network.
        shape = marks + mine.shape[1:] if key.startswith("credit/") else mine.shape
        if key in ("credit/missed", SIGNAL):
            shape = mine.shape
        if given.shape != shape or given.dtype != mine.dtype:
            raise EngineError(
                f"state: entry {key!r} must be {mine.dtype}{list(shape)}"
                f" (got {given.dtype}{list(given.shape)})"
            )
        if given.dtype.kind == "f" and not np.isfinite(given).all():
            raise EngineError(f"state: entry {key!r} must be finite")
        fixed = key.endswith("/signature") or key == "neurons/parameters"
        if fixed and not np.array_equal(given, mine):
            raise EngineError(f"state: entry {key!r} is from a network that was built differently")


def check_circuit(state: State, circuit: Circuit) -> None:
    """Compare the values of a state that has the right form with what a circuit allows.

    Raises
    ------
    EngineError
        for a clock before 0, a weight out of its bounds, or a value that a rule never reaches.
    """
    if (state["network/clock"] < 0).any():
        raise EngineError("state: entry 'network/clock' must be at least 0")
    if SIGNAL in state and (np.abs(state[SIGNAL]) > 1.0).any():
        raise EngineError(f"state: entry {SIGNAL!r} must be in [-1, 1]")
    for name, placement in circuit.placements.items():
        weights = f"projection/{name}/weights"
        placement.projection.synapse.check_weights(state[weights], f"state: entry {weights!r}")
        rule, where = placement.rule, f"state: entry 'projection/{name}"
        fields = (*rule.per_synapse, *rule.per_table)
        rule.check_values({f: state[f"projection/{name}/{f}"] for f in fields}, where)
        for field, frame in placement.rule.frames().items():
            _check_age(state, f"projection/{name}/{field}", frame)
        if isinstance(placement.rule, RewardPlasticRule):
            _check_age(state, f"credit/{name}/age", placement.rule.eligibility_frame)


def _check_age(state: State, key: str, frame: DecayFrame) -> None:
    last = frame.down.size - 2
    if ((state[key] < 0) | (state[key] > last)).any():
        raise EngineError(f"state: entry {key!r} must be in [0, {last}] (got {state[key]})")
