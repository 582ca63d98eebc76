"""A look at the running graph: whether the nodes of a configuration find in it what they need."""

from __future__ import annotations

import difflib
import math
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import rclpy
from rclpy.exceptions import InvalidNamespaceException, InvalidNodeNameException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState

from ab_ros.errors import AbRosError, ConfigError
from ab_ros.nodes import qos
from ab_ros.nodes.dry_setup import CLIENT, PUBLISHER, SUBSCRIPTION, End, ends_of
from ab_ros.nodes.graph_ears import AHEAD, ENOUGH, Ear, judge_deadman
from ab_ros.nodes.process import check_domain
from ab_ros.nodes.remarks import Level, Remark, Remarks

if TYPE_CHECKING:
    from ab_ros.cli.checks.everything import Checked

_SHORTEST = 1.0  # s; for rates, and for all ends of a topic to be known
_DEPTH = 50  # so that the rate is that of the publisher, not of this node
_UNKNOWN = "NODE_NAME_UNKNOWN"
_SHOWN = 3  # joints that are named in one line


@dataclass(frozen=True)
class Sensor:
    """What was heard on a topic.

    Parameters
    ----------
    name : of the input, or the node that needs it.
    topic : in the graph.
    messages : that came.
    rate : Hz; None if too few came.
    age : by their stamps, median, s; None if there are none.
    max_age : that is still used, s; None if any is.
    """

    name: str
    topic: str
    messages: int
    rate: float | None
    age: float | None
    max_age: float | None


@dataclass(frozen=True)
class Seen:
    """What the graph looks like."""

    sensors: tuple[Sensor, ...] = ()


def look_at_graph(
    checked: Checked, timeout: float, arguments: Sequence[str], remarks: Remarks
) -> Seen:
    """Compare the running graph with what the nodes of a configuration would use.

    Parameters
    ----------
    checked : the configuration.
    timeout : how long to wait for topics, and for a message of each sensor, s.
    arguments : ROS arguments: remappings, domain.
    remarks : what there is to say goes here.

    Raises
    ------
    ConfigError
        if ROS refuses the arguments.
    """
    check_domain()
    context = rclpy.Context()
    space = next(iter(checked.config.nodes.values())).name.rpartition("/")[0]
    simulated = any(node.use_sim_time for node in checked.config.nodes.values())
    try:
        rclpy.init(args=list(arguments), context=context)
        probe = rclpy.create_node(
            f"ab_ros_check_{os.getpid()}",
            context=context,
            namespace=space,
            parameter_overrides=[Parameter("use_sim_time", value=simulated)],
            start_parameter_services=False,
        )
    except (_rclpy.UnknownROSArgsError, _rclpy.RCLInvalidROSArgsError, _rclpy.RCLError) as error:
        context.try_shutdown()
        raise ConfigError(f"--ros-args: {error}") from None
    except (InvalidNodeNameException, InvalidNamespaceException) as error:
        context.try_shutdown()
        raise ConfigError(f"--ros-args: {error}") from None
    try:
        return _Look(probe, context, checked, remarks).look(timeout)
    finally:
        probe.destroy_node()
        context.try_shutdown()


class _Look:
    """One look at the graph, through one node."""

    def __init__(self, probe: Node, context: Any, checked: Checked, remarks: Remarks) -> None:
        self._probe, self._context = probe, context
        self._checked, self._remarks = checked, remarks
        self._ends = self._planned()
        own = {end.topic for end in self._ends if end.side == PUBLISHER}
        self._needed = [
            end
            for end in self._ends
            if end.side == SUBSCRIPTION
            and not (end.internal or end.action)
            and end.topic not in own
        ]
        self._commands = [
            end
            for end in self._ends
            if end.side == PUBLISHER and end.kind == "motor" and not end.internal
        ]
        self._ears = self._listen()

    def look(self, timeout: float) -> Seen:
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(self._probe)
        begin = time.monotonic()
        while (passed := time.monotonic() - begin) < timeout:
            if passed > _SHORTEST and self._complete():
                break
            executor.spin_once(timeout_sec=0.05)
        executor.remove_node(self._probe)
        executor.shutdown()
        self._check_nodes()
        self._check_clock()
        for topic in dict.fromkeys(end.topic for end in self._needed):
            self._check_source([end for end in self._needed if end.topic == topic], timeout)
        for ear in self._ears.values():
            self._check_samples(ear)
        for end in self._commands:
            self._check_command(end)
        self._check_actions()
        for end in self._ends:
            if end.internal and not end.name.startswith("~"):
                self._check_qos(end)
        return Seen(
            tuple(
                Sensor(", ".join(ear.names), topic, len(ear.came), ear.rate, ear.age, ear.max_age)
                for topic, ear in self._ears.items()
            )
        )

    # What is planned

    def _planned(self) -> list[End]:
        ends: list[End] = []
        for kind in self._checked.config.nodes:
            node = self._checked.config.node(kind)
            if node is None or kind == "sim":
                continue  # a simulator is the robot: it is looked at as it runs
            try:
                ends += ends_of(kind, node.settings, node.standard, self._probe)
            except AbRosError as error:
                where, key, text = node.place_of(str(error))
                self._remarks.error(f"the node would not start: {text}", where, key)
            except Exception as error:  # whatever a node's set-up does with what is not there
                self._remarks.warn(
                    f"its topics are not known before it runs ({type(error).__name__}: {error})",
                    *node.place(),
                )
        return ends

    def _listen(self) -> dict[str, Ear]:
        ears: dict[str, Ear] = {}
        ages = self._ages()
        for end in self._needed:
            if end.always:
                continue  # what is latched need not come again
            name = self._inputs().get(end.topic, end.kind)
            limit = ages.get((end.kind, end.topic))
            ear = ears.get(end.topic)
            if ear is None:
                ears[end.topic] = ear = Ear(end, [name], limit)
                self._subscribe(ear)
            elif name not in ear.names:
                ear.names.append(name)
            if limit is not None:
                ear.max_age = limit if ear.max_age is None else min(limit, ear.max_age)
        return ears

    def _subscribe(self, ear: Ear) -> None:
        def hear(raw: bytes, info: Mapping[str, Any]) -> None:
            ear.hear(raw, info, self._now())

        # Best effort and volatile hears every publisher; whether the node would is judged apart.
        profile = qos.own(qos.SENSOR)
        profile.depth = _DEPTH
        self._probe.create_subscription(ear.end.message, ear.end.topic, hear, profile, raw=True)

    def _now(self) -> float:
        """Robot time, s; 0 while a simulated clock has not told it."""
        return float(self._probe.get_clock().now().nanoseconds) * 1e-9

    def _feeds(self) -> Mapping[str, Any]:
        from ab_ros.cli.checks.brain import feeds_of

        node = self._checked.config.node("brain")
        if node is None:
            return {}
        try:
            return feeds_of(node, self._checked.brain)
        except AbRosError:
            return {}  # told when the configuration was checked

    def _inputs(self) -> dict[str, str]:
        return {
            self._probe.resolve_topic_name(feed.topic): name for name, feed in self._feeds().items()
        }

    def _ages(self) -> dict[tuple[str, str], float]:
        ages = {
            ("brain", self._probe.resolve_topic_name(feed.topic)): float(feed.max_age)
            for feed in self._feeds().values()
        }
        if self._checked.state_age:
            ages["motor", self._probe.resolve_topic_name("joint_states")] = self._checked.state_age
        motor = self._checked.config.node("motor")
        if motor is not None and motor.settings.deadman_timeout:
            topic = self._probe.resolve_topic_name("deadman")
            ages["motor", topic] = motor.settings.deadman_timeout
        return ages

    @property
    def _lockstep(self) -> bool:
        return any(
            getattr(node.settings, "pacing", "") == "lockstep"
            for node in self._checked.config.nodes.values()
        )

    def _complete(self) -> bool:
        """Whether all is there, so that waiting longer would show nothing else."""
        if any(len(ear.came) < ENOUGH for ear in self._ears.values()):
            return False
        for end in self._commands:
            listeners = self._probe.get_subscriptions_info_by_topic(end.topic)
            ends = [*listeners, *self._probe.get_publishers_info_by_topic(end.topic)]
            # An end may be known some time before the name of its node.
            if not listeners or any(_UNKNOWN in info.node_name for info in ends):
                return False
        return True

    # What there is

    def _check_nodes(self) -> None:
        seen = Counter(
            f"{space.rstrip('/')}/{name}"
            for name, space in self._probe.get_node_names_and_namespaces()
            if not name.startswith("_")
        )
        space = self._probe.get_namespace().rstrip("/")
        ours = {f"{space}/{kind}" for kind in self._checked.config.nodes}
        for name, count in seen.items():
            if count > 1 and name in ours:
                self._remarks.error(
                    f"{count} nodes of this name run: stop all but one, or start them in different"
                    f" namespaces (-r __ns:=/name)",
                    name,
                )
            elif count > 1:
                self._remarks.warn(f"{count} nodes of this name run: stop all but one", name)
        running = sorted(ours & set(seen))
        self._remarks.ok(
            f"{len(seen) - 1} other nodes; of this configuration:"
            f" {', '.join(running) or 'none runs yet'}",
            f"domain {os.environ.get('ROS_DOMAIN_ID') or 0}",
        )

    def _check_clock(self) -> None:
        publishers = self._probe.count_publishers("/clock")
        simulated = [n.kind for n in self._checked.config.nodes.values() if n.use_sim_time]
        if simulated and not publishers:
            self._remarks.error(
                f"nobody publishes it, but {', '.join(simulated)} go by it (use_sim_time): their"
                f" time stands still; start the simulator, or give false",
                "/clock",
            )
        elif simulated and not self._now() and not self._lockstep:
            # In lockstep it stands at 0 until the brain runs.
            self._remarks.error(
                "is published, but no time came; is the simulation paused?", "/clock"
            )
        elif not simulated and publishers:
            self._remarks.warn(
                "is published, but no node of this configuration goes by it; give use_sim_time:"
                " true, if the robot is simulated",
                "/clock",
            )
        if publishers > 1:
            self._remarks.error(f"{publishers} nodes publish it: stop all but one", "/clock")

    def _check_source(self, ends: Sequence[End], timeout: float) -> None:
        """Check who publishes a topic that nodes need from outside."""
        end = ends[0]
        kinds = ", ".join(end.kind for end in ends)
        speakers = self._probe.get_publishers_info_by_topic(end.topic)
        if not speakers:
            if all(end.always for end in ends):
                return  # such as robot_description, which only fills in what the YAML leaves out
            tell = self._remarks.warn if kinds == "critic" else self._remarks.error
            tell(f"nobody publishes it{self._alike(end)}", end.topic, kinds)
            return
        others = sorted({info.topic_type for info in speakers} - {end.type_name})
        if others:
            self._remarks.error(
                f"carries {', '.join(others)}, not {end.type_name}{self._alike(end)}",
                end.topic,
                kinds,
            )
            return
        unfit = [end for end in ends if not self._check_qos(end)]
        ear = self._ears.get(end.topic)
        if not unfit and ear is not None and not ear.came:
            self._remarks.error(
                f"{_names(speakers)} publishes it, but no message came in {timeout:g} s",
                end.topic,
                kinds,
            )

    def _alike(self, end: End) -> str:
        """Name a topic that may have been meant."""
        fitting = [
            name
            for name, types in self._probe.get_topic_names_and_types()
            if end.type_name in types and name != end.topic and self._probe.count_publishers(name)
        ]
        if not fitting:
            return f"; no topic carries {end.type_name}: is the driver running?"
        close = difflib.get_close_matches(end.topic, fitting, n=3, cutoff=0.0)
        return f"; {', '.join(close)} {'carry' if len(close) > 1 else 'carries'} {end.type_name}"

    def _check_qos(self, end: End) -> bool:
        """Check an end against all others of its topic; return whether all fit."""
        publishes = end.side == PUBLISHER
        if end.profile is None:
            return True
        others = (
            self._probe.get_subscriptions_info_by_topic(end.topic)
            if publishes
            else self._probe.get_publishers_info_by_topic(end.topic)
        )
        fit = True
        for other in others:
            if other.topic_type != end.type_name or other.node_name == self._probe.get_name():
                continue
            pair = (
                (end.profile, other.qos_profile)
                if publishes
                else (
                    other.qos_profile,
                    end.profile,
                )
            )
            differ = _difference(*pair)
            if differ is not None:
                fit = False
                policy, offered, asked = differ
                self._remarks.error(
                    f"nothing passes: {'this node' if publishes else _name(other)} publishes"
                    f" {offered}, {_name(other) if publishes else 'this node'} asks for {asked};"
                    f" set qos_overrides.{end.topic}.{end.side}.{policy} of the {end.kind} node to"
                    f" {asked if publishes else offered}, or change {_name(other)}",
                    end.topic,
                    end.kind,
                )
        return fit

    def _check_samples(self, ear: Ear) -> None:
        """Check what came: stamps, ages, rates, joints."""
        topic, kind = ear.end.topic, ear.end.kind
        if not ear.came:
            return
        limit = ear.max_age
        # Without a clock, which is told apart, there are no ages.
        age = ear.age if self._now() else None
        before = len(self._remarks)
        if ear.zero:
            self._remarks.error(
                f"{ear.zero} of {len(ear.came)} messages have the stamp 0, so their age is not"
                f" known and they are refused; let the driver stamp them",
                topic,
                kind,
            )
        elif age is not None and age < -AHEAD:
            self._remarks.error(
                f"stamps lie {-age:.3f} s ahead of this node's clock; synchronise the computers"
                f" (NTP, PTP), or give all nodes the same use_sim_time",
                topic,
                kind,
            )
        elif age is not None and limit is not None and age > limit and not self._lockstep:
            self._remarks.error(
                f"samples are {age:.3f} s old when they come, more than {limit:g} s, and are not"
                f" used; synchronise the computers, find the delay, or raise the limit",
                topic,
                kind,
            )
        rate = math.inf if ear.rate is None or self._lockstep else ear.rate
        if ear.end.name == "deadman" and limit is not None and ear.rate is not None:
            level, said = judge_deadman(ear.rate, limit)
            if level is not Level.OK:
                self._remarks.add(Remark(level, said, topic, kind))
        elif limit is not None and 1.0 / rate >= limit:
            self._remarks.error(
                f"{rate:.1f} Hz: samples are {1.0 / rate:.3f} s apart, and none older than"
                f" {limit:g} s is used; give more than {1.0 / limit:.0f} Hz",
                topic,
                kind,
            )
        if isinstance(ear.last, JointState):
            self._check_joints(ear, topic)
            self._check_sources(ear, topic)
        if len(self._remarks) == before:
            self._remarks.ok(f"{ear.end.type_name} comes", topic, ", ".join(ear.names))

    def _check_sources(self, ear: Ear, topic: str) -> None:
        """Warn of joints that more than one publisher tells of."""
        speakers = self._probe.get_publishers_info_by_topic(topic)
        twice = ear.twice
        if not twice or len(speakers) < 2:
            return
        joint, positions = max(twice.items(), key=lambda item: max(item[1]) - min(item[1]))
        others = [name for name in twice if name != joint]
        shown = ", ".join(map(repr, others[:_SHOWN])) + (" …" if len(others) > _SHOWN else "")
        self._remarks.warn(
            f"joint {joint!r} is told by {len(positions)} publishers, as"
            f" {' and '.join(f'{position:.4g}' for position in positions)}"
            + (f"; so are {shown}" if others else "")
            + f" ({_names(speakers)}): the robot would be taken for where each says in turn; stop"
            " all but its driver",
            topic,
        )

    def _check_joints(self, ear: Ear, topic: str) -> None:
        # Several publishers may each tell of some.
        measured = {name: x for known in ear.sources.values() for name, x in known.items()}
        for joint, reason in self._checked.joints.items():
            if joint not in measured:
                self._remarks.error(
                    f"lacks joint {joint!r} (for {reason}); it has {', '.join(measured)}", topic
                )
            elif not math.isfinite(measured[joint]):
                self._remarks.error(f"joint {joint!r} is {measured[joint]} (for {reason})", topic)

    def _check_command(self, end: End) -> None:
        """Check who listens to a command topic, and who else commands."""
        before = len(self._remarks)
        motor = f"{self._probe.get_namespace().rstrip('/')}/motor"
        listeners = self._probe.get_subscriptions_info_by_topic(end.topic)
        types = {info.topic_type for info in listeners}
        if not listeners:
            self._remarks.error(
                f"nobody listens: the robot would not move; start the controller, or change the"
                f" group's topic{self._listening(end)}",
                end.topic,
                end.kind,
            )
        elif end.type_name not in types:
            self._remarks.error(
                f"{_names(listeners)} takes {', '.join(sorted(types))}, not {end.type_name}:"
                f" change the group's interface",
                end.topic,
                end.kind,
            )
        self._check_qos(end)
        others = [
            info
            for info in self._probe.get_publishers_info_by_topic(end.topic)
            if _name(info) != motor
        ]
        if others:
            self._remarks.error(
                f"{_names(others)} publishes commands, too: two would pull at one robot; stop it,"
                f" or give the group another topic",
                end.topic,
                end.kind,
            )
        if len(self._remarks) == before:
            self._remarks.ok(f"{_names(listeners)} takes {end.type_name}", end.topic, end.kind)

    def _check_actions(self) -> None:
        """Check that actions have servers; one without others' clients is all that is known."""
        asked = {end.action: end for end in self._ends if end.side == CLIENT and end.action}
        for action, end in asked.items():
            if self._probe.count_services(f"{action}/_action/send_goal"):
                self._remarks.ok("there is an action server", action, end.kind)
            else:
                self._remarks.error(
                    "there is no action server of this name; start the controller, or change the"
                    " group's topic",
                    action,
                    end.kind,
                )

    def _listening(self, end: End) -> str:
        fitting = [
            name
            for name, types in self._probe.get_topic_names_and_types()
            if end.type_name in types and self._probe.count_subscribers(name)
        ]
        return f"; somebody takes {end.type_name} on {', '.join(fitting)}" if fitting else ""


def _name(info: Any) -> str:
    if _UNKNOWN in info.node_name:
        return "a node that does not tell its name"
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"


def _names(infos: Sequence[Any]) -> str:
    return ", ".join(sorted({_name(info) for info in infos}))


def _difference(offered: QoSProfile, asked: QoSProfile) -> tuple[str, str, str] | None:
    """Return the policy by which a publisher does not fit a subscription, and both values."""
    if (offered.reliability, asked.reliability) == (
        ReliabilityPolicy.BEST_EFFORT,
        ReliabilityPolicy.RELIABLE,
    ):
        return "reliability", "best_effort", "reliable"
    if (offered.durability, asked.durability) == (
        DurabilityPolicy.VOLATILE,
        DurabilityPolicy.TRANSIENT_LOCAL,
    ):
        return "durability", "volatile", "transient_local"
    return None
