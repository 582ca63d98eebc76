"""The gate that every cycle passes: its run, its number, its age, and its spikes or deltas."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ab_ros.codec.decoder import MappingEntry, SpikeDecoder
from ab_ros.contract import Contract
from ab_ros.errors import ContractError, one_of
from ab_ros.motion.safety import Code
from ab_ros.motion.settings import MotorSettings
from ab_ros.values import ChannelDeltas, Cycle

DT_RANGE = (1e-5, 1.0)
_SMALLEST_TIMEOUT = 0.05  # s
_LARGEST_TIMEOUT = 1.0  # s; one that nobody has asked for must not be longer
_LINK_TIME = 1.0  # s; that a cycle of a brain elsewhere may be under way
_FIRST_STATE_TIMEOUT = 0.2  # s

Refusal = tuple[Code, str]


def spike_timeout(settings: MotorSettings, cycle_time: float, period: float = 0.0) -> float:
    """Return the time without a fresh cycle after which the robot stops, s.

    ``period`` is how often the cycles of a brain elsewhere were seen to come, s; 0 for a brain that
    keeps time, or where it is not known yet.
    """
    own = max(2.0 * cycle_time, 2.0 * period, _SMALLEST_TIMEOUT)
    return settings.spike_timeout or min(own, _LARGEST_TIMEOUT)


def state_timeout(settings: MotorSettings, cycle_time: float) -> float:
    """Return the age of a joint state beyond which the robot stops, s.

    Before the first cycle (``cycle_time`` 0) nothing moves: slow joint states may be waited for.
    """
    own = max(2.0 * cycle_time, _SMALLEST_TIMEOUT) if cycle_time else _FIRST_STATE_TIMEOUT
    return settings.state_timeout or min(own, _LARGEST_TIMEOUT)


class CycleGate:
    """Knows the run and its contract; refuses cycles that are not to be executed."""

    def __init__(self) -> None:
        self.missed = 0
        self._run: str | None = None
        self._contract: Contract | None = None
        self._decoder: SpikeDecoder | None = None
        self._no_decoder = "no contract of a run has been received"
        self._last = -1
        self._remote = False

    def begin_run(
        self,
        run: str,
        contract: Contract,
        mapping: Sequence[MappingEntry],
        remote: bool = False,
    ) -> None:
        """Take a run that begins; raise ContractError if the mapping does not fit its contract."""
        self._run, self._contract, self._last = run, contract, -1
        self._remote = remote
        self._decoder = None
        try:
            self.map_with(mapping)
        except ContractError as error:
            self._no_decoder = str(error)
            raise

    def map_with(self, mapping: Sequence[MappingEntry]) -> None:
        """Take a mapping; raise ContractError, and change nothing, if it does not fit."""
        if self._contract is not None:
            sizes = {port.id: port.n for port in self._contract.outputs}
            self._decoder = SpikeDecoder(mapping, sizes)

    def identify(self, run: str, cycle: int) -> Refusal | None:
        """Refuse a cycle of another run, or one already handled; else mark it as handled."""
        if run != self._run:
            known = "no run has begun" if self._run is None else f"the run is {self._run!r}"
            return Code.WRONG_RUN, f"cycle {cycle} of run {run!r}, but {known}"
        if cycle <= self._last:
            return Code.WRONG_RUN, f"cycle {cycle} comes after cycle {self._last}"
        self.missed += cycle - self._last - 1 if self._last >= 0 else 0
        self._last = cycle
        return None

    def date(self, cycle: Cycle, now: float, settings: MotorSettings) -> Refusal | None:
        """Refuse a cycle whose times make no sense, or lie too far from the present."""
        if not (math.isfinite(cycle.stamp) and DT_RANGE[0] <= cycle.dt <= DT_RANGE[1]):
            return (
                Code.BAD_FRAME,
                f"stamp {cycle.stamp} and dt {cycle.dt} of a cycle must be finite, dt within"
                f" {DT_RANGE[0]:g} .. {DT_RANGE[1]:g} s",
            )
        duration = cycle.timesteps * cycle.dt
        if duration > _LARGEST_TIMEOUT and not settings.spike_timeout:
            return (
                Code.BAD_FRAME,
                f"the cycle lasts {duration:.3g} s, longer than a robot moves by itself unless its"
                f" spike_timeout is set: {_LARGEST_TIMEOUT:g} s",
            )
        patience = _LINK_TIME if self._remote else spike_timeout(settings, duration)
        oldest = settings.max_cycle_age or duration + patience
        age = now - cycle.stamp
        if age > oldest:
            return Code.LATE_CYCLE, f"the cycle began {age:.3f} s ago, more than {oldest:.3f} s"
        if -age > oldest:
            return Code.LATE_CYCLE, f"the cycle's stamp is {-age:.3f} s ahead of the clock"
        return None

    def decode(
        self, cycle: Cycle, settings: MotorSettings
    ) -> tuple[ChannelDeltas | None, Refusal | None]:
        """Decode a cycle's spikes, or take the deltas that the brain itself gave.

        What does not fit, or is not finite, is refused as a whole.
        """
        if cycle.deltas is not None:
            deltas, refusal = self._take(cycle, cycle.deltas, settings)
        else:
            deltas, refusal = self._decode(cycle)
        if refusal is None and deltas is not None and not np.isfinite(deltas.values).all():
            bad = np.flatnonzero(~np.isfinite(deltas.values).all(axis=0))[0]
            return deltas, (
                Code.NON_FINITE,
                f"a delta of channel {deltas.names[bad]!r} is not finite",
            )
        return deltas, refusal

    def _take(
        self, cycle: Cycle, deltas: ChannelDeltas, settings: MotorSettings
    ) -> tuple[ChannelDeltas | None, Refusal | None]:
        if not settings.direct:
            return None, (
                Code.BAD_FRAME,
                "the brain commands channels itself instead of sending spikes, which is executed"
                " only where 'direct' is true",
            )
        unknown = [name for name in deltas.names if name not in settings.channels]
        if unknown:
            return None, (
                Code.BAD_FRAME,
                f"the brain commands channel {unknown[0]!r}; {one_of(settings.channels)}",
            )
        longest = self._contract.gamma if self._contract is not None else 0
        if not 1 <= cycle.timesteps <= longest:
            return None, (
                Code.BAD_FRAME,
                f"the brain commands {cycle.timesteps} timesteps; must be 1 to {longest}",
            )
        return deltas, None

    def _decode(self, cycle: Cycle) -> tuple[ChannelDeltas | None, Refusal | None]:
        if self._decoder is None or self._contract is None:
            return None, (Code.BAD_FRAME, self._no_decoder)
        if cycle.timesteps != self._contract.gamma:
            return None, (
                Code.BAD_FRAME,
                f"the cycle has {cycle.timesteps} timesteps, the contract says"
                f" {self._contract.gamma}",
            )
        try:
            return self._decoder.decode(cycle.rasters), None
        except ContractError as error:
            return None, (Code.BAD_FRAME, str(error))
