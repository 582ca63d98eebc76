"""Conversions between the values of ab_ros and its own ROS messages.

What is read from a message is checked first: one that cannot be used raises a ContractError.
Arrays go into messages as ``array.array``, which rclpy takes over as it is; a NumPy array would be
copied element by element.
"""

from __future__ import annotations

import array
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from numpy.typing import ArrayLike, NDArray

from ab_ros.contract import Contract
from ab_ros.errors import ContractError
from ab_ros.msg import ActuatorDeltas, BrainContract, PopulationSpikes, SpikeRaster
from ab_ros.msg import Deviation as DeviationMessage
from ab_ros.msg import Reward as RewardMessage
from ab_ros.values import ChannelDeltas, Cycle, Deviation, Reward, read_only

MAX_CELLS = 1 << 26
"""Most cells T x N of a raster that is read: a wrong size must not fill the memory."""

_NANOSECONDS = 1_000_000_000
_INT32_MAX = 2**31 - 1
_TYPECODES: Mapping[str, Any] = {"H": np.uint16, "I": np.uint32, "f": np.float32, "d": np.float64}


def seconds(stamp: Time | Duration) -> float:
    """Return a stamp or duration in s; at today's Unix time a float resolves about 0.2 us."""
    return float(stamp.sec) + float(stamp.nanosec) * 1e-9


def nanoseconds(stamp: Time | Duration) -> int:
    """Return a stamp or duration in ns, exactly."""
    return int(stamp.sec) * _NANOSECONDS + int(stamp.nanosec)


def to_time(stamp: float) -> Time:
    """Return a stamp in s as a message, rounded to the nearest ns.

    Raises
    ------
    ContractError
        if it is not finite or does not fit into the message.
    """
    return Time(**_parts(stamp, "stamp"))


def to_duration(length: float) -> Duration:
    """Return a duration in s as a message, rounded to the nearest ns; errors as :func:`to_time`."""
    return Duration(**_parts(length, "duration"))


def nanoseconds_to_time(stamp: int) -> Time:
    """Return a stamp in ns as a message, exactly."""
    sec, nanosec = divmod(int(stamp), _NANOSECONDS)
    return Time(sec=sec, nanosec=nanosec)


def _parts(value: float, what: str) -> dict[str, int]:
    if not math.isfinite(value) or abs(value) > _INT32_MAX:
        raise ContractError(f"{what}: must be finite and within +-{_INT32_MAX} s, not {value}")
    # Whole seconds apart: their product with 1e9 would lose the nanoseconds.
    sec = math.floor(value)
    nanosec = round((value - sec) * 1e9)
    if nanosec == _NANOSECONDS:
        sec, nanosec = sec + 1, 0
    return {"sec": sec, "nanosec": nanosec}


def packed(values: ArrayLike, typecode: str) -> array.array[Any]:
    """Return values as the ``array.array`` that a message field of that C type takes fastest."""
    result = array.array(typecode)
    result.frombytes(np.ascontiguousarray(values, _TYPECODES[typecode]).tobytes())
    return result


def spike_raster(cycle: Cycle) -> SpikeRaster:
    """Return the spikes of a cycle as address events, ordered by timestep, then by neuron.

    A cycle that has deltas instead goes as the table of them.

    Raises
    ------
    ContractError
        if the cycle is too long for the message (65535 timesteps).
    """
    if cycle.timesteps > np.iinfo(np.uint16).max:
        raise ContractError(f"cycle {cycle.number}: {cycle.timesteps} timesteps; at most 65535")
    raster_message = SpikeRaster(
        run=cycle.run,
        cycle=cycle.number,
        dt=cycle.dt,
        timesteps=cycle.timesteps,
        observed=to_time(cycle.observed),
    )
    raster_message.header.stamp = to_time(cycle.stamp)
    populations = []
    for population, raster in cycle.rasters.items():
        t, neuron = np.nonzero(raster)
        populations.append(
            PopulationSpikes(
                id=population, size=raster.shape[1], t=packed(t, "H"), neuron=packed(neuron, "I")
            )
        )
    raster_message.populations = populations
    if cycle.deltas is not None:
        raster_message.channel = list(cycle.deltas.names)
        raster_message.delta = packed(cycle.deltas.values, "d")
    return raster_message


def read_spike_raster(message: SpikeRaster, contract: Contract | None = None) -> Cycle:
    """Return the cycle that a message holds, with read-only rasters uint8[T, N] or deltas.

    Parameters
    ----------
    contract : if given, every population must be one of its outputs and have its size.

    Raises
    ------
    ContractError
        for an event outside the raster, lists of different length, a population that comes twice or
        does not fit the contract, a raster too large to be true, deltas that are no table or come
        beside spikes, or a dt that is not > 0 s.
    """
    timesteps = int(message.timesteps)
    where = f"cycle {message.cycle} of run {message.run!r}"
    deltas = _read_table(message.channel, message.delta, timesteps, where)
    rasters: dict[str, NDArray[np.uint8]] = {}
    for spikes in message.populations:
        size = int(spikes.size)
        what = f"{where}: population {spikes.id!r}"
        if spikes.id in rasters:
            raise ContractError(f"{what} comes twice")
        if contract is not None and contract.output(spikes.id).n != size:
            raise ContractError(
                f"{what} has {size} neurons; the contract says {contract.output(spikes.id).n}"
            )
        if size * timesteps > MAX_CELLS:
            raise ContractError(f"{what}: {timesteps} x {size} cells; at most {MAX_CELLS}")
        t = np.asarray(spikes.t, np.uint16)
        neuron = np.asarray(spikes.neuron, np.uint32)
        if t.size != neuron.size:
            raise ContractError(f"{what}: {t.size} timesteps but {neuron.size} neurons")
        if t.size and int(t.max()) >= timesteps:
            raise ContractError(
                f"{what}: a spike at timestep {int(t.max())}; must be below {timesteps}"
            )
        if neuron.size and int(neuron.max()) >= size:
            raise ContractError(
                f"{what}: a spike of neuron {int(neuron.max())}; must be below {size}"
            )
        raster = np.zeros((timesteps, size), np.uint8)
        raster[t, neuron] = 1
        rasters[spikes.id] = read_only(raster)
    return Cycle(
        run=message.run,
        number=int(message.cycle),
        rasters=rasters,
        dt=float(message.dt),
        stamp=seconds(message.header.stamp),
        observed=seconds(message.observed),
        deltas=deltas,
    )


def reward_message(reward: Reward, run: str, cycle: int, stamp: float) -> RewardMessage:
    """Return the reward for a cycle of a run, earned at ``stamp`` (s)."""
    result = RewardMessage(
        run=run,
        cycle=cycle,
        global_reward=reward.overall,
        layer=list(reward.by_layer),
        layer_reward=packed(list(reward.by_layer.values()), "d"),
    )
    result.header.stamp = to_time(stamp)
    return result


def read_reward(message: RewardMessage) -> Reward:
    """Return the reward in a message.

    Raises
    ------
    ContractError
        if layers and their rewards differ in number, or a layer comes twice.
    PolicyError
        if a reward is not within [0, 1].
    """
    layers, values = list(message.layer), [float(value) for value in message.layer_reward]
    if len(layers) != len(values) or len(set(layers)) != len(layers):
        raise ContractError(
            f"reward for cycle {message.cycle}: {len(layers)} layers {layers} with"
            f" {len(values)} rewards; each layer must come once, with one reward"
        )
    return Reward(float(message.global_reward), dict(zip(layers, values, strict=True)))


def deviation_message(deviation: Deviation, run: str, cycle: int, stamp: float) -> DeviationMessage:
    """Return the deviation measured at ``stamp`` (s), after a cycle of a run."""
    result = DeviationMessage(
        run=run,
        cycle=cycle,
        feedback=deviation.feedback,
        deviation=packed(deviation.values, "f"),
    )
    result.header.stamp = to_time(stamp)
    return result


def read_deviation(message: DeviationMessage, contract: Contract | None = None) -> Deviation:
    """Return the deviation in a message.

    Raises
    ------
    ContractError
        if the contract, where given, has no such feedback or another number of timesteps.
    PolicyError
        if a value is not within [-1, 1].
    """
    values = read_only(np.array(message.deviation, np.float32))
    if contract is not None:
        contract.feedback_port(message.feedback)
        if values.size != contract.feedback_timesteps:
            raise ContractError(
                f"deviation {message.feedback!r}: {values.size} values;"
                f" the contract says {contract.feedback_timesteps}"
            )
    return Deviation(message.feedback, values)


def brain_contract(contract: Contract, run: str, remote: bool = False) -> BrainContract:
    """Return the contract of a run; ``remote`` says that its brain is elsewhere."""
    return BrainContract(
        run=run, contract=contract.canonical(), sha256=contract.sha256, remote=remote
    )


def read_brain_contract(message: BrainContract) -> Contract:
    """Return the contract in a message.

    Raises
    ------
    ContractError
        if it is no contract, or its digest is not the one sent along.
    """
    contract = Contract.from_json(message.contract)
    if contract.sha256 != message.sha256:
        raise ContractError(
            f"contract of run {message.run!r}: its SHA-256 is {contract.sha256},"
            f" but {message.sha256 or 'none'} was sent along"
        )
    return contract


def actuator_deltas(
    deltas: ChannelDeltas, run: str, cycle: int, dt: float, stamp: float
) -> ActuatorDeltas:
    """Return the deltas decoded from a cycle of a run that began at ``stamp`` (s)."""
    result = ActuatorDeltas(
        run=run,
        cycle=cycle,
        dt=dt,
        channel=list(deltas.names),
        timesteps=deltas.values.shape[0],
        delta=packed(deltas.values, "d"),
    )
    result.header.stamp = to_time(stamp)
    return result


def read_actuator_deltas(message: ActuatorDeltas) -> ChannelDeltas:
    """Return the deltas in a message.

    Raises
    ------
    ContractError
        if the table has not one value per timestep and channel.
    """
    where = f"deltas of cycle {message.cycle}"
    table = _read_table(message.channel, message.delta, int(message.timesteps), where)
    return table or ChannelDeltas((), np.zeros((int(message.timesteps), 0)))


def _read_table(
    channels: Sequence[str], values: Sequence[float], timesteps: int, where: str
) -> ChannelDeltas | None:
    """Return the deltas of channels, float64[T, C]; None without any."""
    names, table = tuple(channels), np.array(values, np.float64)
    if table.size != timesteps * len(names):
        raise ContractError(
            f"{where}: {table.size} values for {timesteps} timesteps and {len(names)} channels"
        )
    if not names:
        return None
    return ChannelDeltas(names, read_only(table.reshape(timesteps, len(names))))
