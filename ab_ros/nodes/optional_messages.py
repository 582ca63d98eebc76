"""Messages that ROS 2 does not always come with: asked for by name, when they are needed."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from ab_ros.errors import ConfigError


def optional(name: str) -> Any:
    """Return the class of a message, service or action, such as ``control_msgs/msg/JointJog``.

    Raises
    ------
    ConfigError
        if its package is not installed, or lacks it; the sentence says what to install.
    """
    package, folder, kind = name.split("/")
    distribution = os.environ.get("ROS_DISTRO", "<distribution>")
    debian = f"ros-{distribution}-{package.replace('_', '-')}"
    try:
        module = import_module(f"{package}.{folder}")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(package):
            raise
        raise ConfigError(
            f"needs {name}, and {package} is not installed: install it (apt install {debian}), or"
            f" build it in your workspace"
        ) from None
    if not hasattr(module, kind):
        raise ConfigError(
            f"needs {name}, which the installed {package} lacks: update it (apt install {debian})"
        )
    return getattr(module, kind)
