"""The brain: a plan come alive, to be ticked, rewarded, saved and loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.engine.brain_file import (
    BODY_MAP,
    SENSOR_MAP,
    Attached,
    Content,
    load_parts,
    save_parts,
)
from ab_ros.engine.network import Network
from ab_ros.engine.plan import NEURONS, Plan
from ab_ros.errors import EngineError, one_of

if TYPE_CHECKING:
    from ab_ros.engine.recipes import Recipe

Currents = NDArray[np.float64] | Mapping[str, ArrayLike] | None
_MAPS = {"body_map": BODY_MAP, "sensor_map": SENSOR_MAP}


class Brain:
    """A brain that runs; made by :meth:`build` or :meth:`load`.

    Examples
    --------
    >>> brain = Brain.build("arena_v1")
    >>> fired = brain.tick({"chemo_left.on_in": 5.0})
    >>> brain.deliver_reward(0.5)
    >>> brain.save("brain.db")

    Attributes
    ----------
    plan : all neurons and synapses at birth, and their names.
    network : what is ticked; its one neuron group is ``neurons``, in the order of the plan.
    body_map, sensor_map : which neurons move and which sense; structured arrays of
        :data:`BODY_MAP` and :data:`SENSOR_MAP`, empty until :meth:`set_maps`.
    attached : texts and arrays by name that lie in the brain's file beside it, for whoever runs it.
    """

    def __init__(self, plan: Plan, network: Network) -> None:
        self.plan = plan
        self.network = network
        self.body_map = np.empty(0, BODY_MAP)
        self.sensor_map = np.empty(0, SENSOR_MAP)
        self.attached: dict[str, Attached] = {}
        self._current = np.zeros(plan.size)

    @classmethod
    def build(
        cls,
        plan: Plan | Recipe | str | Path,
        seed: int | None = None,
        backend: Literal["auto", "numpy", "numba"] = "auto",
        precision: Literal["float32", "float64"] = "float32",
        input_sizes: Mapping[str, int] | None = None,
    ) -> Brain:
        """Make a new brain.

        Parameters
        ----------
        plan : a plan, a recipe, the name of a shipped recipe, or the path of a recipe file.
        seed : of the compilation and the noise; None takes the recipe's.  For a plan, of the noise
            only.
        backend, precision : see :class:`~ab_ros.engine.network.Network`.
        input_sizes : see :func:`~ab_ros.engine.recipes.compiler.compile_recipe`.

        Raises
        ------
        ConfigError
            for a recipe that does not fit.
        EngineError
            for an unknown backend or precision.
        """
        if not isinstance(plan, Plan):
            # Imported here, because a brain that is loaded needs no JSON schemas.
            from ab_ros.engine.recipes import Recipe, compile_recipe, load_recipe

            recipe = plan if isinstance(plan, Recipe) else load_recipe(plan)
            plan = compile_recipe(recipe, seed, input_sizes)
        return cls(plan, plan.network(seed, backend, precision))

    @classmethod
    def load(
        cls,
        path: str | Path,
        backend: Literal["auto", "numpy", "numba"] = "auto",
        content: Content | None = None,
    ) -> Brain:
        """Load a saved brain; it goes on bit by bit as it would have without the interruption.

        Parameters
        ----------
        path : of the file.
        backend : see :class:`~ab_ros.engine.network.Network`.
        content : what :func:`~ab_ros.engine.database.read_brain_file` has returned for this path,
            if the file was read already.

        Raises
        ------
        BrainFileError
            if the file is missing, damaged, or holds something else.
        """
        plan, network, maps, attached = load_parts(Path(path), backend, content)
        brain = cls(plan, network)
        brain.set_maps(**maps)
        brain.attached = attached
        return brain

    def save(self, path: str | Path) -> None:
        """Save everything that the brain is, atomically.

        Raises
        ------
        BrainFileError
            if the file cannot be written.
        """
        maps = {"body_map": self.body_map, "sensor_map": self.sensor_map}
        save_parts(Path(path), self.plan, self.network, maps, self.attached)

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.plan.size

    @property
    def ticks(self) -> int:
        """Ticks lived, at 1 ms each."""
        return self.network.ticks

    @property
    def learning(self) -> bool:
        """Whether weights may change; all other state goes on in either case."""
        return self.network.learning

    @learning.setter
    def learning(self, on: bool) -> None:
        self.network.learning = on

    def neurons_of(self, selector: str) -> NDArray[np.int64]:
        """Return the neurons that a selector names; see :meth:`Plan.neurons_of`."""
        return self.plan.neurons_of(selector)

    def tick(
        self, currents: Currents = None, spikes: Mapping[str, ArrayLike] | None = None
    ) -> NDArray[np.uint8]:
        """Advance by one tick.

        Parameters
        ----------
        currents : added to bias and noise: float64[N], or by selector a number or one for each of
            its neurons; where selectors overlap, they add up.
        spikes : by input or feedback, uint8 or bool[size] of 0 and 1; those left out are silent.

        Returns
        -------
        NDArray
            uint8[N], 1 where a neuron fired; a fresh array.

        Raises
        ------
        EngineError
            naming the selector, input or neuron, for anything that does not fit; nothing has been
            ticked then.
        """
        given = self._given(currents, None)
        if spikes:
            rows = {name: np.asarray(train)[None] for name, train in spikes.items()}
            return self.run(1, given, rows)[0]
        return self.network.step(given)

    def run(
        self,
        ticks: int,
        currents: Currents = None,
        spikes: Mapping[str, ArrayLike] | None = None,
    ) -> NDArray[np.uint8]:
        """Advance by a number of ticks.

        Parameters
        ----------
        ticks : at least 1.
        currents : as for :meth:`tick`, the same in every tick; or float64[ticks, N].
        spikes : by input or feedback, uint8 or bool[ticks, size].

        Returns
        -------
        NDArray
            uint8[ticks, N].
        """
        given = self._given(currents, ticks)
        drive = None if given is None else {NEURONS: given}
        return self.network.run(ticks, spikes, drive)[NEURONS]

    def deliver_reward(self, value: float, layer: str | None = None) -> None:
        """Reward the reward-modulated synapses for what they did lately.

        Parameters
        ----------
        value : in [-1, 1].
        layer : the reward layer to teach; None teaches all.

        Raises
        ------
        EngineError
            for an unknown layer or a value that is not in [-1, 1].
        """
        if layer is None:
            self.network.reward(everywhere=value)
        else:
            self.network.reward({layer: value})

    def set_maps(
        self,
        body_map: NDArray[np.void] | None = None,
        sensor_map: NDArray[np.void] | None = None,
    ) -> None:
        """Set which neurons move and which sense; None leaves a map as it is.

        Parameters
        ----------
        body_map : structured array of :data:`BODY_MAP`.
        sensor_map : structured array of :data:`SENSOR_MAP`.

        Raises
        ------
        EngineError
            naming the map, row and field, for another form or a value that is not allowed.
        """
        given = {"body_map": body_map, "sensor_map": sensor_map}
        checked = {
            name: _checked_map(name, array, self.size)
            for name, array in given.items()
            if array is not None
        }
        for name, array in checked.items():
            setattr(self, name, array)

    def _given(self, currents: Currents, ticks: int | None) -> NDArray[np.float64] | None:
        if currents is None:
            return None
        if isinstance(currents, Mapping):
            return self._by_selector(currents)
        try:
            given = np.ascontiguousarray(currents, dtype=np.float64)
        except (TypeError, ValueError):
            raise EngineError(f"currents: must be numbers (got {currents!r})") from None
        shapes = [(self.size,)] if ticks is None else [(self.size,), (ticks, self.size)]
        if given.shape not in shapes:
            text = " or ".join(str(list(shape)) for shape in shapes)
            raise EngineError(f"currents: must have the shape {text} (got {list(given.shape)})")
        if not np.isfinite(given).all():
            at = np.argwhere(~np.isfinite(given))[0]
            neuron = int(at[-1])
            raise EngineError(
                f"currents: must be finite (got {given[tuple(at)]} at neuron {neuron},"
                f" {self.plan.label(neuron)})"
            )
        return given

    def _by_selector(self, currents: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        total = self._current
        total.fill(0.0)
        for selector, given in currents.items():
            neurons = self.plan.neurons_of(selector)
            where = f"current of {selector!r}"
            try:
                values = np.asarray(given, dtype=np.float64)
            except (TypeError, ValueError):
                raise EngineError(f"{where}: must be numbers (got {given!r})") from None
            if values.shape not in ((), neurons.shape):
                raise EngineError(
                    f"{where}: must be a number, or one for each of its {neurons.size} neurons"
                    f" (got the shape {list(values.shape)})"
                )
            if not np.isfinite(values).all():
                bad = np.atleast_1d(values)[~np.isfinite(np.atleast_1d(values))]
                raise EngineError(f"{where}: must be finite (got {bad[0]})")
            total[neurons] += values
        return total


def _checked_map(name: str, given: NDArray[np.void], size: int) -> NDArray[np.void]:
    form = _MAPS[name]
    fields = form.names or ()
    array = np.asarray(given)
    if array.dtype.names != fields or array.ndim != 1:
        raise EngineError(
            f"{name}: must be a structured array [rows] with the fields {', '.join(fields)}"
            f" (got {array.dtype}{list(array.shape)})"
        )
    array = array.astype(form)
    bad = np.flatnonzero((array["neuron"] < 0) | (array["neuron"] >= size))
    if bad.size:
        raise EngineError(
            f"{name}[{bad[0]}].neuron: must be in [0, {size}) (got {array['neuron'][bad[0]]})"
        )
    for field, allowed in _ALLOWED[name].items():
        wrong = np.flatnonzero(~np.isin(array[field], allowed))
        if wrong.size:
            raise EngineError(
                f"{name}[{wrong[0]}].{field}: unknown {str(array[field][wrong[0]])!r};"
                f" {one_of(allowed)}"
            )
    array.setflags(write=False)
    return array


_ALLOWED: dict[str, dict[str, list[Any]]] = {
    "body_map": {
        "segment": list(range(24)),
        "side": ["dorsal", "ventral"],
        "effect": ["excitatory", "inhibitory"],
    },
    "sensor_map": {
        "kind": ["chemical", "mechanical", "thermal"],
        "place": ["head", "body", "tail"],
        "response": ["ON", "OFF", "tonic"],
        "side": ["left", "right", "bilateral"],
    },
}
