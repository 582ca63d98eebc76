"""The embedded brain: an Izhikevich network with encoders, feedback and three-factor learning."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.brains.anatomy import Anatomy, ArchitectureAnatomy, RecipeAnatomy, load_anatomy
from ab_ros.brains.architecture import ArchitectureSettings
from ab_ros.brains.drive import DriveRegulator
from ab_ros.brains.port import Brain
from ab_ros.codec.encoder import Encoder
from ab_ros.config import Source
from ab_ros.contract import Contract
from ab_ros.engine.brain import Brain as EngineBrain
from ab_ros.errors import BrainError, BrainFileError, ObservationError
from ab_ros.learning.feedback import FeedbackRaster
from ab_ros.learning.modulation import RewardModulation
from ab_ros.values import Cycle, Deviation, Need, Observation, Reward, read_only


class EmbeddedBrain(Brain):
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
    refused : samples that an encoder refused, by input.
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
        self.dt = dt
        self.seed = seed or 0
        self.encoders = anatomy.encoders
        self.network = anatomy.network
        self.contract = anatomy.contract()
        digest = self.contract.sha256
        self._feedback = {
            port.id: FeedbackRaster(port.id, port.n, self.contract.feedback_timesteps, digest)
            for port in self.contract.feedback
        }
        self._heard: set[str] = set()
        self.modulation = RewardModulation(anatomy.layers, anatomy.baseline_cycles)
        self.drive = DriveRegulator(anatomy.regulated, dt)
        self.refused = dict.fromkeys(anatomy.inputs, 0)
        self.last_refusal = ""
        self._clock = clock
        self._run = ""
        self._number = 0
        self._observed = 0.0
        self._silence = {
            name: np.zeros((anatomy.gamma, f.size), np.uint8)
            for name, f in anatomy.feedback.items()
        }

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.anatomy.size

    @property
    def run(self) -> str:
        """Id of the run; empty before :meth:`open`."""
        return self._run

    @property
    def learning(self) -> bool:
        """Whether rewards change synapses."""
        return bool(self.network.learning)

    def open(self) -> Contract:
        """Start a run with a new run id."""
        self._run = uuid.uuid4().hex
        self._number = 0
        return self.contract

    def run_cycle(
        self, observe: Callable[[Need], Iterable[Observation]], timeout: float = 0.0
    ) -> Cycle:
        """Run one cycle on the spot; an input without a sample, or a refused one, is silent."""
        if not self._run:
            raise BrainError("the brain is not open: call open() first")
        begin = time.perf_counter()
        need = Need(self._number, tuple(self.encoders), tuple(self._feedback))
        observations = {observation.id: observation for observation in observe(need)}
        spikes = dict(self._played())
        for name, encoder in self.encoders.items():
            spikes[name] = self._encode(name, encoder, observations.get(name))
        newest = max((o.stamp for o in observations.values()), default=self._observed)
        self._observed = newest
        gamma = self.contract.gamma
        fired = self.network.run(gamma, spikes, self.drive.currents)
        self.network.mark(self._number)
        self.drive.observe(fired, self.network.learning)
        rasters = self.anatomy.rasters(fired)
        outputs = {port.id: read_only(np.array(rasters[port.id])) for port in self.contract.outputs}
        telemetry = {
            f"rate.{name}": float(raster.mean()) / self.dt
            for name, raster in self.anatomy.watched(fired).items()
        }
        telemetry["spikes"] = float(sum(int(raster.sum()) for raster in fired.values()))
        telemetry["compute_time"] = time.perf_counter() - begin
        stamp = self._clock() if self._clock else newest
        cycle = Cycle(self._run, self._number, outputs, self.dt, stamp, newest, telemetry)
        self._number += 1
        return cycle

    def done(self, cycle: int) -> None:
        """Do nothing: the embedded brain needs no mark, lockstep is kept by its owner."""

    def feedback(self, deviation: Deviation, cycle: int) -> None:
        """Change the feedback's raster; it is played in the next cycle."""
        if deviation.feedback not in self._feedback:
            self.contract.feedback_port(deviation.feedback)
        self._feedback[deviation.feedback].apply(deviation)
        self._heard.add(deviation.feedback)

    def reward(self, reward: Reward, cycle: int) -> bool:
        """Credit the eligibility of ``cycle``; False if that is no longer remembered."""
        if not self.network.learning:
            return True
        by_layer = dict(self.modulation.modulate(reward))
        everywhere = by_layer.pop("", None)
        return bool(self.network.reward(by_layer, everywhere, cycle=cycle))

    def state(self, joints: Observation) -> None:
        """Do nothing: joint states reach the embedded brain as observations."""

    def set_learning(self, on: bool) -> None:
        """Switch learning on or off."""
        self.network.learning = on

    def reset(self, seed: int | None = None) -> None:
        """Forget the dynamic state, feedback and reward baselines; keep what was learned."""
        if seed is not None:
            self.seed = seed
        self.network.reset(self.seed)
        for k, encoder in enumerate(self.encoders.values()):
            encoder.reset(self.seed + 1 + k)
        for raster in self._feedback.values():
            raster.reset()
        self._heard.clear()
        self.modulation.reset()

    def close(self) -> None:
        """End the run."""
        self._run = ""

    def save(self, path: Path) -> None:
        """Save wiring, weights and the whole dynamic state to a brain file, atomically."""
        arrays: dict[str, NDArray[Any]] = {}
        for name, encoder in self.encoders.items():
            for key, array in encoder.state().items():
                arrays[f"encoder.{name}.{key}"] = array
        for name, raster in self._feedback.items():
            arrays[f"feedback.{name}"] = raster.baseline
        arrays["modulation.baseline"] = self.modulation.baseline
        for name, array in self.drive.state().items():
            arrays[f"drive.{name}"] = array
        texts = {
            "dt": repr(self.dt),
            "seed": str(self.seed),
            "contract": self.contract.canonical(),
            "heard": json.dumps(sorted(self._heard)),
        }
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
        if "heard" not in texts:
            return brain
        try:
            for name, encoder in brain.encoders.items():
                encoder.restore(_below(arrays, f"encoder.{name}."))
            for name, raster in brain._feedback.items():
                raster.replace(arrays[f"feedback.{name}"])
            brain.modulation.restore(arrays["modulation.baseline"])
            brain.drive.restore(_below(arrays, "drive."))
        except KeyError as error:
            raise BrainFileError(f"{path}: lacks array {error}") from None
        brain._heard = set(json.loads(texts["heard"]))
        return brain

    def _played(self) -> Iterable[tuple[str, NDArray[np.uint8]]]:
        # A feedback is played in the cycle after a deviation was heard, and not again: when the
        # critic falls silent, so does its voice in the brain.
        for name, raster in self._feedback.items():
            heard = name in self._heard
            yield name, raster.played(self.contract.gamma) if heard else self._silence[name]
        self._heard.clear()

    def _encode(
        self, name: str, encoder: Encoder, observation: Observation | None
    ) -> NDArray[np.uint8]:
        try:
            return encoder.encode(observation, self.contract.gamma, self.dt)
        except ObservationError as error:
            self.refused[name] += 1
            self.last_refusal = str(error)
            return encoder.encode(None, self.contract.gamma, self.dt)


def _below(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}
