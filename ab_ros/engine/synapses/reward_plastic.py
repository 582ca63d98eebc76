"""Reward-modulated synapses: three factors, presynaptic × postsynaptic × reward.

After E. M. Izhikevich, "Solving the distal reward problem through linkage of STDP and dopamine
signaling", Cerebral Cortex 17 (2007), with soft bounds.

In each tick, in this order:

1. a presynaptic spike adds 1 to the synapse's trace x;
2. a postsynaptic spike adds x to the synapse's eligibility e, then x halves;
3. x decays by exp(-1 / tau_trace), e by exp(-1 / tau_eligible).

A reward m in [-1, 1] changes the weight by ``lr * e * m * (w_max - w) / (w_max - w_min)`` if it is
positive, by ``negative_gain * lr * e * m * (w - w_min) / (w_max - w_min)`` if it is negative, and
then halves e, also if it is 0.  An inhibitory synapse (w_min < 0, w_max <= 0) strengthens away
from 0.

A continuous signal m, in [-1, 1] per tick, changes the weight in the same way at the end of every
tick, by the eligibility of then, and leaves the eligibility alone: dw/dt = lr * e * m, softly
bounded.  A level of 0.01 held for 100 ticks is about one reward of 1.

A reward often arrives after the activity that earned it.  The eligibility can be *marked* at the
end of a cycle; a later reward for that cycle uses the eligibility of then.  The marked part
halves, and what is left of the other half, decayed, is taken from all later marks and from the
present eligibility: a reward that arrives at once does exactly what an unmarked one does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.synapses.decay import DecayFrame
from ab_ros.engine.synapses.rule import UNENDING, BoundedSynapse, Reals, Rule, Selection, SoftBounds
from ab_ros.engine.synapses.table import SynapseTable

_NO_SLOTS = np.empty(0, dtype=np.intp)


@dataclass(frozen=True)
class RewardPlastic(BoundedSynapse):
    """Parameters of reward-modulated plasticity.

    Parameters
    ----------
    lr : learning rate, at least 0.
    w_min, w_max : bounds of the weight, w_min < w_max.
    tau_trace : time constant of the presynaptic trace, ticks, greater than 0.
    tau_eligible : time constant of the eligibility, ticks, greater than 0.
    negative_gain : weight of negative rewards relative to positive ones, at least 0; values of
        1.3 to 1.6 keep long training from growing all weights together.

    Raises
    ------
    EngineError
        naming the parameter, the bound that it breaks, and its value.
    """

    type_name: ClassVar[str] = "reward_plastic"
    may_settle: ClassVar[bool] = True

    tau_trace: float = 20.0
    tau_eligible: float = 500.0
    negative_gain: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("tau_trace", gt=0.0)
        self._check("tau_eligible", gt=0.0)
        self._check("negative_gain", ge=0.0)

    def rule(self, table: SynapseTable) -> RewardPlasticRule:
        """Return the rule of a table of reward-modulated synapses."""
        return RewardPlasticRule(table, self)


class RewardPlasticRule(Rule):
    """Trace and eligibility per synapse, real[synapses], in scaled frames.

    Attributes
    ----------
    settle : brings trace and eligibility up to date where the network has let them wait.
    """

    learns = True
    per_synapse = ("weights", "trace", "eligibility")
    per_table = ("trace_age", "eligibility_age")

    def __init__(self, table: SynapseTable, parameters: RewardPlastic) -> None:
        super().__init__(table)
        self.parameters = parameters
        self.trace_frame = DecayFrame(parameters.tau_trace, table.real)
        self.eligibility_frame = DecayFrame(parameters.tau_eligible, table.real)
        self.trace_age, self.eligibility_age = self.trace_frame.age, self.eligibility_frame.age
        self.trace: Reals = np.zeros(table.size, dtype=table.real)
        self.eligibility: Reals = np.zeros(table.size, dtype=table.real)
        # Marks are copies of the stored eligibility, and the ages of the frame that they are in.
        self.marks: Reals = np.empty((0, table.size), dtype=table.real)
        self.mark_age = np.zeros(0, dtype=np.int64)
        # Parts of the table under a signal other than 0, each with its level.
        self.signals: list[tuple[Selection, float]] = []
        self.settle: Callable[[], None] = _nothing
        self.apply: Callable[..., None] = apply_reward
        self.apply_signal: Callable[..., None] = apply_signal

    def frames(self) -> dict[str, DecayFrame]:
        """Return the frames of both traces."""
        return {"trace_age": self.trace_frame, "eligibility_age": self.eligibility_frame}

    def learn(self, pre: NDArray[np.intp], post: NDArray[np.intp], learning: bool) -> None:
        """Update traces at presynaptic spikes, eligibility and traces at postsynaptic ones."""
        table = self.table
        if pre.size:
            slots = table.row_slots(pre)
            wide = self.trace[slots].astype(np.float64)
            wide += self.trace_frame.stored_of_value
            self.trace[slots] = wide
        if post.size:
            slots = table.column_slots(post)
            factor = self.trace_frame.value_of_stored * self.eligibility_frame.stored_of_value
            trace = self.trace[slots].astype(np.float64)
            self.eligibility[slots] = self.eligibility[slots].astype(np.float64) + trace * factor
            self.trace[slots] = trace * 0.5

    def end_tick(self) -> None:
        """Decay trace and eligibility."""
        self.trace_frame.end_tick(self.trace)
        self.eligibility_frame.end_tick(self.eligibility)

    def reset(self) -> None:
        """Clear trace and eligibility."""
        for array in (self.trace, self.eligibility, self.trace_age, self.eligibility_age):
            array.fill(0)

    def current_eligibility(self) -> NDArray[np.float64]:
        """Return the eligibility as it is now, float64[synapses]."""
        self.settle()
        return self.eligibility.astype(np.float64) * self.eligibility_frame.value_of_stored

    def make_places(self, places: int) -> None:
        """Make room for marks; there is none before the first, to save memory."""
        if self.mark_age.size != places:
            self.marks = np.zeros((places, self.table.size), dtype=self.table.real)
            self.mark_age = np.zeros(places, dtype=np.int64)

    def mark(self, place: int, places: int) -> None:
        """Remember the present eligibility in one of ``places`` places."""
        self.settle()
        self.make_places(places)
        self.marks[place] = self.eligibility
        self.mark_age[place] = self.eligibility_age[0]

    def reward(
        self,
        modulation: float,
        slots: Selection,
        learning: bool,
        place: int | None = None,
        since: int = 0,
        later: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Apply a reward to the synapses in ``slots``.

        Parameters
        ----------
        modulation : m in [-1, 1].
        slots : which synapses.
        learning : whether weights may change; the eligibility halves in either case.
        place : the mark that the reward credits; None for the present eligibility.
        since : ticks from that mark until now.
        later : places of the marks after it, each with the ticks from the credited mark to it.
        """
        self.settle()
        frame, bounds = self.eligibility_frame, self.parameters.bounds
        # Stored values of two frames differ by the time between the frames' set-ups only.
        age = int(frame.age[0] if place is None else self.mark_age[place])
        gain = self._gain(modulation)
        every = isinstance(slots, slice)
        self.apply(
            self.table.weights,
            self.eligibility,
            self.marks,
            _NO_SLOTS if isinstance(slots, slice) else slots,
            every,
            -1 if place is None else place,
            float(frame.down[age]),
            np.array([other for other, _ in later], dtype=np.int64),
            np.array(
                [frame.decayed(ticks + age - int(self.mark_age[other])) for other, ticks in later],
                dtype=np.float64,
            ),
            frame.decayed(since + age - int(frame.age[0])),
            gain if learning else 0.0,
            bounds.strong if modulation > 0.0 else bounds.weak,
            bounds.w_min,
            bounds.w_max,
        )

    def quiet_ticks(self, learning: bool) -> int:
        """Return 1 under a signal: it acts in every tick."""
        return 1 if learning and self.signals else UNENDING

    def intervene(self, learning: bool) -> None:
        """Let the signals change weights."""
        if not (learning and self.signals):
            return
        self.settle()
        p, bounds = self.parameters, self.parameters.bounds
        for slots, level in self.signals:
            gain = self._gain(level) * self.eligibility_frame.value_of_stored
            every = isinstance(slots, slice)
            self.apply_signal(
                self.table.weights,
                self.eligibility,
                _NO_SLOTS if isinstance(slots, slice) else slots,
                every,
                gain,
                bounds.strong if level > 0.0 else bounds.weak,
                p.w_min,
                p.w_max,
            )

    def _gain(self, modulation: float) -> float:
        p = self.parameters
        return p.lr * modulation if modulation > 0.0 else p.lr * p.negative_gain * -modulation


def _nothing() -> None:
    pass


def apply_reward(
    weights: Reals,
    eligibility: Reals,
    marks: Reals,
    slots: NDArray[np.intp],
    every: bool,
    place: int,
    factor: float,
    later: NDArray[np.int64],
    left: NDArray[np.float64],
    left_now: float,
    gain: float,
    bound: float,
    w_min: float,
    w_max: float,
) -> None:
    """Spend eligibility and change weights: the NumPy form, which the compiled one follows.

    Parameters
    ----------
    weights, eligibility : real[synapses], changed.
    marks : real[places, synapses], changed.
    slots, every : the synapses in question, or all of them.
    place : the credited mark, or -1 for the present eligibility.
    factor : eligibility per stored value.
    later, left : places of later marks, and what is left there of the credited one's stored value.
    left_now : what is left of it in the present eligibility.
    gain : learning rate times size of the reward; 0 changes no weight.
    bound, w_min, w_max : the bound that weights move towards, and both bounds.
    """
    selected: Selection = slice(None) if every else slots
    store = eligibility if place < 0 else marks[place]
    stored = store[selected].astype(np.float64)
    spent = stored * 0.5
    store[selected] = spent
    if place >= 0:
        for other, rest in zip(later.tolist(), left.tolist(), strict=True):
            kept = marks[other][selected].astype(np.float64) - spent * rest
            marks[other][selected] = np.maximum(kept, 0.0)
        kept = eligibility[selected].astype(np.float64) - spent * left_now
        eligibility[selected] = np.maximum(kept, 0.0)
    if gain:
        amount = gain * (stored * factor)
        weights[selected] = SoftBounds(w_min, w_max).moved(weights[selected], amount, bound)


def apply_signal(
    weights: Reals,
    eligibility: Reals,
    slots: NDArray[np.intp],
    every: bool,
    gain: float,
    bound: float,
    w_min: float,
    w_max: float,
) -> None:
    """Change weights by one tick of a signal: the NumPy form, which the compiled one follows.

    Parameters
    ----------
    weights : real[synapses], changed.
    eligibility : real[synapses], stored values.
    slots, every : the synapses in question, or all of them.
    gain : learning rate times size of the signal times eligibility per stored value.
    bound, w_min, w_max : the bound that weights move towards, and both bounds.
    """
    selected: Selection = slice(None) if every else slots
    amount = gain * eligibility[selected].astype(np.float64)
    weights[selected] = SoftBounds(w_min, w_max).moved(weights[selected], amount, bound)
