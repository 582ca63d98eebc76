"""Output spikes as the 0.1 protocol sends them: rows of a timestep, a population and its bits.

A row is either ``[t, id, bits]`` or ``{"t": …, "id": …, "bits": …}``; a stream may mix both.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.decoder import MappingEntry, decode_bits
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError, ContractError, one_of

ROW_FORMS = ("tuple", "object")

_log = logging.getLogger(__name__)


class Row(NamedTuple):
    """Spikes of one population at one timestep."""

    t: int
    population: str
    bits: tuple[int, ...]


def read_row(row: Any) -> Row | None:
    """Read a row of either form; None if it cannot be understood.

    The timestep may be a number or its text; a fraction is cut off towards 0.
    """
    if isinstance(row, Mapping):
        t, population, bits = row.get("t"), row.get("id"), row.get("bits")
    elif isinstance(row, Sequence) and not isinstance(row, (str, bytes)) and len(row) == 3:
        t, population, bits = row
    else:
        return None
    if isinstance(t, bool) or not isinstance(t, (int, float, str)):
        return None
    try:
        time = float(t)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(time) or not isinstance(population, str):
        return None
    if isinstance(bits, (str, bytes)) or not isinstance(bits, (Sequence, np.ndarray)):
        return None
    try:
        # NaN is neither spike nor silence: such a row is not understood.
        values = [float(bit) for bit in bits]
    except (TypeError, ValueError, OverflowError):
        return None
    if any(math.isnan(value) for value in values):
        return None
    return Row(int(time), population, tuple(int(value != 0.0) for value in values))


def decode_stream_rows(
    rows: Iterable[Any], mapping: Sequence[MappingEntry]
) -> dict[int, dict[str, float]]:
    """Decode rows one by one into ``{timestep: {channel: delta}}``, ascending in the timestep.

    A channel appears where a delta other than 0 went into it (so that +1 and −1 leave 0.0); every
    timestep of a row appears, even with nothing in it.  Two rows of one population and timestep
    add up.  Rows that cannot be understood are left out, and their number is logged.
    """
    deltas: dict[int, dict[str, float]] = {}
    unreadable = 0
    for item in rows:
        row = read_row(item)
        if row is None:
            unreadable += 1
            continue
        channels = deltas.setdefault(row.t, {})
        for entry in mapping:
            if entry.population == row.population:
                delta = decode_bits(entry, row.bits)
                if delta != 0.0:
                    channels[entry.channel] = channels.get(entry.channel, 0.0) + delta
    if unreadable:
        _log.warning("%d rows of output spikes could not be read and were left out", unreadable)
    return dict(sorted(deltas.items()))


def deltas_to_dq_dg(deltas: Mapping[str, float], dof: int) -> tuple[list[float], float]:
    """Split the deltas of one timestep into joints and gripper, as the 0.1 protocol does.

    Parameters
    ----------
    deltas : {channel: delta}.  ``joint:i`` goes to joint i, ``gripper`` and ``dg`` both go to the
        gripper; joints from ``dof`` on and other channels are left out.
    dof : number of joints.

    Returns
    -------
    dq : list of ``dof`` deltas.
    dg : delta of the gripper.
    """
    dq = [0.0] * dof
    dg = 0.0
    for channel, delta in deltas.items():
        kind, _, index = channel.partition(":")
        if kind == "joint" and index.isascii() and index.isdigit():
            if int(index) < dof:
                dq[int(index)] += delta
        elif channel in ("gripper", "dg"):
            dg += delta
    return dq, dg


def rasters_from_rows(
    rows: Iterable[Any], contract: Contract
) -> tuple[dict[str, NDArray[np.uint8]], int]:
    """Collect rows into the rasters of a cycle.

    Returns
    -------
    rasters : {output: uint8[gamma, N]} of every output of the contract; rows of one population
        and timestep are or-ed.
    dropped : number of rows outside [0, gamma), or that could not be understood.

    Raises
    ------
    ContractError
        for a population that the contract lacks, or bits of the wrong number: the mapping or the
        contract is wrong then, and dropping rows would only hide it.
    """
    gamma = contract.gamma
    rasters = {port.id: np.zeros((gamma, port.n), dtype=np.uint8) for port in contract.outputs}
    usual, odd = _sort_out(rows, {port.id: port.n for port in contract.outputs}, gamma)
    for population, (times, bits) in usual.items():
        if times:
            raster = rasters[population]
            found = np.frombuffer(b"".join(bits), dtype=np.uint8).reshape(len(times), -1) != 0
            if len(set(times)) == len(times):
                raster[times] = found
            else:
                np.bitwise_or.at(raster, times, found.view(np.uint8))
    return rasters, add_rows(rasters, odd, contract)


def _sort_out(
    rows: Iterable[Any], sizes: Mapping[str, int], gamma: int
) -> tuple[dict[str, tuple[list[int], list[bytes]]], list[Any]]:
    """Part rows as they usually come, by population, from those that need a closer look.

    Usual rows are never refused, so that the first error among the others is the first of all.
    """
    usual: dict[str, tuple[list[int], list[bytes]]] = {name: ([], []) for name in sizes}
    odd: list[Any] = []
    for item in rows:
        form = type(item)
        try:
            if form is dict:
                t, population, bits = item["t"], item["id"], item["bits"]
            elif form is list or form is tuple:
                t, population, bits = item
            else:
                t = population = bits = None
            if (
                type(t) is int
                and 0 <= t < gamma
                and type(population) is str
                and (type(bits) is list or type(bits) is tuple)
                and len(bits) == sizes[population]
            ):
                # By far the fastest way to read small integers; it takes no floats and texts.
                packed = bytes(bits)
                times, found = usual[population]
                times.append(t)
                found.append(packed)
                continue
        except (TypeError, ValueError, KeyError):
            pass  # add_rows says what is wrong with it, if anything is
        odd.append(item)
    return usual, odd


def add_rows(
    rasters: Mapping[str, NDArray[np.uint8]], rows: Iterable[Any], contract: Contract
) -> int:
    """Or rows of whatever form into rasters, one by one; return how many were dropped.

    What is dropped and what is refused, see :func:`rasters_from_rows`.
    """
    dropped = 0
    for item in rows:
        row = read_row(item)
        if row is None or not 0 <= row.t < contract.gamma:
            dropped += 1
            continue
        raster = rasters.get(row.population)
        if raster is None:
            contract.output(row.population)
        elif len(row.bits) != raster.shape[1]:
            raise ContractError(
                f"population {row.population!r}: a row must have {raster.shape[1]} bits,"
                f" not {len(row.bits)}"
            )
        else:
            raster[row.t] |= np.array(row.bits, dtype=np.uint8)
    return dropped


def rows_from_rasters(rasters: Mapping[str, NDArray[Any]], form: str = "tuple") -> list[Any]:
    """Return the rows of a cycle: one for each timestep of a population that has a spike.

    Parameters
    ----------
    rasters : {output: [T, N]} of 0 and 1.
    form : ``tuple`` makes rows ``[t, id, bits]``, ``object`` makes ``{"t", "id", "bits"}``.

    Returns
    -------
    list
        rows of plain integers and texts, ascending in t; those of one timestep in the order of
        the rasters.

    Raises
    ------
    ConfigError
        for an unknown form.
    """
    if form not in ROW_FORMS:
        raise ConfigError(f"unknown form of rows {form!r}; {one_of(ROW_FORMS)}")
    rows: list[tuple[int, str, list[int]]] = []
    for population, raster in rasters.items():
        spikes = raster != 0
        times = np.flatnonzero(spikes.any(axis=1))
        bits = spikes[times].view(np.uint8).tolist()
        rows += zip(times.tolist(), itertools.repeat(population), bits)
    rows.sort(key=itemgetter(0))
    if form == "tuple":
        return [list(row) for row in rows]
    return [{"t": t, "id": population, "bits": bits} for t, population, bits in rows]
