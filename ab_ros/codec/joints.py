"""Encoders of joint states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.encoder import RateEncoder
from ab_ros.codec.readings import read_joints
from ab_ros.codec.trains import code_setting
from ab_ros.codec.tuning import GaussianTuning
from ab_ros.config import setting
from ab_ros.errors import ConfigError
from ab_ros.values import Observation


@dataclass(frozen=True)
class JointPopulationSettings:
    """Gaussian population code of joint positions."""

    joints: tuple[str, ...] = setting(doc="Joints that are encoded, by name.")
    lower: float = setting(-3.1416, doc="Position of the first cell's centre.", unit="rad or m")
    upper: float = setting(3.1416, doc="Position of the last cell's centre.", unit="rad or m")
    cells: int = setting(8, doc="Cells per joint.", ge=2, le=4096)
    width: float = setting(
        1.0, doc="Sigma of a cell's tuning, in distances between centres.", gt=0, le=100
    )
    max_rate: float = setting(100.0, doc="Rate at a cell's centre.", unit="Hz", gt=0, le=1000)
    code: str = code_setting()

    def __post_init__(self) -> None:
        if not self.joints:
            raise ConfigError("joints: must name at least one joint")
        if self.lower >= self.upper:
            raise ConfigError(
                f"lower: must be below upper ({self.lower} is not below {self.upper})"
            )


class JointPopulationEncoder(RateEncoder):
    """Joint positions as Gaussian tuning curves, ``cells`` per joint.

    As ``population`` with these ``joints`` (A. Pouget, P. Dayan and R. Zemel, Nature Reviews
    Neuroscience 1, 2000; see :class:`~ab_ros.codec.tuning.GaussianTuning`).
    """

    settings_type = JointPopulationSettings
    kinds = ("Proprioception",)

    def __init__(self, settings: JointPopulationSettings, seed: int = 0) -> None:
        self.settings = settings
        super().__init__(settings.cells * len(settings.joints), seed, settings.code)
        self._tuning = GaussianTuning(
            settings.lower, settings.upper, settings.cells, settings.width
        )

    def rates(self, observation: Observation) -> NDArray[np.float64]:
        """Return the cells' rates, float64[size] in Hz, joint by joint."""
        position = read_joints(observation, self.settings.joints)
        return (self.settings.max_rate * self._tuning.response(position)).reshape(-1)
