"""Checks of what the nodes must agree on: pace, clock, topics, and rates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ab_ros.cli.checks.brain import KnownBrain
from ab_ros.cli.checks.config_file import NodeConfig, RobotConfig
from ab_ros.errors import one_of
from ab_ros.motion.cycles import state_timeout
from ab_ros.motion.settings import MotorSettings
from ab_ros.nodes.remarks import Remarks


def check_together(config: RobotConfig, brain: KnownBrain, remarks: Remarks) -> None:
    """Check what the nodes of a file must agree on, as far as it has them."""
    before = len(remarks)
    _check_pacing(config, remarks)
    _check_clocks(config, remarks)
    _check_lockstep(config, remarks)
    sim, motor = config.node("sim"), config.node("motor")
    if sim is not None and motor is not None:
        _check_simulated(sim, motor, remarks)
    if sim is not None:
        _check_rates(config, sim, brain, remarks)
    if len(config.nodes) > 1 and len(remarks) == before:
        pace = next((pacing for _, pacing in _pacings(config)), "realtime")
        clock = "/clock" if any(n.use_sim_time for n in config.nodes.values()) else "system time"
        remarks.ok(
            f"{', '.join(config.nodes)} agree: {pace}, by {clock}", str(config.file), "all nodes"
        )


def _pacings(config: RobotConfig) -> Iterator[tuple[NodeConfig, str]]:
    for kind in config.nodes:
        node = config.node(kind)
        pacing = getattr(node.settings, "pacing", None) if node is not None else None
        if node is not None and pacing is not None:
            yield node, str(pacing)


def _check_pacing(config: RobotConfig, remarks: Remarks) -> None:
    pacings = list(_pacings(config))
    for node, pacing in pacings[1:]:
        first, other = pacings[0]
        if pacing != other:
            remarks.error(
                f"is {pacing!r}, but {first.kind} has {other!r}: give all nodes the same",
                *node.place("pacing"),
            )


def _check_clocks(config: RobotConfig, remarks: Remarks) -> None:
    # The simulator makes the clock, and does not go by it.
    nodes = [node for kind, node in config.nodes.items() if kind != "sim"]
    sim = config.nodes.get("sim")
    makes = getattr(sim.settings, "clock", None) if sim is not None and sim.settings else None
    for node in nodes:
        wanted = {"sim": True, "system": False}.get(str(makes), nodes[0].use_sim_time)
        if node.use_sim_time == wanted:
            continue
        if makes is not None:
            why = f"sim stamps by {'/clock' if makes == 'sim' else 'system time'}"
        else:
            why = f"{nodes[0].kind} has {str(nodes[0].use_sim_time).lower()}"
        remarks.error(
            f"is {str(node.use_sim_time).lower()}, but {why}: ages would be compared across two"
            f" clocks; give {str(wanted).lower()}",
            *node.place("use_sim_time"),
        )
    if sim is not None and sim.use_sim_time and makes == "system":
        remarks.error(
            "is true, but with 'clock: system' nobody publishes /clock; leave it out",
            *sim.place("use_sim_time"),
        )


def _check_lockstep(config: RobotConfig, remarks: Remarks) -> None:
    brain = config.node("brain")
    if brain is None:
        return
    lockstep = brain.settings.pacing == "lockstep"
    if lockstep and brain.settings.wait_for_reward and "critic" not in config.nodes:
        remarks.warn(
            "is true, but this file has no critic: every cycle waits for"
            f" {brain.settings.answer_timeout:g} s unless one runs; start one, or give false",
            *brain.place("wait_for_reward"),
        )
    if lockstep and "sim" not in config.nodes:
        remarks.warn(
            "'lockstep' needs a simulation that answers cycle_done, and this file has none: a real"
            " robot needs 'realtime'",
            *brain.place("pacing"),
        )


def _check_simulated(sim: NodeConfig, motor: NodeConfig, remarks: Remarks) -> None:
    """Compare the command topics that the simulator follows with those of the groups."""
    settings: MotorSettings = motor.settings
    heard: dict[str, Any] = {c.topic: c for c in getattr(sim.settings, "commands", {}).values()}
    for name, group in settings.groups.items():
        command = heard.get(group.topic)
        if command is None:
            remarks.error(
                f"sim does not follow the topic {group.topic!r}; {one_of(heard)}",
                *motor.place("groups", name, "topic"),
            )
        elif command.interface != group.interface:
            remarks.error(
                f"is {group.interface!r}, but sim takes {command.interface!r} on {group.topic!r}",
                *motor.place("groups", name, "interface"),
            )
        elif command.joints and tuple(command.joints) != group.channels:
            remarks.error(
                f"{list(group.channels)}, but sim takes the numbers for {list(command.joints)};"
                f" give both the same, in the same order",
                *motor.place("groups", name, "channels"),
            )


def _check_rates(config: RobotConfig, sim: NodeConfig, brain: KnownBrain, remarks: Remarks) -> None:
    """Compare the simulator's rates in real time with what waits for them."""
    if sim.settings.pacing != "realtime" or not brain.cycle_time:
        return
    motor = config.node("motor")
    rate = getattr(sim.settings, "joint_rate", 0.0)
    if motor is not None and rate:
        timeout = state_timeout(motor.settings, brain.cycle_time)
        if 1.0 / rate >= timeout:
            remarks.error(
                f"{rate:g} Hz: joint states are {1 / rate:g} s apart, and the motor node stops on"
                f" those older than {timeout:g} s; give more than {1 / timeout:g} Hz",
                *sim.place("joint_rate"),
            )
    rate = getattr(sim.settings, "camera_rate", 0.0)
    for name, item in brain.inputs.items():
        if item.kind == "Image" and rate and 1.0 / rate >= item.max_age:
            remarks.warn(
                f"{rate:g} Hz: images are {1 / rate:g} s apart, and input {name!r} takes none older"
                f" than {item.max_age:g} s; give more, or raise its max_age",
                *sim.place("camera_rate"),
            )
