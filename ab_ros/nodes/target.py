"""The target node: where something of a colour is, for critics of robots without a simulator.

It looks at the camera and publishes the direction of what is, say, red on ``target/direction``:
what the demo's simulator knows, a robot in the real world must see.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from geometry_msgs.msg import Vector3Stamped
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ab_ros.codec.colour_target import Lens, find_colour
from ab_ros.codec.images import pixels
from ab_ros.config import setting
from ab_ros.errors import ConfigError
from ab_ros.nodes import qos
from ab_ros.nodes.diagnostics import Health, Level
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.process import run
from ab_ros.nodes.robot_messages import read_compressed_image, read_image

_READERS = {
    "Image": (Image, read_image),
    "CompressedImage": (CompressedImage, read_compressed_image),
}


@dataclass(frozen=True)
class TargetSettings:
    """The target node."""

    image: str = setting("camera/image_raw", doc="Topic of the camera's images.")
    message: str = setting("Image", doc="Message that it carries.", one_of=tuple(_READERS))
    camera_info: str = setting(
        "camera/camera_info", doc="Topic of the camera's calibration; empty: horizontal_fov is it."
    )
    horizontal_fov: float = setting(
        0.0,
        doc="Horizontal field of view of a camera without calibration; 0: it has one.",
        unit="deg",
        ge=0,
        lt=180,
    )
    target: str = setting("target/direction", doc="Topic that tells the direction; zeros: unseen.")
    colour: str = setting(
        "red", doc="Colour of the target.", one_of=("red", "green", "blue", "bright"), live=True
    )
    threshold: float = setting(
        0.2, doc="Purity of the colour from which a pixel counts.", ge=0.01, le=1, live=True
    )
    least: float = setting(
        0.0005, doc="Share of the image that must have the colour.", ge=0, le=1, live=True
    )

    def __post_init__(self) -> None:
        if bool(self.camera_info) == bool(self.horizontal_fov):
            raise ConfigError(
                "camera_info or horizontal_fov: exactly one of the two must be given, the other"
                " empty or 0"
            )


class TargetNode(AbNode[TargetSettings]):
    """Publishes the direction of what has a colour, in the camera's optical frame."""

    node_name = "target"
    settings_class = TargetSettings

    def setup(self) -> None:
        """Make topics."""
        s = self.settings
        self._lens: Lens | None = None
        self._uncalibrated = "no camera_info has come"
        self._seen = False
        kind, self._read = _READERS[s.message]
        self._direction = self.advertise(Vector3Stamped, s.target, qos.COMMAND)
        if s.camera_info:
            self.subscribe(CameraInfo, s.camera_info, self._calibration, qos.SENSOR, always=True)
        self.subscribe(kind, s.image, self._look, qos.SENSOR)

    def health(self) -> Health:
        """Tell whether the target is seen."""
        if self._lens is None and self.settings.camera_info:
            return Level.WARN, f"{self.settings.camera_info}: {self._uncalibrated}"
        return Level.OK, f"{self.settings.colour}: {'seen' if self._seen else 'not seen'}"

    def _calibration(self, message: CameraInfo) -> None:
        try:
            self._lens = Lens(tuple(map(float, message.k)), tuple(map(float, message.d)))
        except ConfigError as error:
            self._lens, self._uncalibrated = None, f"{error}, or give horizontal_fov"
            raise

    def _look(self, message: Image | CompressedImage) -> None:
        s = self.settings
        observation = self._read(message, "target")
        lens = self._lens
        if not s.camera_info:
            height, width = pixels(observation).shape[:2]
            lens = Lens.of_view(width, height, math.radians(s.horizontal_fov))
        if lens is None:
            return
        centre = find_colour(observation, s.colour, s.threshold, s.least)
        self._seen = centre is not None
        told = Vector3Stamped(header=message.header)
        if centre is not None:
            told.vector.x, told.vector.y, told.vector.z = lens.ray(*centre)
        self._direction.publish(told)


def main() -> int:
    """Run the node."""
    return run(TargetNode)


if __name__ == "__main__":
    raise SystemExit(main())
