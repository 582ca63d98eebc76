"""The network: groups and projections are described, built, and then ticked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.engine.backend import advance_of, choose_backend
from ab_ros.engine.circuit import Circuit, Placement, Projection
from ab_ros.engine.credit import Credit
from ab_ros.engine.groups import NeuronGroup, NoiseStream, SourceGroup
from ab_ros.engine.inputs import checked_current, checked_spikes
from ab_ros.engine.neurons import NeuronParameters, neuron_parameters
from ab_ros.engine.snapshot import check_circuit, check_state, circuit_state, restore_circuit
from ab_ros.engine.synapses import Synapse, synapse_parameters
from ab_ros.engine.synapses.reward_plastic import RewardPlastic, RewardPlasticRule
from ab_ros.engine.validation import check_count, check_number
from ab_ros.engine.wiring import Synapses, Weights, index_range, synapses_of
from ab_ros.errors import EngineError, one_of

TICKS_PER_SECOND = 1000.0
_REALS: dict[str, type[np.floating[Any]]] = {"float32": np.float32, "float64": np.float64}
# Longer runs are computed in parts, so that noise and current buffers stay small.
_MAX_BLOCK_TICKS = 256
_MAX_BLOCK_VALUES = 4_000_000

Part = slice | tuple[int, int] | None
Raster = NDArray[np.uint8]
_Group = TypeVar("_Group", NeuronGroup, SourceGroup)
_Scalar = TypeVar("_Scalar", bound=np.generic)


class Network:
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
        if precision not in _REALS:
            raise EngineError(f"Network.precision: unknown {precision!r}; {one_of(_REALS)}")
        self.seed = check_count("Network.seed", seed, ge=0)
        self.precision = precision
        self.backend = choose_backend(backend)
        self.history = check_count("Network.history", history, ge=1)
        self.neuron_groups: dict[str, NeuronGroup] = {}
        self.source_groups: dict[str, SourceGroup] = {}
        self.projections: dict[str, Projection] = {}
        self._described: list[tuple[Projection, Synapses]] = []
        self._built: Circuit | None = None
        self._learning = True

    # Description

    def add_neurons(
        self,
        name: str,
        size: int,
        kind: str | NeuronParameters = "RS",
        *,
        noise: float = 0.0,
        bias: float = 0.0,
        common_noise: float = 0.0,
        common_groups: int = 1,
    ) -> None:
        """Add a group of neurons.

        Parameters
        ----------
        name : unique among groups and sources.
        size : number of neurons.
        kind : RS, FS, IB, CH, LTS or parameters of one's own.
        noise : standard deviation of a Gaussian current, private to each neuron and tick.
        bias : constant current.
        common_noise : standard deviation of a Gaussian current that all neurons of a slice share.
        common_groups : how many equal slices the group has for that; must divide ``size``.
        """
        self._refuse_if_built("add_neurons")
        where = self._new_group(name)
        size = check_count(f"{where}: size", size, ge=1)
        common_groups = check_count(f"{where}: common_groups", common_groups, ge=1)
        if size % common_groups:
            raise EngineError(
                f"{where}: common_groups must divide its size {size} (got {common_groups})"
            )
        self.neuron_groups[name] = NeuronGroup(
            name,
            size,
            neuron_parameters(kind, where),
            check_number(f"{where}: noise", noise, ge=0.0),
            check_number(f"{where}: bias", bias),
            check_number(f"{where}: common_noise", common_noise, ge=0.0),
            common_groups,
            start=sum(group.size for group in self.neuron_groups.values()),
        )

    def add_source(self, name: str, size: int) -> None:
        """Add a group of ``size`` spike trains that every :meth:`run` gives from outside."""
        self._refuse_if_built("add_source")
        where = self._new_group(name)
        size = check_count(f"{where}: size", size, ge=1)
        start = sum(group.size for group in self.source_groups.values())
        self.source_groups[name] = SourceGroup(name, size, start)

    def connect(
        self,
        name: str,
        source: str,
        target: str,
        synapse: str | Synapse = "fixed",
        *,
        weight: Weights,
        delay: int = 1,
        layer: str | None = None,
        source_slice: Part = None,
        target_slice: Part = None,
    ) -> None:
        """Connect a source or neuron group to a neuron group.

        Parameters
        ----------
        name : of the projection, unique.
        source, target : names of groups that were added before.
        synapse : a type's name, for its default parameters, or parameters.
        weight : a number (all to all, a neuron to itself included), an array [pre, post] in which
            NaN means no synapse, or :class:`~ab_ros.engine.wiring.Edges`.
        delay : ticks from a spike to its arrival, at least 1.
        layer : the reward layer, for reward-modulated synapses only.
        source_slice, target_slice : the parts of the groups to connect, start:stop; shapes and
            indices of the weights are relative to them.

        Raises
        ------
        EngineError
            naming the projection, for anything that does not fit.
        """
        self._refuse_if_built("connect")
        where = f"projection {name!r}"
        if name in self.projections:
            raise EngineError(f"{where}: a projection of this name exists already")
        groups = self._groups()
        if source not in groups:
            raise EngineError(f"{where}: unknown source {source!r}; {one_of(groups)}")
        if target not in self.neuron_groups:
            raise EngineError(f"{where}: unknown target {target!r}; {one_of(self.neuron_groups)}")
        parameters = synapse_parameters(synapse, where)
        if layer is not None and not isinstance(parameters, RewardPlastic):
            raise EngineError(
                f"{where}: layer {layer!r} is for reward_plastic synapses,"
                f" not for {parameters.type_name}"
            )
        pre_start, pre_stop = index_range(source_slice, groups[source].size, f"{where}: source")
        post_start, post_stop = index_range(target_slice, groups[target].size, f"{where}: target")
        sizes = pre_stop - pre_start, post_stop - post_start
        synapses = synapses_of(weight, *sizes, where)
        parameters.check_weights(synapses.weight, where)
        projection = Projection(
            name,
            parameters,
            source in self.neuron_groups,
            groups[source].start + pre_start,
            sizes[0],
            groups[target].start + post_start,
            sizes[1],
            check_count(f"{where}: delay", delay, ge=1),
            layer,
        )
        self.projections[name] = projection
        self._described.append((projection, synapses))

    def build(self) -> Network:
        """Lay out the network; after that it can be ticked, and no longer be added to.

        Raises
        ------
        EngineError
            if there are no neurons, or it was built before.
        """
        self._refuse_if_built("build")
        if not self.neuron_groups:
            raise EngineError("Network.build: there is no neuron group; call add_neurons first")
        self._built = Circuit(
            sum(group.size for group in self.source_groups.values()),
            list(self.neuron_groups.values()),
            self._described,
            _REALS[self.precision],
        )
        self._described = []
        self._noise = [NoiseStream(group) for group in self.neuron_groups.values()]
        self._advance = advance_of(self._built, self.backend)
        self._credit = Credit(list(self._built.placements.values()), self.history)
        self._counts = np.zeros(self._built.neurons.size, dtype=np.int64)
        self._counted_ticks = 0
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
        block = min(_MAX_BLOCK_TICKS, max(1, _MAX_BLOCK_VALUES // circuit.neurons.size))
        for first in range(0, ticks, block):
            last = min(first + block, ticks)
            drive = np.zeros((last - first, circuit.neurons.size))
            for stream in self._noise:
                stream.add_to(_columns(drive, stream.group))
            for group, current in external:
                part = _columns(drive, group)
                part += current if current.ndim == 1 else current[first:last]
            self._advance(circuit, raster[first:last], drive, self._learning)
        fired = raster[:, circuit.source_count :]
        self._counts += fired.sum(axis=0, dtype=np.int64)
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

    @property
    def ticks(self) -> int:
        """Ticks since the start or the last reset."""
        return self._circuit("ticks").tick

    @property
    def rates(self) -> dict[str, float]:
        """Mean firing rate per neuron of each group since :meth:`reset_rates`, Hz; 0 at first."""
        self._circuit("rates")
        seconds = max(self._counted_ticks, 1) / TICKS_PER_SECOND
        return {
            name: float(_columns(self._counts, group).mean()) / seconds
            for name, group in self.neuron_groups.items()
        }

    def reset_rates(self) -> None:
        """Start counting spikes for :attr:`rates` anew."""
        self._circuit("reset_rates")
        self._counts.fill(0)
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
    def layers(self) -> tuple[str, ...]:
        """The reward layers, in the order in which they were connected."""
        return tuple(dict.fromkeys(p.layer for p in self.projections.values() if p.layer))

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

    # State

    def weights(self, name: str) -> NDArray[np.floating[Any]]:
        """Return a projection's weights as an array [pre, post], NaN where there is no synapse.

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

    def edges(
        self, name: str
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating[Any]]]:
        """Return pre, post and weight of a projection's synapses, ordered by (pre, post)."""
        placement = self._placement(name)
        return (*placement.edges(), placement.rule.weights[placement.slots].copy())

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
        placement.rule.weights[placement.slots] = values

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

    def state(self) -> dict[str, NDArray[Any]]:
        """Return copies of everything that changes, weights included, as arrays by name.

        A network that is built alike and restored from it goes on bit by bit as this one does.
        """
        circuit = self._circuit("state")
        return {
            "network/clock": np.array([circuit.tick, self._counted_ticks], dtype=np.int64),
            "network/learning": np.array([self._learning], dtype=np.bool_),
            "neurons/counts": self._counts.copy(),
            **circuit_state(circuit),
            **{f"noise/{s.group.name}": s.state() for s in self._noise},
            **self._credit.state(),
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state of :meth:`state`.

        Raises
        ------
        EngineError
            naming the entry that is missing, unknown, of another shape or type, not finite, or
            from a network that was built differently; this network is unchanged then.
        """
        circuit = self._circuit("restore")
        check_state(state, self.state(), self.history)
        check_circuit(state, circuit)
        circuit.tick, self._counted_ticks = (int(value) for value in state["network/clock"])
        self._learning = bool(state["network/learning"][0])
        self._counts[:] = state["neurons/counts"]
        restore_circuit(circuit, state)
        for stream in self._noise:
            stream.restore(state[f"noise/{stream.group.name}"])
        self._credit.restore(state)

    # Lookups

    def size(self, name: str) -> int:
        """Return the size of a neuron group or spike source."""
        groups = self._groups()
        if name not in groups:
            raise EngineError(f"group {name!r}: unknown; {one_of(groups)}")
        return groups[name].size

    def _groups(self) -> dict[str, NeuronGroup | SourceGroup]:
        return {**self.source_groups, **self.neuron_groups}

    def _seed_noise(self, seed: int) -> None:
        for index, stream in enumerate(self._noise):
            stream.seed(seed, index)

    def _refuse_if_built(self, method: str) -> None:
        if self._built is not None:
            raise EngineError(f"Network.{method}: the network is built already")

    def _circuit(self, method: str) -> Circuit:
        if self._built is None:
            raise EngineError(f"Network.{method}: the network is not built; call build() first")
        return self._built

    def _new_group(self, name: str) -> str:
        if not isinstance(name, str) or not name or "/" in name:
            raise EngineError(f"group {name!r}: its name must be text without '/'")
        if name in self.neuron_groups or name in self.source_groups:
            raise EngineError(f"group {name!r}: a group of this name exists already")
        return f"group {name!r}"

    @staticmethod
    def _group(groups: Mapping[str, _Group], name: str, what: str) -> _Group:
        if name not in groups:
            raise EngineError(f"{what} of {name!r}: there is no such group; {one_of(groups)}")
        return groups[name]

    def _placement(self, name: str) -> Placement:
        placements = self._circuit("weights").placements
        if name not in placements:
            raise EngineError(f"projection {name!r}: unknown; {one_of(placements)}")
        return placements[name]


def _columns(array: NDArray[_Scalar], group: NeuronGroup) -> NDArray[_Scalar]:
    return array[..., group.start : group.start + group.size]
