"""Developmental synapses: overproduced at first, pruned by experience in a critical period.

They learn as plastic synapses do (:mod:`~ab_ros.engine.synapses.plastic`).  Pruning by the Fisher
information of a synapse's use follows C. Scholl, M. E. Rule, M. H. Hennig, "The information theory
of developmental pruning", PLOS Computational Biology 17 (2021), reduced to one rate:

r = coincidences / source fires, where a presynaptic spike is a coincidence if the target fires
within ``coincidence_window`` ticks after it, the same tick included.  A spike counts once, however
often the target fires.  As an estimate of one yes or no per spike, r carries the Fisher information
r (1 - r), which is reported and decides nothing.

Both are counted in the critical period, the synapses' first ``critical_period`` ticks.  At the end
of every ``eval_interval``-th of these ticks, while learning is on, a synapse whose source fired at
least ``min_source_fires`` times is removed for good if r < ``pruning_threshold``.  A pruned synapse
neither transmits nor learns.  Age, counts and prunings are as lasting as weights: a reset of the
network keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.synapses.plastic import Plastic, PlasticRule
from ab_ros.engine.synapses.rule import UNENDING
from ab_ros.engine.synapses.table import SynapseTable
from ab_ros.engine.validation import check_count
from ab_ros.errors import EngineError

HISTORY = 64
"""Ticks of presynaptic spikes that are remembered, as the bits of one word."""
_MAX_EVALUATIONS = 100_000
_MAX_PERIOD = 2**31 - 1


@dataclass(frozen=True)
class Developmental(Plastic):
    """Parameters of developmental synapses: those of plastic ones, and of the pruning.

    Parameters
    ----------
    lr : learning rate, at least 0.
    w_min, w_max : bounds of the weight, w_min < w_max.
    tau_plus, tau_minus : time constants of the traces, ticks, greater than 0.
    critical_period : ticks in which synapses may be pruned, in [0, 2^31); 0 prunes none.
    pruning_threshold : coincidences per source spike below which a synapse goes, in [0, 1].
    eval_interval : ticks from one evaluation to the next, at least 1, and at least a
        100 000th of the critical period.
    min_source_fires : spikes of the source without which a synapse is not judged, at least 1.
    coincidence_window : ticks from a presynaptic spike in which the target must fire, in [0, 63].

    Raises
    ------
    EngineError
        naming the parameter, the bound that it breaks, and its value.
    """

    type_name: ClassVar[str] = "developmental"
    may_settle: ClassVar[bool] = False
    has_sources: ClassVar[bool] = True
    shares_table: ClassVar[bool] = False

    critical_period: int = 10_000
    pruning_threshold: float = 0.02
    eval_interval: int = 2_000
    min_source_fires: int = 20
    coincidence_window: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("pruning_threshold", ge=0.0, le=1.0)
        for name, least, most in (
            ("critical_period", 0, _MAX_PERIOD),
            ("eval_interval", 1, _MAX_PERIOD),
            ("min_source_fires", 1, _MAX_PERIOD),
            ("coincidence_window", 0, HISTORY - 1),
        ):
            where = f"Developmental.{name}"
            count = check_count(where, getattr(self, name), ge=least)
            if count > most:
                raise EngineError(f"{where}: must be at most {most} (got {count})")
            object.__setattr__(self, name, count)
        if self.critical_period // self.eval_interval > _MAX_EVALUATIONS:
            raise EngineError(
                f"Developmental.eval_interval: must divide critical_period ="
                f" {self.critical_period} into at most {_MAX_EVALUATIONS} evaluations"
                f" (got {self.eval_interval})"
            )

    def rule(self, table: SynapseTable) -> DevelopmentalRule:
        """Return the rule of a table of developmental synapses."""
        return DevelopmentalRule(table, self)


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation of a projection found and did.

    Parameters
    ----------
    age : of the synapses, ticks.
    judged : synapses whose source had fired often enough.
    pruned : how many of them were removed.
    information : mean Fisher information of those that were judged and stay; 0 if there are none.
    information_pruned : mean Fisher information of those that were removed; 0 if there are none.
    """

    age: int
    judged: int
    pruned: int
    information: float
    information_pruned: float


@dataclass(frozen=True)
class Development:
    """How far the synapses of a projection have developed.

    Parameters
    ----------
    age : ticks lived.
    critical : whether synapses may still be pruned.
    evaluations : so far, in order.
    pre, post : of all synapses there ever were, ordered by (pre, post), int64[synapses].
    pruned_at : age at which each was pruned, int32[synapses]; 0 for those that live.
    rate : coincidences per source spike, float64[synapses]; NaN if the source has not fired.
        The coincidences of a pruned synapse stand still, its source fires on.
    """

    age: int
    critical: bool
    evaluations: tuple[Evaluation, ...]
    pre: NDArray[np.int64]
    post: NDArray[np.int64]
    pruned_at: NDArray[np.int32]
    rate: NDArray[np.float64]

    @property
    def information(self) -> NDArray[np.float64]:
        """Fisher information r (1 - r) of each synapse, float64[synapses]."""
        return self.rate * (1.0 - self.rate)


class DevelopmentalRule(PlasticRule):
    """The rule of plastic synapses, for those that live.

    Attributes
    ----------
    age : int64[1], ticks lived; survives resets.
    coincidences : int32[synapses].
    pruned_at : int32[synapses], age when pruned, else 0.
    fires : int64[pre_size], spikes in the critical period.
    history : uint64[pre_size], bit k says whether the neuron fired k ticks before ``last_pre``.
    last_pre, last_post : int64[pre_size], int64[post_size], age at the latest spike.
    evaluations : float64[evaluations, 5], rows of :class:`Evaluation`; of age 0 if still to come.
    """

    per_synapse = ("weights", "coincidences", "pruned_at")
    per_table = (
        *PlasticRule.per_table,
        "age",
        "fires",
        "history",
        "last_pre",
        "last_post",
        "evaluations",
    )
    parameters: Developmental

    def __init__(self, table: SynapseTable, parameters: Developmental) -> None:
        super().__init__(table, parameters)
        self.age = np.zeros(1, dtype=np.int64)
        self.coincidences = np.zeros(table.size, dtype=np.int32)
        self.pruned_at = np.zeros(table.size, dtype=np.int32)
        self.fires = np.zeros(table.pre_size, dtype=np.int64)
        self.history = np.zeros(table.pre_size, dtype=np.uint64)
        self.last_pre = np.full(table.pre_size, -HISTORY, dtype=np.int64)
        self.last_post = np.full(table.post_size, -HISTORY, dtype=np.int64)
        rows = parameters.critical_period // parameters.eval_interval
        self.evaluations = np.zeros((rows, 5))

    def living(self) -> NDArray[np.bool_]:
        """Return which synapses have not been pruned."""
        alive: NDArray[np.bool_] = self.pruned_at == 0
        return alive

    def learn(self, pre: NDArray[np.intp], post: NDArray[np.intp], learning: bool) -> None:
        """Count coincidences in the critical period, and learn."""
        if self.age[0] < self.parameters.critical_period:
            self._count(pre, post)
        super().learn(pre, post, learning)

    def _count(self, pre: NDArray[np.intp], post: NDArray[np.intp]) -> None:
        table, age = self.table, int(self.age[0])
        if pre.size:
            passed = age - self.last_pre[pre]
            shift = np.minimum(passed, HISTORY - 1).astype(np.uint64)
            kept = np.where(passed < HISTORY, self.history[pre] << shift, np.uint64(0))
            self.history[pre] = kept | np.uint64(1)
            self.last_pre[pre] = age
            self.fires[pre] += 1
        if post.size:
            # Spikes up to the target's last one have had their coincidence.
            reach = np.zeros(table.post_size, dtype=np.int64)
            window = self.parameters.coincidence_window
            reach[post] = np.minimum(window + 1, age - self.last_post[post])
            slots = table.column_slots(post)
            sources = table.sources[slots]
            bits = reach[table.targets[slots]] - (age - self.last_pre[sources])
            # The lowest bits, all 64 or fewer; a shift by 64 is not defined.
            spare = np.clip(HISTORY - bits, 0, HISTORY - 1).astype(np.uint64)
            mask = np.where(bits > 0, ~np.uint64(0) >> spare, np.uint64(0))
            self.coincidences[slots] += _ones(self.history[sources] & mask)
            self.last_post[post] = age

    def end_tick(self) -> None:
        """Decay both traces, and grow older."""
        super().end_tick()
        self.age[0] += 1

    def quiet_ticks(self, learning: bool) -> int:
        """Return the ticks until the next evaluation."""
        age, p = int(self.age[0]), self.parameters
        if not learning or age >= p.critical_period:
            return UNENDING
        return p.eval_interval - age % p.eval_interval

    def intervene(self, learning: bool) -> None:
        """Evaluate the synapses if it is time, and prune those that are of no use."""
        age, p = int(self.age[0]), self.parameters
        if not learning or age > p.critical_period or age % p.eval_interval:
            return
        fires = self.fires[self.table.sources]
        judged = np.flatnonzero(self.living() & (fires >= p.min_source_fires))
        rate = self.coincidences[judged] / fires[judged]
        information = rate * (1.0 - rate)
        useless = rate < p.pruning_threshold
        self.pruned_at[judged[useless]] = age
        if useless.any():
            self.compact()
        self.evaluations[age // p.eval_interval - 1] = (
            age,
            judged.size,
            np.count_nonzero(useless),
            _mean(information[~useless]),
            _mean(information[useless]),
        )

    def compact(self) -> None:
        """Put pruned synapses out of the way."""
        self.table.compact(self.living(), [self.coincidences, self.pruned_at])

    def development(self, pre: NDArray[np.int64], post: NDArray[np.int64]) -> Development:
        """Report on all synapses, which are those from ``pre`` to ``post``."""
        age, slots = int(self.age[0]), self.table.in_order
        fires = self.fires[self.table.sources[slots]]
        rate = np.full(self.table.size, np.nan)
        np.divide(self.coincidences[slots], fires, out=rate, where=fires > 0)
        evaluations = tuple(
            Evaluation(int(row[0]), int(row[1]), int(row[2]), row[3], row[4])
            for row in self.evaluations.tolist()
            if row[0]
        )
        critical = age < self.parameters.critical_period
        return Development(
            age, critical, evaluations, pre, post, self.pruned_at[slots].copy(), rate
        )

    def check_values(self, values: Mapping[str, NDArray[Any]], where: str) -> None:
        """Refuse ages before birth or in the future, and more coincidences than spikes."""
        age = int(values["age"][0])
        fires = values["fires"]
        for name, low, high in (
            ("age", 0, UNENDING),
            ("pruned_at", 0, age),
            ("fires", 0, age),
            ("last_pre", -HISTORY, age),
            ("last_post", -HISTORY, age),
            # A row's slots all have the same source, in whatever order they lie.
            ("coincidences", 0, fires[self.table.sources]),
        ):
            if ((values[name] < low) | (values[name] > high)).any():
                limit = "the spikes of the source" if name == "coincidences" else high
                raise EngineError(f"{where}/{name}' must be in [{low}, {limit}]")

    def taken_over(self) -> None:
        """Put those synapses out of the way that the state says were pruned."""
        if self.table.slot_of is not None or not self.living().all():
            self.compact()

    def reset(self) -> None:
        """Clear the traces and the memory of recent spikes; age, counts and prunings stay."""
        super().reset()
        self.history.fill(0)
        self.last_pre.fill(self.age[0] - HISTORY)
        self.last_post.fill(self.age[0] - HISTORY)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else 0.0


def _ones(words: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Count the bits that are set, by adding them up in parallel."""
    one, two, four, top = (np.uint64(k) for k in (1, 2, 4, 56))
    words = words - ((words >> one) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    words = (words & pairs) + ((words >> two) & pairs)
    words = (words + (words >> four)) & np.uint64(0x0F0F0F0F0F0F0F0F)
    counts: NDArray[np.int32] = ((words * np.uint64(0x0101010101010101)) >> top).astype(np.int32)
    return counts
