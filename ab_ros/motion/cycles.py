"""The gate that every cycle passes: its run, its number, its age, and its spikes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ab_ros.codec.decoder import MappingEntry, SpikeDecoder
from ab_ros.contract import Contract
from ab_ros.errors import ContractError
from ab_ros.motion.safety import Code
from ab_ros.motion.settings import MotorSettings
from ab_ros.values import ChannelDeltas, Cycle

DT_RANGE = (1e-5, 1.0)
_SMALLEST_TIMEOUT = 0.05  # s
_FIRST_STATE_TIMEOUT = 0.2  # s

Refusal = tuple[Code, str]


def spike_timeout(settings: MotorSettings, cycle_time: float) -> float:
    """Return the time without a fresh cycle after which the robot stops, s."""
    return settings.spike_timeout or max(2.0 * cycle_time, _SMALLEST_TIMEOUT)


def state_timeout(settings: MotorSettings, cycle_time: float) -> float:
    """Return the age of a joint state beyond which the robot stops, s.

    Before the first cycle (``cycle_time`` 0) nothing moves: slow joint states may be waited for.
    """
    own = max(2.0 * cycle_time, _SMALLEST_TIMEOUT) if cycle_time else _FIRST_STATE_TIMEOUT
    return settings.state_timeout or own


class CycleGate:
    """Knows the run and its contract; refuses cycles that are not to be executed."""

    def __init__(self) -> None:
        self.missed = 0
        self._run: str | None = None
        self._contract: Contract | None = None
        self._decoder: SpikeDecoder | None = None
        self._no_decoder = "no contract of a run has been received"
        self._last = -1

    def begin_run(self, run: str, contract: Contract, mapping: Sequence[MappingEntry]) -> None:
        """Take a run that begins; raise ContractError if the mapping does not fit its contract."""
        self._run, self._contract, self._last = run, contract, -1
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
        oldest = settings.max_cycle_age or duration + spike_timeout(settings, duration)
        age = now - cycle.stamp
        if age > oldest:
            return Code.LATE_CYCLE, f"the cycle began {age:.3f} s ago, more than {oldest:.3f} s"
        if -age > oldest:
            return Code.LATE_CYCLE, f"the cycle's stamp is {-age:.3f} s ahead of the clock"
        return None

    def decode(self, cycle: Cycle) -> tuple[ChannelDeltas | None, Refusal | None]:
        """Decode a cycle's spikes; refuse what does not fit, or is not finite, as a whole."""
        if self._decoder is None or self._contract is None:
            return None, (Code.BAD_FRAME, self._no_decoder)
        if cycle.timesteps != self._contract.gamma:
            return None, (
                Code.BAD_FRAME,
                f"the cycle has {cycle.timesteps} timesteps, the contract says"
                f" {self._contract.gamma}",
            )
        try:
            deltas = self._decoder.decode(cycle.rasters)
        except ContractError as error:
            return None, (Code.BAD_FRAME, str(error))
        if not np.isfinite(deltas.values).all():
            bad = np.flatnonzero(~np.isfinite(deltas.values).all(axis=0))[0]
            return deltas, (
                Code.NON_FINITE,
                f"a delta of channel {deltas.names[bad]!r} is not finite",
            )
        return deltas, None
