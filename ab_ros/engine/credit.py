"""Credit assignment: which synapses, and which cycle's eligibility, a reward is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.circuit import Placement
from ab_ros.engine.synapses.reward_plastic import RewardPlasticRule
from ab_ros.engine.validation import check_count, check_number
from ab_ros.errors import EngineError, one_of

SIGNAL = "credit/signal"
"""The entry of a state that holds the continuous signal."""


@dataclass(frozen=True)
class _Mark:
    cycle: int
    tick: int
    place: int


class Credit:
    """The bounded history of marked cycles, and the rewards that refer to it.

    Parameters
    ----------
    placements : of all projections; those without reward-modulated synapses are passed over.
    history : how many marks are kept.
    """

    def __init__(self, placements: list[Placement], history: int) -> None:
        self._rewarded = [
            (p.projection, p.rule, p.slots)
            for p in placements
            if isinstance(p.rule, RewardPlasticRule)
        ]
        # Projections may share a rule.
        self._rules = list({id(rule): rule for _, rule, _ in self._rewarded}.values())
        self._history = history
        self._signal = np.zeros(len(self._rewarded))
        self._marks: list[_Mark] = []
        self.missed = 0

    def mark(self, cycle: int, tick: int) -> None:
        """Remember the present eligibility under a cycle's number."""
        cycle = check_count("mark: cycle", cycle, ge=0)
        kept = [mark for mark in self._marks if mark.cycle != cycle]
        self._marks = kept[max(0, len(kept) - self._history + 1) :]
        taken = {mark.place for mark in self._marks}
        place = next(p for p in range(self._history) if p not in taken)
        self._marks.append(_Mark(cycle, tick, place))
        for rule in self._rules:
            rule.mark(place, self._history)

    def reward(
        self,
        by_layer: Mapping[str, float],
        everywhere: float | None,
        cycle: int | None,
        tick: int,
        learning: bool,
    ) -> bool:
        """Deliver a reward; False, and counted, if its cycle is not in the history.

        Raises
        ------
        EngineError
            for an unknown layer, or a reward that is not in [-1, 1].
        """
        self._check("reward", by_layer, everywhere)
        credited: _Mark | None = None
        later: list[tuple[int, int]] = []
        if cycle is not None:
            for mark in self._marks:
                if credited is not None:
                    later.append((mark.place, mark.tick - credited.tick))
                elif mark.cycle == cycle:
                    credited = mark
            if credited is None:
                self.missed += 1
                return False
        for projection, rule, slots in self._rewarded:
            modulation = _of_layer(projection.layer, by_layer, everywhere)
            if modulation is None:
                continue
            rule.reward(
                float(modulation),
                slots,
                learning,
                None if credited is None else credited.place,
                0 if credited is None else tick - credited.tick,
                later,
            )
        return True

    def signal(self, by_layer: Mapping[str, float], everywhere: float | None) -> None:
        """Set the level of the continuous signal; layers that are not mentioned keep theirs.

        Raises
        ------
        EngineError
            for an unknown layer, or a level that is not in [-1, 1].
        """
        self._check("signal", by_layer, everywhere)
        for index, (projection, _, _) in enumerate(self._rewarded):
            level = _of_layer(projection.layer, by_layer, everywhere)
            if level is not None:
                self._signal[index] = level
        self._pass_signal_on()

    def levels(self) -> dict[str, float]:
        """Return the level of the continuous signal by projection."""
        levels = self._signal.tolist()
        return {p.name: level for (p, _, _), level in zip(self._rewarded, levels, strict=True)}

    def _pass_signal_on(self) -> None:
        for rule in self._rules:
            rule.signals = []
        for (_, rule, slots), level in zip(self._rewarded, self._signal.tolist(), strict=True):
            if level:
                rule.signals.append((slots, level))

    def _check(self, what: str, by_layer: Mapping[str, float], everywhere: float | None) -> None:
        layers = list(dict.fromkeys(p.layer for p, _, _ in self._rewarded if p.layer))
        for layer, value in by_layer.items():
            if layer not in layers:
                raise EngineError(f"{what}: unknown layer {layer!r}; {one_of(layers)}")
            check_number(f"{what} of layer {layer!r}", value, ge=-1.0, le=1.0)
        if everywhere is not None:
            check_number(f"{what} everywhere", everywhere, ge=-1.0, le=1.0)

    def reset(self) -> None:
        """Forget all marks and the count of missed rewards; end the signal."""
        self._marks = []
        self.missed = 0
        self._signal.fill(0.0)
        self._pass_signal_on()

    def state(self) -> dict[str, NDArray[Any]]:
        """Return marks, oldest first, counter and signal."""
        state: dict[str, NDArray[Any]] = {
            "credit/marks": np.array(
                [[mark.cycle, mark.tick] for mark in self._marks], dtype=np.int64
            ).reshape(-1, 2),
            "credit/missed": np.array([self.missed], dtype=np.int64),
            SIGNAL: self._signal.copy(),
        }
        places = [mark.place for mark in self._marks]
        for projection, rule, slots in self._rewarded:
            state[f"credit/{projection.name}/eligibility"] = rule.marks[places][:, slots]
            state[f"credit/{projection.name}/age"] = rule.mark_age[places]
        return state

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over marks, counter and signal."""
        self.missed = int(state["credit/missed"][0])
        # States that were saved before there was a signal have none.
        self._signal[:] = state.get(SIGNAL, 0.0)
        self._pass_signal_on()
        marks = state["credit/marks"].tolist()
        self._marks = [_Mark(cycle, tick, place) for place, (cycle, tick) in enumerate(marks)]
        for rule in self._rules:
            rule.make_places(self._history)
        for projection, rule, slots in self._rewarded:
            eligibility = state[f"credit/{projection.name}/eligibility"]
            for place in range(len(marks)):
                rule.marks[place][slots] = eligibility[place]
            rule.mark_age[: len(marks)] = state[f"credit/{projection.name}/age"]


def _of_layer(
    layer: str | None, by_layer: Mapping[str, float], everywhere: float | None
) -> float | None:
    return everywhere if layer is None else by_layer.get(layer, everywhere)
