"""What brains in this process share: encoders, feedback, the reward rule, runs and cycles."""

from __future__ import annotations

import json
import time
import uuid
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ab_ros.brains.architecture import InputSettings
from ab_ros.brains.port import Brain, Observe
from ab_ros.codec.encoder import Encoder
from ab_ros.contract import Contract
from ab_ros.errors import BrainError, BrainFileError, ObservationError
from ab_ros.learning.feedback import FeedbackRaster
from ab_ros.learning.modulation import RewardModulation
from ab_ros.values import Cycle, Deviation, Need, Observation, read_only

Rasters = dict[str, NDArray[np.uint8]]
Played = Mapping[str, NDArray[np.int8]]


class Taught(Protocol):
    """A feedback: how many neurons it has, and which output it is about."""

    @property
    def size(self) -> int:
        """Number of neurons."""

    @property
    def output(self) -> str:
        """Id of the output."""


class LocalBrain(Brain):
    """A brain in this process; subclasses say how its neurons fire, and what it learns.

    Parameters
    ----------
    contract : what it takes and gives.
    inputs : by id, in the order in which encoders draw their seeds.
    encoders : by input.
    wiring : text that says how it is wired; equal ones have equal texts.
    modulation : of rewards.
    dt : s, duration of a timestep.
    seed : of noise and phases; the same seed gives the same run, bit by bit.
    clock : returns robot time in s, for the stamp of a cycle; by default that of the newest
        observation is used, so that a lockstep run does not depend on any clock.

    Attributes
    ----------
    refused : samples that an encoder refused, by input.
    """

    def __init__(
        self,
        contract: Contract,
        inputs: Mapping[str, InputSettings],
        encoders: Mapping[str, Encoder],
        wiring: str,
        modulation: RewardModulation,
        *,
        dt: float,
        seed: int,
        clock: Callable[[], float] | None,
    ) -> None:
        self.contract = contract
        self.inputs, self.encoders, self.wiring = inputs, encoders, wiring
        self.modulation = modulation
        self.dt, self.seed = dt, seed
        self._feedback = {
            port.id: FeedbackRaster(port.id, port.n, contract.feedback_timesteps, contract.sha256)
            for port in contract.feedback
        }
        self._heard: set[str] = set()
        self.refused = dict.fromkeys(inputs, 0)
        self.last_refusal = ""
        self._clock = clock
        self._run = ""
        self._number = 0
        self._observed = 0.0
        self._silence = {
            port.id: np.zeros((contract.gamma, port.n), np.int8) for port in contract.feedback
        }

    @property
    def run(self) -> str:
        """Id of the run; empty before :meth:`open`."""
        return self._run

    def open(self) -> Contract:
        """Start a run with a new run id."""
        self._run = uuid.uuid4().hex
        self._number = 0
        return self.contract

    def run_cycle(self, observe: Observe, timeout: float = 0.0) -> Cycle:
        """Run one cycle on the spot; an input without a sample, or a refused one, is silent."""
        if not self._run:
            raise BrainError("the brain is not open: call open() first")
        begin = time.perf_counter()
        need = Need(self._number, tuple(self.encoders), tuple(self._feedback))
        observations = {observation.id: observation for observation in observe(need)}
        played = dict(self._played())
        spikes = {
            name: self._encode(name, encoder, observations.get(name))
            for name, encoder in self.encoders.items()
        }
        newest = max((o.stamp for o in observations.values()), default=self._observed)
        self._observed = newest
        rasters, telemetry = self._advance(spikes, played)
        outputs = {port.id: read_only(np.array(rasters[port.id])) for port in self.contract.outputs}
        telemetry["compute_time"] = time.perf_counter() - begin
        stamp = self._clock() if self._clock else newest
        cycle = Cycle(self._run, self._number, outputs, self.dt, stamp, newest, telemetry)
        self._number += 1
        return cycle

    @abstractmethod
    def _advance(self, spikes: Rasters, played: Played) -> tuple[Rasters, dict[str, float]]:
        """Run the neurons through the cycle :attr:`_number`.

        Parameters
        ----------
        spikes : uint8[gamma, size] of each input.
        played : int8[gamma, size] of each feedback; see :mod:`ab_ros.learning.feedback`.

        Returns
        -------
        tuple
            the rasters of at least the outputs, and telemetry.
        """

    def done(self, cycle: int) -> None:
        """Do nothing: a brain here needs no mark, lockstep is kept by its owner."""

    def feedback(self, deviation: Deviation, cycle: int) -> None:
        """Change the feedback's raster; it is played in the next cycle."""
        if deviation.feedback not in self._feedback:
            self.contract.feedback_port(deviation.feedback)
        self._feedback[deviation.feedback].apply(deviation)
        self._heard.add(deviation.feedback)

    def feedback_raster(self, feedback: str, raster: NDArray[np.int8], cycle: int) -> None:
        """Take a feedback's raster, int8[feedbackT, N], instead of a deviation.

        It is played as it is in the next cycle, and becomes the baseline: 1 is a spike, 0 none,
        and -1 inhibits.

        Raises
        ------
        PolicyError
            if the raster has another form.
        """
        if feedback not in self._feedback:
            self.contract.feedback_port(feedback)
        self._feedback[feedback].replace(raster)
        self._heard.add(feedback)

    def state(self, joints: Observation) -> None:
        """Do nothing: joint states reach a brain here as observations."""

    def reset(self, seed: int | None = None) -> None:
        """Forget the dynamic state, feedback and reward baselines; keep what was learned."""
        if seed is not None:
            self.seed = seed
        for k, encoder in enumerate(self.encoders.values()):
            encoder.reset(self.seed + 1 + k)
        for raster in self._feedback.values():
            raster.reset()
        self._heard.clear()
        self.modulation.reset()

    def counts(self) -> Mapping[str, int]:
        """Return how many samples were refused, by input."""
        return {f"{name} refused": count for name, count in self.refused.items() if count}

    def close(self) -> None:
        """End the run."""
        self._run = ""

    # What a brain file keeps beside the neurons

    def _kept(self) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
        """Return texts and arrays with which :meth:`_restore` makes the next cycle the same."""
        arrays: dict[str, NDArray[Any]] = {}
        for name, encoder in self.encoders.items():
            for key, array in encoder.state().items():
                arrays[f"encoder.{name}.{key}"] = array
        for name, raster in self._feedback.items():
            arrays[f"feedback.{name}"] = raster.baseline
        arrays["modulation.baseline"] = self.modulation.baseline
        texts = {
            "dt": repr(self.dt),
            "seed": str(self.seed),
            "contract": self.contract.canonical(),
            "heard": json.dumps(sorted(self._heard)),
        }
        return texts, arrays

    def _restore(
        self, texts: Mapping[str, str], arrays: Mapping[str, NDArray[Any]], path: Path
    ) -> None:
        """Take back what :meth:`_kept` returned; of a brain that was never run there is nothing."""
        if "heard" not in texts:
            return
        try:
            for name, encoder in self.encoders.items():
                encoder.restore(below(arrays, f"encoder.{name}."))
            for name, raster in self._feedback.items():
                raster.replace(arrays[f"feedback.{name}"])
            self.modulation.restore(arrays["modulation.baseline"])
        except KeyError as error:
            raise BrainFileError(f"{path}: lacks array {error}") from None
        self._heard = set(json.loads(texts["heard"]))

    def _played(self) -> Iterable[tuple[str, NDArray[np.int8]]]:
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


def contract_of(
    gamma: int,
    feedback_timesteps: int,
    inputs: Mapping[str, InputSettings],
    outputs: Mapping[str, int],
    feedback: Mapping[str, Taught],
    layers: Iterable[str],
) -> Contract:
    """Return the contract that ports imply.

    Parameters
    ----------
    outputs : sizes by id.
    feedback : by id.
    layers : STDP3 layers; an empty name is none.
    """
    return Contract.from_dict(
        {
            "constants": {
                "gamma": gamma,
                "outputWindowN": max(outputs.values()),
                "feedbackN": max((f.size for f in feedback.values()), default=1),
                "feedbackT": feedback_timesteps,
            },
            "io": {
                "inputs": [{"id": name, "kind": i.kind} for name, i in inputs.items()],
                "outputs": [
                    {"id": name, "n": size, "kind": "Motor"} for name, size in outputs.items()
                ],
                "feedback": [
                    {"id": name, "n": f.size, "fromOutput": f.output, "toLayer": f.output}
                    for name, f in feedback.items()
                ],
                "stdp3": {"layers": [layer for layer in layers if layer]},
            },
        }
    )


def below(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Return the arrays whose names begin with ``prefix``, by what follows it."""
    return {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}
