"""Joint states put together from messages that each bring a part of a robot's joints."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.readings import QUANTITIES
from ab_ros.values import Observation, read_only

_ROWS = len(QUANTITIES)


class JointMerger:
    """Holds the newest that is known of each joint, whichever message brought it.

    Parameters
    ----------
    max_age : s; what is older than that, beside the newest of the joints, is not known any more.
    wanted : the joints that somebody needs.
    quantity : what of them.

    Attributes
    ----------
    complete : stamp of the oldest of the wanted joints; -inf as long as one is lacking.
    """

    def __init__(
        self, max_age: float, wanted: tuple[str, ...] = (), quantity: str = "position"
    ) -> None:
        self._max_age = max_age
        self._wanted = wanted
        self._row = QUANTITIES.index(quantity)
        self.reset()

    def reset(self) -> None:
        """Forget all joints: the clock went back."""
        self._names: tuple[str, ...] = ()
        self._table = np.zeros((_ROWS, 0))
        self._stamps = np.zeros((_ROWS, 0))
        self.complete = -math.inf

    def merge(self, sample: Observation) -> Observation:
        """Return a joint state with what was known before, at the stamp of the newest joint.

        Parameters
        ----------
        sample : format ``joint_state``: float64[3, J], names in ``meta["names"]``; NaN is what the
            message does not tell.

        Returns
        -------
        Observation
            Of all joints so far, in the order in which they first came; NaN where a quantity is
            not known, or too old.
        """
        given = np.asarray(sample.data, np.float64)
        places = self._places(sample.meta["names"])
        told = ~np.isnan(given)
        self._table[:, places] = np.where(told, given, self._table[:, places])
        self._stamps[:, places] = np.where(told, sample.stamp, self._stamps[:, places])
        newest = float(self._stamps.max(initial=-math.inf))
        stamp = newest if math.isfinite(newest) else sample.stamp
        self.complete = self._oldest_wanted(stamp)
        known = stamp - self._stamps <= self._max_age
        table = np.where(known, self._table, np.nan)
        meta = {**sample.meta, "names": self._names}
        return replace(sample, stamp=stamp, data=read_only(table), meta=meta)

    def is_whole(self, sample: Observation) -> bool:
        """Whether a message brings all joints that are known."""
        return len(sample.meta["names"]) >= len(self._names)

    def missing(self) -> list[str]:
        """Return the wanted joints of which nothing is known, or nothing that is not too old."""
        newest = float(self._stamps.max(initial=-math.inf))
        # Of a joint that never came the age is infinite, or NaN.
        return [n for n in self._wanted if not newest - self._stamp_of(n) <= self._max_age]

    def _places(self, names: tuple[str, ...]) -> NDArray[np.intp] | slice:
        """Return the columns of joints; new ones get new columns."""
        if names == self._names:
            return slice(None)
        new = [name for name in names if name not in self._names]
        if new:
            self._names = (*self._names, *new)
            empty = np.full((_ROWS, len(new)), np.nan)
            self._table = np.concatenate((self._table, empty), axis=1)
            self._stamps = np.concatenate((self._stamps, np.full_like(empty, -math.inf)), axis=1)
        column = {name: index for index, name in enumerate(self._names)}
        return np.array([column[name] for name in names], np.intp)

    def _stamp_of(self, name: str) -> float:
        if name not in self._names:
            return -math.inf
        return float(self._stamps[self._row, self._names.index(name)])

    def _oldest_wanted(self, newest: float) -> float:
        return min(map(self._stamp_of, self._wanted), default=newest)
