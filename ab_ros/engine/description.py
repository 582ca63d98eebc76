"""The description of a network: groups and projections, checked as they are added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.engine.circuit import Projection
from ab_ros.engine.groups import NeuronGroup, SourceGroup
from ab_ros.engine.neurons import NeuronKind, neuron_arrays, per_neuron
from ab_ros.engine.synapses import Synapse, synapse_parameters
from ab_ros.engine.synapses.reward_plastic import RewardPlastic
from ab_ros.engine.validation import check_count, check_number
from ab_ros.engine.wiring import Synapses, Weights, index_range, synapses_of
from ab_ros.errors import EngineError, one_of

Part = slice | tuple[int, int] | None
_Group = TypeVar("_Group", NeuronGroup, SourceGroup)


class Description:
    """What a network consists of, until it is built.

    Attributes
    ----------
    neuron_groups, source_groups, projections : by name, in the order in which they were added.
    """

    def __init__(self) -> None:
        self.neuron_groups: dict[str, NeuronGroup] = {}
        self.source_groups: dict[str, SourceGroup] = {}
        self.projections: dict[str, Projection] = {}
        self._described: list[tuple[Projection, Synapses]] = []
        self._sealed = False

    def add_neurons(
        self,
        name: str,
        size: int,
        kind: NeuronKind = "RS",
        *,
        noise: float | ArrayLike = 0.0,
        bias: float | ArrayLike = 0.0,
        common_noise: float = 0.0,
        common_groups: int = 1,
    ) -> None:
        """Add a group of neurons.

        Parameters
        ----------
        name : unique among groups and sources.
        size : number of neurons.
        kind : RS, FS, IB, CH, LTS or parameters of one's own; or a sequence of these with one for
            each neuron; or :class:`~ab_ros.engine.neurons.NeuronArrays`.
        noise : standard deviation of a Gaussian current, private to each neuron and tick: a number
            or [size].  It is drawn for those neurons only for which it is not 0.
        bias : constant current: a number or [size].
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
            neuron_arrays(kind, size, where),
            _per_neuron(f"{where}: noise", noise, size, ge=0.0),
            _per_neuron(f"{where}: bias", bias, size),
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
        delay = check_count(f"{where}: delay", delay, ge=1)
        parameters.check_connection(source in self.neuron_groups, delay, where)
        projection = Projection(
            name,
            parameters,
            source in self.neuron_groups,
            groups[source].start + pre_start,
            sizes[0],
            groups[target].start + post_start,
            sizes[1],
            delay,
            layer,
        )
        self.projections[name] = projection
        self._described.append((projection, synapses))

    def size(self, name: str) -> int:
        """Return the size of a neuron group or spike source."""
        groups = self._groups()
        if name not in groups:
            raise EngineError(f"group {name!r}: unknown; {one_of(groups)}")
        return groups[name].size

    @property
    def layers(self) -> tuple[str, ...]:
        """The reward layers, in the order in which they were connected."""
        return tuple(dict.fromkeys(p.layer for p in self.projections.values() if p.layer))

    def _groups(self) -> dict[str, NeuronGroup | SourceGroup]:
        return {**self.source_groups, **self.neuron_groups}

    def _refuse_if_built(self, method: str) -> None:
        if self._sealed:
            raise EngineError(f"Network.{method}: the network is built already")

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


def _per_neuron(
    where: str, given: float | ArrayLike, size: int, ge: float | None = None
) -> float | NDArray[np.float64]:
    if np.ndim(given) == 0:
        return check_number(where, given, ge=ge)
    values = per_neuron(where, given, (size,))
    if ge is not None and values.min() < ge:
        at = int(values.argmin())
        raise EngineError(f"{where}: must be at least {ge:g} (got {values[at]} at neuron {at})")
    return values
