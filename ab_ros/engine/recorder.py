"""The recorder: spikes, potentials and weights of a running network, streamed to disk."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

import ab_ros
from ab_ros.engine.network import TICKS_PER_SECOND, Network
from ab_ros.engine.record import FORMAT, weight_key
from ab_ros.engine.record_files import check_extension, merge_parts
from ab_ros.engine.record_parts import PART, PartsWriter, runs_of
from ab_ros.engine.validation import check_count, check_number
from ab_ros.errors import RecordError, one_of

_BUFFERED_EVENTS = 1 << 16
_MARK_TICKS = 1000
_BLOCK_VALUES = 1 << 22

Selection = str | Sequence[str] | Sequence[int] | NDArray[np.integer[Any]]


class Recordable(Protocol):
    """A brain: its network, and its neurons by selector."""

    @property
    def network(self) -> Network:
        """The network that is ticked."""

    def neurons_of(self, selector: str) -> NDArray[np.int64]:
        """Return the indices of a selector's neurons."""


class Recorder:
    """Records a network while it runs, in bounded memory.

    Everything goes to parts in a folder ``<path>.part`` as the run goes on, which :meth:`close`
    merges into the file.  A kill loses at most what came after the last mark, of which there is
    one every thousand ticks: :func:`~ab_ros.engine.record.read_record` reads the parts, too.

    Parameters
    ----------
    brain : a built network, or a brain that has one.
    path : of the file; its extension is the format: .npz, .csv, or, with h5py, .h5 or .hdf5.
    spikes : whose spikes; None means all neurons.  Neurons are given by indices, or by names: of
        neuron groups, or, for a brain, selectors such as ``chemo_left.on_in``.
    potentials : whose membrane potentials.
    weights : names of the projections whose weights are recorded.
    every : ticks from one sample of the potentials to the next; the first is at the end of the
        first tick.
    weights_every : ticks from one sample of the weights to the next; the first is where the
        recording begins.
    labels : {name: indices} of groups, for pictures; by default the names in ``spikes``, or else
        all neuron groups, or a brain's components.

    Raises
    ------
    RecordError
        for an extension, neuron or projection that there is not, a missing h5py, a folder that
        cannot be written, or parts that another run has left there.

    Examples
    --------
    ::

        with Recorder(network, "run.npz", potentials=[0, 1]) as recorder:
            for _ in range(1000):
                recorder.record(network.tick())
    """

    def __init__(
        self,
        brain: Network | Recordable,
        path: str | Path,
        spikes: Selection | None = None,
        potentials: Selection = (),
        weights: str | Sequence[str] = (),
        every: int = 1,
        weights_every: int = 1000,
        labels: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + PART)
        check_extension(self.path)
        self._network = brain if isinstance(brain, Network) else brain.network
        self._size = sum(group.size for group in self._network.neuron_groups.values())
        self._every = check_count("Recorder.every", every, ge=1)
        self._weights_every = check_count("Recorder.weights_every", weights_every, ge=1)
        chosen, named = self._neurons(brain, spikes, "spikes")
        self._all = spikes is None
        self._recorded = np.arange(self._size) if self._all else np.unique(chosen)
        self._sampled = self._neurons(brain, potentials, "potentials")[0]
        self._projections = (weights,) if isinstance(weights, str) else tuple(weights)
        for name in self._projections:
            if name not in self._network.projections:
                raise RecordError(
                    f"weights: there is no projection {name!r}; {one_of(self._network.projections)}"
                )
        if labels is not None:
            named = {k: self._indices(v, f"labels[{k!r}]") for k, v in labels.items()}
        self._start = self._done = self._marked = self._network.ticks
        self._tick = np.empty(_BUFFERED_EVENTS, "<i8")
        self._neuron = np.empty(_BUFFERED_EVENTS, "<i4")
        self._held = 0
        self._closed = False
        self._parts = self._writer(self._describe(brain, named or _groups(brain, self._network)))
        with self._writing():
            self._take_weights()
            self._mark()

    def record(self, spikes: ArrayLike | Mapping[str, ArrayLike]) -> None:
        """Record the tick, or the block of ticks, that the network has just run.

        Parameters
        ----------
        spikes : what the run returned: uint8[neurons], uint8[T, neurons], or such by neuron group.
            A block must not step over a sample: see :meth:`largest_block`.

        Raises
        ------
        RecordError
            for another shape, ticks that were not recorded, a block that steps over a sample, or a
            disk that is full; what was recorded before stays readable.
        """
        if self._closed:
            raise RecordError(f"{self.path}: the record is closed")
        raster = self._raster(spikes)
        ticks = len(raster)
        if self._network.ticks != self._done + ticks:
            raise RecordError(
                f"{self.path}: the network is at tick {self._network.ticks}, but the {ticks} given"
                f" end at tick {self._done + ticks}: record every tick, or block, after it has run"
            )
        if ticks > self.largest_block(ticks):
            raise RecordError(
                f"{self.path}: a block of {ticks} ticks steps over the sample that is due after"
                f" {self.largest_block(ticks)}; ask largest_block() how many may be run at once"
            )
        with self._writing():
            self._take_spikes(raster)
            self._done += ticks
            self._take_samples()
            if self._done - self._marked >= _MARK_TICKS:
                self._mark()

    def largest_block(self, limit: int) -> int:
        """Return how many ticks, at most ``limit``, may be run before :meth:`record` is called."""
        passed = self._done - self._start
        if self._sampled.size:
            limit = min(limit, 1 if not passed else self._every - (passed - 1) % self._every)
        if self._projections:
            limit = min(limit, self._weights_every - passed % self._weights_every)
        return limit

    def close(self) -> None:
        """Merge the parts into the file, which replaces one that was there before.

        Raises
        ------
        RecordError
            if the file cannot be written; the parts stay, and can be read.
        """
        if self._closed:
            return
        self._closed = True
        with self._writing():
            try:
                self._mark()
            finally:
                self._parts.close()
        merge_parts(self.part, self.path)
        shutil.rmtree(self.part, ignore_errors=True)

    def abort(self) -> None:
        """Discard all that was recorded; a file that was there before stays."""
        if not self._closed:
            self._closed = True
            self._parts.close()
            shutil.rmtree(self.part, ignore_errors=True)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A run that failed is the one whose record is wanted most.
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RecordError(f"{self.part}: cannot be written: {error}") from error

    # What is recorded

    def _neurons(
        self, brain: Network | Recordable, chosen: Selection | None, where: str
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[np.int64]]]:
        """Return the indices of a selection, each once, and those of each name in it."""
        if chosen is None:
            return np.zeros(0, np.int64), {}
        if isinstance(chosen, str):
            chosen = (chosen,)
        words = [item for item in chosen if isinstance(item, str)]
        if not words:
            return self._indices(chosen, where), {}
        if len(words) < len(chosen):
            raise RecordError(f"{where}: must be names or indices, not both")
        named = {}
        for name in words:
            group = self._network.neuron_groups.get(name)
            if group is not None:
                named[name] = np.arange(group.start, group.start + group.size)
            elif hasattr(brain, "neurons_of"):
                named[name] = self._indices(brain.neurons_of(name), f"{where}: {name!r}")
            else:
                raise RecordError(
                    f"{where}: there is no neuron group {name!r};"
                    f" {one_of(self._network.neuron_groups)}"
                )
        joined = np.concatenate(list(named.values()))
        return joined[np.sort(np.unique(joined, return_index=True)[1])], named

    def _indices(self, given: Any, where: str) -> NDArray[np.int64]:
        indices = np.asarray(given)
        if not indices.size:
            return np.zeros(0, np.int64)
        if indices.ndim != 1 or indices.dtype.kind not in "iu":
            raise RecordError(f"{where}: must be a list of neurons' indices or names")
        wrong = indices[(indices < 0) | (indices >= self._size)]
        if wrong.size:
            raise RecordError(
                f"{where}: neuron {wrong[0]} is not in the network, which has 0 to {self._size - 1}"
            )
        if np.unique(indices).size < indices.size:
            raise RecordError(f"{where}: names a neuron twice")
        return indices.astype(np.int64)

    def _describe(
        self, brain: Network | Recordable, groups: Mapping[str, NDArray[Any]]
    ) -> dict[str, Any]:
        known = np.zeros(self._size, np.bool_)
        known[self._recorded] = known[self._sampled] = True
        kept = {name: runs_of(indices[known[indices]]) for name, indices in groups.items()}
        dt = getattr(brain, "dt", 1.0 / TICKS_PER_SECOND)
        plan = getattr(brain, "plan", None)
        return {
            "format": FORMAT,
            "complete": False,
            "brain": str(getattr(plan, "name", "")),
            "seed": self._network.seed,
            "dt": check_number("Recorder: dt", dt, gt=0.0),
            "neurons": self._size,
            "first_tick": self._start,
            "recorded": runs_of(self._recorded),
            "potentials": runs_of(self._sampled),
            "groups": {name: runs for name, runs in kept.items() if runs},
            "every": self._every,
            "weights_every": self._weights_every,
            "projections": list(self._projections),
            "versions": {
                "ab_ros": ab_ros.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }

    def _writer(self, meta: dict[str, Any]) -> PartsWriter:
        fixed: dict[str, NDArray[np.int64]] = {}
        growing: dict[str, tuple[str, tuple[int, ...]]] = {
            "spikes/tick": ("<i8", ()),
            "spikes/neuron": ("<i4", ()),
        }
        if self._sampled.size:
            fixed["potentials/neuron"] = self._sampled
            growing["potentials/tick"] = "<i8", ()
            growing["potentials/value"] = "<f4", (self._sampled.size,)
        for k, name in enumerate(self._projections):
            key = weight_key(k)
            fixed[f"{key}/pre"], fixed[f"{key}/post"] = self._network.wiring(name)
            growing[f"{key}/tick"] = "<i8", ()
            growing[f"{key}/value"] = "<f4", (fixed[f"{key}/pre"].size,)
        return PartsWriter(self.part, meta, fixed, growing)

    # While it runs

    def _raster(self, spikes: Any) -> NDArray[np.uint8]:
        if isinstance(spikes, Mapping):
            groups = self._network.neuron_groups
            if set(spikes) != set(groups):
                raise RecordError(
                    f"{self.path}: spikes must be given for every group ({one_of(groups)})"
                )
            spikes = np.concatenate([np.asarray(spikes[name]) for name in groups], axis=-1)
        raster: NDArray[Any] = np.atleast_2d(np.asarray(spikes))
        if raster.ndim != 2 or raster.shape[1] != self._size:
            raise RecordError(
                f"{self.path}: spikes must have the form [{self._size}] or [ticks, {self._size}]"
                f" (got {list(np.shape(spikes))})"
            )
        return raster

    def _take_spikes(self, raster: NDArray[np.uint8]) -> None:
        rows = max(1, _BLOCK_VALUES // max(self._size, 1))
        for first in range(0, len(raster), rows):
            block = raster[first : first + rows]
            block = block if self._all else block[:, self._recorded]
            # Of all ways to find the few ones in an array of bytes, this is by far the fastest.
            when, which = np.divmod(np.flatnonzero(block != 0), max(block.shape[1], 1))
            neurons = which if self._all else self._recorded[which]
            for begin in range(0, when.size, _BUFFERED_EVENTS):
                part = slice(begin, begin + _BUFFERED_EVENTS)
                self._hold(when[part] + (self._done + first), neurons[part])

    def _hold(self, ticks: NDArray[np.int64], neurons: NDArray[np.int64]) -> None:
        if self._held + ticks.size > _BUFFERED_EVENTS:
            self._write_events()
        place = slice(self._held, self._held + ticks.size)
        self._tick[place], self._neuron[place] = ticks, neurons
        self._held = place.stop

    def _write_events(self) -> None:
        held = slice(0, self._held)
        self._parts.append("spikes", self._held, tick=self._tick[held], neuron=self._neuron[held])
        self._held = 0

    def _take_samples(self) -> None:
        passed = self._done - self._start
        if self._sampled.size and (passed - 1) % self._every == 0:
            values = self._network.potentials(self._sampled)
            tick = np.array([self._done - 1])
            self._parts.append("potentials", 1, tick=tick, value=values)
        if self._projections and passed % self._weights_every == 0:
            self._take_weights()

    def _take_weights(self) -> None:
        for k, name in enumerate(self._projections):
            values = self._network.wiring_weights(name)
            self._parts.append(weight_key(k), 1, tick=np.array([self._done]), value=values)

    def _mark(self) -> None:
        self._write_events()
        self._parts.mark(self._done - self._start)
        self._marked = self._done


def _groups(brain: Network | Recordable, network: Network) -> dict[str, NDArray[np.int64]]:
    """Return the groups by which pictures name neurons: a brain's components, or neuron groups."""
    blocks = getattr(getattr(brain, "plan", None), "blocks", ())
    if blocks:
        return {block.name: np.arange(block.start, block.stop) for block in blocks}
    return {
        group.name: np.arange(group.start, group.start + group.size)
        for group in network.neuron_groups.values()
    }
