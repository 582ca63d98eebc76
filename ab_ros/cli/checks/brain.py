"""Checks of the brain node: its wiring or file, its inputs, and the contract that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ab_ros.brains.architecture import ArchitectureSettings, InputSettings
from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.brains.files import load_brain
from ab_ros.brains.local import LocalBrain
from ab_ros.cli.checks.config_file import NodeConfig, RobotConfig, read_part
from ab_ros.codec.registry import make_encoder
from ab_ros.contract import Contract
from ab_ros.errors import AbRosError, ConfigError
from ab_ros.learning.scaffold import JSON_FILE, read_contract
from ab_ros.nodes.remarks import Remarks

if TYPE_CHECKING:
    from ab_ros.nodes.brain_inputs import Feed
    from ab_ros.nodes.brain_settings import BrainSettings


@dataclass(frozen=True)
class KnownBrain:
    """A brain as far as it is known without running it.

    Parameters
    ----------
    contract : what it takes and gives; None if that is not known.
    origin : where that is known from, for messages.
    dt : of a timestep, s.
    remote : whether a service has it.
    inputs : of a brain that is here.
    joints : joints that its encoders read, by input.
    """

    contract: Contract | None
    origin: str
    dt: float
    remote: bool
    inputs: Mapping[str, InputSettings] = field(default_factory=dict)
    joints: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def cycle_time(self) -> float:
        """Of a cycle, s; 0 if it is not known."""
        return self.contract.gamma * self.dt if self.contract is not None else 0.0


def check_brain(config: RobotConfig, file: Path | None, remarks: Remarks) -> KnownBrain:
    """Check the brain node, and find out what its brain takes and gives.

    Parameters
    ----------
    config : of the robot.
    file : brain file that stands for what the configuration says.
    """
    node = config.node("brain")
    if node is None:
        return _from_elsewhere(config, file, remarks)
    settings: BrainSettings = node.settings
    remote = settings.backend == "remote"
    path = file or (Path(settings.file) if settings.file and not remote else None)
    architecture = settings.architecture
    if remote and path is None:
        return _remote(config, node, remarks)
    if path is not None:
        return _from_file(path, node, remote, remarks)
    if architecture is None:
        remarks.error("is missing: give it, or in 'file' a brain file", *node.place("architecture"))
        return KnownBrain(None, "", settings.dt, remote)
    return _wired(architecture, node, settings.dt, settings.seed, remarks)


def _wired(
    architecture: ArchitectureSettings, node: NodeConfig, dt: float, seed: int, remarks: Remarks
) -> KnownBrain:
    joints = {}
    fit = True
    for name, item in architecture.inputs.items():
        path = ("architecture", "inputs", name)
        try:
            encoder = make_encoder(item.encoder, item.options, 0, node.source, path, item.kind)
        except ConfigError as error:
            fit = False
            for fault in (error, *error.also):
                where, key = node.place(*(fault.path or path))
                text = str(fault)
                for at in (fault.path, (*path, "encoder"), (*path, "options"), path):
                    start = f"{node.source.at(tuple(at))}: " if at else ""
                    if start and text.startswith(start):
                        where, key = node.place(*at)
                        text = text.removeprefix(start)
                remarks.error(text, where, key)
            continue
        joints[name] = joints_of(item, getattr(encoder, "settings", None))
    origin = str(node.source.file)
    known = KnownBrain(None, origin, dt, False, architecture.inputs, joints)
    if not fit:
        return known
    try:
        brain = EmbeddedBrain(architecture, dt=dt, seed=seed)
    except AbRosError as error:
        where, key, text = node.place_of(f"architecture.{error}")
        remarks.error(text, where, key)
        return known
    _tell_size(brain, node, remarks)
    return replace(known, contract=brain.contract)


def _from_file(path: Path, node: NodeConfig, remote: bool, remarks: Remarks) -> KnownBrain:
    settings: BrainSettings = node.settings
    try:
        brain = load_brain(path, dt=settings.dt, seed=settings.seed)
    except AbRosError as error:
        remarks.error(str(error).removeprefix(f"{path}: "), str(path), "brain.file")
        return KnownBrain(None, str(path), settings.dt, remote)
    if not remote and brain.dt != settings.dt:
        remarks.error(
            f"{settings.dt:g} s is not that of the brain in {path}; write {brain.dt:g}",
            *node.place("dt"),
        )
    own = settings.architecture
    if not remote and own is not None and brain.wiring != own.to_json():
        remarks.error(
            f"is wired differently from the brain in {path}; leave 'architecture' out, or 'file'",
            *node.place("architecture"),
        )
    _tell_size(brain, node, remarks)
    joints = {
        name: joints_of(item, getattr(brain.encoders.get(name), "settings", None))
        for name, item in brain.inputs.items()
    }
    return KnownBrain(brain.contract, str(path), brain.dt, remote, brain.inputs, joints)


def _remote(config: RobotConfig, node: NodeConfig, remarks: Remarks) -> KnownBrain:
    settings: BrainSettings = node.settings
    if settings.remote is None:
        remarks.error(
            "is missing: give the service's 'url' and the 'project' there", *node.place("remote")
        )
    contract, origin = contract_of_policies(config)
    if contract is None:
        remarks.warn(
            "what the brain of a service takes and gives is not known here, so neither mapping nor"
            " policies are compared with it; give its file by --brain, or run"
            " 'ab_ros policies sync'",
            *node.place("remote"),
        )
    return KnownBrain(contract, origin, settings.dt, True)


def _from_elsewhere(config: RobotConfig, file: Path | None, remarks: Remarks) -> KnownBrain:
    """Return the brain where the file configures none, or its settings cannot be known here."""
    node = config.nodes.get("brain")
    if node is not None and file is None:
        architecture = read_part(node, "architecture", ArchitectureSettings, remarks)
        dt = node.given.get("dt", 0.001)
        if architecture is not None and isinstance(dt, float):
            return _wired(architecture, node, dt, int(node.given.get("seed", 1)), remarks)
    if file is None:
        contract, origin = contract_of_policies(config)
        return KnownBrain(contract, origin, 0.001, False)
    try:
        brain = load_brain(file)
    except AbRosError as error:
        remarks.error(str(error).removeprefix(f"{file}: "), str(file), "brain.file")
        return KnownBrain(None, str(file), 0.001, False)
    return KnownBrain(brain.contract, str(file), brain.dt, False)


def contract_of_policies(config: RobotConfig) -> tuple[Contract | None, str]:
    """Return the contract in the robot's policy folder, and where it is; None if it has none."""
    critic = config.node("critic")
    named = getattr(getattr(critic and critic.settings, "critic", None), "policies", "")
    for folder in (Path(named).expanduser(),) if named else (config.file.parent / "policies",):
        try:
            return read_contract(folder), str(folder / JSON_FILE)
        except AbRosError:
            continue
    return None, ""


def joints_of(item: InputSettings, encoder: object) -> tuple[str, ...]:
    """Return the joints that an input's encoder reads, in what way ever it names them."""
    if item.kind != "Proprioception":
        return ()
    named = getattr(encoder, "joints", ()) or item.options.get("joints", ())
    return tuple(map(str, named))


def _tell_size(brain: LocalBrain, node: NodeConfig, remarks: Remarks) -> None:
    contract = brain.contract
    gamma = contract.gamma
    remarks.ok(
        f"{brain.size} neurons; {len(contract.inputs)} inputs, {len(contract.outputs)} outputs,"
        f" {len(contract.feedback)} feedbacks, {len(contract.stdp3_layers)} learning layers; cycles"
        f" of {gamma} × {brain.dt * 1e3:g} ms",
        *node.place(),
    )


def feeds_of(node: NodeConfig, brain: KnownBrain, only: str = "") -> dict[str, Feed]:
    """Return where the samples of the inputs come from; of all, or as if one alone were given.

    Raises
    ------
    ConfigError
        as the node would.
    """
    from ab_ros.nodes.brain_inputs import feeds_of_file, feeds_of_settings

    settings: BrainSettings = node.settings
    given = {name: item for name, item in settings.inputs.items() if only in ("", name)}
    if settings.backend != "remote":
        return feeds_of_file(brain.inputs, given, brain.origin)
    own = settings.architecture.inputs if settings.architecture is not None else {}
    return feeds_of_settings(given, own)


def check_feeds(node: NodeConfig, brain: KnownBrain, remarks: Remarks) -> None:
    """Check where the samples of the inputs come from; needs the messages of ROS."""
    from ab_ros.nodes.brain_inputs import join

    settings: BrainSettings = node.settings
    fit = True
    for name in [*settings.inputs] or [""]:
        try:
            feeds_of(node, brain, name)
        except ConfigError as error:
            fit = False
            # Those of an architecture are told as if they stood on their own.
            inside = "architecture." if brain.inputs and not settings.inputs else ""
            said = str(error).removeprefix("architecture.")
            where, key, text = node.place_of(f"{inside}{said}")
            remarks.error(text, where, key)
    if fit and settings.backend == "remote" and brain.contract is not None:
        for trouble in join(brain.contract, feeds_of(node, brain)).troubles:
            where, key, text = node.place_of(trouble)
            remarks.error(f"{text} (contract in {brain.origin})", where, key)
