"""What a new policy folder holds: text of Python files that are the user's from then on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ab_ros.contract import Contract

REWARD = '''\
"""Your reward policy: what was a cycle worth?

`ab_ros policies sync` made this file once and never writes it again: it is yours. The brain's ids
come from _contract.py beside it, which every sync writes anew, so that what you write here goes on
to work when the brain changes.

The critic calls compute_reward() after each cycle. To see what it answers without a robot:

    ab_ros policies check --dir .

To make a running critic read the file again: ros2 service call /critic/reload std_srvs/srv/Trigger
"""

from ._contract import STDP3_LAYERS

NEUTRAL = 0.5  # teaches nothing; towards 1 is praise, towards 0 is blame
SCALE = 0.07  # rad: a cycle that comes this much closer to the target earns the full reward


def compute_reward(summary, *, stdp_layers=STDP3_LAYERS):
    """Return the global reward and a reward for each layer, all within [0, 1].

    summary["executed"] is false if the robot refused the cycle's commands;
    summary["joints"][name] has "before" and "after" (rad or m) and "velocity_before" and
    "velocity_after" (per second, or None);
    summary["target"] has "before" and "after", each with "azimuth" (right), "elevation" (up) and
    "error" (rad from the middle of the view), or None while the target is not known;
    summary["spikes"][output] has "count", "first_half", "second_half" and "neurons".
    """
    target = summary.get("target") or {}
    before, after = target.get("before"), target.get("after")

    global_reward = NEUTRAL
    if before and after and summary.get("executed", True):
        # Reward progress rather than being there: a brain learns from what its action changed.
        progress = (before["error"] - after["error"]) / SCALE
        global_reward = NEUTRAL + 0.5 * max(-1.0, min(1.0, progress))

    # A layer that is left out gets the global reward. Give a layer one of its own when it moves
    # something of its own: only then does it learn from what it did itself.
    by_layer = {layer: global_reward for layer in stdp_layers}
    return global_reward, by_layer
'''

DEVIATION = '''\
"""Your deviation policy: what should each feedback of the brain hear?

`ab_ros policies sync` made this file once and never writes it again: it is yours.

The brain keeps for each of the T timesteps which neurons of a feedback are on, and a deviation
changes that: d > 0 switches a share d of them on, d < 0 switches a share |d| off, and d = 0 leaves
them as they were in the cycle before.
"""

from ._contract import FEEDBACK_IDS

FULL = 0.17  # rad: from this error on a feedback is fully on

# Which error a feedback stands for: "azimuth" (right) or "elevation" (up), and the sign for which
# it is on. A feedback that is not listed hears nothing. For example: {"fb_right": ("azimuth", 1.0)}
RULES = {}

unknown = sorted(set(RULES) - set(FEEDBACK_IDS))
if unknown:
    raise ValueError(f"RULES has {unknown}, but the brain's feedback is {list(FEEDBACK_IDS)}")


def compute_deviation(feedback_id, *, T, ctx=None):
    """Return T deviations within [-1, 1], one per timestep; ctx is the summary of the cycle."""
    target = (ctx or {}).get("target") or {}
    after = target.get("after")
    if feedback_id not in RULES or not after:
        return [0.0] * T
    axis, sign = RULES[feedback_id]
    share = max(0.0, min(1.0, sign * after[axis] / FULL))
    # All neurons on in a share of the timesteps, evenly spread, and all off in the others: so what
    # is heard depends on the error now, and not on what was on before.
    return [1.0 if int((t + 1) * share) > int(t * share) else -1.0 for t in range(T)]
'''


def contract_module(contract: Contract) -> str:
    """Return the text of ``_contract.py``: the contract's constants and ids as Python names.

    Everything that comes from the contract stands there as a literal of text or integer, so that
    no id can become code.
    """
    sizes = {
        "OUTPUT_SIZES": {port.id: port.n for port in contract.outputs},
        "FEEDBACK_SIZES": {port.id: port.n for port in contract.feedback},
    }
    lines = [
        '"""The IO contract of the brain, as Python.',
        "",
        "Written anew by every `ab_ros policies sync`: what you change here is lost.",
        '"""',
        "",
        f"SHA256 = {contract.sha256!r}",
        "",
        *_mapping("CONSTANTS", contract.constants),
        f"GAMMA = {contract.gamma:d}  # timesteps of a cycle",
        f"OUTPUT_WINDOW_N = {contract.constants['outputWindowN']:d}  # neurons of an output",
        f"FEEDBACK_N = {contract.constants['feedbackN']:d}  # neurons of a feedback",
        f"FEEDBACK_T = {contract.feedback_timesteps:d}  # values of a deviation",
        "FEEDBACK_WINDOW_T = FEEDBACK_T",
        "",
        *_names("INPUT_IDS", [port.id for port in contract.inputs]),
        *_names("OUTPUT_IDS", [port.id for port in contract.outputs]),
        *_names("FEEDBACK_IDS", [port.id for port in contract.feedback]),
        *_names("STDP3_LAYERS", contract.stdp3_layers),
        "",
        *(line for name, mapping in sizes.items() for line in _mapping(name, mapping)),
    ]
    return "\n".join(lines) + "\n"


def _names(name: str, items: Sequence[str]) -> list[str]:
    return (
        [f"{name} = (", *(f"    {str(item)!r}," for item in items), ")"]
        if items
        else [f"{name} = ()"]
    )


def _mapping(name: str, items: Mapping[str, int]) -> list[str]:
    if not items:
        return [f"{name} = {{}}"]
    return [f"{name} = {{", *(f"    {str(k)!r}: {int(v)}," for k, v in items.items()), "}"]
