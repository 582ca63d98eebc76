"""The Brain port: one interface for every brain, in this process or elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ab_ros.contract import Contract
from ab_ros.values import Cycle, Deviation, Need, Observation, Reward

Observe = Callable[[Need], Iterable[Observation]]


class Brain(ABC):
    """A brain that runs in cycles.

    One thread owns a brain and calls :meth:`run_cycle` in a loop; only :meth:`state` may be called
    from others.  For one cycle the calls come in the order ``run_cycle``, ``done``, ``feedback``,
    ``reward``.  A brain that fails raises a :class:`~ab_ros.errors.BrainError` and can be opened
    again.

    Attributes
    ----------
    contract : what the brain takes and gives; of a brain elsewhere it is known once it was opened.
    dt : s, duration of a timestep.
    last_refusal : why the newest sample that was refused was refused; empty if none was.
    """

    contract: Contract
    dt: float
    last_refusal: str = ""

    @abstractmethod
    def open(self) -> Contract:
        """Start a run with a new run id; return the contract.

        Raises
        ------
        BrainUnreachable
            if a brain elsewhere does not answer; it may be opened again later.
        BrainError
            if the brain refuses to run.
        """

    @property
    @abstractmethod
    def run(self) -> str:
        """Id of the run; empty before :meth:`open`."""

    @property
    @abstractmethod
    def learning(self) -> bool:
        """Whether rewards change synapses."""

    @property
    def size(self) -> int:
        """Number of neurons; 0 where that is not known."""
        return 0

    @abstractmethod
    def run_cycle(self, observe: Observe, timeout: float) -> Cycle:
        """Run one cycle.

        A brain elsewhere may have been started anew meanwhile.  Then :attr:`run` changes before
        ``observe`` is called, the contract stays the same, and cycle numbers count from 0 again.
        Within a run they ascend, but may skip.

        Parameters
        ----------
        observe : called once with what the brain needs; returns the samples there are.
        timeout : s to wait for a brain elsewhere.

        Raises
        ------
        BrainUnreachable
            if a brain elsewhere gave no cycle in time; called again, it goes on where it was.
        BrainError
            if the brain failed; it has to be opened again.
        """

    @abstractmethod
    def done(self, cycle: int) -> None:
        """Tell that the commands of ``cycle`` were executed, or refused."""

    @abstractmethod
    def feedback(self, deviation: Deviation, cycle: int) -> None:
        """Tell the brain a deviation measured after ``cycle``; it is played in the next cycle."""

    @abstractmethod
    def reward(self, reward: Reward, cycle: int) -> bool:
        """Reward what ``cycle`` did; return False if the cycle is too old to be credited."""

    @abstractmethod
    def state(self, joints: Observation) -> None:
        """Tell the robot's state, at its own rate, from any thread."""

    @abstractmethod
    def set_learning(self, on: bool) -> None:
        """Switch learning on or off; the brain goes on running."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Save everything that the running brain is, atomically."""

    @abstractmethod
    def reset(self, seed: int | None = None) -> None:
        """Forget the dynamic state and baselines, but not what was learned."""

    def counts(self) -> Mapping[str, int]:
        """Return how often what was refused, dropped or ignored, by name."""
        return {}

    def complaints(self) -> list[str]:
        """Return a sentence for each thing that is wrong with the brain now."""
        return []

    @abstractmethod
    def close(self) -> None:
        """End the run."""
