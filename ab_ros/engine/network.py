"""The network: groups and projections are described, built, and then ticked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.engine.backend import advance_of, choose_backend
from ab_ros.engine.circuit import Circuit, Placement, advance_in_spans
from ab_ros.engine.credit import Credit
from ab_ros.engine.description import Description
from ab_ros.engine.groups import NeuronGroup, NoiseStream
from ab_ros.engine.inputs import (
    check_step_current,
    checked_current,
    checked_spikes,
    checked_step_spikes,
)
from ab_ros.engine.snapshot import check_circuit, check_state, circuit_state, restore_circuit
from ab_ros.engine.synapses.developmental import Development, DevelopmentalRule
from ab_ros.engine.synapses.reward_plastic import RewardPlasticRule
from ab_ros.engine.validation import check_count
from ab_ros.errors import EngineError, one_of

TICKS_PER_SECOND = 1000.0
_REALS: dict[str, type[np.floating[Any]]] = {"float32": np.float32, "float64": np.float64}
# Longer runs are computed in parts, so that noise and current buffers stay in the cache.
_MAX_BLOCK_VALUES = 250_000

Raster = NDArray[np.uint8]
_Scalar = TypeVar("_Scalar", bound=np.generic)


class Network(Description):
    """A spiking network that is ticked in steps of 1 ms.

    Everything random comes from the seed.  Results do not depend on how ticks are split into
    :meth:`run` calls, nor on the backend.

    Parameters
    ----------
    seed : of all noise, at least 0.
    precision : how weights and eligibility are stored; sums are always float64.
    backend : ``numba`` compiles the inner loops, ``numpy`` does without, ``auto`` takes numba if
        it is installed.
    history : how many marked cycles can still be rewarded.

    Raises
    ------
    EngineError
        for an unknown choice, or if numba is asked for and missing.
    """

    def __init__(
        self,
        seed: int = 0,
        precision: Literal["float32", "float64"] = "float32",
        backend: Literal["auto", "numpy", "numba"] = "auto",
        history: int = 16,
    ) -> None:
        super().__init__()
        if precision not in _REALS:
            raise EngineError(f"Network.precision: unknown {precision!r}; {one_of(_REALS)}")
        self.seed = check_count("Network.seed", seed, ge=0)
        self.precision = precision
        self.backend = choose_backend(backend)
        self.history = check_count("Network.history", history, ge=1)
        self._built: Circuit | None = None
        self._learning = True

    def build(self) -> Network:
        """Lay out the network; after that it can be ticked, and no longer be added to.

        Raises
        ------
        EngineError
            if there are no neurons, a modulator is not in the network, or it was built before.
        """
        self._refuse_if_built("build")
        if not self.neuron_groups:
            raise EngineError("Network.build: there is no neuron group; call add_neurons first")
        self._built = Circuit(
            list(self.source_groups.values()),
            list(self.neuron_groups.values()),
            self._described,
            _REALS[self.precision],
            settling=self.backend == "numba",
        )
        self._described = []
        self._sealed = True
        self._noise = [NoiseStream(group) for group in self.neuron_groups.values()]
        self._noisy = any(np.any(s.group.noise) or s.group.common_noise for s in self._noise)
        self._advance = advance_of(self._built, self.backend)
        self._credit = Credit(list(self._built.placements.values()), self.history)
        self._counted_ticks = 0
        size = self._built.neurons.size
        self._step_raster = np.zeros((1, self._built.source_count + size), dtype=np.uint8)
        self._step_drive = np.zeros((1, size))
        self._seed_noise(self.seed)
        return self

    # Ticking

    def run(
        self,
        ticks: int,
        spikes: Mapping[str, ArrayLike] | None = None,
        currents: Mapping[str, ArrayLike] | None = None,
    ) -> dict[str, Raster]:
        """Advance by a number of ticks.

        Parameters
        ----------
        ticks : at least 1.
        spikes : by source, uint8 or bool [ticks, size] of 0 and 1; sources left out are silent.
        currents : by neuron group, added to bias and noise: [size] (the same every tick) or
            [ticks, size].

        Returns
        -------
        dict
            by neuron group, uint8[ticks, size], fresh arrays.

        Raises
        ------
        EngineError
            naming the group, for an unknown group, a wrong shape or type, a value in a raster
            that is neither 0 nor 1, or a current that is not finite; nothing has been ticked then.
        """
        circuit = self._circuit("run")
        ticks = check_count("Network.run: ticks", ticks, ge=1)
        raster = np.zeros((ticks, circuit.source_count + circuit.neurons.size), dtype=np.uint8)
        for name, given in (spikes or {}).items():
            source = self._group(self.source_groups, name, "spikes")
            trains = checked_spikes(source, given, ticks)
            raster[:, source.start : source.start + source.size] = trains
        external = []
        for name, current in (currents or {}).items():
            group = self._group(self.neuron_groups, name, "currents")
            external.append((group, checked_current(group, current, ticks)))
        steady = not self._noisy and all(current.ndim == 1 for _, current in external)
        block = ticks if steady else max(1, _MAX_BLOCK_VALUES // circuit.neurons.size)
        fired = raster[:, circuit.source_count :]
        buffer = np.empty((1 if steady else min(block, ticks), circuit.neurons.size))
        for first in range(0, ticks, block):
            last = min(first + block, ticks)
            drive = buffer[: last - first]
            drive.fill(0.0)
            for stream in self._noise:
                stream.add_to(_columns(drive, stream.group))
            for group, current in external:
                part = _columns(drive, group)
                part += current if current.ndim == 1 else current[first:last]
            advance_in_spans(circuit, self._advance, raster[first:last], drive, self._learning)
        self._counted_ticks += ticks
        return {
            name: np.ascontiguousarray(_columns(fired, group))
            for name, group in self.neuron_groups.items()
        }

    def tick(
        self,
        spikes: Mapping[str, ArrayLike] | None = None,
        currents: Mapping[str, ArrayLike] | None = None,
    ) -> dict[str, Raster]:
        """Advance by one tick; spikes, currents and result are arrays of [size]."""
        rasters = {name: np.asarray(given)[None] for name, given in (spikes or {}).items()}
        return {name: fired[0] for name, fired in self.run(1, rasters, currents).items()}

    def step(
        self, current: NDArray[np.float64] | None = None, spikes: NDArray[np.uint8] | None = None
    ) -> Raster:
        """Advance by one tick, with little overhead: for loops that close in every tick.

        It does what :meth:`run` does, bit by bit; all groups stand side by side in the order in
        which they were added.

        Parameters
        ----------
        current : float64[all neurons], added to bias and noise; None adds nothing.
        spikes : uint8[all sources] of 0 and 1; None if all are silent.

        Returns
        -------
        Raster
            uint8[all neurons], a fresh array.

        Raises
        ------
        EngineError
            for a wrong shape or type, a spike that is neither 0 nor 1, or a current that is not
            finite; nothing has been ticked then.
        """
        circuit = self._circuit("step")
        raster, drive = self._step_raster, self._step_drive
        if spikes is None:
            raster[0, : circuit.source_count] = 0
        else:
            raster[0, : circuit.source_count] = checked_step_spikes(spikes, circuit.source_count)
        if current is not None:
            check_step_current(current, self.neuron_groups.values())
        drive.fill(0.0)
        for stream in self._noise:
            stream.add_to(_columns(drive, stream.group))
        if current is not None:
            drive += current
        advance_in_spans(circuit, self._advance, raster, drive, self._learning)
        fired = raster[0, circuit.source_count :].copy()
        self._counted_ticks += 1
        return fired

    @property
    def ticks(self) -> int:
        """Ticks since the start or the last reset."""
        return self._circuit("ticks").tick

    @property
    def rates(self) -> dict[str, float]:
        """Mean firing rate per neuron of each group since :meth:`reset_rates`, Hz; 0 at first."""
        counts = self._circuit("rates").counts
        seconds = max(self._counted_ticks, 1) / TICKS_PER_SECOND
        return {
            name: float(_columns(counts, group).mean()) / seconds
            for name, group in self.neuron_groups.items()
        }

    def reset_rates(self) -> None:
        """Start counting spikes for :attr:`rates` anew."""
        self._circuit("reset_rates").counts.fill(0)
        self._counted_ticks = 0

    # Learning

    @property
    def learning(self) -> bool:
        """Whether weights may change; all other state goes on in either case."""
        return self._learning

    @learning.setter
    def learning(self, on: bool) -> None:
        self._learning = bool(on)

    @property
    def rewards_missed(self) -> int:
        """How many rewards named a cycle that is not, or no longer, in the history."""
        self._circuit("rewards_missed")
        return self._credit.missed

    def mark(self, cycle: int) -> None:
        """Remember the eligibility as it stands now, for a later reward of this cycle.

        The last ``history`` marks are kept; marking a cycle again replaces its mark.
        """
        tick = self._circuit("mark").tick
        self._credit.mark(cycle, tick)

    def reward(
        self,
        by_layer: Mapping[str, float] | None = None,
        everywhere: float | None = None,
        *,
        cycle: int | None = None,
    ) -> bool:
        """Deliver a reward to the reward-modulated synapses.

        Parameters
        ----------
        by_layer : reward of each layer, in [-1, 1].
        everywhere : reward of all reward-modulated synapses whose layer is not in ``by_layer``.
        cycle : the marked cycle that earned it; None credits the eligibility of now.

        Returns
        -------
        bool
            False if the cycle is not in the history: nothing was learned, and it was counted.

        Raises
        ------
        EngineError
            for an unknown layer or a reward that is not in [-1, 1].
        """
        tick = self._circuit("reward").tick
        return self._credit.reward(by_layer or {}, everywhere, cycle, tick, self._learning)

    def set_reward_signal(
        self, by_layer: Mapping[str, float] | None = None, everywhere: float | None = None
    ) -> None:
        """Set the continuous reward, which acts in every tick until it is set anew.

        It stands beside the rewards of :meth:`reward`: every tick changes weights by the
        eligibility of then, and spends none of it.  Any level but 0 costs time in every tick.

        Parameters
        ----------
        by_layer : level of each layer, reward per tick, in [-1, 1].
        everywhere : level of all reward-modulated synapses whose layer is not in ``by_layer``;
            None leaves theirs as it is.

        Raises
        ------
        EngineError
            for an unknown layer or a level that is not in [-1, 1]; nothing has changed then.
        """
        circuit = self._circuit("set_reward_signal")
        self._credit.signal(by_layer or {}, everywhere)
        circuit.plan_anew()

    @property
    def reward_signal(self) -> dict[str, float]:
        """Level of the continuous reward by reward-modulated projection; 0 at first."""
        self._circuit("reward_signal")
        return self._credit.levels()

    # State

    def weights(self, name: str) -> NDArray[np.floating[Any]]:
        """Return a projection's weights as an array [pre, post], NaN where there is no synapse.

        A pruned synapse is none.

        Raises
        ------
        EngineError
            for an unknown projection, or one too large for this form: use :meth:`edges`.
        """
        placement = self._placement(name)
        return placement.matrix(placement.rule.weights)

    def eligibility(self, name: str) -> NDArray[np.floating[Any]]:
        """Return the eligibility of now, float64[pre, post], NaN where there is no synapse."""
        placement = self._placement(name)
        if not isinstance(placement.rule, RewardPlasticRule):
            raise EngineError(f"projection {name!r}: its synapses have no eligibility")
        return placement.matrix(placement.rule.current_eligibility())

    def development(self, name: str) -> Development:
        """Return the age, prunings and Fisher information of developmental synapses."""
        placement = self._placement(name)
        if not isinstance(placement.rule, DevelopmentalRule):
            raise EngineError(f"projection {name!r}: its synapses do not develop")
        return placement.rule.development(*placement.edges(placement.slots))

    def edges(
        self, name: str
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating[Any]]]:
        """Return pre, post and weight of a projection's synapses, ordered by (pre, post)."""
        placement = self._placement(name)
        return (*placement.edges(), placement.rule.weights[placement.living].copy())

    def wiring(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return pre and post of all synapses that a projection was connected with.

        They are ordered by (pre, post) and count from the start of all neurons, or, for the pre of
        a spike source, of all spike sources; pruned synapses are among them.
        """
        placement = self._placement(name)
        pre, post = placement.edges(placement.slots)
        return pre + placement.projection.pre_start, post + placement.projection.post_start

    def wiring_weights(self, name: str) -> NDArray[np.floating[Any]]:
        """Return the weights in the order of :meth:`wiring`; NaN where a synapse was pruned."""
        placement = self._placement(name)
        weights = placement.rule.weights[placement.slots].copy()
        alive = placement.rule.living()
        if alive is not None:
            weights[~alive[placement.slots]] = np.nan
        return weights

    def potentials(self, neurons: ArrayLike | None = None) -> NDArray[np.float64]:
        """Return the membrane potentials of now, mV, of all neurons or of those with an index."""
        v = self._circuit("potentials").neurons.v
        return v.copy() if neurons is None else v[np.asarray(neurons, dtype=np.intp)]

    def set_weights(self, name: str, weight: ArrayLike) -> None:
        """Set the weights of a projection's synapses; the wiring stays.

        Parameters
        ----------
        weight : a number, an array [pre, post] (NaN exactly where there is no synapse), or an
            array [synapses] in the order of :meth:`edges`.
        """
        placement = self._placement(name)
        values = placement.values_of(weight)
        placement.projection.synapse.check_weights(values, f"projection {name!r}")
        placement.rule.weights[placement.living] = placement.projection.synapse.within_bounds(
            values
        )

    def reset(self, seed: int | None = None) -> None:
        """Return all dynamic state to the start; the weights stay.

        That is neurons, traces, eligibility, marks, spikes in flight, clock, counters, and noise:
        from ``seed``, or the one it had.
        """
        circuit = self._circuit("reset")
        if seed is not None:
            self.seed = check_count("Network.seed", seed, ge=0)
        circuit.reset()
        self._credit.reset()
        self.reset_rates()
        self._seed_noise(self.seed)

    def state(self, signatures: bool = True) -> dict[str, NDArray[Any]]:
        """Return copies of everything that changes, weights included, as arrays by name.

        A network that is built alike and restored from it goes on bit by bit as this one does.
        By digests of the wiring, :meth:`restore` can tell that it is; who keeps the wiring beside
        the state can do without ``signatures``, which take their time in large networks.
        """
        return {name: values.copy() for name, values in self._state("state", signatures).items()}

    def _state(self, method: str, signatures: bool) -> dict[str, NDArray[Any]]:
        """Return what :meth:`state` returns, but where possible the arrays themselves."""
        circuit = self._circuit(method)
        circuit.settle()
        return {
            "network/clock": np.array([circuit.tick, self._counted_ticks], dtype=np.int64),
            "network/learning": np.array([self._learning], dtype=np.bool_),
            "neurons/counts": circuit.counts,
            **circuit_state(circuit, signatures),
            **{f"noise/{s.group.name}": s.state() for s in self._noise},
            **self._credit.state(),
        }

    def restore(self, state: Mapping[str, NDArray[Any]], signatures: bool = True) -> None:
        """Take over a state of :meth:`state`, that was made with ``signatures`` or without.

        Raises
        ------
        EngineError
            naming the entry that is missing, unknown, of another shape or type, not finite, or
            from a network that was built differently; this network is unchanged then.
        """
        circuit = self._circuit("restore")
        check_state(state, self._state("restore", signatures), self.history)
        check_circuit(state, circuit)
        circuit.tick, self._counted_ticks = (int(value) for value in state["network/clock"])
        self._learning = bool(state["network/learning"][0])
        circuit.counts[:] = state["neurons/counts"]
        restore_circuit(circuit, state)
        for stream in self._noise:
            stream.restore(state[f"noise/{stream.group.name}"])
        self._credit.restore(state)
        circuit.plan_anew()
        circuit.forget()

    def _seed_noise(self, seed: int) -> None:
        for index, stream in enumerate(self._noise):
            stream.seed(seed, index)

    def _circuit(self, method: str) -> Circuit:
        if self._built is None:
            raise EngineError(f"Network.{method}: the network is not built; call build() first")
        return self._built

    def _placement(self, name: str) -> Placement:
        circuit = self._circuit("weights")
        if name not in circuit.placements:
            raise EngineError(f"projection {name!r}: unknown; {one_of(circuit.placements)}")
        circuit.settle()
        return circuit.placements[name]


def _columns(array: NDArray[_Scalar], group: NeuronGroup) -> NDArray[_Scalar]:
    return array[..., group.start : group.start + group.size]
