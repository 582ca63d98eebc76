"""``ab_ros serve`` beside the demo: its brain in a process of its own, behind the 0.1 protocol."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ab_ros.brains.architecture import ArchitectureSettings
from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.config import load_yaml, node_parameters, parse
from ab_ros.errors import BrainError, ConfigError
from ab_ros.nodes.launcher import NodeProcesses

PROJECT = "demo"
_NAME = "serve"
_ADDRESS = re.compile(r" on (https?://\S+)")


class BrainService:
    """Serves one brain on this computer, to one project.

    Parameters
    ----------
    folder : where its files are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._served = self._folder / "served"

    def build(self, config: Path, seed: int) -> Path:
        """Write the brain that a configuration file's node ``brain`` would begin with.

        Raises
        ------
        ConfigError
            if it has no architecture, or one that cannot be built.
        """
        data, source = load_yaml(config)
        parameters, where = node_parameters(data, source, "brain")
        given = parameters.get("architecture")
        if not isinstance(given, Mapping):
            raise ConfigError(f"{where.at(('architecture',))}: is missing")
        below = where.below("architecture")
        architecture = parse(ArchitectureSettings, given, below)
        dt = float(parameters.get("dt", 0.001))
        brain = EmbeddedBrain(architecture, dt=dt, seed=seed, source=below)
        file = self._folder / "untrained.db"
        brain.save(file)
        return file

    def start(self, processes: NodeProcesses, brain: Path) -> None:
        """Start to serve a brain file."""
        arguments = [str(brain), "--port", "0", "--dir", str(self._served), "--project", PROJECT]
        processes.start_program(_NAME, [sys.executable, "-m", "ab_ros.cli", "serve", *arguments])

    def url(self, processes: NodeProcesses) -> str:
        """Return where it listens; empty as long as it does not."""
        found = _ADDRESS.findall(processes.said(_NAME))
        return str(found[-1]) if found else ""

    def parameters(self, processes: NodeProcesses) -> dict[str, Any]:
        """Return the parameters with which a brain node uses it, from its brain file on."""
        return {
            "backend": "remote",
            "remote.url": self.url(processes),
            "remote.project": PROJECT,
            "remote.fresh": True,
        }

    def keep(self, file: Path) -> None:
        """Copy what the project has learned and the service has saved.

        Raises
        ------
        BrainError
            if there is no such file.
        """
        saved = self._served / f"{PROJECT}.db"
        try:
            shutil.copyfile(saved, file)
        except OSError as error:
            raise BrainError(f"{saved}: cannot be copied to {file}: {error.strerror}") from None
