"""The worm's step compiled by Numba: the operations of the NumPy step in the same order.

No fast-math: it would change the order of floating-point operations, and with it the bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from numba import njit

# Compiled code is cached with these in it, and the cache only notices changes of this file: touch
# it after a change of the constants that it imports.
from ab_ros.environments.worm import COSINE, SINE, TURN


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on first use; keep the result on disk, if there is a place that can be written."""
    try:
        compiled: Callable[..., Any] = njit(cache=True, error_model="numpy")(function)
    except RuntimeError:
        compiled = njit(error_model="numpy")(function)
    return compiled


@_compile
def _sine_cosine(angle: float) -> tuple[float, float]:
    quarter = (angle - math.floor(angle / TURN + 0.5) * TURN) * 0.25
    square = quarter * quarter
    sine = SINE[0]
    for i in range(1, len(SINE)):
        sine = sine * square + SINE[i]
    sine = sine * quarter
    cosine = COSINE[0]
    for i in range(1, len(COSINE)):
        cosine = cosine * square + COSINE[i]
    for _ in range(2):
        sine, cosine = 2.0 * sine * cosine, 1.0 - 2.0 * sine * sine
    return sine, cosine


@_compile
def advance(
    dorsal: Any, ventral: Any, muscle: Any, joints: Any, speed: Any, felt: Any, pose: Any, c: Any
) -> float:
    """Advance one tick; see :func:`ab_ros.environments.worm.advance`."""
    n = felt.size
    for i in range(n):
        muscle[0, i] += c.muscle * (min(max(dorsal[i], 0.0), 1.0) - muscle[0, i])
        muscle[1, i] += c.muscle * (min(max(ventral[i], 0.0), 1.0) - muscle[1, i])
    head_x, head_y, heading = pose[0], pose[1], pose[2]
    turn_sine, turn_cosine = _sine_cosine(heading)
    reach = c.radius - 1.0
    near = head_x * head_x + head_y * head_y > reach * reach
    deepest = 0.0
    a11 = a12 = a22 = a13 = a23 = a33 = 0.0
    b1 = b2 = b3 = 0.0
    angle = spin = 0.0
    front_x = front_y = front_u = front_v = 0.0
    for i in range(n):
        sine, cosine = _sine_cosine(angle)
        x = front_x - c.half * cosine
        y = front_y - c.half * sine
        u = front_u + c.half * spin * sine
        v = front_v - c.half * spin * cosine
        cc = cosine * cosine
        ss = sine * sine
        dxx = c.along * cc + c.across * ss
        dyy = c.along * ss + c.across * cc
        dxy = (c.along - c.across) * (cosine * sine)
        push_x = push_y = 0.0
        if near:
            world_x = head_x + (turn_cosine * x - turn_sine * y)
            world_y = head_y + (turn_sine * x + turn_cosine * y)
            distance = math.sqrt(world_x * world_x + world_y * world_y)
            depth = max(distance - c.radius, 0.0)
            deepest = max(deepest, depth)
            out_x = (turn_cosine * world_x + turn_sine * world_y) / max(distance, 1.0)
            out_y = (turn_cosine * world_y - turn_sine * world_x) / max(distance, 1.0)
            hard = c.wall if depth > 0.0 else 0.0
            dxx = dxx + hard * (out_x * out_x)
            dyy = dyy + hard * (out_y * out_y)
            dxy = dxy + hard * (out_x * out_y)
            push_x = -(c.stiffness * depth) * out_x
            push_y = -(c.stiffness * depth) * out_y
        gx = dxy * x - dxx * y
        gy = dyy * x - dxy * y
        a11 += dxx
        a12 += dxy
        a22 += dyy
        a13 += gx
        a23 += gy
        a33 += (x * gy - y * gx) + c.turning
        force_x = push_x - (dxx * u + dxy * v)
        force_y = push_y - (dxy * u + dyy * v)
        b1 += force_x
        b2 += force_y
        b3 += (x * force_y - y * force_x) - c.turning * spin
        front_x = front_x - c.length * cosine
        front_y = front_y - c.length * sine
        front_u = front_u + c.length * spin * sine
        front_v = front_v - c.length * spin * cosine
        if i < n - 1:
            old = joints[i]
            here = muscle[0, i] - muscle[1, i]
            behind = muscle[0, i + 1] - muscle[1, i + 1]
            bend = old + c.joint * (c.reach * (0.5 * (here + behind)) - old)
            bend = min(max(bend, -c.limit), c.limit)
            angle = angle - 0.5 * (old + bend)
            speed[i] = (bend - old) / c.dt
            spin = spin - speed[i]
            joints[i] = bend
    l21 = a12 / a11
    l31 = a13 / a11
    d2 = a22 - l21 * a12
    l32 = (a23 - l31 * a12) / d2
    d3 = (a33 - l31 * a13) - l32 * (a23 - l31 * a12)
    y2 = b2 - l21 * b1
    y3 = (b3 - l31 * b1) - l32 * y2
    w = y3 / d3
    vy = y2 / d2 - l32 * w
    vx = (b1 / a11 - l21 * vy) - l31 * w
    sine, cosine = _sine_cosine(heading + 0.5 * c.dt * w)
    pose[0] = head_x + c.dt * (cosine * vx - sine * vy)
    pose[1] = head_y + c.dt * (sine * vx + cosine * vy)
    heading = heading + c.dt * w
    pose[2] = heading - math.floor(heading / TURN + 0.5) * TURN
    # What each segment feels: its own bend, and that of up to three before it.
    last = joints.size - 1
    first = second = third = 0.0
    for i in range(n):
        bend = 0.5 * (joints[max(i - 1, 0)] + joints[min(i, last)]) / c.limit
        if i == 0:
            felt[i] = bend
        else:
            before = ((first + second) + third) / min(i, 3)
            felt[i] = c.local * bend + (1.0 - c.local) * before
        first, second, third = bend, first, second
    return deepest


@_compile
def outline(joints: Any, pose: Any, points: Any, c: Any) -> None:
    """Set the ends of the segments; see :func:`ab_ros.environments.worm.outline`."""
    x, y, angle = pose[0], pose[1], pose[2]
    points[0, 0] = x
    points[0, 1] = y
    for i in range(joints.size + 1):
        sine, cosine = _sine_cosine(angle)
        x = x - c.length * cosine
        y = y - c.length * sine
        points[i + 1, 0] = x
        points[i + 1, 1] = y
        if i < joints.size:
            angle = angle - joints[i]
