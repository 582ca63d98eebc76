"""Learning: how the weights between two groups change with what both did.

One's own is a subclass of :class:`Learning`; as a frozen dataclass of numbers, texts and mappings
it can be saved with a brain.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from ab_ros.errors import ConfigError
from ab_ros.layered.computation import check_number
from ab_ros.layered.weights import Arithmetic, Bits, Weights, step


class Learning(ABC):
    """Changes weights.

    Attributes
    ----------
    type_name : what a definition calls it; the class's name unless it is given.
    exact : whether it leaves weights that :mod:`ab_ros.layered.weights` allows; those of other
        rules are brought there: clipped to [0, 1] and rounded to 2⁻²⁴.
    """

    type_name: ClassVar[str] = ""
    exact: ClassVar[bool] = False

    @abstractmethod
    def update(
        self,
        weights: Weights,
        before: Bits,
        after: Bits,
        modulation: float,
        arithmetic: Arithmetic,
    ) -> None:
        """Change weights in place.

        Parameters
        ----------
        weights : float32[n, m] from n bits to m neurons.
        before : which bits were active, bool[n].
        after : which neurons then were, bool[m].
        modulation : 1 where a group learns by itself; where rewards teach it, what they say, in
            [−1, 1].
        arithmetic : computes steps of weights fast, and the same everywhere.
        """


@dataclass(frozen=True)
class HebbianLearning(Learning):
    """What is active together is joined more strongly (D. O. Hebb, 1949).

    A weight grows by ``increase`` where both its ends are active and shrinks by ``decrease`` where
    one is; it stays as it is where both are silent, and where it is 0.  It is kept within [0, 1].
    A modulation m multiplies both changes: where it is negative, what was active together is
    joined less strongly.

    Parameters
    ----------
    increase, decrease : within [0, 1].
    """

    type_name = "hebbian"
    exact = True
    increase: float = 0.05
    decrease: float = 0.002

    def __post_init__(self) -> None:
        for name in ("increase", "decrease"):
            value = getattr(self, name)
            check_number(name, value)
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"{name}: must be within [0, 1] (got {value})")

    def update(
        self,
        weights: Weights,
        before: Bits,
        after: Bits,
        modulation: float,
        arithmetic: Arithmetic,
    ) -> None:
        """Change weights in place."""
        both, one = step(self.increase * modulation), step(-self.decrease * modulation)
        if both or one:
            arithmetic.shift(weights, before, after, both, one)
