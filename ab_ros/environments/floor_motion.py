"""How the ball moves over a floor before a robot that drives."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ab_ros.config import setting
from ab_ros.environments.target_motion import MotionMode, Script, ScriptedPath
from ab_ros.errors import ConfigError

# (Hz, share of the amplitude) per axis, forward and to the left.  All are odd multiples of
# 0.05 Hz: over 20 s every seed walks equally far from the middle of its path.
_FORWARD_SINES = ((0.05, 1.0), (0.15, 0.15))
_LEFT_SINES = ((0.05, 1.0), (0.25, 0.1))


@dataclass(frozen=True)
class FloorMotionSettings:
    """Amplitudes and rates of the ball's scripts on a floor."""

    mode: str = setting(
        "jumps", doc="Script of the ball at start.", one_of=tuple(m.value for m in MotionMode)
    )
    jump_period: float = setting(1.4, doc="Time between two jumps.", unit="s", gt=0, le=60)
    jump_azimuth: float = setting(
        38.0, doc="Jumps reach this far to either side of straight ahead.", unit="deg", ge=0, le=60
    )
    nearest: float = setting(
        0.5, doc="Least distance after a jump, from the camera.", unit="m", gt=0, le=10
    )
    farthest: float = setting(2.4, doc="Greatest distance after a jump.", unit="m", gt=0, le=10)
    jump_drift: float = setting(
        0.1,
        doc="Greatest speed of the drift between jumps, to either side and away, each.",
        unit="m/s",
        ge=0,
        le=2,
    )
    home_radius: float = setting(
        2.0,
        doc="Where the robot is farther from its start, jumps lead it back.",
        unit="m",
        gt=0,
        le=100,
    )
    walk: float = setting(
        1.5,
        doc="Amplitude of the walk's slowest sine, along either axis; its speed has an RMS of"
        " 0.35 times this per second, and is at most 0.66 times.",
        unit="m",
        ge=0,
        le=10,
    )
    appearance_period: float = setting(
        1.0, doc="Time between two appearances of a ball that walks.", unit="s", gt=0, le=60
    )
    still_azimuth: float = setting(
        0.0, doc="Where the ball stands still, to the right.", unit="deg", ge=-60, le=60
    )
    still_distance: float = setting(
        1.0, doc="Distance at which it stands still.", unit="m", gt=0, le=10
    )

    def __post_init__(self) -> None:
        if self.nearest > self.farthest:
            raise ConfigError(
                f"nearest: must be at most farthest ({self.nearest:g} is more than"
                f" {self.farthest:g})"
            )

    def script(self) -> Script:
        """Return the script.

        Its coordinates are azimuth (rad to the right) and distance (m), for sines the way forward
        and to the left (m).
        """
        axes = np.array((_FORWARD_SINES, _LEFT_SINES))
        middle = (self.farthest + self.nearest) / 2
        return Script(
            period=self.jump_period,
            centre=np.array((0.0, middle)),
            reach=np.array((math.radians(self.jump_azimuth), middle - self.nearest)),
            drift=self.jump_drift * np.array((1.0 / middle, 1.0)),
            frequency=axes[:, :, 0],
            amplitude=axes[:, :, 1] * self.walk,
            still=np.array((math.radians(self.still_azimuth), self.still_distance)),
            appearance_period=self.appearance_period,
        )


@dataclass(frozen=True)
class Pose:
    """A place on the floor, m, and a heading, rad from the x axis to the left."""

    x: float
    y: float
    heading: float

    def ahead(self, forward: float, left: float) -> tuple[float, float]:
        """Return the place that is so far ahead and to the left, m."""
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        return self.x + cos * forward - sin * left, self.y + sin * forward + cos * left


class FloorMotion(ScriptedPath):
    """The ball's place on the floor over time.

    It stands still, or walks, before the robot as that stood when the motion began; a jump leads to
    a place before the robot as it stands then, so that it can always be seen.  Where the robot is
    far from its start, jumps are nearer or farther than ``keep`` just as they lead it back.

    Parameters
    ----------
    settings : amplitudes and rates.
    mode, seed : as :class:`ScriptedPath <ab_ros.environments.target_motion.ScriptedPath>` takes
        them.
    keep : m, distance that the robot keeps, at which a walk begins.
    """

    def __init__(
        self, settings: FloorMotionSettings, mode: str | MotionMode, seed: int, keep: float
    ) -> None:
        super().__init__(settings.script(), mode, seed)
        self._keep = keep
        self._nearest, self._farthest = settings.nearest, settings.farthest
        self._home_radius = settings.home_radius
        self._seen_from: Pose | None = None
        self._last_jump = -1
        self._longer = 0.0

    def needs_pose(self, time: float) -> bool:
        """Whether the robot's pose decides where the ball is from ``time`` s on."""
        return self.jump(time) != self._last_jump

    def stand(self, pose: Pose, time: float) -> None:
        """Tell where the robot stands at ``time`` s."""
        self._seen_from = pose
        self._last_jump = self.jump(time)
        self._longer = 0.0
        if self.mode is MotionMode.JUMPS and math.hypot(pose.x, pose.y) > self._home_radius:
            _, distance = self.at(self._last_jump * self.script.period)
            outward = pose.x * math.cos(pose.heading) + pose.y * math.sin(pose.heading) > 0.0
            if outward == (distance > self._keep):
                self._longer = self._other_side(distance) - distance

    def _other_side(self, distance: float) -> float:
        """Return the distance with its place between ``keep`` and one end moved to the other."""
        beyond, before = self._farthest - self._keep, self._keep - self._nearest
        if min(beyond, before) <= 0.0:
            return distance
        excess = self._keep - distance
        return self._keep + excess * (before / beyond if excess < 0.0 else beyond / before)

    def place(self, time: float) -> tuple[float, float]:
        """Return (x, y) of the ball, m, at ``time`` s >= 0 since the motion began."""
        if self._seen_from is None:
            raise RuntimeError("the robot's pose was not told")
        if self.mode is MotionMode.SINES:
            (x, y), (x0, y0) = self.at(time), self.at(0.0)
            return self._seen_from.ahead(self._keep + x - x0, y - y0)
        right, distance = self.at(time)
        distance += self._longer
        return self._seen_from.ahead(distance * math.cos(right), -distance * math.sin(right))
