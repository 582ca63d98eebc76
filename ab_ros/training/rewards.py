"""Rewards of lessons, functions of (state, action, after, reward, terminal); and potentials."""

from __future__ import annotations

import math

from ab_ros.training.schema import Message


def rise(state: Message, action: Message, after: Message, reward: float, terminal: bool) -> float:
    """Return by how much the concentration has risen in the step, in hundredths."""
    return 100.0 * float(after.concentration - state.concentration)


def upright(state: Message) -> float:
    """Return the potential of a pole on a cart: minus how far it is about to fall.

    That is the angle, plus what a quarter of a second of its turning adds, and a little for being
    away from the middle, rad; 0.07 rad, what a push changes, count as 1.
    """
    falls = state.angle + 0.25 * state.turn + 0.02 * state.position + 0.05 * state.speed
    return -abs(float(falls)) / 0.07


def centred(state: Message) -> float:
    """Return the potential of a ball in view: minus its distance from the middle, 0.1 rad as 1."""
    return -10.0 * math.hypot(state.azimuth, state.elevation)


def rising(state: Message) -> float:
    """Return the potential of a worm: how fast the scent rises, 0.01 in a step as 1."""
    return 100.0 * float(state.change)


def near(state: Message) -> float:
    """Return the potential of an arm that is to reach (0.3, -0.2) rad; 0.1 rad count as 1."""
    return -10.0 * math.hypot(state.yaw - 0.3, state.pitch + 0.2)


def reach(state: Message, action: Message, after: Message, reward: float, terminal: bool) -> float:
    """Return minus how far an arm is from (0.3, -0.2) rad after the step; 0.1 rad count as 1."""
    return near(after)


def reached(state: Message) -> bool:
    """Whether an arm is within 0.08 rad of (0.3, -0.2) rad."""
    return near(state) > -0.8
