"""Making cycles of what a service sends."""

from __future__ import annotations

import time

import numpy as np

from ab_ros.brains.remote.session import Answered, DirectCommand
from ab_ros.brains.remote.settings import RemoteSettings
from ab_ros.codec.rows import rasters_from_rows
from ab_ros.contract import Contract
from ab_ros.errors import BrainError, ContractError
from ab_ros.protocol import CycleUpdate
from ab_ros.values import ChannelDeltas, Cycle, read_only


def cycle_of_update(
    update: CycleUpdate, contract: Contract, dt: float, times: Answered, free: bool = False
) -> tuple[Cycle, int]:
    """Return the cycle of an update, and how many of its rows were dropped.

    Its stamp, by which the motor stage judges its age, is that of the answer to its need.  A brain
    that runs freely may not have waited for that: its cycle is as old as the newest sample in it,
    if the service says how old that is.

    Parameters
    ----------
    update : rows and figures.
    contract : of the brain.
    dt : s, duration of a timestep.
    times : of the answer to the cycle's need; the service's ``observed`` goes first.
    free : whether the brain runs freely.

    Raises
    ------
    BrainError
        if the rows do not fit the contract.
    """
    begin = time.perf_counter()
    try:
        rasters, dropped = rasters_from_rows(update.rows, contract)
    except ContractError as error:
        raise BrainError(f"cycle {update.cycle}: does not fit the contract: {error}") from None
    observed = times.observed if update.observed is None else update.observed
    stamp = times.stamp
    if free and update.observed is not None:
        stamp = min(stamp, update.observed)
    frozen = {name: read_only(raster) for name, raster in rasters.items()}
    figures = {**update.telemetry, "decode_time": time.perf_counter() - begin}
    cycle = Cycle(update.run, update.cycle, frozen, dt, stamp, observed, figures)
    return cycle, dropped


def cycle_of_command(
    command: DirectCommand,
    settings: RemoteSettings,
    run: str,
    number: int,
    contract: Contract,
    dt: float,
    times: Answered,
) -> Cycle:
    """Return the cycle of a direct command.

    Parameters
    ----------
    command : changes of joints and gripper.
    settings : their channels.
    run : id.
    number : of the cycle, if the command names none.
    contract, dt : timesteps of a cycle, and their duration in s.
    times : of the robot, when the command came.
    """
    names, values = list(settings.direct_channels), list(command.dq)
    if command.dg is not None:
        names.append(settings.direct_gripper)
        values.append(command.dg)
    # A command is a change over a whole cycle: played in one timestep it would be a jerk.
    steps = contract.gamma
    deltas = read_only(np.tile(np.array(values, np.float64) / steps, (steps, 1)))
    return Cycle(
        run,
        number if command.cycle is None else command.cycle,
        {},
        dt,
        times.stamp,
        times.observed,
        deltas=ChannelDeltas(tuple(names), deltas),
    )
