"""The layered brain: layers of binary neurons behind the Brain port."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.brains.local import LocalBrain, Played, Rasters, below
from ab_ros.config import parse
from ab_ros.engine.database import read_brain_file, write_brain_file
from ab_ros.errors import BrainFileError, ConfigError, one_of
from ab_ros.layered.computation import Computation
from ab_ros.layered.definition import Rules, canonical, parse_definition
from ab_ros.layered.learning import Learning
from ab_ros.layered.network import LayeredNetwork
from ab_ros.layered.neuron import MAIN, Layer, Neurons
from ab_ros.layered.plan import CycleSettings, Plan, Sensors, make_plan
from ab_ros.layered.records import GroupState, Snapshot
from ab_ros.layered.sensor import Feedback
from ab_ros.learning.modulation import RewardModulation
from ab_ros.values import Reward, read_only

FORMAT = "layered-1"
"""Format of the brain files."""

DT = 0.02
"""Duration of a tick where nobody says another, s."""


class LayeredBrain(LocalBrain):
    """Layers of binary neurons with sensors, computations and learning.

    It is a :class:`~ab_ros.brains.port.Brain`, and can be ticked by hand: :meth:`tick`.  A tick is
    a timestep of the port; a cycle has ``gamma`` of them, and shows the newest samples to each.

    Groups without a reward layer learn by themselves in every tick.  Those with one learn when a
    cycle is rewarded: the learning's change for what they read and did in each tick of that cycle,
    times m = 2r − 1 (minus a running baseline where ``baseline_cycles`` says so; see
    :class:`~ab_ros.learning.modulation.RewardModulation`).  So a reward of 0.5 changes nothing,
    and a bad one takes away what a good one would have brought.

    Parameters
    ----------
    neurons : layers from first to last, each a group or a list of groups (nested as one likes); or
        a plan.  The brain takes a copy of what they say: it shares nothing with other brains.
    sensor : one, a list of them, or a mapping by name.  Sensors that no group reads are read by
        the groups of the first layer that have no input ``MAIN``.
    computation, learning : of all groups that have none of their own; without learning, weights
        never change.
    feedback : which groups may read.
    seed : of weights and noise; the same seed gives the same run, bit by bit.  None: 0, or that of
        the plan.
    name, description : for people.
    gamma, feedback_timesteps, baseline_cycles, history : see
        :class:`~ab_ros.layered.plan.CycleSettings`.
    dt : s, duration of a tick.
    backend : ``auto``, ``numpy`` or ``numba``: the same bits.
    clock : see :class:`~ab_ros.brains.local.LocalBrain`.

    Attributes
    ----------
    plan : what it is made of.
    network : bits and weights.

    Raises
    ------
    ConfigError
        for what does not fit together.

    Examples
    --------
    >>> from ab_ros.layered import computation, learning, neuron, numerical, sensor
    >>> layers = [neuron.Neurons(40), neuron.Neurons(10)]
    >>> neuron.FeedForward(layers)
    >>> brain = LayeredBrain(
    ...     layers,
    ...     sensor.Sensor(encoder=numerical.SimpleEncoder(0, 1, 40, 0.1)),
    ...     computation=computation.SparseComputation(n=0.1),
    ...     learning=learning.HebbianLearning(increase=0.005, decrease=0.001),
    ... )
    >>> brain.tick(0.3)["layer1"].sum()
    np.int64(1)
    """

    def __init__(
        self,
        neurons: Layer | Plan,
        sensor: Sensors = None,
        computation: Computation | None = None,
        learning: Learning | None = None,
        *,
        feedback: Iterable[Feedback] = (),
        seed: int | None = None,
        name: str = "layered",
        description: str = "",
        gamma: int = 1,
        feedback_timesteps: int = 1,
        baseline_cycles: float = 0.0,
        history: int = 16,
        dt: float = DT,
        backend: str = "auto",
        clock: Callable[[], float] | None = None,
    ) -> None:
        if not isinstance(neurons, Plan):
            cycle = {
                "gamma": gamma,
                "feedback_timesteps": feedback_timesteps,
                "baseline_cycles": baseline_cycles,
                "history": history,
            }
            neurons = make_plan(
                neurons,
                sensor,
                computation,
                learning,
                feedback=feedback,
                seed=seed or 0,
                name=name,
                description=description,
                cycle=parse(CycleSettings, cycle),
            )
        if not 0 < dt <= 1:
            raise ConfigError(f"dt: must be greater than 0 and at most 1 s (got {dt})")
        self.plan = plan = neurons
        seed = plan.seed if seed is None else seed
        self.network = LayeredNetwork(plan, backend)
        try:
            wiring = canonical(plan)
        except ConfigError:
            wiring = ""  # It can run, if not be saved.
        inputs = plan.inputs()
        encoders = {}
        for k, (each, it) in enumerate(plan.sensors.items()):
            encoders[each] = copy.deepcopy(it.encoder)
            encoders[each].reset(seed + 1 + k)
        super().__init__(
            plan.contract(inputs),
            inputs,
            encoders,
            wiring,
            RewardModulation(plan.reward_layers, plan.cycle.baseline_cycles),
            dt=dt,
            seed=seed,
            clock=clock,
        )

    # The Brain port

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.plan.size

    @property
    def learning(self) -> bool:
        """Whether weights change."""
        return self.network.learning

    def set_learning(self, on: bool) -> None:
        """Switch learning on or off, by rewards and without; the brain goes on running."""
        self.network.learning = on

    def reward(self, reward: Reward, cycle: int) -> bool:
        """Teach the groups that have a reward layer; False if the cycle is forgotten already."""
        if not self.network.learning:
            return True
        return self.network.reward(self.modulation.modulate(reward), cycle)

    def reset(self, seed: int | None = None) -> None:
        """Silence all neurons, forget feedback and reward baselines; keep what was learned."""
        super().reset(seed)
        self.network.reset()

    def _advance(self, spikes: Rasters, played: Played) -> tuple[Rasters, dict[str, float]]:
        groups = [group.name for group in self.plan.groups]
        gamma = self.contract.gamma
        rasters = {
            group.name: np.empty((gamma, group.size), np.uint8) for group in self.plan.groups
        }
        for t in range(gamma):
            given = {name: raster[t] > 0 for name, raster in (*spikes.items(), *played.items())}
            inhibited = {name: raster[t] < 0 for name, raster in played.items()}
            some = {name: bits for name, bits in inhibited.items() if bits.any()}
            self.network.tick(given, some, self.seed)
            for name in groups:
                rasters[name][t] = self.network.bits[name]
        self.network.mark(self._number)
        telemetry = {f"rate.{n}": float(r.mean()) / self.dt for n, r in rasters.items()}
        telemetry["spikes"] = float(sum(int(np.count_nonzero(r)) for r in rasters.values()))
        return rasters, telemetry

    # By hand

    def tick(self, value: Any = None, **values: Any) -> dict[str, NDArray[np.bool_]]:
        """Show values to the sensors and compute one tick.

        Parameters
        ----------
        value : of the only sensor; a mapping gives those of several by name.  None: it is silent.
        values : of sensors by name, as an alternative.

        Returns
        -------
        dict
            bits of all groups by name, in their shapes.

        Raises
        ------
        ObservationError
            if an encoder refuses a value; nothing has happened then.
        ConfigError
            for a sensor that there is not.
        """
        named = dict(value) if isinstance(value, Mapping) else {}
        if value is not None and not isinstance(value, Mapping):
            if len(self.plan.sensors) != 1:
                raise ConfigError(
                    f"the brain has {len(self.plan.sensors)} sensors: give values by name;"
                    f" {one_of(self.plan.sensors)}"
                )
            named = {next(iter(self.plan.sensors)): value}
        named.update(values)
        for name in named:
            if name not in self.plan.sensors:
                raise ConfigError(f"there is no sensor {name!r}; {one_of(self.plan.sensors)}")
        given = {}
        for name, sensor in self.plan.sensors.items():
            it = named.get(name)
            seen = None if it is None else sensor.sample(it, name)
            given[name] = self.encoders[name].encode(seen, 1, self.dt)[0] > 0
        self.network.tick(given, None, self.seed)
        self.network.mark(-self.network.tick_count)
        return {g.name: self.network.bits[g.name].reshape(g.shape) for g in self.plan.groups}

    def teach(self, reward: Reward | float, *, ago: int = 0) -> bool:
        """Reward a tick that :meth:`tick` has computed; see :meth:`reward`.

        Parameters
        ----------
        reward : in [0, 1], 0.5 is neutral; a number is a global one.
        ago : how many ticks lie after the one that earned it.

        Returns
        -------
        bool
            False if that tick is forgotten already (``history``).

        Raises
        ------
        PolicyError
            for a reward that is not within [0, 1].
        """
        given = reward if isinstance(reward, Reward) else Reward(float(reward))
        return self.reward(given, ago - self.network.tick_count)

    def bits(self, neurons: Neurons | str) -> NDArray[np.bool_]:
        """Return which neurons of a group are active, in its shape; not to be changed.

        Raises
        ------
        ConfigError
            if the brain does not have the group.
        """
        name = self._name(neurons)
        shape = next(group.shape for group in self.plan.groups if group.name == name)
        return read_only(self.network.bits[name].reshape(shape))

    def weights(self, neurons: Neurons | str, name: str = MAIN) -> NDArray[np.float32]:
        """Return the weights of a group's input, float32[source, group]; not to be changed.

        They change as the brain learns; a copy does not.

        Raises
        ------
        ConfigError
            if the brain does not have the group, or the group no such input.
        """
        links = self.network.links[self._name(neurons)]
        if name not in links:
            raise ConfigError(
                f"group {self._name(neurons)!r} has no input {name!r}; {one_of(links)}"
            )
        return links[name].seen

    def _name(self, neurons: Neurons | str) -> str:
        name = neurons if isinstance(neurons, str) else self.plan.names.get(id(neurons), "")
        if name not in self.network.links:
            raise ConfigError(
                f"the brain has no group {name or neurons!r}; {one_of(self.network.links)}"
            )
        return name

    # Files

    def save(self, path: Path) -> None:
        """Save definition, weights and the whole dynamic state to a brain file, atomically.

        What waits for a reward is not saved: rewards name cycles of a run, and this one's end with
        it.

        Raises
        ------
        ConfigError
            if the brain has what a definition cannot say: an encoder without a name, or a rule of
            one's own that is no dataclass.
        BrainFileError
            if the file cannot be written.
        """
        texts, arrays = self._kept()
        own = {"format": FORMAT, "definition": canonical(self.plan)}
        state = {f"network.{name}": array for name, array in self.network.state().items()}
        write_brain_file(Path(path), {**own, **texts}, {**state, **arrays})

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        dt: float | None = None,
        seed: int | None = None,
        clock: Callable[[], float] | None = None,
        backend: str = "auto",
        rules: Rules = (),
    ) -> LayeredBrain:
        """Load a brain: a file that was saved, or a definition, which is a brain that never ran.

        Parameters
        ----------
        path : of a brain file or of a JSON file.
        dt, seed : of a definition that says none.
        clock, backend : see the class.
        rules : classes of computations and learnings of one's own that the brain has.

        Raises
        ------
        BrainFileError
            if the file cannot be read, or does not hold a layered brain.
        ConfigError
            if the definition does not fit.
        """
        path = Path(path)
        if is_definition(path):
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
            plan, own = parse_definition(text, str(path), seed=seed, rules=rules)
            tick = own or dt or DT
            return cls(plan, dt=tick, seed=seed, clock=clock, backend=backend)
        texts, arrays = read_brain_file(path)
        if texts.get("format") != FORMAT:
            raise BrainFileError(
                f"{path}: holds {texts.get('format')!r}, not a layered brain ({FORMAT!r})"
            )
        try:
            plan, _ = parse_definition(texts["definition"], str(path), rules=rules)
            brain = cls(
                plan, dt=float(texts["dt"]), seed=int(texts["seed"]), clock=clock, backend=backend
            )
        except (KeyError, ValueError) as error:
            raise BrainFileError(f"{path}: does not fit together: {error}") from None
        brain.network.restore(below(arrays, "network."), str(path))
        brain._restore(texts, arrays, path)
        return brain

    def snapshot(self) -> Snapshot:
        """Return what the brain is now, for a file of protocol buffers.

        Unlike a brain file it has what the neurons are, and neither encoders' phases nor feedback
        nor reward baselines.

        Raises
        ------
        ConfigError
            see :meth:`save`.
        """
        groups = {}
        for group in self.plan.groups:
            weights = {n: link.weights.copy() for n, link in self.network.links[group.name].items()}
            groups[group.name] = GroupState(self.bits(group.name).copy(), weights)
        text = canonical(self.plan)
        return Snapshot(text, self.seed, self.network.tick_count, self.dt, groups)

    @classmethod
    def of_snapshot(
        cls, snapshot: Snapshot, *, backend: str = "auto", rules: Rules = ()
    ) -> LayeredBrain:
        """Make a brain that goes on from a snapshot.

        Raises
        ------
        ConfigError
            if the snapshot's definition does not fit.
        BrainFileError
            if its groups do not fit the definition.
        """
        where = "snapshot"
        plan, _ = parse_definition(snapshot.definition, where, rules=rules)
        brain = cls(plan, seed=snapshot.seed, dt=snapshot.dt, backend=backend)
        arrays: dict[str, NDArray[Any]] = {"tick": np.array(snapshot.tick, np.int64)}
        for name, group in snapshot.groups.items():
            arrays[f"bits.{name}"] = group.active.reshape(-1)
            for each, weights in group.weights.items():
                arrays[f"weights.{name}.{each}"] = weights
        brain.network.restore(arrays, where)
        return brain


def is_definition(path: Path) -> bool:
    """Whether a file begins as a JSON object does."""
    try:
        with Path(path).open("rb") as file:
            return file.read(256).lstrip().startswith(b"{")
    except OSError:
        return False
