"""Limits of joints and channels, from the YAML over the robot's URDF."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.parsers import expat

from ab_ros.config import setting
from ab_ros.errors import ConfigError, one_of


@dataclass(frozen=True)
class LimitSettings:
    """Limits of one channel in the YAML; what is left out comes from the URDF.

    Units are the channel's own: rad, m, or a part of a gripper's range; for a channel of a twist
    ``velocity`` is in m/s or rad/s.
    """

    lower: float | None = setting(None, doc="lowest position", unit="rad or m", live=True)
    upper: float | None = setting(None, doc="highest position", unit="rad or m", live=True)
    velocity: float | None = setting(None, doc="largest speed", unit="1/s", gt=0.0, live=True)
    acceleration: float | None = setting(
        None, doc="largest acceleration; none if left out", unit="1/s²", gt=0.0, live=True
    )
    step: float | None = setting(
        None, doc="largest change from one point of a command to the next", gt=0.0, live=True
    )
    margin: float = setting(
        0.0, doc="distance kept to lower and upper", unit="rad or m", ge=0.0, live=True
    )
    continuous: bool = setting(False, doc="turns without end: has no lower and upper")
    measured: bool = setting(True, doc="whether joint_states has it")
    initial: float | None = setting(None, doc="where it starts if it is not measured")
    following_error: float | None = setting(
        None, doc="largest distance of command and measurement; 0 is off", ge=0.0, live=True
    )


@dataclass(frozen=True)
class JointLimits:
    """Limits of one joint or channel, complete and consistent.

    Parameters
    ----------
    name : the channel, which for a joint is the joint's name.
    lower, upper : hard bounds, in rad or m; infinite where there are none.
    continuous : turns without end, so that it needs no bounds.
    velocity : largest speed, > 0, in the channel's unit per s; infinite if unknown.
    acceleration : > 0; infinite if there is no bound.
    step : largest change between successive points of a command; infinite if there is no bound.
    margin : commands stay this far inside the hard bounds.
    measured : whether its position comes from joint states; else it starts at ``initial``.
    following_error : largest distance of command and measurement; None for the general one.

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

    def __post_init__(self) -> None:
        where = f"limits of {self.name!r}"
        if math.isnan(self.lower) or math.isnan(self.upper) or self.lower >= self.upper:
            raise ConfigError(
                f"{where}: lower must be less than upper, not {self.lower} and {self.upper}"
            )
        for what in ("velocity", "acceleration", "step"):
            if not getattr(self, what) > 0.0:
                raise ConfigError(
                    f"{where}: {what} must be greater than 0, not {getattr(self, what)}"
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
    if continuous:
        return JointLimits(name, velocity=velocity, continuous=True)
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
    return JointLimits(name, lower, upper, velocity)


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
        continuous=own.continuous or (base.continuous and own.lower is None and own.upper is None),
    )
