"""A worm of 24 rigid segments that crawls: muscles bend it, the ground's drag carries it.

Lengths are in body lengths, angles in rad, time in s.  The worm lies on its side: *dorsal* is its
left, and a joint bent to the dorsal side has a positive angle.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.config import setting
from ab_ros.errors import WorldError, one_of

SEGMENTS = 24
JOINTS = SEGMENTS - 1
BACKENDS = ("auto", "numpy", "numba")

TURN = 2.0 * math.pi
# Taylor series of sine (over x) and cosine in x², highest power first; enough for |x| <= π/4.
SINE = tuple((-1.0) ** k / math.factorial(2 * k + 1) for k in range(7, -1, -1))
COSINE = tuple((-1.0) ** k / math.factorial(2 * k) for k in range(8, -1, -1))


@dataclass(frozen=True)
class WormSettings:
    """Mechanics of the worm."""

    drag_along: float = setting(150.0, doc="Drag along a segment, per body length.", gt=0, le=1e9)
    drag_across: float = setting(
        6000.0, doc="Drag across a segment, per body length.", gt=0, le=1e9
    )
    muscle_time: float = setting(
        0.1, doc="Time constant of a muscle's contraction.", unit="s", gt=0, le=10
    )
    joint_time: float = setting(
        0.1, doc="Viscosity over stiffness of the body wall.", unit="s", gt=0, le=10
    )
    reach: float = setting(
        math.pi / 2,
        doc="Angle at which the body wall's stiffness balances one side's full contraction.",
        unit="rad",
        gt=0,
        le=10,
    )
    limit: float = setting(
        math.pi / 3, doc="Greatest angle of a joint.", unit="rad", gt=0, le=math.pi / 2
    )
    local: float = setting(
        0.3, doc="Part of proprioception that is a segment's own bend.", ge=0, le=1
    )
    wall: float = setting(
        10.0, doc="Resistance of the wall, in drags across a segment.", gt=0, le=1000
    )
    dt: float = setting(0.001, doc="Length of a tick.", unit="s", gt=0, le=0.01)


class Constants(NamedTuple):
    """What a step multiplies with, computed once."""

    muscle: float
    joint: float
    reach: float
    limit: float
    along: float
    across: float
    turning: float
    length: float
    half: float
    radius: float
    wall: float
    stiffness: float
    local: float
    dt: float


Advance = Callable[..., float]


def sine_cosine(angle: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sine and cosine to about 1e-15, in operations that give the same bits everywhere.

    The mathematical libraries of NumPy, Numba and different machines differ in the last bit.
    """
    quarter = (angle - np.floor(angle / TURN + 0.5) * TURN) * 0.25
    square = quarter * quarter
    sine = SINE[0] * square + SINE[1]
    for factor in SINE[2:]:
        sine = sine * square + factor
    sine = sine * quarter
    cosine = COSINE[0] * square + COSINE[1]
    for factor in COSINE[2:]:
        cosine = cosine * square + factor
    for _ in range(2):
        sine, cosine = 2.0 * sine * cosine, 1.0 - 2.0 * sine * sine
    return sine, cosine


def _chain(first: float, steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``first`` and its running sums with ``steps``, added strictly one by one."""
    return np.cumsum(np.concatenate(((first,), steps)))


def advance(
    dorsal: NDArray[np.float64],
    ventral: NDArray[np.float64],
    muscle: NDArray[np.float64],
    joints: NDArray[np.float64],
    speed: NDArray[np.float64],
    felt: NDArray[np.float64],
    pose: NDArray[np.float64],
    c: Constants,
) -> float:
    """Advance one tick; the readable form of the compiled step, with the same bits.

    Muscles follow their activation, joints follow their muscles; how fast the head moves and turns
    follows from the balance of forces and torques of drag and wall (resistive force theory: Gray &
    Hancock, The propulsion of sea-urchin spermatozoa, 1955).  That is a linear system of three
    equations, taken in the head's frame in the middle of the tick.

    Parameters
    ----------
    dorsal, ventral : float64[24], activation of the muscles; what is outside [0, 1] is clipped.
    muscle : float64[2, 24], contraction of dorsal and ventral muscles in [0, 1]; changed.
    joints : float64[23], rad; changed.
    speed : float64[23], rad/s; set.
    felt : float64[24], proprioception in [-1, 1]; set.
    pose : float64[3], x and y of the head's tip and its heading; changed.
    c : constants.

    Returns
    -------
    depth : how deep the deepest segment is in the wall, body lengths.
    """
    muscle[0] += c.muscle * (np.clip(dorsal, 0.0, 1.0) - muscle[0])
    muscle[1] += c.muscle * (np.clip(ventral, 0.0, 1.0) - muscle[1])
    pull = muscle[0] - muscle[1]
    old = joints.copy()
    bend = old + c.joint * (c.reach * (0.5 * (pull[:-1] + pull[1:])) - old)
    joints[:] = np.clip(bend, -c.limit, c.limit)
    # From the angles and not from the muscles: a joint that stands at its limit has no speed, and
    # must not turn the body.
    speed[:] = (joints - old) / c.dt
    # Directions, positions and velocities of the segments, from head to tail, seen from the head.
    sine, cosine = sine_cosine(_chain(0.0, -0.5 * (old + joints)))
    spin = _chain(0.0, -speed)
    x = _chain(0.0, -(c.length * cosine))[:-1] - c.half * cosine
    y = _chain(0.0, -(c.length * sine))[:-1] - c.half * sine
    u = _chain(0.0, c.length * spin * sine)[:-1] + c.half * spin * sine
    v = _chain(0.0, -(c.length * spin * cosine))[:-1] - c.half * spin * cosine
    # Drag tensors.
    cc, ss = cosine * cosine, sine * sine
    dxx = c.along * cc + c.across * ss
    dyy = c.along * ss + c.across * cc
    dxy = (c.along - c.across) * (cosine * sine)
    push_x = push_y = np.zeros(SEGMENTS)
    deepest = 0.0
    head_x, head_y, heading = pose.tolist()
    reach = c.radius - 1.0
    if head_x * head_x + head_y * head_y > reach * reach:
        # The wall is stiff and taken implicitly: it resists like a drag, at every speed stable.
        turn_sine, turn_cosine = (float(part) for part in sine_cosine(pose[2]))
        world_x = head_x + (turn_cosine * x - turn_sine * y)
        world_y = head_y + (turn_sine * x + turn_cosine * y)
        distance = np.sqrt(world_x * world_x + world_y * world_y)
        depth = np.maximum(distance - c.radius, 0.0)
        deepest = float(depth.max())
        out_x = (turn_cosine * world_x + turn_sine * world_y) / np.maximum(distance, 1.0)
        out_y = (turn_cosine * world_y - turn_sine * world_x) / np.maximum(distance, 1.0)
        hard = np.where(depth > 0.0, c.wall, 0.0)
        dxx = dxx + hard * (out_x * out_x)
        dyy = dyy + hard * (out_y * out_y)
        dxy = dxy + hard * (out_x * out_y)
        push_x = -(c.stiffness * depth) * out_x
        push_y = -(c.stiffness * depth) * out_y
    # Balance of forces and of torques about the head: a (vx, vy, w) = b.
    gx = dxy * x - dxx * y
    gy = dyy * x - dxy * y
    force_x = push_x - (dxx * u + dxy * v)
    force_y = push_y - (dxy * u + dyy * v)
    torque = (x * force_y - y * force_x) - c.turning * spin
    terms = np.stack(
        (dxx, dxy, dyy, gx, gy, (x * gy - y * gx) + c.turning, force_x, force_y, torque)
    )
    a11, a12, a22, a13, a23, a33, b1, b2, b3 = np.cumsum(terms, axis=1)[:, -1].tolist()
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
    half_sine, half_cosine = (
        float(part) for part in sine_cosine(np.array(heading + 0.5 * c.dt * w))
    )
    heading = heading + c.dt * w
    pose[0] = head_x + c.dt * (half_cosine * vx - half_sine * vy)
    pose[1] = head_y + c.dt * (half_sine * vx + half_cosine * vy)
    pose[2] = heading - math.floor(heading / TURN + 0.5) * TURN
    _feel(joints, felt, c)
    return deepest


def _feel(joints: NDArray[np.float64], felt: NDArray[np.float64], c: Constants) -> None:
    """Set what each segment feels: its own bend, and that of up to three before it."""
    ends = np.concatenate((joints[:1], joints, joints[-1:]))
    bend = 0.5 * (ends[:-1] + ends[1:]) / c.limit
    padded = np.concatenate((np.zeros(3), bend))
    before = ((padded[2:-1] + padded[1:-2]) + padded[:-3]) / _BEFORE
    felt[:] = c.local * bend + (1.0 - c.local) * before
    felt[0] = bend[0]


_BEFORE = np.minimum(np.maximum(np.arange(float(SEGMENTS)), 1.0), 3.0)


def outline(
    joints: NDArray[np.float64],
    pose: NDArray[np.float64],
    points: NDArray[np.float64],
    c: Constants,
) -> None:
    """Set the ends of the segments, float64[25, 2], from the head's tip to the tail's."""
    sine, cosine = sine_cosine(_chain(float(pose[2]), -joints))
    points[:, 0] = _chain(float(pose[0]), -(c.length * cosine))
    points[:, 1] = _chain(float(pose[1]), -(c.length * sine))


def choose_step(backend: str) -> tuple[Advance, Callable[..., None]]:
    """Return the functions that advance and outline a worm on a backend.

    ``auto`` takes Numba where it is installed; where it is broken, with a RuntimeWarning, NumPy.

    Raises
    ------
    WorldError
        for an unknown name, or if numba is asked for and missing or broken.
    """
    if backend not in BACKENDS:
        raise WorldError(f"Worm.backend: unknown {backend!r}; {one_of(BACKENDS)}")
    missing = importlib.util.find_spec("numba") is None
    if backend == "numpy" or (backend == "auto" and missing):
        return advance, outline
    try:
        compiled = importlib.import_module("ab_ros.environments.worm_kernel")
    except ImportError as error:
        if backend == "numba":
            raise WorldError(
                f"Worm.backend: numba cannot be used ({error}); pip install 'ab_ros[fast]',"
                f" or take 'numpy' or 'auto'"
            ) from None
        warnings.warn(f"numba is passed over: {error}", RuntimeWarning, stacklevel=3)
        return advance, outline
    return compiled.advance, compiled.outline


class Worm:
    """A worm on the ground, inside a round wall.

    It has no inertia: without muscles that change, nothing moves, and at every moment drag and
    wall leave no net force and no net torque on it.

    Parameters
    ----------
    settings : mechanics.
    radius : of the wall around the origin, body lengths > 1; infinite if there is none.
    backend : ``numba`` compiles the step, ``numpy`` does without, ``auto`` takes numba if it is
        installed.  Both give the same bits.

    Attributes
    ----------
    muscle : float64[2, 24], contraction of dorsal and ventral muscles in [0, 1].
    joints : float64[23], angles in rad, positive to the dorsal (left) side, from head to tail.
    speed : float64[23], rad/s, of the joints in the last tick.
    proprioception : float64[24] in [-1, 1], what each segment feels of the body's bend: a part of
        it its own, the rest that of the up to three segments before it; positive when bent to the
        dorsal side.
    pose : float64[3], x and y of the head's tip, body lengths, and the heading of the first
        segment, rad in [-π, π).
    depth : how deep the body was in the wall in the last tick, body lengths; about 0.001 when it
        pushes.

    Raises
    ------
    WorldError
        for an unknown backend, or a radius that has no room for the worm.
    """

    def __init__(
        self,
        settings: WormSettings | None = None,
        *,
        radius: float = math.inf,
        backend: Literal["auto", "numpy", "numba"] = "auto",
    ) -> None:
        self.settings = s = settings or WormSettings()
        if not radius > 1.0:
            raise WorldError(f"Worm.radius: must be greater than 1 body length, not {radius}")
        self._advance, self._outline = choose_step(backend)
        length = 1.0 / SEGMENTS
        wall = s.wall * s.drag_across * length
        self.constants = Constants(
            muscle=-math.expm1(-s.dt / s.muscle_time),
            joint=-math.expm1(-s.dt / s.joint_time),
            reach=s.reach,
            limit=s.limit,
            along=s.drag_along * length,
            across=s.drag_across * length,
            turning=s.drag_across * length**3 / 12.0,
            length=length,
            half=0.5 * length,
            radius=radius,
            wall=wall,
            stiffness=wall / s.dt,
            local=s.local,
            dt=s.dt,
        )
        self.muscle = np.zeros((2, SEGMENTS))
        self.joints = np.zeros(JOINTS)
        self.speed = np.zeros(JOINTS)
        self.proprioception = np.zeros(SEGMENTS)
        self.pose = np.zeros(3)
        self.depth = 0.0
        self._points = np.zeros((SEGMENTS + 1, 2))
        self.place((0.0, 0.0), 0.0)

    def place(self, centre: ArrayLike, heading: float) -> None:
        """Lay the worm down straight and slack.

        Parameters
        ----------
        centre : float[2], of its body, body lengths.
        heading : rad.

        Raises
        ------
        WorldError
            if a value is not finite, or the worm would lie in the wall.
        """
        x, y = np.asarray(centre, np.float64).tolist()
        if not all(math.isfinite(value) for value in (x, y, heading)):
            raise WorldError(f"worm: place must be finite, not ({x}, {y}) at {heading}")
        if math.hypot(x, y) + 0.5 > self.constants.radius:
            raise WorldError(
                f"worm: ({x:g}, {y:g}) leaves no half body length to the wall at"
                f" {self.constants.radius:g}"
            )
        for array in (self.muscle, self.joints, self.speed, self.proprioception):
            array[:] = 0.0
        self.pose[:] = (
            x + 0.5 * math.cos(heading),
            y + 0.5 * math.sin(heading),
            heading - math.floor(heading / TURN + 0.5) * TURN,
        )
        self.depth = 0.0
        self._outline(self.joints, self.pose, self._points, self.constants)

    def step(self, dorsal: ArrayLike, ventral: ArrayLike) -> None:
        """Advance one tick.

        Parameters
        ----------
        dorsal, ventral : float[24], activation of each segment's muscles from head to tail; what
            is outside [0, 1] is clipped.

        Raises
        ------
        WorldError
            if an activation is missing or not finite; the worm is unchanged.
        """
        left = _activation("dorsal", dorsal)
        right = _activation("ventral", ventral)
        self.depth = self._advance(
            left,
            right,
            self.muscle,
            self.joints,
            self.speed,
            self.proprioception,
            self.pose,
            self.constants,
        )
        self._outline(self.joints, self.pose, self._points, self.constants)

    @property
    def points(self) -> NDArray[np.float64]:
        """The ends of the segments, float64[25, 2], from the head's tip to the tail's: a copy."""
        return np.array(self._points)

    @property
    def head(self) -> NDArray[np.float64]:
        """The head's tip, float64[2]."""
        return np.array(self._points[0])

    @property
    def tail(self) -> NDArray[np.float64]:
        """The tail's tip, float64[2]."""
        return np.array(self._points[-1])

    @property
    def centre(self) -> NDArray[np.float64]:
        """The mean of the segments' centres, float64[2]."""
        p = self._points
        ends = 0.5 * (p[0] + p[-1])
        return np.asarray((p[1:-1].sum(axis=0) + ends) / SEGMENTS)

    @property
    def sensor_points(self) -> NDArray[np.float64]:
        """Tip of the head, middle of the body and tip of the tail, float64[3, 2]."""
        return np.array(self._points[_SENSED])

    @property
    def sensor_normals(self) -> NDArray[np.float64]:
        """The directions to the worm's left at its :attr:`sensor_points`, float64[3, 2], unit."""
        along = self._points[_FRONT] - self._points[_BACK]
        length = np.sqrt(along[:, 0] * along[:, 0] + along[:, 1] * along[:, 1])
        return np.asarray(np.stack((-along[:, 1], along[:, 0]), axis=1) / length[:, None])

    @property
    def heading(self) -> float:
        """Direction of the first segment, rad in [-π, π)."""
        return float(self.pose[2])

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Return what has to be saved for the worm to go on the same."""
        return {
            "muscle": self.muscle.copy(),
            "joints": self.joints.copy(),
            "speed": self.speed.copy(),
            "proprioception": self.proprioception.copy(),
            "pose": self.pose.copy(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state` returned.

        Raises
        ------
        WorldError
            if an array is missing or has another form.
        """
        own = self.state()
        for name, array in own.items():
            if name not in state or np.shape(state[name]) != array.shape:
                raise WorldError(f"worm state: {name!r} must have the form {list(array.shape)}")
        for name in own:
            getattr(self, name)[:] = state[name]
        self._outline(self.joints, self.pose, self._points, self.constants)


_SENSED = np.array((0, SEGMENTS // 2, SEGMENTS))
_FRONT = np.array((0, SEGMENTS // 2 - 1, SEGMENTS - 1))
_BACK = np.array((1, SEGMENTS // 2 + 1, SEGMENTS))


def _activation(side: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.ascontiguousarray(values, dtype=np.float64)
    if array.shape != (SEGMENTS,):
        raise WorldError(
            f"worm: {side} activation must have the form [{SEGMENTS}], not {list(array.shape)}"
        )
    # One sum is much cheaper than asking each value, and as good.
    if not math.isfinite(float(np.add.reduce(array))):
        bad = np.flatnonzero(~np.isfinite(array))
        if bad.size:
            raise WorldError(
                f"worm: {side} activation of segment {bad[0]} must be finite, not {array[bad[0]]}"
            )
    return array
