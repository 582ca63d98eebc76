"""A brain in a worm: sensors give currents, spikes contract muscles, rewards teach."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ab_ros.config import setting
from ab_ros.engine.brain import Brain
from ab_ros.environments.senses import SENSORS, Sensor
from ab_ros.environments.worm import SEGMENTS
from ab_ros.errors import WorldError


@dataclass(frozen=True)
class MuscleSettings:
    """How spikes become contraction, and how bends are felt."""

    full_rate: float = setting(
        250.0,
        doc="Mean rate of the neurons of a component that contracts a muscle fully.",
        unit="Hz",
        gt=0,
        le=1000,
    )
    smoothing: float = setting(
        0.06, doc="Time over which spikes are smoothed.", unit="s", gt=0, le=10
    )
    proprioception: float = setting(
        1.0,
        doc="Current of motor neurons for a full bend felt, to their own side.",
        ge=-100,
        le=100,
    )


class WormBrain:
    """A controller (see :class:`~ab_ros.environments.chemotaxis.Controller`) that is a brain.

    What contracts a muscle is, summed over components, the mean rate of the component's neurons
    there; neurons that relax count below 0.

    Parameters
    ----------
    brain : with a body map and a sensor map.  It is returned, by :meth:`reset`, to the state in
        which it was given, so that every trial begins with the same brain.
    settings : of muscles and proprioception.
    dt : s, length of a tick.
    carry : whether a trial goes on with the brain of the last one instead.

    Raises
    ------
    WorldError
        if the brain has no maps.
    """

    def __init__(
        self,
        brain: Brain,
        settings: MuscleSettings | None = None,
        dt: float = 0.001,
        carry: bool = False,
    ) -> None:
        if not brain.body_map.size or not brain.sensor_map.size:
            raise WorldError(
                f"brain {brain.plan.name!r} has no body and sensor maps: prepare it with"
                f" `ab_ros arena prepare`"
            )
        self.brain = brain
        self.settings = s = settings or MuscleSettings()
        self.carry = carry
        self._begin = None if carry else brain.network.state()
        body, sensors = brain.body_map, brain.sensor_map
        self._muscle_neurons = body["neuron"].astype(np.int64)
        muscle = body["segment"] + SEGMENTS * (body["side"] == "ventral")
        self._muscle = muscle.astype(np.int64)
        owner = np.repeat(
            np.arange(len(brain.plan.blocks)), [b.stop - b.start for b in brain.plan.blocks]
        )[self._muscle_neurons]
        sign = np.where(body["effect"] == "excitatory", 1.0, -1.0)
        _, team, size = np.unique(
            np.stack((owner, muscle, sign)), axis=1, return_inverse=True, return_counts=True
        )
        self._pull = sign / (size[team.ravel()] * s.full_rate * dt)
        self._sensor_neurons = sensors["neuron"].astype(np.int64)
        self._sensor = np.array(
            [
                Sensor(*(str(row[name]) for name in ("kind", "place", "response", "side"))).index
                for row in sensors
            ],
            np.int64,
        )
        assert self._sensor.max() < len(SENSORS)
        # A bend to the dorsal side is felt by dorsal motor neurons, the other by ventral ones.
        self._felt_side = np.where(self._muscle < SEGMENTS, 1.0, -1.0) * s.proprioception
        self._segment = self._muscle % SEGMENTS
        self._rate = -math.expm1(-dt / s.smoothing)
        self._currents = np.zeros(brain.size)
        self._contraction = np.zeros(2 * SEGMENTS)
        self.rewards = 0

    def reset(self, seed: int) -> None:
        """Begin a new trial; the seed is not used, a brain's noise is part of its state."""
        del seed
        if self._begin is not None:
            learning = self.brain.learning
            self.brain.network.restore(self._begin)
            self.brain.learning = learning
        self._contraction.fill(0.0)
        self.rewards = 0

    def step(
        self, currents: NDArray[np.float64], proprioception: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Tick the brain; return the contraction of dorsal and ventral muscles, float64[24] each.

        Parameters
        ----------
        currents : float64[81], of all sensors.
        proprioception : float64[24] in [-1, 1], bend felt by each segment, dorsal is positive.
        """
        drive = self._currents
        drive.fill(0.0)
        np.add.at(drive, self._sensor_neurons, currents[self._sensor])
        if self.settings.proprioception:
            felt = proprioception[self._segment] * self._felt_side
            np.add.at(drive, self._muscle_neurons, np.maximum(felt, 0.0))
        fired = self.brain.network.step(drive)
        active = np.flatnonzero(fired[self._muscle_neurons])
        pull = np.bincount(self._muscle[active], weights=self._pull[active], minlength=2 * SEGMENTS)
        self._contraction += self._rate * (pull - self._contraction)
        contraction = np.maximum(self._contraction, 0.0)
        return contraction[:SEGMENTS], contraction[SEGMENTS:]

    def reward(self, modulation: float) -> None:
        """Deliver a reward to all reward-modulated synapses of the brain."""
        self.brain.deliver_reward(modulation)
        self.rewards += 1
