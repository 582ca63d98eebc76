"""Settings of a robot behind the motor node as an environment: its channels, and how they move."""

from __future__ import annotations

from dataclasses import dataclass

from ab_ros.codec.fields import FieldPath
from ab_ros.config import setting
from ab_ros.errors import ConfigError


@dataclass(frozen=True)
class MotorChannelSettings:
    """A channel of the motor node that motor signals move."""

    lower: float = setting(doc="Lower bound, within which it is explored.")
    upper: float = setting(doc="Upper bound.")
    mode: str = setting(
        "target",
        doc="What its numbers are: where it goes; by how much it moves; or, for what is commanded"
        " by velocity, how fast it moves for the duration.",
        one_of=("target", "delta", "velocity"),
    )
    fixed: float | None = setting(None, doc="Its value, where it is not explored.")
    unit: str = setting("", doc="Of its numbers.")


@dataclass(frozen=True)
class SensorChannelSettings:
    """A number of a message."""

    topic: str = setting("joint_states", doc="Where the messages come from.")
    type: str = setting("sensor_msgs/msg/JointState", doc="Their type.")
    field: str = setting(
        "", doc="Path of the number in a message, as twist.twist.linear.x or ranges[0]."
    )
    joint: str = setting("", doc="Instead of a field: a joint of joint states.")
    of: str = setting(
        "position", doc="What of the joint.", one_of=("position", "velocity", "effort")
    )
    lower: float | None = setting(None, doc="Lower bound; unset: none.")
    upper: float | None = setting(None, doc="Upper bound; unset: none.")
    unit: str = setting("", doc="Of the number.")

    def __post_init__(self) -> None:
        if bool(self.field) == bool(self.joint):
            raise ConfigError("field: must have either a path, or a joint beside it")
        if self.joint and self.type != "sensor_msgs/msg/JointState":
            raise ConfigError(f"joint: needs messages sensor_msgs/msg/JointState, not {self.type}")
        if self.field:
            FieldPath.parse(self.field)


@dataclass(frozen=True)
class RosEnvironmentSettings:
    """How motor signals are played, and which channels there are."""

    motors: dict[str, MotorChannelSettings] = setting(
        doc="Channels of the motor node, by their names there."
    )
    sensors: dict[str, SensorChannelSettings] = setting(doc="Sensory channels, by any name.")
    populations: dict[str, int] = setting(
        doc="Populations that the motor node's mapping names, with their neurons. They stay silent,"
        " but a motor node ends whose mapping does not fit its first brain.",
        ge=1,
        le=1_000_000,
    )
    namespace: str = setting("", doc="Of the motor node and the robot's topics, as /robot1.")
    motor_node: str = setting("motor", doc="Name of the motor node.")
    duration: float = setting(
        1.0, doc="Time in which a motor signal is played.", unit="s", ge=0.02, le=600
    )
    gamma: int = setting(20, doc="Timesteps of a cycle.", ge=1, le=10_000)
    dt: float = setting(0.005, doc="Length of a timestep.", unit="s", ge=1e-5, le=1)
    tries: int = setting(
        3, doc="How often a movement may go on that limits have cut short.", ge=1, le=100
    )
    timeout: float = setting(
        10.0, doc="How long motor node and sensors are waited for.", unit="s", gt=0, le=600
    )
    use_sim_time: bool = setting(False, doc="Whether the robot's clock is that of /clock.")
    pacing: str = setting(
        "realtime",
        doc="lockstep: the robot is a simulation that waits for each cycle; the motor node is in"
        " lockstep, too.",
        one_of=("realtime", "lockstep"),
    )
    joint_states: str = setting(
        "joint_states", doc="Topic whose stamps tell the time of a simulation in lockstep."
    )

    def __post_init__(self) -> None:
        if not self.motors or not self.sensors:
            raise ConfigError("motors, sensors: must have at least one channel each")
