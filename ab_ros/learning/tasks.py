"""Ready-made policies, put together in the critic's ``options`` without a line of Python.

For example, in the critic's YAML::

    reward_policy: ab_ros.learning.tasks
    deviation_policy: ab_ros.learning.tasks
    options:
      terms:
        reach: {kind: joint_goal, joints: {base_yaw: 0.3}, scale: 0.1}
        smooth: {kind: smoothness, speed: 6.0, weight: 0.2}
      layers: {pan: [reach, smooth]}
      feedback:
        fb_left: {axis: azimuth, sign: -1.0}

The reward of a layer is r = 0.5 + 0.5 · clip(Σ weight · value) over the terms that ``layers`` names
for it, and so is the global reward over those that ``overall`` names, or over all.  A layer that is
not listed gets the global reward.  A cycle whose commands the robot refused is neutral: 0.5.

``kind`` is one of ``joint_goal``, ``target_direction``, ``target_distance``, ``tracking_error``,
``success``, ``smoothness``, ``joint_limits`` and ``grasp``: :mod:`ab_ros.learning.terms` has their
formulas.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ab_ros.config import parse, setting
from ab_ros.errors import ConfigError, PolicyError, one_of
from ab_ros.learning.terms import KINDS, Term, clip, joint, target_error

NEUTRAL = 0.5
_OPTIONS = "options"
_NO_AXIS = ""


@dataclass(frozen=True)
class FeedbackRule:
    """Which error a feedback stands for.

    The error is that of the target after the cycle along ``axis``, or goal - q of ``joint``.
    The feedback is on, as :func:`pulses`, for the share max(0, min(1, sign · error / full)) of the
    time.
    """

    axis: str = setting(
        _NO_AXIS,
        doc="Error of the target: to the right, or up.",
        one_of=(_NO_AXIS, "azimuth", "elevation"),
    )
    joint: str = setting("", doc="Joint whose distance from its goal is the error.")
    goal: float = setting(0.0, doc="Goal of the joint.", unit="rad or m")
    sign: float = setting(
        1.0, doc="Sign of the error for which the feedback is on.", one_of=(1.0, -1.0)
    )
    full: float = setting(
        0.175, doc="Error from which on the feedback is always on.", unit="rad or m", gt=0
    )

    def __post_init__(self) -> None:
        if (self.axis == _NO_AXIS) == (not self.joint):
            raise ConfigError("axis or joint: exactly one of the two must be given")

    def error(self, summary: Mapping[str, Any]) -> float | None:
        """Return the error; None while it is unknown."""
        if self.joint:
            return float(self.goal - joint(summary, self.joint)["after"])
        return target_error(summary, self.axis)


@dataclass(frozen=True)
class TaskOptions:
    """The options of the ready-made policies."""

    terms: dict[str, Any] = setting(dict, doc="Terms by name: their kind, weight and settings.")
    layers: dict[str, tuple[str, ...]] = setting(dict, doc="Terms of each layer's reward.")
    overall: tuple[str, ...] = setting((), doc="Terms of the global reward; empty: all.")
    feedback: dict[str, FeedbackRule] = setting(dict, doc="Which error each feedback stands for.")


class Tasks:
    """Reward and deviation as the options say.

    Raises
    ------
    ConfigError
        for an option that is not allowed; the message begins with its full name.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        parsed = parse(TaskOptions, options, path=(_OPTIONS,))
        self.terms = {name: _term(name, given) for name, given in parsed.terms.items()}
        self.layers = dict(parsed.layers)
        self.feedback = dict(parsed.feedback)
        for where, names in (("overall", parsed.overall), *_below("layers", parsed.layers)):
            for name in names:
                if name not in self.terms:
                    raise ConfigError(
                        f"{_OPTIONS}.{where}: {name!r} is no term;"
                        f" {one_of(self.terms) if self.terms else 'there are none'}"
                    )
        self.overall = parsed.overall or tuple(self.terms)
        if not self.terms and not self.feedback:
            raise ConfigError(f"{_OPTIONS}.terms: must have at least one term")

    def compute_reward(
        self, summary: Mapping[str, Any], *, stdp_layers: Sequence[str]
    ) -> tuple[float, dict[str, float]]:
        """Return the weighted sums as rewards, each within [0, 1]."""
        if not summary["executed"]:
            return NEUTRAL, dict.fromkeys(stdp_layers, NEUTRAL)
        worth = {
            name: term.weight * self._value(name, summary) for name, term in self.terms.items()
        }
        overall = _reward(worth[name] for name in self.overall)
        by_layer = dict.fromkeys(stdp_layers, overall)
        for layer, names in self.layers.items():
            by_layer[layer] = _reward(worth[name] for name in names)
        return overall, by_layer

    def compute_deviation(
        self, feedback_id: str, *, T: int, ctx: Mapping[str, Any] | None = None
    ) -> list[float]:
        """Return the pulses of a feedback; zeros for one without a rule or a known error."""
        rule = self.feedback.get(feedback_id)
        if rule is None or ctx is None:
            return [0.0] * T
        try:
            error = rule.error(ctx)
        except PolicyError as problem:
            raise PolicyError(f"{_OPTIONS}.feedback.{feedback_id}.{problem}") from None
        return [0.0] * T if error is None else pulses(rule.sign * error / rule.full, T)

    def _value(self, name: str, summary: Mapping[str, Any]) -> float:
        try:
            return self.terms[name].value(summary)
        except PolicyError as problem:
            raise PolicyError(f"{_OPTIONS}.terms.{name}.{problem}") from None


def for_options(options: Mapping[str, Any]) -> Tasks:
    """Return the policies for the critic's options; errors as :class:`Tasks`."""
    return Tasks(options)


def pulses(share: float, timesteps: int) -> list[float]:
    """Return +1 for a share of the timesteps, evenly spread, and -1 for the others.

    Each timestep switches all neurons of a feedback on or off, so what is heard depends on the
    share alone and not on what was on before.
    """
    duty = max(0.0, min(1.0, share))
    return [1.0 if int((t + 1) * duty) > int(t * duty) else -1.0 for t in range(timesteps)]


def _term(name: str, given: Any) -> Term:
    path = (_OPTIONS, "terms", name)
    where = ".".join(path)
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where}: must be a mapping with a kind, not {given!r}")
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        said = "is required but missing" if kind is None else f"{kind!r} is not allowed"
        raise ConfigError(f"{where}.kind: {said}; {one_of(KINDS)}")
    rest = {key: value for key, value in given.items() if key != "kind"}
    return parse(KINDS[kind], rest, path=path)


def _below(key: str, items: Mapping[str, tuple[str, ...]]) -> list[tuple[str, tuple[str, ...]]]:
    return [(f"{key}.{name}", value) for name, value in items.items()]


def _reward(worth: Iterable[float]) -> float:
    return 0.5 + 0.5 * clip(sum(worth))
