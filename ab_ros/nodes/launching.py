"""What the launch files share: arguments that set parameters, the nodes, and their surroundings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.launch_context import LaunchContext
from launch.launch_description import LaunchDescription
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from ab_ros.config import load_yaml, node_parameters
from ab_ros.errors import ConfigError
from ab_ros.nodes.lifecycle import EXIT_BAD_CONFIGURATION

NODES = ("brain", "motor", "critic")
"""The nodes that give a robot a brain."""
TARGET = "target"
"""The node that looks for what a task is about; started where the file has a part for it."""
EPISODES = "episodes"
"""The node that trains a brain."""
_LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
_WORDS = {"true": True, "false": False}


@dataclass(frozen=True)
class Argument:
    """A launch argument that sets a parameter of some nodes; empty: as the parameter file says.

    ``parameters`` has the parameter's name by node, ``kind`` is its type.
    """

    name: str
    description: str
    parameters: Mapping[str, str]
    kind: type = str
    choices: Sequence[str] = ()

    def declare(self) -> DeclareLaunchArgument:
        """Return its declaration."""
        choices = self.choices or (tuple(_WORDS) if self.kind is bool else ())
        return DeclareLaunchArgument(
            self.name,
            default_value="",
            description=f"{self.description}; empty: as in the file.",
            choices=["", *choices] if choices else None,
        )

    def value(self, context: LaunchContext) -> Any:
        """Return what was given, as its type, or None."""
        text = given(context, self.name)
        if not text:
            return None
        if self.kind is bool:
            return _WORDS[text]
        try:
            return self.kind(text)
        except ValueError:
            raise ConfigError(f"{self.name}:={text}: must be an integer") from None


USE_SIM_TIME = Argument(
    "use_sim_time",
    "Whether the nodes go by the time on /clock",
    dict.fromkeys((*NODES, TARGET, EPISODES), "use_sim_time"),
    bool,
)
BRAIN = Argument("brain", "Brain file to go on from", {"brain": "file"})
SEED = Argument(
    "seed",
    "Seed of a new brain and of what happens in the simulation",
    {"sim": "seed", "brain": "seed"},
    int,
)
PACING = Argument(
    "pacing",
    "realtime, or lockstep (as fast as it goes)",
    dict.fromkeys(("sim", "brain", "motor", "critic"), "pacing"),
    choices=("realtime", "lockstep"),
)
URL = Argument("url", "Address of the brain's service", {"brain": "remote.url"})
TRAINING = Argument("training", "YAML file of the training", {EPISODES: "training"})
PROJECT = Argument("project", "Id of the project at the service", {"brain": "remote.project"})


def shared(*below: str) -> Path:
    """Return the path of a file that is installed with the package."""
    return share_of("ab_ros").joinpath(*below)


def share_of(package: str) -> Path:
    """Return where a package's launch files and the like are installed."""
    return Path(get_package_share_directory(package))


def description(
    start: Callable[[LaunchContext], Sequence[Any]],
    *,
    config: str,
    arguments: Iterable[Argument],
    others: Iterable[DeclareLaunchArgument] = (),
    says: str = "Parameter file of the nodes.",
) -> LaunchDescription:
    """Describe a launch: what can be given, the surroundings, and what is then started.

    Parameters
    ----------
    start : returns the actions, once the arguments are known.
    config : default of the argument ``config``, which ``says`` explains.
    arguments : those that set parameters.
    others : arguments of other kinds.
    """
    return LaunchDescription(
        [
            DeclareLaunchArgument("config", default_value=config, description=says),
            DeclareLaunchArgument(
                "namespace", default_value="", description="Namespace of all nodes."
            ),
            DeclareLaunchArgument(
                "log_level",
                default_value="info",
                choices=list(_LOG_LEVELS),
                description="From which level on the nodes say something.",
            ),
            *(argument.declare() for argument in arguments),
            *others,
            *_surroundings(),
            OpaqueFunction(function=start),
        ]
    )


def _surroundings() -> list[SetEnvironmentVariable]:
    # FastDDS 2, which is Jazzy's, knows the variable by its older name; version 3 warns of that.
    fastdds = "FASTRTPS" if os.environ.get("ROS_DISTRO") == "jazzy" else "FASTDDS"
    defaults = {
        # Camera images need more shared memory than FastDDS takes by default.
        f"{fastdds}_DEFAULT_PROFILES_FILE": str(shared("config", "fastdds.xml")),
        # BLAS threads of several nodes fight for the cores.
        "OPENBLAS_NUM_THREADS": "1",
    }
    return [
        SetEnvironmentVariable(name, EnvironmentVariable(name, default_value=value))
        for name, value in defaults.items()
    ]


def given(context: LaunchContext, name: str) -> str:
    """Return the text of a launch argument; empty if it was not given."""
    return str(LaunchConfiguration(name).perform(context)).strip()


def given_file(context: LaunchContext, name: str) -> Path:
    """Return the path that a launch argument names.

    Raises
    ------
    ConfigError
        if no file is there: launch itself would start the nodes without it.
    """
    text = given(context, name)
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise ConfigError(f"{name}:={text}: there is no such file")
    return path


def says_of(config: Path, node: str) -> bool:
    """Whether a parameter file has parameters for a node."""
    parameters, _ = node_parameters(*load_yaml(config), node)
    return bool(parameters)


def robot_nodes(config: Path) -> tuple[str, ...]:
    """Return the nodes of a robot that no simulator of ours knows all about."""
    return (*NODES, TARGET) if says_of(config, TARGET) else NODES


def training_nodes(config: Path) -> tuple[str, ...]:
    """Return the nodes of a training: its own, and those that its file has a part for."""
    others = (name for name in ("sim", "motor", TARGET) if says_of(config, name))
    return (*others, EPISODES)


def nodes(
    context: LaunchContext,
    config: Path,
    arguments: Iterable[Argument],
    *,
    names: Sequence[str] = NODES,
    files: Mapping[str, Path] | None = None,
    always: Mapping[str, Any] | None = None,
) -> list[Node]:
    """Return nodes of ab_ros with their parameters.

    Parameters
    ----------
    config : parameter file of all that ``files`` does not give one of their own.
    arguments : those that set parameters, where they were given.
    names : of the nodes, in the order in which they are started.
    always : parameters of all nodes, whatever the file says.
    """
    values = [(argument, argument.value(context)) for argument in arguments]
    made = []
    for name in names:
        own = {
            argument.parameters[name]: value
            for argument, value in values
            if name in argument.parameters and value is not None
        }
        file = (files or {}).get(name, config)
        made.append(_node(context, name, file, {**own, **(always or {})}))
    return made


def _node(context: LaunchContext, name: str, file: Path, parameters: Mapping[str, Any]) -> Node:
    namespace = given(context, "namespace").strip("/")
    # By the node's own logger: the global level would make the middleware as talkative.
    logger = ".".join([*namespace.split("/"), name] if namespace else [name])
    return Node(
        package="ab_ros",
        executable=name,
        name=name,
        namespace=namespace,
        parameters=[str(file), dict(parameters)] if parameters else [str(file)],
        ros_arguments=["--log-level", f"{logger}:={given(context, 'log_level')}"],
        output="screen",
        on_exit=_ended(name),
    )


def _ended(name: str) -> Callable[[Any, LaunchContext], list[Action] | None]:
    """Return what is done when a node has ended.

    The others go on, because the motor node then holds the robot; not if there is nothing to go on
    with: no simulated robot, nobody to move it, or a node that refused its configuration.
    """

    def ended(event: Any, context: LaunchContext) -> list[Action] | None:
        if context.is_shutdown:
            return None
        if event.returncode == EXIT_BAD_CONFIGURATION:
            return _end(f"the {name} node cannot use its configuration")
        if name in ("sim", "motor"):
            return _end(f"the {name} node has ended")
        return None

    return ended


def _end(reason: str) -> list[Action]:
    """End the launch, and say why: of itself it would not."""
    return [LogInfo(msg=f"{reason}; ending all"), Shutdown(reason=reason)]


def then(action: Any, what: str, following: Sequence[Any]) -> RegisterEventHandler:
    """Start actions once a process has done its work; end the launch if it failed.

    Parameters
    ----------
    action : the process.
    what : its work, for the sentence that says what failed.
    """

    def ended(event: Any, context: LaunchContext) -> list[Any]:
        if context.is_shutdown:
            return []
        if event.returncode:
            return _end(f"{what} failed (exit code {event.returncode})")
        return list(following)

    return RegisterEventHandler(OnProcessExit(target_action=action, on_exit=ended))


def need(packages: Mapping[str, str]) -> None:
    """Refuse to go on where ROS packages are missing.

    Parameters
    ----------
    packages : names, and by which package of Debian each is brought, without its prefix
        ``ros-<distribution>-``.

    Raises
    ------
    ConfigError
        which names those that are missing, and how they are installed.
    """
    missing = [name for name in packages if not _installed(name)]
    if missing:
        distribution = os.environ.get("ROS_DISTRO", "<distribution>")
        debs = dict.fromkeys(f"ros-{distribution}-{packages[name]}" for name in missing)
        raise ConfigError(
            f"not installed: {', '.join(missing)}; with a sourced ROS 2: apt install"
            f" {' '.join(debs)}"
        )


def _installed(package: str) -> bool:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def robot_state_publisher(context: LaunchContext, urdf: str, *, use_sim_time: bool = False) -> Node:
    """Return the node that publishes ``robot_description`` and the frames of a robot.

    Raises
    ------
    ConfigError
        if it is not installed.
    """
    need({"robot_state_publisher": "robot-state-publisher"})
    # Said to be a text: it would be read as YAML otherwise.
    text = ParameterValue(urdf, value_type=str)
    return Node(
        package="robot_state_publisher",
        executable="robot_state_publisher",
        namespace=given(context, "namespace").strip("/"),
        parameters=[{"robot_description": text, "use_sim_time": use_sim_time}],
        output="screen",
    )
