"""Limits of joints from YAML and URDF, and settings of the motor stage that are refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ab_ros.config import parse
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError
from ab_ros.motion import (
    JointLimits,
    LimitSettings,
    MotorSettings,
    MotorStage,
    limits_from_urdf,
    resolve_limits,
)
from ab_ros.motion.limits import narrowed
from ab_ros.motion.settings import check_own_limits
from ab_ros.values import Cycle

URDF = """<?xml version="1.0"?>
<robot name="r">
  <joint name="lift" type="prismatic">
    <limit lower="0" upper="0.5" velocity="0.2" effort="1"/>
    <safety_controller soft_lower_limit="0.1" soft_upper_limit="0.9" k_velocity="1"/>
  </joint>
  <joint name="elbow" type="revolute"><limit lower="-1" upper="2" velocity="3" effort="1"/></joint>
  <joint name="wheel" type="continuous"/>
  <joint name="base" type="fixed"/>
</robot>"""


def test_urdf_gives_the_limits_of_moving_joints() -> None:
    limits = limits_from_urdf(URDF)
    assert set(limits) == {"lift", "elbow", "wheel"}
    assert (limits["lift"].lower, limits["lift"].upper) == (0.1, 0.5)
    assert limits["elbow"].velocity == 3.0
    assert limits["wheel"].continuous
    assert math.isinf(limits["wheel"].upper)


def test_yaml_wins_over_urdf_and_leaves_the_rest() -> None:
    limits = resolve_limits(
        ["elbow", "wheel"],
        {
            "elbow": LimitSettings(upper=1.5, acceleration=9.0, margin=0.1),
            "wheel": LimitSettings(velocity=4.0),
        },
        limits_from_urdf(URDF),
    )
    elbow = limits["elbow"]
    assert (elbow.soft_lower, elbow.soft_upper) == (-0.9, 1.4)
    assert (elbow.velocity, elbow.acceleration) == (3.0, 9.0)
    assert limits["wheel"].continuous


def test_of_two_urdfs_the_narrower_limits_count_and_the_wider_joints_are_named() -> None:
    known = limits_from_urdf(URDF)
    text = URDF.replace('upper="2" velocity="3"', 'upper="5" velocity="1"')
    both, wider = narrowed(known, limits_from_urdf(text))
    assert (both["elbow"].upper, both["elbow"].velocity) == (2.0, 1.0)
    assert wider == ("elbow",)
    bound = '<joint name="wheel" type="revolute"><limit lower="0" upper="1" velocity="1"/></joint>'
    text = URDF.replace('<joint name="wheel" type="continuous"/>', bound)
    both, wider = narrowed(known, limits_from_urdf(text))
    assert (both["wheel"].upper, both["wheel"].continuous, wider) == (1.0, False, ())
    # What was bounded stays so, and what is no longer there, too.
    assert narrowed(limits_from_urdf(text), known) == (both, ("wheel",))
    assert narrowed(known, {}) == (known, ("lift", "elbow", "wheel"))
    with pytest.raises(ConfigError, match="limits of 'elbow': lower must be less than upper"):
        narrowed(known, {"elbow": JointLimits("elbow", 3.0, 4.0)})


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        ("<robot", "is not XML"),
        ("<sdf/>", "<robot> at the top, not <sdf>"),
        ('<!DOCTYPE r [<!ENTITY a "b">]><robot/>', "document type"),
        ('<robot><joint name="a" type="revolute"/></robot>', "'a' has no <limit>"),
        (
            '<robot><joint name="a" type="revolute"><limit lower="x"/></joint></robot>',
            "'a': lower must be a finite number, not 'x'",
        ),
        (
            '<robot><joint name="a" type="revolute"><limit lower="nan" upper="1"/></joint></robot>',
            "finite",
        ),
        (
            '<robot><joint name="a" type="revolute"><limit lower="2" upper="1"/></joint></robot>',
            "lower 2.0 is greater than upper 1.0",
        ),
        (
            '<robot><joint name="a" type="continuous"/><joint name="a" type="continuous"/></robot>',
            "stands twice",
        ),
    ],
)
def test_a_bad_urdf_is_refused_with_the_reason(xml: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        limits_from_urdf(xml)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"lower": 1.0, "upper": -1.0}, "lower must be less"),
        ({"lower": -1.0, "upper": 1.0, "margin": 1.0}, "leaves nothing"),
        ({"continuous": True, "lower": 0.0}, "continuous joint has no lower"),
        ({"measured": False}, "needs 'initial'"),
        ({"measured": False, "initial": 3.0, "lower": 0.0, "upper": 1.0}, "initial must be within"),
    ],
)
def test_contradicting_limits_are_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        resolve_limits(["j"], {"j": LimitSettings(**values)})


def settings(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "mapping": {"m": {"population": "P", "channel": "a"}},
        "groups": {"arm": {"channels": ["a", "b"], "topic": "arm"}},
        "limits": {n: {"lower": -1.0, "upper": 1.0, "velocity": 1.0} for n in "ab"},
    }
    for path, value in changes.items():
        place = data
        *above, last = path.split("__")
        for key in above:
            place = place.setdefault(key, {})
        place[last] = value
    return data


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"groups": {}}, "at least one"),
        ({"mapping": {}}, "has no entries"),
        ({"mapping__m__channel": "z"}, "no group has channel 'z'; one of: a, b"),
        ({"limits__z": {}}, "limits.z: no group has this channel"),
        ({"groups__hand": {"channels": ["b"], "topic": "hand"}}, "'b' is already in group 'arm'"),
        ({"groups__hand": {"channels": ["c"], "topic": "arm"}}, "two groups must not command"),
        ({"groups__arm__interface": "torque"}, "one of: joint_trajectory"),
        ({"groups__arm__stop": "ramp"}, "cannot stop by 'ramp'; one of: default, hold"),
        ({"groups__arm__channels": []}, "list of names"),
        ({"groups__arm__channels": ["a", "a"]}, "must be different"),
        ({"groups__arm__period": -1.0}, "period"),
        ({"state_timeout": -1.0}, "state_timeout"),
        ({"pacing": "fast"}, "one of: realtime, lockstep"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(MotorSettings, settings(**changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"limits__a": {"lower": -1.0, "upper": 1.0}}, "'a' has no velocity limit"),
        ({"limits__b": {"velocity": 1.0}}, "'b' has no position limits"),
        ({"limits__b__acceleration": 1e-3}, "to brake"),
        (
            {"groups__arm__interface": "velocity", "limits__b": {"velocity": 1.0, "upper": 0.5}},
            "'b' has a position limit on one side only, and one alone is not kept: give"
            " limits.b.lower with it, or leave limits.b.upper out",
        ),
        (
            {"groups__arm__interface": "joint_jog", "limits__a": {"velocity": 1.0, "lower": 0.5}},
            "give limits.a.upper with it, or leave limits.a.lower out",
        ),
    ],
)
def test_channels_without_the_limits_they_need_are_refused(
    changes: dict[str, Any], says: str
) -> None:
    parsed = parse(MotorSettings, settings(**changes))
    with pytest.raises(ConfigError, match=says):
        MotorStage(parsed, resolve_limits(parsed.channels, parsed.limits))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"groups__arm__interface": "twist_stamped"},
            "limits.a.lower: is a position, which a channel of a twist_stamped does not have; its"
            " speed is limited by limits.a.velocity",
        ),
        (
            {
                "groups__arm__interface": "velocity",
                "limits__b": {"upper": 1.0, "velocity": 1.0, "measured": False, "initial": 0.0},
            },
            "limits.b.upper: where it is not measured, a velocity cannot keep limits of the"
            " position",
        ),
    ],
)
def test_positions_that_a_velocity_cannot_keep_are_refused(
    changes: dict[str, Any], says: str
) -> None:
    parsed = parse(MotorSettings, settings(**changes))
    with pytest.raises(ConfigError, match=says):
        check_own_limits(parsed)
    with pytest.raises(ConfigError, match=says):
        MotorStage(parsed, resolve_limits(parsed.channels, parsed.limits))


@pytest.mark.parametrize(
    "name", ["velocity", "acceleration", "step", "jerk", "effort", "effort_rate"]
)
@pytest.mark.parametrize("value", [1e-320, 1e-12, 0.0])
def test_limits_that_no_robot_could_show_are_refused(name: str, value: float) -> None:
    with pytest.raises(
        ConfigError, match=rf"limits\.a\.{name}: {value!r} is not allowed; must be >="
    ):
        parse(MotorSettings, settings(**{f"limits__a__{name}": value}))
    with pytest.raises(ConfigError, match=f"{name} must be at least 1e-09, not {value!r}"):
        JointLimits("a", **{name: value})


@pytest.mark.parametrize("interface", ["position", "velocity", "effort"])
def test_the_smallest_limits_that_are_allowed_are_kept(interface: str) -> None:
    smallest = dict.fromkeys(("velocity", "acceleration", "step", "effort", "effort_rate"), 1e-9)
    limits = {"a": {"lower": -1.0, "upper": 1.0, **smallest}}
    arm = {"channels": ["a"], "topic": "arm", "interface": interface}
    parsed = parse(MotorSettings, settings(groups__arm=arm, limits=limits))
    stage = MotorStage(parsed, resolve_limits(parsed.channels, parsed.limits))
    wire = {"constants": {"gamma": 20}, "io": {"outputs": [{"id": "P", "n": 4}]}}
    stage.begin_run("r", Contract.from_dict(wire))
    now = 100.0
    stage.measure(["a"], [0.5], None, now, now, now)
    stage.activate(now, now)
    for number in range(3):
        now += 0.02
        stage.measure(["a"], [0.5], None, now, now, now)
        rasters = {"P": np.ones((20, 4), np.uint8)}
        cycle = Cycle("r", number, rasters, dt=1e-3, stamp=now - 0.02, observed=now - 0.02)
        answer = stage.execute(cycle, now, now)
        assert answer.executed, answer.reason
        (command,) = answer.commands
        rest = 0.5 if interface == "position" else 0.0
        assert np.abs(command.values - rest).max() <= 1e-9
    for command in stage.halt(now, now):
        assert np.isfinite(command.values).all()


def test_bounds_of_a_description_are_kept_only_by_velocities_that_are_measured() -> None:
    blind = {"velocity": 1.0, "measured": False, "initial": 0.0}
    changes = {"groups__arm__interface": "velocity", "limits": {"b": blind}}
    urdf = {name: JointLimits(name, -1.0, 0.5, velocity=1.0) for name in "ab"}
    parsed = parse(MotorSettings, settings(**changes))
    with pytest.raises(ConfigError, match=r"limits\.b\.lower: where it is not measured"):
        MotorStage(parsed, resolve_limits(parsed.channels, parsed.limits, urdf))
    parsed = parse(MotorSettings, settings(**changes, limits__b__continuous=True))
    MotorStage(parsed, resolve_limits(parsed.channels, parsed.limits, urdf))


def test_a_continuous_joint_needs_no_bounds() -> None:
    parsed = parse(MotorSettings, settings(limits__b={"velocity": 1.0, "continuous": True}))
    MotorStage(parsed, resolve_limits(parsed.channels, parsed.limits))


def test_inverted_limits_are_refused_when_made() -> None:
    with pytest.raises(ConfigError, match="velocity must be at least 1e-09"):
        JointLimits("j", velocity=0.0)
