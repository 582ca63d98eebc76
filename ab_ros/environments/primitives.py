"""Primitives: what stands between a few channels and a robot that moves for a while.

A motor primitive makes a trajectory of a motor signal; a sensory primitive makes a sensory signal
of all that the sensors have shown meanwhile.  :class:`PrimitiveEnvironment` plays the one and asks
the other.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ab_ros.environments.channels import Channel, Signal, checked_signal
from ab_ros.environments.environment import Environment, Meta
from ab_ros.environments.primitive_settings import PrimitiveSettings, made_of
from ab_ros.environments.signals import clipped, select, to_vector
from ab_ros.errors import ChannelError, ConfigError
from ab_ros.values import read_only

Floats = NDArray[np.float64]
Raw = Mapping[str, Floats]
"""What each sensor has shown, float64[P], by its name."""

MOST_POINTS = 1_000_000


@dataclass(frozen=True)
class Trajectory:
    """Where motors go.

    Attributes
    ----------
    names : of the C motors.
    times : float64[P], s, ascending; when each point is reached.
    values : float64[P, C].
    """

    names: tuple[str, ...]
    times: Floats
    values: Floats


def minimum_jerk(part: Floats) -> Floats:
    """Return the part of the way that is done, from rest to rest and as smoothly as possible.

    Flash & Hogan, The coordination of arm movements: an experimentally confirmed mathematical
    model, J. Neurosci. 5, 1985.

    Parameters
    ----------
    part : of the time, float64[P] in [0, 1].
    """
    way = part**3 * (10.0 - 15.0 * part + 6.0 * part**2)
    return np.asarray(np.where(part < 1.0, way, 1.0))


class MotorPrimitive(Protocol):
    """Makes a trajectory of a motor signal."""

    @property
    def m_channels(self) -> Sequence[Channel]:
        """What it takes."""

    def trajectory(self, m_signal: Mapping[str, float]) -> Trajectory:
        """Return the trajectory; a ChannelError if the signal does not fit."""


class SensoryPrimitive(Protocol):
    """Makes a sensory signal of what the sensors have shown."""

    @property
    def s_channels(self) -> Sequence[Channel]:
        """What it gives."""

    def sense(self, raw: Raw) -> Mapping[str, float]:
        """Return the sensory signal; a ChannelError if a sensor is missing or has shown nothing."""


class MinimumJerk:
    """Goes from where the motors start to the motor signal by :func:`minimum_jerk`, and rests.

    Parameters
    ----------
    channels : of the motors.
    start : where they are at first; by default their rest.
    duration : s, of the movement.
    dt : s, between points; the last point is at ``duration``.

    Raises
    ------
    ChannelError
        if a parameter is not allowed.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        start: Mapping[str, float] | None = None,
        duration: float = 1.0,
        dt: float = 0.01,
    ) -> None:
        self.m_channels = list(channels)
        rest = {channel.name: channel.rest for channel in channels}
        self.start = to_vector(rest if start is None else start, self.m_channels)
        self._times = _times(duration, dt, "MinimumJerk")
        self._course = minimum_jerk(self._times / duration)

    def trajectory(self, m_signal: Mapping[str, float]) -> Trajectory:
        """Return the way from the start to a motor signal."""
        away = to_vector(m_signal, self.m_channels) - self.start
        values = self.start + self._course[:, None] * away
        names = tuple(channel.name for channel in self.m_channels)
        return Trajectory(names, read_only(self._times), read_only(values))


class Oscillation:
    """Swings every motor about a middle: for rhythms, such as gaits.

    For a motor ``x``, the channels ``x.middle`` and ``x.amplitude`` are in its own unit and
    ``x.phase`` is in rad; ``frequency``, in Hz, is common to all.  Where the middle and the
    amplitude together would leave the motor's bounds, the swing is cut off there.

    Parameters
    ----------
    channels : of the motors, with finite bounds.
    frequency : (low, high), Hz > 0.
    duration, dt : s, of the whole, and between points.

    Raises
    ------
    ChannelError
        if a parameter is not allowed.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        frequency: tuple[float, float] = (0.2, 2.0),
        duration: float = 5.0,
        dt: float = 0.01,
    ) -> None:
        self._motors = list(channels)
        self._times = _times(duration, dt, "Oscillation")
        self.m_channels = [Channel("frequency", frequency, unit="Hz")]
        if frequency[0] <= 0.0:
            raise ChannelError(f"Oscillation.frequency: must be greater than 0, not {frequency}")
        for motor in channels:
            if not motor.bounded:
                raise ChannelError(f"Oscillation: motor {motor.name!r} must have finite bounds")
            half = 0.5 * (motor.bounds[1] - motor.bounds[0])
            name = motor.name
            self.m_channels += [
                Channel(f"{name}.middle", motor.bounds, unit=motor.unit),
                Channel(f"{name}.amplitude", (0.0, half), unit=motor.unit),
                Channel(f"{name}.phase", (-math.pi, math.pi), unit="rad"),
            ]

    def trajectory(self, m_signal: Mapping[str, float]) -> Trajectory:
        """Return the swing of a motor signal."""
        frequency, *rest = to_vector(m_signal, self.m_channels)
        middle, amplitude, phase = np.array(rest).reshape(-1, 3).T
        turns = 2.0 * math.pi * frequency * self._times[:, None]
        low, high = np.array([motor.bounds for motor in self._motors]).reshape(-1, 2).T
        values = np.clip(middle + amplitude * np.sin(turns + phase), low, high)
        names = tuple(motor.name for motor in self._motors)
        return Trajectory(names, read_only(self._times), read_only(values))


class FinalValues:
    """What the sensors show at the end.

    Parameters
    ----------
    channels : each named as its sensor.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        self.s_channels = list(channels)

    def sense(self, raw: Raw) -> Signal:
        """Return the last value of each sensor."""
        return {c.name: float(_shown(raw, c.name)[-1]) for c in self.s_channels}


class Extent:
    """How far the sensors have gone: ``x.least``, ``x.mean`` and ``x.most`` of a sensor ``x``.

    Parameters
    ----------
    channels : each named as its sensor.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._sensors = list(channels)
        self.s_channels = [
            Channel(f"{sensor.name}.{which}", sensor.bounds, unit=sensor.unit)
            for sensor in channels
            for which in ("least", "mean", "most")
        ]

    def sense(self, raw: Raw) -> Signal:
        """Return the least, mean and greatest value of each sensor."""
        signal: Signal = {}
        for sensor in self._sensors:
            values = _shown(raw, sensor.name)
            for which, of in (("least", np.min), ("mean", np.mean), ("most", np.max)):
                signal[f"{sensor.name}.{which}"] = float(of(values))
        return signal


class PrimitiveEnvironment(Environment):
    """An environment that moves by trajectories; a subclass overrides :meth:`_play`.

    A motor signal beyond the bounds of its channels is executed as the bounds.

    Parameters
    ----------
    cfg : as :class:`~ab_ros.environments.environment.Environment` takes it.
    motor : what it is moved by; its channels are those of the environment.
    sensory : what is made of its sensors, likewise.
    """

    def __init__(self, cfg: Any, motor: MotorPrimitive, sensory: SensoryPrimitive) -> None:
        super().__init__(cfg)
        self.motor = motor
        self.sensory = sensory
        self.m_channels = list(motor.m_channels)
        self.s_channels = list(sensory.s_channels)

    def _execute(self, m_signal: Signal, meta: Meta | None = None) -> Mapping[str, float]:
        m_signal.update(clipped(m_signal, self.m_channels))
        raw = self._play(self.motor.trajectory(m_signal), meta)
        if meta is not None:
            meta["raw"] = raw
        return self.sensory.sense(raw)

    @abstractmethod
    def _play(self, trajectory: Trajectory, meta: Meta | None) -> Raw:
        """Move along a trajectory and return what the sensors have shown, point by point."""


class WithPrimitives(PrimitiveEnvironment):
    """Moves another environment by trajectories: each point is a motor signal of its own.

    ``meta`` of an execution gets ``raw``: what each sensory channel of the other one has shown.

    Parameters
    ----------
    environment : the other one; it is closed with this one.  Or, alone, a configuration:
        :class:`~ab_ros.environments.primitive_settings.PrimitiveSettings` or a mapping of them,
        which names the other one and the primitives.
    motor : its trajectories are of channels of the environment; those that it leaves out are fixed.
    sensory : its sensors are the sensory channels of the environment.

    Raises
    ------
    ChannelError
        if the trajectories are of other channels, or a channel is neither moved nor fixed.
    ConfigError
        if a primitive is missing, or the configuration is not allowed.
    """

    def __init__(
        self,
        environment: Environment | Mapping[str, Any] | PrimitiveSettings,
        motor: MotorPrimitive | None = None,
        sensory: SensoryPrimitive | None = None,
    ) -> None:
        cfg: Any
        if not isinstance(environment, Environment) and motor is None and sensory is None:
            cfg, environment, motor, sensory = made_of(environment)
        elif not isinstance(environment, Environment) or motor is None or sensory is None:
            raise ConfigError(
                "WithPrimitives: needs an environment, a motor and a sensory primitive, or a"
                " configuration alone"
            )
        else:
            cfg = environment.cfg
        super().__init__(cfg, motor, sensory)
        self.environment = environment
        rest = {channel.name: channel.rest for channel in self.m_channels}
        moved = motor.trajectory(rest).names
        select(environment.m_channels, moved, "WithPrimitives: trajectory")
        checked_signal(dict.fromkeys(moved, 0.0), environment.m_channels, "WithPrimitives")

    def _play(self, trajectory: Trajectory, meta: Meta | None) -> Raw:
        environment = self.environment
        shown = np.empty((len(trajectory.values), len(environment.s_channels)))
        for row, values in enumerate(trajectory.values.tolist()):
            order = dict(zip(trajectory.names, values, strict=True))
            shown[row] = list(environment.execute(order)["s_signal"].values())
        return {c.name: column for c, column in zip(environment.s_channels, shown.T, strict=True)}

    def _reset(self, seed: int | None) -> Mapping[str, float]:
        first = self.environment.reset(seed)
        return self.sensory.sense({name: np.array([value]) for name, value in first.items()})

    def close(self) -> None:
        """Close the environment that is moved."""
        super().close()
        self.environment.close()


def _times(duration: float, dt: float, where: str) -> Floats:
    for name, value in (("duration", duration), ("dt", dt)):
        if not (math.isfinite(value) and value > 0.0):
            raise ChannelError(f"{where}.{name}: must be finite and greater than 0 s, not {value}")
    points = math.ceil(duration / dt - 1e-9)
    if points > MOST_POINTS:
        raise ChannelError(f"{where}.dt: makes {points} points of {duration:g} s; at most 1000000")
    times = dt * np.arange(1, points + 1)
    times[-1] = duration
    return np.asarray(times, np.float64)


def _shown(raw: Raw, name: str) -> Floats:
    values = raw.get(name)
    if values is None or not len(values):
        raise ChannelError(f"sensor {name!r} has shown nothing; there are: {', '.join(raw)}")
    return values
