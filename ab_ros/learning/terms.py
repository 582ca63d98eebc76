"""Terms of a reward: each says, from one aspect, what a cycle was worth.

A term's value v is within [-1, 1]: 1 is worth the full reward, 0 says nothing, -1 earns the full
blame.  Below, "before" and "after" are the two ends of the cycle, and clip(x) is x within [-1, 1].
What a term cannot know, such as where a target is that is out of view, is worth 0.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ab_ros.config import setting
from ab_ros.errors import ConfigError, PolicyError, one_of

AXES = ("error", "azimuth", "elevation")
_SHOWN_JOINTS = 12
_HORIZON = 0.01  # sine of the angle below the horizon from which on a target is on the floor

Summary = Mapping[str, Any]
"""The dictionary that :meth:`Moment.summary <ab_ros.learning.critic.Moment.summary>` returns."""


def clip(value: float) -> float:
    """Return a number within [-1, 1]; 0 for the difference of two infinities."""
    return 0.0 if math.isnan(value) else max(-1.0, min(1.0, value))


def progress(
    before: float,
    after: float,
    *,
    scale: float,
    impatience: float = 0.0,
    full: float = 1.0,
    jump: float = math.inf,
) -> float:
    """Return what it is worth that an error changed.

    With g = |before| - |after|: clip(g / scale - impatience · min(1, |before| / full)),
    and 0 if |g| > jump.
    """
    gain = abs(before) - abs(after)
    if abs(gain) > jump:
        return 0.0
    return clip(gain / scale - impatience * min(1.0, abs(before) / full))


def balance(spikes: Mapping[str, Any], scale: float) -> float:
    """Return clip((first half's spikes - second half's) / scale) of an output population."""
    return clip((spikes["first_half"] - spikes["second_half"]) / scale)


@dataclass(frozen=True, kw_only=True)
class Term(ABC):
    """One weighted part of a reward."""

    weight: float = setting(1.0, doc="What the term counts in the sum.", ge=0, le=1000)

    @abstractmethod
    def value(self, summary: Summary) -> float:
        """Return what the cycle is worth, within [-1, 1].

        Raises
        ------
        PolicyError
            for a joint or output that the summary does not have; the message begins with the
            setting that names it.
        """


@dataclass(frozen=True, kw_only=True)
class JointGoal(Term):
    """Come closer to a goal in joint space.

    With the distance d = √Σ(q - goal)² over the joints, as ``measure`` says:

    - ``progress``: v = clip((d before - d after) / scale - impatience · min(1, d before / full))
    - ``closeness``: v = 1 - 2 · min(1, d after / full)
    """

    joints: Mapping[str, float] = setting(doc="Goal of each joint that counts, rad or m.")
    scale: float = setting(
        0.1, doc="Progress in one cycle that earns the full reward.", unit="rad or m", gt=0
    )
    full: float = setting(1.0, doc="Distance that counts as a full one.", unit="rad or m", gt=0)
    impatience: float = setting(
        0.0, doc="What a cycle that begins at full distance costs.", ge=0, le=1
    )
    measure: str = setting("progress", doc="What is rewarded.", one_of=("progress", "closeness"))

    def __post_init__(self) -> None:
        _need_joints(self.joints)

    def value(self, summary: Summary) -> float:
        """Return v."""
        before, after = (distance(summary, self.joints, when) for when in ("before", "after"))
        if self.measure == "closeness":
            return 1.0 - 2.0 * min(1.0, after / self.full)
        return progress(before, after, scale=self.scale, impatience=self.impatience, full=self.full)


@dataclass(frozen=True, kw_only=True)
class TargetDirection(Term):
    """Turn towards the target: reward the error that the cycle took away.

    With the error e along ``axis``: v = clip((|e before| - |e after|) / scale - impatience ·
    min(1, |e before| / full)); 0 if the target is unknown, or the error changed by more than
    ``jump``: then the target has leapt, not the robot.
    """

    axis: str = setting(
        "error", doc="Error that counts: the whole angle, or a part of it.", one_of=AXES
    )
    scale: float = setting(
        0.07, doc="Progress in one cycle that earns the full reward.", unit="rad", gt=0
    )
    impatience: float = setting(
        0.0, doc="What a cycle that begins at the full error costs.", ge=0, le=1
    )
    full: float = setting(0.175, doc="Error that counts as a full one.", unit="rad", gt=0)
    jump: float | None = setting(
        None, doc="A change by more is the target's own; unset: none is.", unit="rad", gt=0
    )

    def value(self, summary: Summary) -> float:
        """Return v."""
        before, after = target_error(summary, self.axis, "before"), target_error(summary, self.axis)
        if before is None or after is None:
            return 0.0
        jump = math.inf if self.jump is None else self.jump
        return progress(
            before,
            after,
            scale=self.scale,
            impatience=self.impatience,
            full=self.full,
            jump=jump,
        )


@dataclass(frozen=True, kw_only=True)
class TargetDistance(Term):
    """Keep a distance from a target on the floor: reward the error that the cycle took away.

    The camera stands ``height`` above the middle of the target and looks down by ``pitch``: where
    it sees the target says how far that is.  With the error e = distance over the floor - ``keep``:
    v = clip((|e before| - |e after|) / scale - impatience · min(1, |e before| / full)); 0 if the
    target is unknown or not below the camera, or the error changed by more than ``jump``: then the
    target has leapt, not the robot.
    """

    keep: float = setting(doc="Distance to keep, from the camera.", unit="m", gt=0)
    height: float = setting(
        doc="How much higher the camera is than the middle of the target.", unit="m", gt=0
    )
    pitch: float = setting(
        0.0, doc="How far the camera looks down.", unit="rad", gt=-math.pi / 2, lt=math.pi / 2
    )
    scale: float = setting(
        0.02, doc="Progress in one cycle that earns the full reward.", unit="m", gt=0
    )
    impatience: float = setting(
        0.0, doc="What a cycle that begins at the full error costs.", ge=0, le=1
    )
    full: float = setting(0.5, doc="Error that counts as a full one.", unit="m", gt=0)
    jump: float | None = setting(
        None, doc="A change by more is the target's own; unset: none is.", unit="m", gt=0
    )

    def value(self, summary: Summary) -> float:
        """Return v."""
        before, after = (self.distance(summary, when) for when in ("before", "after"))
        if before is None or after is None:
            return 0.0
        return progress(
            before - self.keep,
            after - self.keep,
            scale=self.scale,
            impatience=self.impatience,
            full=self.full,
            jump=math.inf if self.jump is None else self.jump,
        )

    def distance(self, summary: Summary, when: str) -> float | None:
        """Return the distance over the floor, m; None while it is unknown."""
        target = summary["target"][when]
        if target is None:
            return None
        azimuth, elevation = target["azimuth"], target["elevation"]
        level = math.cos(elevation)
        right, down, ahead = (
            level * math.sin(azimuth),
            -math.sin(elevation),
            level * math.cos(azimuth),
        )
        cos, sin = math.cos(self.pitch), math.sin(self.pitch)
        ahead, down = cos * ahead - sin * down, sin * ahead + cos * down
        if down <= _HORIZON:
            return None
        return self.height * math.hypot(ahead, right) / down


@dataclass(frozen=True, kw_only=True)
class TrackingError(Term):
    """Be on target, however one came there.

    With the error e after the cycle along ``axis``:
    v = 1 - 2 · min(1, max(0, |e| - tolerance) / full); 0 if the target is unknown.
    """

    axis: str = setting("error", doc="Error that counts.", one_of=AXES)
    full: float = setting(
        0.35, doc="Error beyond tolerance that earns the full blame.", unit="rad", gt=0
    )
    tolerance: float = setting(
        0.0, doc="Error up to which the full reward is earned.", unit="rad", ge=0
    )

    def value(self, summary: Summary) -> float:
        """Return v."""
        error = target_error(summary, self.axis)
        if error is None:
            return 0.0
        return 1.0 - 2.0 * min(1.0, max(0.0, abs(error) - self.tolerance) / self.full)


@dataclass(frozen=True, kw_only=True)
class Success(Term):
    """Reward a cycle that ends where it shall.

    v = 1 if |q - goal| ≤ within for every joint of ``joints`` after the cycle and, where
    ``target_within`` is given, the target is known and its error is at most that; else ``failure``.
    """

    joints: Mapping[str, float] = setting(dict, doc="Goal of each joint that counts, rad or m.")
    within: float = setting(
        0.05, doc="Distance of a joint from its goal that is allowed.", unit="rad or m", gt=0
    )
    target_within: float | None = setting(
        None, doc="Error of the target that is allowed; unset: it does not count.", unit="rad", gt=0
    )
    axis: str = setting("error", doc="Error of the target that counts.", one_of=AXES)
    failure: float = setting(0.0, doc="Value of a cycle without success.", ge=-1, le=0)

    def __post_init__(self) -> None:
        if not self.joints and self.target_within is None:
            raise ConfigError("joints or target_within: one of the two must say what success is")

    def value(self, summary: Summary) -> float:
        """Return v."""
        reached = all(
            abs(joint(summary, name)["after"] - goal) <= self.within
            for name, goal in self.joints.items()
        )
        if self.target_within is not None:
            error = target_error(summary, self.axis)
            reached = reached and error is not None and abs(error) <= self.target_within
        return 1.0 if reached else self.failure


@dataclass(frozen=True, kw_only=True)
class Smoothness(Term):
    """Punish fast and jerky movement.

    v = -min(1, √(s² + j²)), where s is the largest |q after - q before| / duration of a joint
    in parts of ``speed``, and j the largest |velocity after - velocity before| in parts of
    ``jump``; what is not set does not count.
    """

    joints: tuple[str, ...] = setting((), doc="Joints that count; empty: all.")
    speed: float | None = setting(
        None, doc="Speed that earns the full blame.", unit="rad/s or m/s", gt=0
    )
    jump: float | None = setting(
        None,
        doc="Change of a joint's measured velocity in one cycle that earns the full blame.",
        unit="rad/s or m/s",
        gt=0,
    )

    def __post_init__(self) -> None:
        if self.speed is None and self.jump is None:
            raise ConfigError("speed or jump: at least one of the two must be given")

    def value(self, summary: Summary) -> float:
        """Return v."""
        names = self.joints or tuple(summary["joints"])
        moved = jumped = 0.0
        for name in names:
            state = joint(summary, name)
            if self.speed is not None:
                travelled = self.speed * summary["duration"]
                moved = max(moved, _ratio(state["after"] - state["before"], travelled))
            if self.jump is not None:
                was, now = state.get("velocity_before"), state.get("velocity_after")
                if was is None or now is None:
                    if self.joints:
                        raise PolicyError(
                            f"jump: joint_states has no velocity of joint {name!r}; leave jump out"
                            f" and set speed"
                        )
                    continue
                jumped = max(jumped, _ratio(now - was, self.jump))
        return -min(1.0, math.hypot(moved, jumped))


@dataclass(frozen=True)
class Range:
    """The range of a joint."""

    lower: float = setting(doc="Lower end.", unit="rad or m")
    upper: float = setting(doc="Upper end.", unit="rad or m")

    def __post_init__(self) -> None:
        if not self.lower < self.upper:
            raise ConfigError(
                f"lower: must be below upper ({self.lower:g} is not below {self.upper:g})"
            )


@dataclass(frozen=True, kw_only=True)
class JointLimits(Term):
    """Punish coming near the end of a joint's range.

    v = -max over the joints of min(1, max(0, margin - m) / margin), where m is the distance after
    the cycle to the nearer end; beyond it, m is negative.
    """

    limits: Mapping[str, Range] = setting(doc="Range of each joint that counts.")
    margin: float = setting(
        0.1, doc="Distance from an end at which blame begins.", unit="rad or m", gt=0
    )

    def __post_init__(self) -> None:
        if not self.limits:
            raise ConfigError("limits: must name at least one joint")

    def value(self, summary: Summary) -> float:
        """Return v."""
        worst = 0.0
        for name, limits in self.limits.items():
            q = joint(summary, name)["after"]
            left = min(q - limits.lower, limits.upper - q)
            worst = max(worst, min(1.0, max(0.0, self.margin - left) / self.margin))
        return -worst


@dataclass(frozen=True, kw_only=True)
class Grasp(Term):
    """Close the gripper when the target is near, open it when it is not.

    With b = clip((spikes of the output's first half - of its second half) / scale): v = b if the
    target's error before the cycle is below ``on_target``, else -b; 0 if the target is unknown.
    """

    output: str = setting(doc="Output population whose first half closes the gripper.")
    on_target: float = setting(
        0.0873, doc="Error below which the gripper shall close.", unit="rad", gt=0
    )
    scale: float = setting(4.0, doc="Spikes of balance that count in full.", gt=0)

    def value(self, summary: Summary) -> float:
        """Return v."""
        error = target_error(summary, "error", "before")
        if error is None:
            return 0.0
        spikes = summary["spikes"]
        if self.output not in spikes:
            raise PolicyError(f"output: {self.output!r} is none of the brain's; {one_of(spikes)}")
        b = balance(spikes[self.output], self.scale)
        return b if error < self.on_target else -b


KINDS: Mapping[str, type[Term]] = {
    "joint_goal": JointGoal,
    "target_direction": TargetDirection,
    "target_distance": TargetDistance,
    "tracking_error": TrackingError,
    "success": Success,
    "smoothness": Smoothness,
    "joint_limits": JointLimits,
    "grasp": Grasp,
}


def joint(summary: Summary, name: str) -> Mapping[str, Any]:
    """Return a joint of the summary, or raise a PolicyError that names the alternatives."""
    joints = summary["joints"]
    if name in joints:
        state: Mapping[str, Any] = joints[name]
        return state
    known = [*joints][:_SHOWN_JOINTS]
    raise PolicyError(f"joints: joint_states has no {name!r}; {one_of(known) or 'it is empty'}")


def distance(summary: Summary, goal: Mapping[str, float], when: str) -> float:
    """Return the distance from a goal in joint space, ``before`` or ``after`` the cycle."""
    return math.hypot(*(joint(summary, name)[when] - to for name, to in goal.items()))


def target_error(summary: Summary, axis: str, when: str = "after") -> float | None:
    """Return the error of the target along an axis, rad; None while the target is unknown."""
    direction = summary["target"][when]
    return None if direction is None else float(direction[axis])


def _ratio(value: float, whole: float) -> float:
    # A difference of two infinities is no movement that is known.
    ratio = abs(value) / whole if whole > 0.0 else math.inf
    return 0.0 if math.isnan(ratio) else ratio


def _need_joints(joints: Mapping[str, float]) -> None:
    if not joints:
        raise ConfigError("joints: must name at least one joint")
