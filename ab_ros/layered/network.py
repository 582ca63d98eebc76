"""The network of a layered brain: its bits and weights, and what a tick does to them."""

from __future__ import annotations

import functools
import hashlib
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.errors import AbRosError, BrainError, BrainFileError, ConfigError
from ab_ros.layered.computation import Input
from ab_ros.layered.plan import GroupPlan, InputPlan, Plan
from ab_ros.layered.weights import (
    Arithmetic,
    Bits,
    Weights,
    choose_arithmetic,
    draw_weights,
    snapped,
)

Steps = list[tuple["Link", NDArray[np.int32], Bits]]
"""What can be learned of a cycle: for each link and tick the active rows, and the neurons."""


class Link:
    """An input of a group at work: what it reads now, and with which weights.

    Parameters
    ----------
    plan : of the input.
    group : that it belongs to.
    seed : of the brain, for weights that are still to be drawn.
    """

    def __init__(self, plan: InputPlan, group: GroupPlan, seed: int) -> None:
        self.name = plan.name
        self.pieces = plan.pieces
        form = (plan.size, group.size)
        if plan.weights is not None:
            self.weights: Weights = plan.weights.copy()
        elif plan.seed is not None:
            self.weights = draw_weights(form, plan.seed)
        else:
            # By name, and not by order: what is added to a brain does not change the rest of it.
            digest = hashlib.sha256(f"{group.name}\n{plan.name}".encode()).digest()
            self.weights = draw_weights(form, seed, int.from_bytes(digest[:8], "little"))
        self.bits = np.zeros(plan.size, np.bool_)
        self.drive = np.zeros(group.size)
        self._taken = np.zeros(group.size)
        self.seen = self.weights.view()
        self.seen.flags.writeable = False

    def read(
        self,
        state: Mapping[str, Bits],
        inhibited: Mapping[str, Bits],
        arithmetic: Arithmetic,
    ) -> Input:
        """Read what the emitters say now, and sum the weights of what is active."""
        self._gather(state, self.bits)
        arithmetic.sum_rows(self.weights, np.flatnonzero(self.bits), self.drive)
        if inhibited and any(name in inhibited for name, _ in self.pieces):
            silent = {name: np.zeros(bits.size, np.bool_) for name, bits in state.items()}
            away = np.empty_like(self.bits)
            self._gather({**silent, **inhibited}, away)
            arithmetic.sum_rows(self.weights, np.flatnonzero(away), self._taken)
            self.drive -= self._taken
        return Input(self.bits, self.seen, self.drive)

    def _gather(self, state: Mapping[str, Bits], out: Bits) -> None:
        start = 0
        for name, indices in self.pieces:
            bits = state[name] if indices is None else state[name][indices]
            out[start : start + bits.size] = bits
            start += bits.size


class LayeredNetwork:
    """Bits and weights of a layered brain.

    In a tick the layers compute one after the other, from first to last.  What a group reads of
    layers before its own is of this tick; what it reads of its own layer and of later ones is of
    the tick before.  A group that learns by itself then changes its weights, by what it has read
    and by what it has become.

    Parameters
    ----------
    plan : of the brain.
    backend : ``auto``, ``numpy`` or ``numba``: the same bits.

    Attributes
    ----------
    tick_count : ticks since the last reset.
    learning : whether weights change.
    """

    def __init__(self, plan: Plan, backend: str = "auto") -> None:
        self.plan = plan
        self.arithmetic = choose_arithmetic(backend)
        self.links = {
            group.name: {i.name: Link(i, group, plan.seed) for i in group.inputs}
            for group in plan.groups
        }
        sizes = {name: s.size for name, s in (*plan.sensors.items(), *plan.feedback.items())}
        sizes.update({group.name: group.size for group in plan.groups})
        self.bits: dict[str, Bits] = {n: np.zeros(size, np.bool_) for n, size in sizes.items()}
        self.tick_count = 0
        self.learning = True
        self._history: deque[tuple[int, Steps]] = deque(maxlen=plan.cycle.history)
        self._steps: Steps = []

    def tick(
        self,
        given: Mapping[str, Bits],
        inhibited: Mapping[str, Bits] | None = None,
        seed: int = 0,
    ) -> None:
        """Compute one tick.

        Parameters
        ----------
        given : bits of the sensors and feedbacks; those that are left out are silent.
        inhibited : bits of feedbacks that take away what they would otherwise bring.
        seed : of noise.
        """
        for name in (*self.plan.sensors, *self.plan.feedback):
            self.bits[name] = given.get(name, self._silence(name))
        for k, layer in enumerate(self.plan.layers):
            fired = {}
            for j, group in enumerate(layer):
                links = self.links[group.name]
                inputs = {
                    name: link.read(self.bits, inhibited or {}, self.arithmetic)
                    for name, link in links.items()
                }
                random = functools.partial(_random, seed, self.tick_count, k, j)
                try:
                    active = group.computation.compute(inputs, random)
                except Exception as error:
                    raise _failed(group, group.computation, "compute", error) from error
                fired[group.name] = _checked(active, group)
                if self.learning and group.learning is not None:
                    self._learn(group, fired[group.name])
            self.bits.update(fired)
        self.tick_count += 1

    def mark(self, cycle: int) -> None:
        """Keep what can be learned of the ticks since the last mark as those of a cycle."""
        if any(number == cycle for number, _ in self._history):
            kept = [entry for entry in self._history if entry[0] != cycle]
            self._history = deque(kept, self._history.maxlen)
        self._history.append((cycle, self._steps))
        self._steps = []

    def reward(self, by_layer: Mapping[str, float], cycle: int) -> bool:
        """Let the groups of layers learn from what they did in a cycle.

        Parameters
        ----------
        by_layer : modulation in [−1, 1] by reward layer.
        cycle : that was marked.

        Returns
        -------
        bool
            False if the cycle is no longer remembered.
        """
        steps = next((steps for number, steps in self._history if number == cycle), None)
        if steps is None:
            return False
        owners = {
            id(link): group
            for group in self.plan.groups
            for link in self.links[group.name].values()
        }
        for link, rows, after in steps:
            group = owners[id(link)]
            modulation = by_layer.get(group.layer, 0.0)
            if modulation and group.learning is not None:
                before = np.zeros(link.bits.size, np.bool_)
                before[rows] = True
                self._update(group, link, before, after, modulation)
        return True

    def reset(self) -> None:
        """Silence all bits and forget what could have been rewarded; weights stay."""
        for name, bits in self.bits.items():
            self.bits[name] = np.zeros(bits.size, np.bool_)
        self._history.clear()
        self._steps = []
        self.tick_count = 0

    def state(self) -> dict[str, NDArray[Any]]:
        """Return bits, weights and the count of ticks; what waits for rewards is not kept."""
        arrays: dict[str, NDArray[Any]] = {"tick": np.array(self.tick_count, np.int64)}
        for group in self.plan.groups:
            arrays[f"bits.{group.name}"] = self.bits[group.name]
            for name, link in self.links[group.name].items():
                arrays[f"weights.{group.name}.{name}"] = link.weights
        return arrays

    def restore(self, state: Mapping[str, NDArray[Any]], where: str) -> None:
        """Take back what :meth:`state` returned.

        Parameters
        ----------
        where : it comes from, for messages.

        Raises
        ------
        BrainFileError
            if an array is missing or does not fit; the network is unchanged.
        """
        found = {}
        for name, own in self.state().items():
            array = state.get(name)
            if array is None:
                raise BrainFileError(f"{where}: lacks array {name!r}")
            if array.shape != own.shape or array.dtype != own.dtype:
                raise BrainFileError(
                    f"{where}: array {name!r} must be {own.dtype}{list(own.shape)}, not"
                    f" {array.dtype}{list(array.shape)}"
                )
            if name.startswith("weights.") and not ((array >= 0) & (array <= 1)).all():
                raise BrainFileError(f"{where}: array {name!r} must be within [0, 1]")
            found[name] = array
        if found["tick"] < 0:
            raise BrainFileError(f"{where}: 'tick' must be at least 0 (got {found['tick']})")
        self.reset()
        self.tick_count = int(found["tick"])
        for group in self.plan.groups:
            self.bits[group.name] = found[f"bits.{group.name}"].copy()
            for name, link in self.links[group.name].items():
                link.weights[:] = found[f"weights.{group.name}.{name}"]
                snapped(link.weights)

    def _silence(self, name: str) -> Bits:
        return np.zeros(self.bits[name].size, np.bool_)

    def _learn(self, group: GroupPlan, active: Bits) -> None:
        for link in self.links[group.name].values():
            if group.layer:
                rows = np.flatnonzero(link.bits).astype(np.int32)
                self._steps.append((link, rows, active))
            else:
                self._update(group, link, link.bits, active, 1.0)

    def _update(
        self, group: GroupPlan, link: Link, before: Bits, after: Bits, modulation: float
    ) -> None:
        assert group.learning is not None
        try:
            group.learning.update(link.weights, before, after, modulation, self.arithmetic)
        except Exception as error:
            raise _failed(group, group.learning, "update", error) from error
        if not group.learning.exact:
            try:
                snapped(link.weights)
            except ConfigError as error:
                raise BrainError(
                    f"group {group.name!r}: after {type(group.learning).__name__}.update, {error}"
                ) from None


def _random(seed: int, tick: int, layer: int, group: int) -> np.random.Generator:
    # Random numbers by counter: a tick's follow from its number, and there is no state to save.
    key = np.array([seed % 2**64, layer << 32 | group], np.uint64)
    counter = np.array([0, 0, tick, 0], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def _failed(group: GroupPlan, rule: object, what: str, error: Exception) -> BrainError:
    """Name the group whose rule, perhaps one of the user's, has failed."""
    told = str(error) if isinstance(error, AbRosError) else f"{type(error).__name__}: {error}"
    return BrainError(f"group {group.name!r}: {type(rule).__name__}.{what}: {told}")


def _checked(active: Any, group: GroupPlan) -> Bits:
    if not isinstance(active, np.ndarray) or active.shape != (group.size,) or active.dtype != bool:
        got = f"{active.dtype}{list(active.shape)}" if isinstance(active, np.ndarray) else active
        raise BrainError(
            f"group {group.name!r}: {type(group.computation).__name__}.compute must return"
            f" bool[{group.size}] (got {got})"
        )
    return active.copy()  # whoever computed it may use the array again
