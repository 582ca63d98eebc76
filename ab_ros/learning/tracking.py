"""Ready-made policies: keep a target in the middle of the camera image, grasp when it is there.

Options (``summary["options"]``): ``axes`` {layer: "azimuth" | "elevation" | "grasp"} says what
each layer is rewarded for; ``scale`` (rad) is the reduction of error that earns the full reward;
``impatience`` is what a cycle costs that begins ``full`` (rad) or more off target, in parts of the
full reward: without it, pushing against a joint's limit is worth as much as being on target;
``jump`` (rad), if given, makes a cycle neutral when the target itself leapt by more;
``on_target`` (rad) is the error within which the gripper shall close; ``feedback``
{feedback id: {"axis", "sign"}}: from ``full`` (rad) on a feedback is always on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ab_ros.learning.tasks import NEUTRAL, pulses
from ab_ros.learning.terms import balance, clip, progress

_SCALE = math.radians(4.0)
_ON_TARGET = math.radians(5.0)
_FULL = math.radians(10.0)


def compute_reward(
    summary: Mapping[str, Any], *, stdp_layers: Sequence[str]
) -> tuple[float, dict[str, float]]:
    """Reward each axis for the error that the cycle took away; the global reward for their sum."""
    before, after = summary["target"]["before"], summary["target"]["after"]
    if before is None or after is None or not summary["executed"]:
        return NEUTRAL, dict.fromkeys(stdp_layers, NEUTRAL)
    options = summary["options"]
    scale = options.get("scale", _SCALE)
    axes: Mapping[str, str] = options.get("axes", {})
    jump = options.get("jump", math.inf)
    impatience, full = options.get("impatience", 0.0), options.get("full", _FULL)
    by_layer = {}
    gains = []
    for layer in stdp_layers:
        axis = axes.get(layer)
        if axis == "grasp":
            by_layer[layer] = _grasp(summary, layer, options)
        elif axis in ("azimuth", "elevation"):
            gain = progress(
                before[axis], after[axis], scale=scale, impatience=impatience, full=full, jump=jump
            )
            gains.append(gain)
            by_layer[layer] = 0.5 + 0.5 * gain
        else:
            by_layer[layer] = NEUTRAL
    return 0.5 + 0.5 * clip(sum(gains)), by_layer


def compute_deviation(
    feedback_id: str, *, T: int, ctx: Mapping[str, Any] | None = None
) -> list[float]:
    """Return +1 for a part of the time that grows with the error on the feedback's side, else -1.

    The pulses are spread evenly over the T timesteps.
    """
    after = ctx["target"]["after"] if ctx else None
    options = ctx["options"] if ctx else {}
    rule = options.get("feedback", {}).get(feedback_id)
    if after is None or rule is None:
        return [0.0] * T
    error = after[rule["axis"]] * rule["sign"]
    return pulses(error / options.get("full", _FULL), T)


def _grasp(summary: Mapping[str, Any], layer: str, options: Mapping[str, Any]) -> float:
    """Reward closing on target and opening off it, by the balance of the population's halves."""
    spikes = summary["spikes"].get(layer)
    if spikes is None:
        return NEUTRAL
    on_target = summary["target"]["before"]["error"] < options.get("on_target", _ON_TARGET)
    closing = balance(spikes, options.get("grasp_scale", 4.0))
    return 0.5 + 0.5 * (closing if on_target else -closing)
