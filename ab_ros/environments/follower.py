"""The controller of a simulated robot: follows position commands of several topics at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.errors import WorldError


class TrajectoryFollower:
    """Interpolates the newest command of each topic over time, and holds its last point.

    As a joint trajectory controller does: a new command of a topic replaces the old one at once,
    and starts from where the joints were commanded to be.
    """

    def __init__(self) -> None:
        self._commands: dict[str, _Playing] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """All joints that have been commanded."""
        return tuple(name for command in self._commands.values() for name in command.names)

    def follow(
        self, topic: str, names: Sequence[str], times: ArrayLike, positions: ArrayLike, now: float
    ) -> None:
        """Take a command.

        Parameters
        ----------
        topic : where it came from; it replaces the last one from there.
        names : C joints.
        times : float64[P], s from ``now``, ascending, >= 0.
        positions : float64[P, C], rad or m.
        now : s.

        Raises
        ------
        WorldError
            if the forms do not fit, a value is not finite, the times do not ascend, or a joint is
            already commanded from another topic.
        """
        at = np.asarray(times, np.float64)
        points = np.asarray(positions, np.float64)
        if points.ndim != 2 or points.shape != (at.size, len(names)) or not at.size:
            raise WorldError(
                f"{topic}: a command of {at.size} times for {len(names)} joints must have"
                f" positions [{at.size}, {len(names)}], not {list(points.shape)}"
            )
        if not (np.isfinite(at).all() and np.isfinite(points).all()):
            raise WorldError(f"{topic}: times and positions must be finite")
        if at[0] < 0 or (np.diff(at) <= 0).any():
            raise WorldError(f"{topic}: times must ascend from 0 on")
        for other, command in self._commands.items():
            both = set(command.names) & set(names)
            if other != topic and both:
                raise WorldError(f"{topic}: joint {min(both)!r} is already commanded by {other}")
        before = self._commands.get(topic)
        if at[0] > 0:
            known = before is not None and before.names == tuple(names)
            first = before.at(np.array([now]))[0] if before is not None and known else points[0]
            at = np.concatenate(([0.0], at))
            points = np.vstack((first, points))
        self._commands[topic] = _Playing(tuple(names), at + now, points)

    def sample(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the set-points float64[P, C] of all :attr:`names` at times float64[P], s."""
        columns = [command.at(times) for command in self._commands.values()]
        return np.hstack(columns) if columns else np.empty((times.size, 0))

    def clear(self) -> None:
        """Forget all commands."""
        self._commands.clear()


class _Playing:
    def __init__(
        self, names: tuple[str, ...], times: NDArray[np.float64], points: NDArray[np.float64]
    ) -> None:
        self.names, self.times, self.points = names, times, points

    def at(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([np.interp(times, self.times, p) for p in self.points.T], axis=1)
