"""The embedded brain: an Izhikevich network with encoders, feedback and three-factor learning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ab_ros.brains.anatomy import Anatomy, ArchitectureAnatomy, RecipeAnatomy, load_anatomy
from ab_ros.brains.architecture import ArchitectureSettings
from ab_ros.brains.drive import DriveRegulator
from ab_ros.brains.inhibition import inhibitory_currents
from ab_ros.brains.local import LocalBrain, Played, Rasters, below
from ab_ros.config import Source
from ab_ros.engine.brain import Brain as EngineBrain
from ab_ros.errors import BrainFileError
from ab_ros.learning.modulation import RewardModulation
from ab_ros.values import Reward


class EmbeddedBrain(LocalBrain):
    """A spiking brain in this process.

    Parameters
    ----------
    wiring : settings of an architecture, or a brain that was built from a recipe with a section
        ``io``.
    dt : s, duration of a timestep.
    seed : of an architecture's weights, and of noise and phases; the same seed gives the same run,
        bit by bit.  None is 0, or for a brain the seed that it has.
    clock : returns robot time in s, for the stamp of a cycle; by default that of the newest
        observation is used, so that a lockstep run does not depend on any clock.
    source : where the architecture was read, for messages.

    Attributes
    ----------
    anatomy : ports, encoders and network.
    """

    def __init__(
        self,
        wiring: ArchitectureSettings | EngineBrain | Anatomy,
        *,
        dt: float = 0.001,
        seed: int | None = None,
        clock: Callable[[], float] | None = None,
        source: Source | None = None,
    ) -> None:
        if isinstance(wiring, EngineBrain):
            seed = wiring.network.seed if seed is None else seed
            wiring = RecipeAnatomy(wiring, seed)
        elif isinstance(wiring, ArchitectureSettings):
            wiring = ArchitectureAnatomy(wiring, seed or 0, source)
        self.anatomy = anatomy = wiring
        self.network = anatomy.network
        super().__init__(
            anatomy.contract(),
            anatomy.inputs,
            anatomy.encoders,
            anatomy.wiring,
            RewardModulation(anatomy.layers, anatomy.baseline_cycles),
            dt=dt,
            seed=seed or 0,
            clock=clock,
        )
        self.drive = DriveRegulator(anatomy.regulated, dt)

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.anatomy.size

    @property
    def learning(self) -> bool:
        """Whether rewards change synapses."""
        return bool(self.network.learning)

    def _advance(self, spikes: Rasters, played: Played) -> tuple[Rasters, dict[str, float]]:
        told = {name: (raster > 0).view(np.uint8) for name, raster in played.items()}
        currents = inhibitory_currents(self.network, played, self.drive.currents)
        fired = self.network.run(self.contract.gamma, {**told, **spikes}, currents)
        self.network.mark(self._number)
        self.drive.observe(fired, self.network.learning)
        telemetry = {
            f"rate.{name}": float(raster.mean()) / self.dt
            for name, raster in self.anatomy.watched(fired).items()
        }
        telemetry["spikes"] = float(sum(int(raster.sum()) for raster in fired.values()))
        return self.anatomy.rasters(fired), telemetry

    def reward(self, reward: Reward, cycle: int) -> bool:
        """Credit the eligibility of ``cycle``; False if that is no longer remembered."""
        if not self.network.learning:
            return True
        by_layer = dict(self.modulation.modulate(reward))
        everywhere = by_layer.pop("", None)
        return bool(self.network.reward(by_layer, everywhere, cycle=cycle))

    def set_learning(self, on: bool) -> None:
        """Switch learning on or off."""
        self.network.learning = on

    def reset(self, seed: int | None = None) -> None:
        """Forget the dynamic state, feedback and reward baselines; keep what was learned."""
        super().reset(seed)
        self.network.reset(self.seed)

    def complaints(self) -> list[str]:
        """Return a sentence for each population that is too quiet or too loud to learn."""
        return self.drive.complaints()

    def save(self, path: Path) -> None:
        """Save wiring, weights and the whole dynamic state to a brain file, atomically."""
        texts, arrays = self._kept()
        for name, array in self.drive.state().items():
            arrays[f"drive.{name}"] = array
        self.anatomy.save(Path(path), texts, arrays)

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        dt: float = 0.001,
        seed: int | None = None,
        clock: Callable[[], float] | None = None,
    ) -> EmbeddedBrain:
        """Load a brain file: one that was saved goes on exactly where it was, in a new run.

        A file that ``ab_ros brain build`` has made begins its first run; its recipe's section
        ``io`` says what joins it to a robot.

        Parameters
        ----------
        path : of the file.
        dt, seed : see the class; for a brain that was never run.
        clock : see the class.

        Raises
        ------
        BrainFileError
            if the file cannot be read, or does not hold a brain.
        ConfigError
            if the brain's recipe does not say what joins it to a robot.
        """
        anatomy, texts, arrays = load_anatomy(path, seed)
        brain = cls(
            anatomy,
            dt=float(texts.get("dt", dt)),
            seed=int(texts.get("seed", anatomy.network.seed if seed is None else seed)),
            clock=clock,
        )
        brain._restore(texts, arrays, Path(path))
        if "heard" in texts:
            try:
                brain.drive.restore(below(arrays, "drive."))
            except KeyError as error:
                raise BrainFileError(f"{path}: lacks array {error}") from None
        return brain
