"""Numba kernels: the same operations in the same order as the NumPy path, bit for bit.

No fast-math and no parallel loops: both would change the order of floating-point operations.
Values stored as float32 are widened to float64 before any arithmetic, as the NumPy path does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from ab_ros.engine.neurons import V_CLIP_HIGH, V_CLIP_LOW, V_SPIKE
from ab_ros.engine.synapses.decay import FLUSH
from ab_ros.engine.synapses.developmental import HISTORY
from ab_ros.engine.synapses.gated import WINDOW
from ab_ros.engine.synapses.plastic import DEPRESSION

# Compiled code is cached with these numbers in it, and the cache only notices changes of this file:
# touch it after a change of the constants that it imports.
FIXED, PLASTIC, REWARD_PLASTIC, FACILITATING, DEPRESSING, GAP_JUNCTION, GATED, DEVELOPMENTAL = (
    range(8)
)
_SCAN = 16
# Columns of the kernels' description of a table (int64).
KIND, DELAY, PRE_START, PRE_STOP, POST_START, POST_STOP = range(6)
ROW, SLOT, COLUMN, LEARNING_SLOT, PRE_TRACE, POST_TRACE, SYNAPSE_TRACE = range(6, 13)
FIRST_FRAME, FIRST_FRAME_SIZE, SECOND_FRAME, SECOND_FRAME_SIZE = range(13, 17)
DEVIATION, MODULATORS, MODULATOR_COUNT, MODULATOR_SPIKES, STOPS = range(17, 22)
LIFE, FIRES, LAST_POST, COINCIDENCE_WINDOW, CRITICAL_PERIOD = range(22, 27)
TABLE_COLUMNS = 27
# Columns of its ages (int64): of both frames, and of developmental synapses.
AGE_COLUMNS = 3
# Bits of what a closed gate stops.
TRANSMISSION, LEARNING = 1, 2
# Columns of its parameters (float64).
LR, W_MIN, W_MAX, STRONG, WEAK, THRESHOLD = range(6)
PARAMETER_COLUMNS = 6
# The first is also the increment of facilitating synapses, the factor of depressing ones, and the
# conductance of gap junctions.
USE = 0


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on first use; keep the result on disk, if there is a place that can be written."""
    try:
        kernel: Callable[..., Any] = njit(cache=True, error_model="numpy")(function)
    except RuntimeError:
        kernel = njit(error_model="numpy")(function)
    return kernel


@compiled
def _neurons(neurons: Any, current: Any, spikes: Any) -> None:
    a, b, c, d, v, u = neurons
    for i in range(v.size):
        x = v[i]
        y = u[i]
        x = x + (x * 0.04 * x + x * 5.0 + 140.0 - y + current[i]) * 0.5
        x = max(x, V_CLIP_LOW)
        x = min(x, V_CLIP_HIGH)
        x = x + (x * 0.04 * x + x * 5.0 + 140.0 - y + current[i]) * 0.5
        y = y + a[i] * (b[i] * x - y)
        fired = x >= V_SPIKE
        if fired:
            x = c[i]
            y = y + d[i]
        v[i] = x
        u[i] = y
        spikes[i] = fired


@compiled
def moved(weight: float, amount: float, bound: float, w_min: float, w_max: float) -> float:
    """Return a weight moved towards a bound, softly; see :class:`SoftBounds`."""
    weight = weight + amount * ((bound - weight) / (w_max - w_min))
    return min(max(weight, w_min), w_max)


@compiled
def _renew(stored: Any, start: int, stop: int, factor: float) -> None:
    for i in range(start, stop):
        value = np.float64(stored[i]) * factor
        stored[i] = 0.0 if abs(value) < FLUSH else value


@compiled
def _deliver(
    table: Any, fired: Any, count: int, later: Any, row_start: Any, targets: Any, weights: Any
) -> None:
    start, stop, slot = table[PRE_START], table[PRE_STOP], table[SLOT]
    into = later[table[POST_START] : table[POST_STOP]]
    for k in range(count):
        i = fired[k]
        if start <= i < stop:
            row = table[ROW] + i - start
            for s in range(slot + row_start[row], slot + row_start[row + 1]):
                into[targets[s]] += np.float64(weights[s])


@compiled
def _deliver_living(
    table: Any, fired: Any, count: int, later: Any, arrays: Any, pruned_at: Any
) -> None:
    row_start, targets, weights = arrays[:3]
    start, stop, slot = table[PRE_START], table[PRE_STOP], table[SLOT]
    life = table[LIFE] - slot
    into = later[table[POST_START] : table[POST_STOP]]
    for k in range(count):
        i = fired[k]
        if start <= i < stop:
            row = table[ROW] + i - start
            for s in range(slot + row_start[row], slot + row_start[row + 1]):
                if pruned_at[life + s] == 0:
                    into[targets[s]] += np.float64(weights[s])


@compiled
def _deliver_by_gain(
    table: Any,
    use: float,
    age: int,
    fired: Any,
    count: int,
    later: Any,
    arrays: Any,
    deviation: Any,
    down: Any,
    up: Any,
) -> None:
    row_start, targets, weights = arrays[:3]
    start, stop, slot = table[PRE_START], table[PRE_STOP], table[SLOT]
    into = later[table[POST_START] : table[POST_STOP]]
    frame = table[FIRST_FRAME] + age
    for k in range(count):
        i = fired[k]
        if start <= i < stop:
            own = table[DEVIATION] + i - start
            if table[KIND] == FACILITATING:
                deviation[own] = deviation[own] + use * up[frame]
                gain = 1.0 + deviation[own] * down[frame]
            else:
                gain = (1.0 - deviation[own] * down[frame]) * use
                deviation[own] = (1.0 - gain) * up[frame]
            row = table[ROW] + i - start
            for s in range(slot + row_start[row], slot + row_start[row + 1]):
                into[targets[s]] += np.float64(weights[s]) * gain


@compiled
def _couple(
    table: Any, conductance: float, source_count: int, v: Any, current: Any, arrays: Any
) -> None:
    row_start, targets, weights = arrays[:3]
    slot, post_start = table[SLOT], table[POST_START]
    # All that flows in before all that flows out, as in the NumPy path.
    for sign in (1.0, -1.0):
        for i in range(table[PRE_START], table[PRE_STOP]):
            row = table[ROW] + i - table[PRE_START]
            source = i - source_count
            for s in range(slot + row_start[row], slot + row_start[row + 1]):
                target = post_start + targets[s]
                flow = conductance * np.float64(weights[s]) * (v[source] - v[target])
                if sign > 0.0:
                    current[target] += flow
                else:
                    current[source] -= flow


@compiled
def _active(
    table: Any, threshold: float, tick: int, spikes: Any, modulators: Any, modulator_spikes: Any
) -> bool:
    first, size = table[MODULATORS], table[MODULATOR_COUNT]
    window = modulator_spikes[table[MODULATOR_SPIKES] : table[MODULATOR_SPIKES] + WINDOW]
    now = 0
    for k in range(first, first + size):
        now += spikes[modulators[k]]
    window[tick % WINDOW] = now
    total = 0
    for k in range(WINDOW):
        total += window[k]
    active: bool = total / (size * WINDOW) >= threshold
    return active


@compiled
def _ones(word: Any) -> Any:
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    word = (word & pairs) + ((word >> np.uint64(2)) & pairs)
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int32((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def _count_coincidences(
    table: Any, age: int, fired: Any, count: int, source_count: int, arrays: Any, lives: Any
) -> None:
    column_start, by_target, sources = arrays[3:6]
    coincidences, pruned_at, fires, history, last_pre, last_post = lives
    learning_slot, life = table[LEARNING_SLOT], table[LIFE]
    start, stop = table[PRE_START], table[PRE_STOP]
    for k in range(count):
        i = fired[k]
        if start <= i < stop:
            pre = table[FIRES] + i - start
            passed = age - last_pre[pre]
            kept = np.uint64(0)
            if passed < HISTORY:
                kept = history[pre] << np.uint64(passed)
            history[pre] = kept | np.uint64(1)
            last_pre[pre] = age
            fires[pre] += 1
    start, stop = source_count + table[POST_START], source_count + table[POST_STOP]
    for k in range(count):
        i = fired[k]
        if start <= i < stop:
            post = table[LAST_POST] + i - start
            reach = min(table[COINCIDENCE_WINDOW] + 1, age - last_post[post])
            column = table[COLUMN] + i - start
            for at in range(column_start[column], column_start[column + 1]):
                s = by_target[learning_slot + at]
                pre = table[FIRES] + sources[learning_slot + s]
                bits = reach - (age - last_pre[pre])
                if bits > 0 and pruned_at[life + s] == 0:
                    mask = ~np.uint64(0) >> np.uint64(HISTORY - bits)
                    coincidences[life + s] += _ones(history[pre] & mask)
            last_post[post] = age


@compiled
def _plastic(
    table: Any,
    parameters: Any,
    ages: Any,
    fired: Any,
    count: int,
    source_count: int,
    learning: bool,
    arrays: Any,
    pruned_at: Any,
    down: Any,
    up: Any,
) -> None:
    mortal, life = table[KIND] == DEVELOPMENTAL, table[LIFE]
    row_start, targets, weights, column_start, by_target, sources, pre_trace, post_trace = arrays[
        :8
    ]
    w_min, w_max = parameters[W_MIN], parameters[W_MAX]
    slot, learning_slot = table[SLOT], table[LEARNING_SLOT]
    pre_frame = table[FIRST_FRAME] + ages[0]
    post_frame = table[SECOND_FRAME] + ages[1]
    weaken = parameters[LR] * DEPRESSION * down[post_frame]
    strengthen = parameters[LR] * down[pre_frame]
    start, stop = table[PRE_START], table[PRE_STOP]
    for k in range(count):
        i = fired[k]
        if start <= i < stop:
            row = table[ROW] + i - start
            if learning:
                for s in range(slot + row_start[row], slot + row_start[row + 1]):
                    if mortal and pruned_at[life + s - slot] != 0:
                        continue
                    amount = weaken * post_trace[table[POST_TRACE] + targets[s]]
                    weight = np.float64(weights[s])
                    weights[s] = moved(weight, amount, parameters[WEAK], w_min, w_max)
            pre_trace[table[PRE_TRACE] + i - start] += up[pre_frame]
    start, stop = source_count + table[POST_START], source_count + table[POST_STOP]
    for k in range(count):
        i = fired[k]
        if start <= i < stop:
            column = table[COLUMN] + i - start
            if learning:
                for at in range(column_start[column], column_start[column + 1]):
                    s = by_target[learning_slot + at]
                    if mortal and pruned_at[life + s] != 0:
                        continue
                    amount = strengthen * pre_trace[table[PRE_TRACE] + sources[learning_slot + s]]
                    weight = np.float64(weights[slot + s])
                    weights[slot + s] = moved(weight, amount, parameters[STRONG], w_min, w_max)
            post_trace[table[POST_TRACE] + i - start] += up[post_frame]


@compiled
def _reward_plastic(
    table: Any,
    ages: Any,
    fired: Any,
    count: int,
    source_count: int,
    arrays: Any,
    down: Any,
    up: Any,
) -> None:
    row_start, column_start, by_target, trace, eligibility = (
        arrays[0],
        arrays[3],
        arrays[4],
        arrays[8],
        arrays[9],
    )
    first = table[SYNAPSE_TRACE]
    trace_frame = table[FIRST_FRAME] + ages[0]
    eligibility_frame = table[SECOND_FRAME] + ages[1]
    increment = up[trace_frame]
    factor = down[trace_frame] * up[eligibility_frame]
    start, stop = table[PRE_START], table[PRE_STOP]
    for k in range(count):
        i = fired[k]
        if start <= i < stop:
            row = table[ROW] + i - start
            for s in range(first + row_start[row], first + row_start[row + 1]):
                trace[s] = np.float64(trace[s]) + increment
    start, stop = source_count + table[POST_START], source_count + table[POST_STOP]
    for k in range(count):
        i = fired[k]
        if start <= i < stop:
            column = table[COLUMN] + i - start
            for at in range(column_start[column], column_start[column + 1]):
                s = first + by_target[table[LEARNING_SLOT] + at]
                value = np.float64(trace[s])
                eligibility[s] = np.float64(eligibility[s]) + value * factor
                trace[s] = value * 0.5


@compiled
def _end_tick(table: Any, ages: Any, arrays: Any, down: Any) -> None:
    kind = table[KIND]
    ages[0] += 1
    ages[1] += 1
    ages[2] += 1
    first = ages[0] == table[FIRST_FRAME_SIZE] - 1
    second = ages[1] == table[SECOND_FRAME_SIZE] - 1
    rows = table[PRE_STOP] - table[PRE_START]
    if kind in (PLASTIC, GATED, DEVELOPMENTAL):
        if first:
            start = table[PRE_TRACE]
            _renew(arrays[6], start, start + rows, down[table[FIRST_FRAME] + ages[0]])
        if second:
            start = table[POST_TRACE]
            stop = start + table[POST_STOP] - table[POST_START]
            _renew(arrays[7], start, stop, down[table[SECOND_FRAME] + ages[1]])
    elif kind == REWARD_PLASTIC:
        start = table[SYNAPSE_TRACE]
        stop = start + arrays[0][table[ROW] + rows]
        if first:
            _renew(arrays[8], start, stop, down[table[FIRST_FRAME] + ages[0]])
        if second:
            _renew(arrays[9], start, stop, down[table[SECOND_FRAME] + ages[1]])
    elif first:
        start = table[DEVIATION]
        _renew(arrays[10], start, start + rows, down[table[FIRST_FRAME] + ages[0]])
    if first:
        ages[0] = 0
    if second:
        ages[1] = 0


@compiled
def _list_fired(spikes: Any, fired: Any) -> int:
    # Most neurons are silent: look at some at a time, which compiles to few instructions.
    count = 0
    whole = spikes.size - spikes.size % _SCAN
    for start in range(0, whole, _SCAN):
        part = spikes[start : start + _SCAN]
        some = np.uint8(0)
        for i in range(_SCAN):
            some |= part[i]
        if some:
            for i in range(_SCAN):
                if part[i]:
                    fired[count] = start + i
                    count += 1
    for i in range(whole, spikes.size):
        if spikes[i]:
            fired[count] = i
            count += 1
    return count


@compiled
def advance(
    tick: int,
    source_count: int,
    raster: Any,
    drive: Any,
    learning: bool,
    neurons: Any,
    pending: Any,
    tables: Any,
    parameters: Any,
    ages: Any,
    arrays: Any,
    lives: Any,
    down: Any,
    up: Any,
    fired: Any,
) -> None:
    """Tick a circuit whose arrays :class:`~ab_ros.engine.compiled.CompiledAdvance` has packed."""
    rows = pending.shape[0]
    for t in range(raster.shape[0]):
        external = drive[t]
        arriving = pending[tick % rows]
        for i in range(external.size):
            external[i] += arriving[i]
            arriving[i] = 0.0
        for k in range(tables.shape[0]):
            if tables[k, KIND] == GAP_JUNCTION:
                conductance = parameters[k, USE]
                _couple(tables[k], conductance, source_count, neurons[4], external, arrays)
        _neurons(neurons, external, raster[t, source_count:])
        count = _list_fired(raster[t], fired)
        for k in range(tables.shape[0]):
            table = tables[k]
            if table[KIND] == GAP_JUNCTION:
                continue
            later = pending[(tick + table[DELAY]) % rows]
            kind = table[KIND]
            stopped = 0
            if kind == GATED and not _active(
                table, parameters[k, THRESHOLD], tick, raster[t], arrays[11], arrays[12]
            ):
                stopped = table[STOPS]
            if kind in (FACILITATING, DEPRESSING):
                use = parameters[k, USE]
                age = ages[k, 0]
                _deliver_by_gain(table, use, age, fired, count, later, arrays, arrays[10], down, up)
            elif kind == DEVELOPMENTAL:
                _deliver_living(table, fired, count, later, arrays, lives[1])
                if ages[k, 2] < table[CRITICAL_PERIOD]:
                    _count_coincidences(
                        table, ages[k, 2], fired, count, source_count, arrays, lives
                    )
            elif not stopped & TRANSMISSION:
                _deliver(table, fired, count, later, arrays[0], arrays[1], arrays[2])
            if kind == FIXED:
                continue
            if kind in (PLASTIC, GATED, DEVELOPMENTAL):
                _plastic(
                    table,
                    parameters[k],
                    ages[k],
                    fired,
                    count,
                    source_count,
                    learning and not stopped & LEARNING,
                    arrays,
                    lives[1],
                    down,
                    up,
                )
            elif kind == REWARD_PLASTIC:
                _reward_plastic(table, ages[k], fired, count, source_count, arrays, down, up)
            _end_tick(table, ages[k], arrays, down)
        tick += 1
