"""Limits of joints and channels, from the YAML over the robot's URDF."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from xml.etree import ElementTree
from xml.parsers import expat

from ab_ros.config import setting
from ab_ros.errors import ConfigError, one_of

SMALLEST = 1e-9
"""Smallest limit of a rate, a step or an effort: far below what a robot could show, far above where
the quotients of two limits leave the range of floats."""
FARTHEST = 10.0
"""Largest distance that may lie between a command and where a joint is, rad or m."""


@dataclass(frozen=True)
class LimitSettings:
    """Limits of one channel in the YAML; what is left out comes from the URDF.

    Units are the channel's own: rad, m, or a part of a gripper's range; for a channel of a twist
    ``velocity`` is in m/s or rad/s.
    """

    lower: float | None = setting(None, doc="lowest position", unit="rad or m", live=True)
    upper: float | None = setting(None, doc="highest position", unit="rad or m", live=True)
    velocity: float | None = setting(None, doc="largest speed", unit="1/s", ge=SMALLEST, live=True)
    acceleration: float | None = setting(
        None, doc="largest acceleration; none if left out", unit="1/s²", ge=SMALLEST, live=True
    )
    step: float | None = setting(
        None, doc="largest change from one point of a command to the next", ge=SMALLEST, live=True
    )
    margin: float = setting(
        0.0, doc="distance kept to lower and upper", unit="rad or m", ge=0.0, live=True
    )
    continuous: bool = setting(False, doc="turns without end: has no lower and upper")
    measured: bool = setting(True, doc="whether joint_states has it")
    initial: float | None = setting(None, doc="where it starts if it is not measured")
    following_error: float | None = setting(
        None,
        doc="largest distance of command and measurement; 0 is off",
        unit="rad or m",
        ge=0.0,
        le=FARTHEST,
        live=True,
    )
    jerk: float | None = setting(
        None,
        doc="largest change of acceleration, stops included; none if left out; needs an"
        " acceleration",
        unit="1/s³",
        ge=SMALLEST,
        live=True,
    )
    effort: float | None = setting(
        None, doc="largest effort", unit="Nm or N", ge=SMALLEST, live=True
    )
    effort_rate: float | None = setting(
        None,
        doc="largest change of effort; none if left out; what limits forbid is taken away at once",
        unit="1/s",
        ge=SMALLEST,
        live=True,
    )


@dataclass(frozen=True)
class JointLimits:
    """Limits of one joint or channel, complete and consistent.

    Parameters
    ----------
    name : the channel, which for a joint is the joint's name.
    lower, upper : hard bounds, in rad or m; infinite where there are none.
    continuous : turns without end, so that it needs no bounds.
    velocity : largest speed, at least 1e-9, in the channel's unit per s; infinite if unknown.
    acceleration : at least 1e-9; infinite if there is no bound.
    step : largest change between successive points of a command; infinite if there is no bound.
    margin : commands stay this far inside the hard bounds.
    measured : whether its position comes from joint states; else it starts at ``initial``.
    following_error : largest distance of command and measurement; None for the general one.
    jerk : largest change of acceleration, at least 1e-9; infinite if there is no bound.
    effort : largest effort, Nm or N, at least 1e-9; infinite if unknown.
    effort_rate : largest change of effort per s, at least 1e-9; infinite if there is no bound.

    Raises
    ------
    ConfigError
        if bounds are inverted, or nothing is left between them.
    """

    name: str
    lower: float = -math.inf
    upper: float = math.inf
    velocity: float = math.inf
    acceleration: float = math.inf
    step: float = math.inf
    margin: float = 0.0
    measured: bool = True
    initial: float | None = None
    following_error: float | None = None
    continuous: bool = False
    jerk: float = math.inf
    effort: float = math.inf
    effort_rate: float = math.inf

    def __post_init__(self) -> None:
        where = f"limits of {self.name!r}"
        if math.isnan(self.lower) or math.isnan(self.upper) or self.lower >= self.upper:
            raise ConfigError(
                f"{where}: lower must be less than upper, not {self.lower} and {self.upper}"
            )
        for what in ("velocity", "acceleration", "step", "jerk", "effort", "effort_rate"):
            if not getattr(self, what) >= SMALLEST:
                raise ConfigError(
                    f"{where}: {what} must be at least {SMALLEST:g}, not {getattr(self, what)}"
                )
        if not 0.0 <= self.margin < math.inf:
            raise ConfigError(f"{where}: margin must be finite and at least 0, not {self.margin}")
        if self.soft_lower >= self.soft_upper:
            raise ConfigError(
                f"{where}: a margin of {self.margin} leaves nothing between {self.lower} and"
                f" {self.upper}"
            )
        if self.initial is not None and not self.lower <= self.initial <= self.upper:
            raise ConfigError(
                f"{where}: initial must be within [{self.lower}, {self.upper}], not {self.initial}"
            )

    @property
    def soft_lower(self) -> float:
        """Lowest position that spikes can ask for."""
        return self.lower + self.margin

    @property
    def soft_upper(self) -> float:
        """Highest position that spikes can ask for."""
        return self.upper - self.margin

    @property
    def jerk_time(self) -> float:
        """Time in which its acceleration may turn from one extreme to the other, s."""
        return 2.0 * self.acceleration / self.jerk if math.isfinite(self.jerk) else 0.0

    @property
    def bounded(self) -> bool:
        """Whether it has both a lower and an upper bound."""
        return math.isfinite(self.lower) and math.isfinite(self.upper)


def limits_from_urdf(xml: str) -> dict[str, JointLimits]:
    """Read the limits of all moving joints of a URDF.

    Revolute, prismatic and continuous joints are read, others are left out.  Soft limits of a
    ``safety_controller`` narrow the hard ones.

    Raises
    ------
    ConfigError
        if the text is not a URDF, declares a document type (entities could blow up in memory), or
        a joint's limits are missing, no numbers or inverted.
    """
    _refuse_doctype(xml)
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ConfigError(f"robot_description: is not XML: {error}") from None
    if root.tag != "robot":
        raise ConfigError(
            f"robot_description: must be a URDF with <robot> at the top, not <{root.tag}>"
        )
    limits: dict[str, JointLimits] = {}
    for joint in root.iterfind("joint"):
        if joint.get("type") in ("revolute", "prismatic", "continuous"):
            name = joint.get("name", "")
            if not name:
                raise ConfigError("robot_description: a <joint> has no name")
            if name in limits:
                raise ConfigError(f"robot_description: joint {name!r} stands twice")
            limits[name] = _urdf_joint(name, joint)
    return limits


def mimics_from_urdf(xml: str) -> dict[str, str]:
    """Return the joints of a URDF that follow another one, and which.

    The URDF is one that :func:`limits_from_urdf` takes.
    """
    return {
        joint.get("name", ""): mimic.get("joint", "")
        for joint in ElementTree.fromstring(xml).iterfind("joint")
        if (mimic := joint.find("mimic")) is not None
    }


def _refuse_doctype(xml: str) -> None:
    def refuse(*_: object) -> None:
        raise ConfigError("robot_description: must not declare a document type (<!DOCTYPE …>)")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(xml.encode("utf-8", errors="replace"), True)
    except expat.ExpatError as error:
        raise ConfigError(f"robot_description: is not XML: {error}") from None


def _urdf_joint(name: str, joint: ElementTree.Element) -> JointLimits:
    limit = joint.find("limit")
    continuous = joint.get("type") == "continuous"
    if limit is None:
        if continuous:
            return JointLimits(name, continuous=True)
        raise ConfigError(f"robot_description: joint {name!r} has no <limit>")
    velocity = _number(name, limit, "velocity", math.inf)
    # Exporters write 0 where they know nothing; a joint that may not move needs no channel.
    velocity = velocity if velocity > 0.0 else math.inf
    effort = _number(name, limit, "effort", math.inf)
    effort = effort if effort > 0.0 else math.inf
    if continuous:
        return JointLimits(name, velocity=velocity, continuous=True, effort=effort)
    lower, upper = _number(name, limit, "lower", 0.0), _number(name, limit, "upper", 0.0)
    if lower > upper:
        raise ConfigError(
            f"robot_description: joint {name!r}: lower {lower} is greater than upper {upper}"
        )
    soft = joint.find("safety_controller")
    if soft is not None:
        lower = max(lower, _number(name, soft, "soft_lower_limit", lower))
        upper = min(upper, _number(name, soft, "soft_upper_limit", upper))
    if lower >= upper:
        raise ConfigError(
            f"robot_description: joint {name!r}: nothing is left between {lower} and {upper}"
        )
    return JointLimits(name, lower, upper, velocity, effort=effort)


def _number(joint: str, element: ElementTree.Element, key: str, default: float) -> float:
    text = element.get(key)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(
            f"robot_description: joint {joint!r}: {key} must be a finite number, not {text!r}"
        )
    return value


def resolve_limits(
    channels: Iterable[str],
    settings: Mapping[str, LimitSettings],
    urdf: Mapping[str, JointLimits] | None = None,
) -> dict[str, JointLimits]:
    """Return the limits of every channel: the YAML's where given, else the URDF's.

    Raises
    ------
    ConfigError
        if the YAML names a channel that no group has, or the limits contradict each other.
    """
    wanted = tuple(channels)
    for name in settings:
        if name not in wanted:
            raise ConfigError(f"limits.{name}: no group has this channel; {one_of(wanted)}")
    base = urdf or {}
    return {
        name: _merge(settings.get(name, LimitSettings()), base.get(name, JointLimits(name)))
        for name in wanted
    }


def narrowed(
    known: Mapping[str, JointLimits], new: Mapping[str, JointLimits]
) -> tuple[dict[str, JointLimits], tuple[str, ...]]:
    """Return what both URDFs allow, and the joints of which the new one allows more.

    Raises
    ------
    ConfigError
        if nothing is allowed by both.
    """
    both = {**known, **new}
    for name in known.keys() & new.keys():
        old, other = known[name], new[name]
        both[name] = replace(
            other,
            lower=max(old.lower, other.lower),
            upper=min(old.upper, other.upper),
            velocity=min(old.velocity, other.velocity),
            effort=min(old.effort, other.effort),
            continuous=old.continuous and other.continuous,
        )
    wider = [name for name in known if both[name] != new.get(name)]
    return both, tuple(wider)


def _merge(own: LimitSettings, base: JointLimits) -> JointLimits:
    if own.continuous and (own.lower is not None or own.upper is not None):
        raise ConfigError(f"limits.{base.name}: a continuous joint has no lower and upper")
    if not own.measured and own.initial is None:
        raise ConfigError(
            f"limits.{base.name}: a channel with 'measured: false' needs 'initial', its position"
            " at the start"
        )

    def either(value: float | None, other: float) -> float:
        return other if value is None else value

    return JointLimits(
        name=base.name,
        lower=-math.inf if own.continuous else either(own.lower, base.lower),
        upper=math.inf if own.continuous else either(own.upper, base.upper),
        velocity=either(own.velocity, base.velocity),
        acceleration=either(own.acceleration, base.acceleration),
        step=either(own.step, base.step),
        margin=own.margin,
        measured=own.measured,
        initial=own.initial,
        following_error=own.following_error,
        jerk=either(own.jerk, base.jerk),
        effort=either(own.effort, base.effort),
        effort_rate=either(own.effort_rate, base.effort_rate),
        continuous=own.continuous or (base.continuous and own.lower is None and own.upper is None),
    )
