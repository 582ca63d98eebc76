"""Settings of a remote brain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ab_ros.config import setting
from ab_ros.errors import ConfigError, ProtocolError
from ab_ros.protocol import Endpoint, origin_of
from ab_ros.protocol.formats import FEEDBACK_FORMATS

ROBOT_CMD = ("refuse", "deltas")


@dataclass(frozen=True)
class JointInputSettings:
    """Which joints an input gets as ``rawtick_f32x3``."""

    joints: tuple[str, ...] = setting((), doc="Joints that are sent, in this order; empty: all.")
    lower: float | None = setting(None, doc="Lower end of the positions.", unit="rad or m")
    upper: float | None = setting(None, doc="Upper end of the positions.", unit="rad or m")

    def __post_init__(self) -> None:
        if (self.lower is None) != (self.upper is None):
            raise ConfigError("lower: must be given together with upper")
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ConfigError(
                f"lower: must be below upper ({self.lower:g} is not below {self.upper:g})"
            )

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Lower and upper end of the positions, if known."""
        if self.lower is None or self.upper is None:
            return None
        return self.lower, self.upper


@dataclass(frozen=True)
class RemoteSettings:
    """Where a brain's service is, and how a robot speaks with it."""

    url: str = setting(doc="Address of the service, such as https://host or http://127.0.0.1:8642.")
    project: str = setting(doc="Id of the project at the service.")
    key_variable: str = setting(
        "AB_ROS_KEY", doc="Environment variable that holds the service's key; unset: no key."
    )
    key_file: str = setting(
        "", doc="File that holds the key, readable by its owner only; the variable goes first."
    )
    plain_http: tuple[str, ...] = setting(
        (), doc="Hosts to which everything may go unencrypted, key and images too."
    )
    allowed_origins: tuple[str, ...] = setting(
        (), doc="Origins besides url's that the service may name for the realtime connection."
    )
    ca_file: str = setting(
        "", doc="Certificates of the authority to trust (PEM) instead of the system's."
    )
    proxy: str = setting("", doc="Address of an HTTP proxy to go through; empty: none.")
    pacing: str = setting(
        "gated",
        doc="gated: the brain waits until each cycle was executed; free: it is told so when"
        " the cycle comes, and runs at its own pace.",
        one_of=("gated", "free"),
    )
    options: Mapping[str, Any] = setting(
        dict, doc="More for the body of start, as the service has it."
    )
    jpeg_quality: int = setting(85, doc="Quality of camera images.", ge=1, le=100)
    feedback_format: str = setting(
        "",
        doc="How feedback is sent; empty: as the contract says, else deviation_f32.",
        one_of=("", *FEEDBACK_FORMATS),
    )
    inputs: Mapping[str, JointInputSettings] = setting(
        dict, doc="Joints and their bounds, by input that gets joint positions."
    )
    repeat: bool = setting(
        True, doc="Send a sample again, as old as it is, to a service that cannot be told it holds."
    )
    state_rate: float = setting(
        20.0, doc="Rate at which the robot's state is sent at most.", unit="Hz", gt=0, le=1000
    )
    state_joints: tuple[str, ...] = setting(
        (), doc="Joints of the state, in this order; empty: all but the gripper's."
    )
    gripper: str = setting("", doc="Joint whose position is the gripper's; empty: none.")
    robot_cmd: str = setting(
        "refuse",
        doc="What becomes of a direct command: refused, or handed to the motor stage as deltas.",
        one_of=ROBOT_CMD,
    )
    direct_channels: tuple[str, ...] = setting(
        (), doc="Channels of a direct command's dq, in its order."
    )
    direct_gripper: str = setting("", doc="Channel of a direct command's dg; empty: none.")
    deadline: float | None = setting(
        None,
        doc="Time within which the service shall wait for samples (ours, gated).",
        unit="s",
        gt=0,
        le=60,
    )
    connect_timeout: float = setting(
        5.0, doc="Time that the service has to start a run, or to end it.", unit="s", gt=0, le=600
    )
    link_timeout: float = setting(
        2.0, doc="Silence after which a link counts as broken.", unit="s", ge=0.2, le=60
    )
    backoff_first: float = setting(
        0.05, doc="Longest wait before the first new attempt.", unit="s", gt=0, le=60
    )
    backoff_most: float = setting(
        2.0, doc="Longest wait between two attempts.", unit="s", gt=0, le=600
    )
    largest_payload: int = setting(
        8_388_608, doc="Largest message taken or sent.", unit="bytes", ge=1024, le=1 << 30
    )

    def __post_init__(self) -> None:
        self.endpoint.call(self.project, "start")
        for origin in self.allowed_origins:
            try:
                origin_of(origin)
            except ProtocolError as error:
                raise ConfigError(f"allowed_origins: {error}") from None
        if self.backoff_most < self.backoff_first:
            raise ConfigError(
                f"backoff_most: must be at least backoff_first ({self.backoff_first:g} s), not"
                f" {self.backoff_most:g}"
            )
        if self.robot_cmd == "deltas" and not (self.direct_channels or self.direct_gripper):
            raise ConfigError("direct_channels: must name a channel for each of a command's dq")
        if self.proxy:
            _check_proxy(self.proxy)

    @property
    def endpoint(self) -> Endpoint:
        """The service's address, checked."""
        return Endpoint.parse(self.url, self.plain_http)

    @property
    def gated(self) -> bool:
        """Whether the brain waits for ``robot:cycle_done``."""
        return self.pacing == "gated"


def _check_proxy(proxy: str) -> None:
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
        parts = urlsplit("")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("proxy: must not hold a user or password, which ros2 param would show")
    if not usable:
        raise ConfigError(f"proxy: must be like http://host:3128, not {proxy!r}")
