"""A live robot, or one in a simulation, as an environment: its topics are channels.

Motor signals go to the motor node, as changes of channels that a brain itself commands; the safety
stage there limits and refuses them like those of any brain.  This environment has no command topic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ab_ros.environments.channels import Channel, Signal
from ab_ros.environments.environment import Environment, Meta
from ab_ros.environments.primitives import minimum_jerk
from ab_ros.errors import WorldError
from ab_ros.nodes.robot_link import Floats, InterruptedOrderError, NotNowError, RobotLink
from ab_ros.nodes.ros_environment_settings import (
    MotorChannelSettings,
    RosEnvironmentSettings,
    SensorChannelSettings,
)

__all__ = [
    "InterruptedOrderError",
    "MotorChannelSettings",
    "NotNowError",
    "RosEnvironment",
    "RosEnvironmentSettings",
    "SensorChannelSettings",
]

_TOLERANCE = 1e-4  # rad or m; closer than this to its target, a motor is there


class RosEnvironment(Environment):
    """A robot that the motor node of ab_ros drives.

    An execution waits for the motor node, plays the motor signal in ``duration`` along a
    minimum-jerk way, cycle after cycle, lets the robot come to rest, and reads a fresh message from
    every sensor.  What the safety stage makes of it is the executed motor signal: a target beyond a
    limit is executed as the limit, a velocity as the one that was reached at the end.  A refusal,
    such as of a halted robot, raises an :class:`~ab_ros.errors.OrderNotExecutableError`, which is a
    :class:`NotNowError` where the motor node will go on of itself.  The same order, given again,
    then goes on to where it was to lead: changes are counted from where they began.

    The motor node needs ``direct: true``, and no other brain may run beside this.  When no cycles
    come any more, for whatever reason, the motor node stops the robot by itself.  The environment
    waits in :meth:`execute`; use one in one thread.  With ``pacing: realtime`` it paces itself by
    the clock; with ``lockstep`` it drives a simulation that waits for each cycle, as fast as that
    goes.

    :meth:`reset` moves nothing: where a robot begins is for its owner to say.

    ``meta`` of an execution gets ``cycles``, how many were executed; ``limited``, what they ran
    into; and ``speeds``, of what moves by velocity the velocity at the end of each cycle.

    Parameters
    ----------
    cfg : :class:`RosEnvironmentSettings`, or a mapping of them.
    context : of rclpy, where there is one; else it makes and ends its own.

    Raises
    ------
    ConfigError
        if a setting is not allowed, or a message's type is not known.
    """

    Settings = RosEnvironmentSettings

    def __init__(self, cfg: Any, context: Any = None) -> None:
        super().__init__(cfg)
        s: RosEnvironmentSettings = self.cfg
        self.m_channels = [
            Channel(name, (m.lower, m.upper), m.fixed, m.unit) for name, m in s.motors.items()
        ]
        self.s_channels = [
            Channel(
                name,
                (
                    -math.inf if item.lower is None else item.lower,
                    math.inf if item.upper is None else item.upper,
                ),
                unit=item.unit,
            )
            for name, item in s.sensors.items()
        ]
        self._names = tuple(s.motors)
        modes = [motor.mode for motor in s.motors.values()]
        self._by_delta = np.array([mode == "delta" for mode in modes])
        self._by_velocity = np.array([mode == "velocity" for mode in modes])
        self._broken: tuple[Floats, Floats] | None = None  # an order, and where it began
        self._link = RobotLink(s, context)

    def interrupt(self) -> None:
        """Make an execution give up by an error, from any thread; the motor node holds the robot.

        Afterwards the environment can only be closed.
        """
        self._link.interrupt()

    def close(self) -> None:
        """Leave the ROS graph; the motor node holds the robot."""
        self._link.close()

    def _execute(self, m_signal: Signal, meta: Meta | None = None) -> Mapping[str, float]:
        link = self._listen()
        link.be_ready()
        reached = link.rest()
        order = np.array(list(m_signal.values()), np.float64)
        again = self._broken is not None and np.array_equal(self._broken[0], order)
        begin = self._broken[1] if again and self._broken is not None else reached
        self._broken = (order, begin)
        goal = np.where(self._by_delta, begin + order, order)
        limited: list[str] = []
        first, speeds = link.number, np.empty((0, len(order)))
        for attempt in range(self.cfg.tries):
            away = np.where(self._by_velocity, 0.0, goal - reached)
            velocity = np.where(self._by_velocity & (attempt == 0), order, 0.0)
            if np.abs(away).max() <= _TOLERANCE and not velocity.any():
                break
            before = reached
            played = self._play(away, velocity, limited)
            speeds = speeds if attempt else played
            reached = link.rest()
            moved = np.abs(np.where(self._by_velocity, 0.0, reached - before)).max()
            if moved <= _TOLERANCE:  # a limit is in the way
                break
        last = speeds[-1] if len(speeds) else order
        executed = np.where(self._by_velocity, last, reached)
        executed -= np.where(self._by_delta, begin, 0.0)
        # A target that was reached is told as it was asked for.
        wrong = np.where(self._by_velocity, executed - order, reached - goal)
        executed = np.where(np.abs(wrong) <= _TOLERANCE, order, executed)
        m_signal.update(zip(self._names, executed.tolist(), strict=True))
        if meta is not None:
            meta["cycles"] = link.number - first
            meta["limited"] = list(dict.fromkeys(limited))
            meta["speeds"] = {
                name: speeds[:, index].tolist()
                for index, name in enumerate(self._names)
                if self._by_velocity[index]
            }
        sensed = link.sense()
        self._broken = None
        return sensed

    def _reset(self, seed: int | None) -> Mapping[str, float]:
        self._broken = None
        link = self._listen()
        link.put_elsewhere()
        if link.lockstep:  # else there would be nothing new to sense
            link.be_ready()
            link.rest()
        return link.sense()

    def _listen(self) -> RobotLink:
        if not self._link.open:
            raise WorldError("RosEnvironment: is closed")
        self._link.forget()
        return self._link

    def _play(self, away: Floats, velocity: Floats, limited: list[str]) -> Floats:
        """Move so far and so fast; return what was commanded at the end of each cycle, [N, C]."""
        s, link = self.cfg, self._link
        cycle_time = s.gamma * s.dt
        cycles = math.ceil(s.duration / cycle_time - 1e-9)
        course = minimum_jerk(np.arange(cycles * s.gamma + 1) / (cycles * s.gamma))
        deltas = np.diff(course)[:, None] * away + velocity * s.dt
        begin = link.now()
        ends = []
        try:
            for cycle in range(cycles):
                rows = deltas[cycle * s.gamma : (cycle + 1) * s.gamma]
                status = link.play(rows, begin + (cycle + 1) * cycle_time)
                if status is not None:
                    limited += status.limited
                    ends += [link.speeds()] if cycle else []
            # What moves by velocity stops now, not when the motor node misses the next cycle.
            if link.play(link.still) is not None:
                ends.append(link.speeds())
        except BaseException:
            link.send(link.still)
            raise
        return np.array(ends).reshape(-1, len(self._names))
