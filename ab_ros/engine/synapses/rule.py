"""What every synapse type provides: its parameters, and the rule that a table of them follows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.synapses.decay import DecayFrame
from ab_ros.engine.synapses.table import SynapseTable
from ab_ros.engine.validation import check_number
from ab_ros.errors import EngineError

Reals = NDArray[np.floating[Any]]
Selection = slice | NDArray[np.intp]
UNENDING = 2**62
"""More ticks than any run has."""


class Rule:
    """One table of synapses of one type, with the state that its rule needs.

    The network calls, every tick, :meth:`deliver` and :meth:`learn` with the spikes of that tick
    and then :meth:`end_tick`.  What has to happen seldom, and may change much, a rule announces by
    :meth:`quiet_ticks` and does in :meth:`intervene`, between two ticks.

    Attributes
    ----------
    per_synapse : names of the attributes that are arrays with a value per slot.
    per_table : names of the other arrays of dynamic state.
    couples : whether :meth:`couple` is to be called.
    observes : whether :meth:`observe` is to be called.
    learns : whether :meth:`learn` is to be called.
    """

    per_synapse: ClassVar[tuple[str, ...]] = ("weights",)
    per_table: ClassVar[tuple[str, ...]] = ()
    couples: ClassVar[bool] = False
    observes: ClassVar[bool] = False
    learns: ClassVar[bool] = False

    def __init__(self, table: SynapseTable) -> None:
        self.table = table
        # For the compiled path: when each row was settled.
        self.settled = np.empty(0, dtype=np.int32)

    @property
    def weights(self) -> Reals:
        """Weights, real[synapses], in slot order."""
        return self.table.weights

    def frames(self) -> dict[str, DecayFrame]:
        """Return the frames of the rule's traces, in order, by the attribute that has their age."""
        return {}

    def living(self) -> NDArray[np.bool_] | None:
        """Return which synapses exist still, bool[synapses]; None means all."""
        return None

    def bind(self, groups: Mapping[str, tuple[int, int]], where: str) -> None:
        """Find other groups that the rule depends on.

        Parameters
        ----------
        groups : start and size of all spike sources and neuron groups in the index space that they
            share.
        where : starts the messages of errors.

        Raises
        ------
        EngineError
            naming ``where``, and the group that is missing or empty.
        """

    def couple(
        self, potential: NDArray[np.float64], current: NDArray[np.float64], source_count: int
    ) -> None:
        """Add currents that depend on membrane potentials, before the neurons move.

        Parameters
        ----------
        potential : of all neurons, mV, float64[neurons].
        current : of all neurons, float64[neurons], changed.
        source_count : how many presynaptic indices stand for spike sources.
        """

    def observe(self, spikes: NDArray[np.uint8], tick: int) -> None:
        """Take note of a tick's spikes, uint8[sources + neurons], before any are delivered."""

    def deliver(self, pre: NDArray[np.intp], into: NDArray[np.float64]) -> None:
        """Send the spikes of a tick on their way.

        Parameters
        ----------
        pre : presynaptic neurons that fired, relative to the table's ``pre_start``, ascending.
        into : float64[post_size], input that arrives after the delay; added to.
        """
        table = self.table
        slots = table.row_slots(pre)
        np.add.at(into, table.targets[slots], table.weights[slots].astype(np.float64))

    def learn(self, pre: NDArray[np.intp], post: NDArray[np.intp], learning: bool) -> None:
        """Take in the spikes of a tick.

        Parameters
        ----------
        pre : presynaptic neurons that fired, relative to the table's ``pre_start``, ascending.
        post : target neurons that fired, relative to the table's ``post_start``, ascending.
        learning : whether weights may change; all other state goes on in either case.
        """

    def end_tick(self) -> None:
        """Let the time of one tick pass."""

    def quiet_ticks(self, learning: bool) -> int:
        """Return the number of ticks, at least 1, after which :meth:`intervene` is due."""
        return UNENDING

    def intervene(self, learning: bool) -> None:
        """Do what is due after the present tick, if anything is."""

    def check_values(self, values: Mapping[str, NDArray[Any]], where: str) -> None:
        """Refuse a state that has the right form, but values that the rule never reaches.

        Parameters
        ----------
        values : what is to be put into the attributes ``per_synapse`` and ``per_table``.
        where : starts the messages of errors; quote and attribute's name follow.
        """

    def taken_over(self) -> None:
        """Follow a state that was put into the attributes ``per_synapse`` and ``per_table``."""

    def reset(self) -> None:
        """Clear the dynamic state; the weights stay."""


class Synapse(ABC):
    """Parameters of a synapse type; each type is a frozen dataclass in a module of its own."""

    type_name: ClassVar[str]
    has_columns: ClassVar[bool] = False
    """Whether target spikes change synapses."""
    may_settle: ClassVar[bool] = False
    """Whether the compiled path lets those changes wait for the next presynaptic spike."""
    has_sources: ClassVar[bool] = False
    """Whether a slot must always know its presynaptic neuron."""
    shares_table: ClassVar[bool] = True

    @abstractmethod
    def rule(self, table: SynapseTable) -> Rule:
        """Return the rule of a table of synapses that have these parameters."""

    def check_weights(self, weights: Reals, where: str) -> None:
        """Refuse weights that these parameters do not allow.

        Raises
        ------
        EngineError
            naming ``where``, the first bad weight and its position.
        """
        bad = np.flatnonzero(~np.isfinite(weights))
        if bad.size:
            raise EngineError(
                f"{where}: weights must be finite (got {weights[bad[0]]} at synapse {bad[0]})"
            )

    def within_bounds(self, weights: Reals) -> Reals:
        """Return weights that :meth:`check_weights` accepts, rid of what rounding added."""
        return weights

    def check_connection(self, from_neurons: bool, delay: int, where: str) -> None:
        """Refuse connections that this type cannot make.

        Parameters
        ----------
        from_neurons : whether the source is a neuron group, else a spike source.
        delay : ticks, at least 1.
        where : starts the messages of errors.

        Raises
        ------
        EngineError
            naming ``where`` and what is allowed.
        """

    def _check(self, name: str, **bounds: float) -> None:
        value = check_number(f"{type(self).__name__}.{name}", getattr(self, name), **bounds)
        object.__setattr__(self, name, value)


@dataclass(frozen=True)
class SoftBounds:
    """Bounds that learning approaches ever more slowly.

    A change is scaled by the distance to the bound that it moves towards, over the range.  The
    synapse is inhibitory if ``w_min < 0`` and ``w_max <= 0``: strengthening moves its weight
    away from 0, down to ``w_min``.
    """

    w_min: float
    w_max: float

    @property
    def inhibitory(self) -> bool:
        """Whether strengthening makes the weight more negative."""
        return self.w_min < 0.0 and self.w_max <= 0.0

    @property
    def strong(self) -> float:
        """The bound that strengthening moves towards."""
        return self.w_min if self.inhibitory else self.w_max

    @property
    def weak(self) -> float:
        """The bound that weakening moves towards."""
        return self.w_max if self.inhibitory else self.w_min

    def moved(self, weights: Reals, amount: Reals | float, bound: float) -> Reals:
        """Return weights moved by ``amount * (bound - w) / (w_max - w_min)``, then clipped.

        Computed in float64 whatever the storage, in an order that the compiled path repeats.
        """
        wide = weights.astype(np.float64)
        wide += amount * ((bound - wide) / (self.w_max - self.w_min))
        return np.minimum(np.maximum(wide, self.w_min), self.w_max)


@dataclass(frozen=True)
class BoundedSynapse(Synapse):
    """A synapse type that learns within [w_min, w_max] at rate lr."""

    has_columns: ClassVar[bool] = True

    lr: float = 0.01
    w_min: float = 0.0
    w_max: float = 10.0

    def __post_init__(self) -> None:
        self._check("lr", ge=0.0)
        self._check("w_min")
        self._check("w_max")
        if not self.w_min < self.w_max:
            raise EngineError(
                f"{type(self).__name__}.w_max: must be greater than w_min = {self.w_min:g}"
                f" (got {self.w_max})"
            )

    @property
    def bounds(self) -> SoftBounds:
        """The bounds of the weights, with their rule."""
        return SoftBounds(self.w_min, self.w_max)

    def within_bounds(self, weights: Reals) -> Reals:
        """Return weights clipped to [w_min, w_max]."""
        return np.clip(weights, self.w_min, self.w_max)

    def check_weights(self, weights: Reals, where: str) -> None:
        """Refuse weights that are not finite or not in [w_min, w_max]."""
        super().check_weights(weights, where)
        # Weights that come back from float32 storage may miss a bound by its rounding.
        slack = 1e-6 * max(abs(self.w_min), abs(self.w_max))
        bad = np.flatnonzero((weights < self.w_min - slack) | (weights > self.w_max + slack))
        if bad.size:
            raise EngineError(
                f"{where}: weights must be in [{self.w_min:g}, {self.w_max:g}], the bounds of its"
                f" {type(self).__name__} (got {weights[bad[0]]:g} at synapse {bad[0]})"
            )
