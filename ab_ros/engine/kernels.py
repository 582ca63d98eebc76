"""The Numba kernel that ticks a circuit: the NumPy path, operation by operation, bit for bit.

No fast-math and no parallel loops: both would change the order of floating-point operations.  Other
threads of Python go on meanwhile.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ab_ros.engine.compilation import compiled, part
from ab_ros.engine.layout import (
    AGE_COLUMNS,
    ALL,
    CRITICAL_PERIOD,
    DELAY,
    DEPRESSING,
    DEVELOPMENTAL,
    EVENTS,
    FACILITATING,
    FIRST_FRAME,
    FIRST_FRAME_SIZE,
    FIXED,
    GAP_JUNCTION,
    GATED,
    KIND,
    LEARNING,
    NOTHING,
    PLASTIC,
    POST_START,
    POST_STOP,
    POST_TRACE,
    PRE_START,
    PRE_STOP,
    REWARD_PLASTIC,
    REWARDED,
    SECOND_FRAME,
    SETTLED,
    SINCE,
    SPIKES,
    STOPS,
    THRESHOLD,
    TRANSMISSION,
    USE,
)
from ab_ros.engine.neurons import V_CLIP_HIGH, V_CLIP_LOW, V_SPIKE
from ab_ros.engine.synapse_kernels import (
    active,
    count_coincidences,
    couple,
    deliver,
    deliver_by_gain,
    deliver_plastic,
    deliver_rewarded,
    renew_frame,
    settle,
    strengthen,
)

# Compiled code is kept on disk with all that it calls, and the cache only notices changes of this
# file: touch it after changes of the kernels of synapses, and of constants that are imported.
_SCAN = 16
# The log counts time in int32.
_LATE = 2**30


@part
def _neurons(neurons: Any, drive: Any, arriving: Any, spikes: Any) -> None:
    a, b, c, d, v, u = neurons[0], neurons[1], neurons[2], neurons[3], neurons[4], neurons[5]
    for i in range(v.size):
        x = v[i]
        y = u[i]
        current = drive[i] + arriving[i]
        arriving[i] = 0.0
        x = x + (x * 0.04 * x + x * 5.0 + 140.0 - y + current) * 0.5
        x = max(x, V_CLIP_LOW)
        x = min(x, V_CLIP_HIGH)
        x = x + (x * 0.04 * x + x * 5.0 + 140.0 - y + current) * 0.5
        y = y + a[i] * (b[i] * x - y)
        fired = x >= V_SPIKE
        if fired:
            x = c[i]
            y = y + d[i]
        v[i] = x
        u[i] = y
        spikes[i] = fired


@part
def _first_from(fired: Any, count: int, index: int) -> int:
    if count == 0 or index <= fired[0]:
        return 0
    if index > fired[count - 1]:
        return count
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if fired[middle] < index:
            low = middle + 1
        else:
            high = middle
    return low


@part
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
    ticks: int,
    to_settle: int,
    learning: bool,
    neurons: Any,
    pending: Any,
    counts: Any,
    tables: Any,
    all_parameters: Any,
    all_ages: Any,
    ints: Any,
    reals: Any,
    doubles: Any,
    log: Any,
    account: Any,
    down: Any,
    up: Any,
    fired: Any,
    longs: Any,
) -> None:
    """Tick a circuit whose arrays :class:`~ab_ros.engine.compiled.CompiledAdvance` has packed.

    Settle first what ``to_settle`` says, if anything.  ``longs`` is None if all tables are of
    fixed, plastic or reward-modulated synapses: what others need is not compiled then.
    """
    delays = pending.shape[0]
    latest, events, _ = log
    waiting = latest.size > 0
    for t in range(ticks + 1):
        # Before each tick, and after the last.
        now = tick - account[SINCE]
        full = waiting and (account[EVENTS] + counts.size > events.shape[0] or now > _LATE)
        anew = full or to_settle == ALL
        for k in range(tables.shape[0]):
            table, parameters, ages = tables[k], all_parameters[k], all_ages[k]
            kind = table[KIND]
            if kind in (FIXED, GAP_JUNCTION):
                continue
            old = 0
            for frame in range(2):
                old += ages[frame] == table[FIRST_FRAME_SIZE + 2 * frame] - 1
            asked = kind == REWARD_PLASTIC and to_settle == REWARDED
            if kind in (PLASTIC, REWARD_PLASTIC) and (anew or old or asked):
                start, stop = table[PRE_START], table[PRE_STOP]
                settle(
                    table,
                    parameters,
                    ages,
                    start,
                    stop,
                    now,
                    learning,
                    ints,
                    reals,
                    doubles,
                    log,
                    down,
                    up,
                )
                if anew:
                    ints[table[SETTLED] : table[SETTLED] + stop - start] = 0
            for frame in range(2 if old else 0):
                age = ages[frame]
                if age == table[FIRST_FRAME_SIZE + 2 * frame] - 1:
                    factor = down[table[FIRST_FRAME + 2 * frame] + age]
                    renew_frame(frame, table, factor, reals, doubles)
                    ages[frame] = 0
        if anew:
            latest[:] = -1
            account[EVENTS] = 0
            account[SPIKES] = 0
            account[SINCE] = tick
            now = tick - tick
        to_settle = NOTHING
        if t == ticks:
            break
        spikes = raster[t]
        arriving = pending[tick % delays]
        if longs is not None:
            for k in range(tables.shape[0]):
                if tables[k, KIND] == GAP_JUNCTION:
                    conductance = all_parameters[k, USE]
                    v = neurons[4]
                    couple(tables[k], conductance, source_count, v, arriving, ints, reals)
        _neurons(neurons, drive[min(t, drive.shape[0] - 1)], arriving, spikes[source_count:])
        count = _list_fired(spikes, fired)
        # Those of the neurons, also by their own index.
        first_neuron = _first_from(fired, count, source_count)
        neurons_fired = fired[fired.size // 2 :]
        for k in range(first_neuron, count):
            neurons_fired[k] = fired[k] - source_count
        for k in range(tables.shape[0]):
            table, parameters, ages = tables[k], all_parameters[k], all_ages[k]
            kind = table[KIND]
            first = _first_from(fired, count, table[PRE_START])
            last = _first_from(fired, count, table[PRE_STOP])
            later = pending[(tick + table[DELAY]) % delays]
            stopped = 0
            if longs is not None:
                if kind == GAP_JUNCTION:
                    continue
                if kind in (FACILITATING, DEPRESSING):
                    deliver_by_gain(
                        table,
                        parameters[USE],
                        ages[0],
                        fired,
                        first,
                        last,
                        later,
                        ints,
                        reals,
                        doubles,
                        down,
                        up,
                    )
                    ages[0] += 1
                    continue
                if kind == GATED and not active(table, parameters[THRESHOLD], tick, spikes, longs):
                    stopped = table[STOPS]
            if kind == FIXED:
                deliver(table, fired, first, last, later, ints, reals)
                continue
            allowed = learning and not stopped & LEARNING
            post_first = _first_from(fired, count, source_count + table[POST_START])
            post_last = _first_from(fired, count, source_count + table[POST_STOP])
            if kind == REWARD_PLASTIC:
                deliver_rewarded(
                    table,
                    parameters,
                    ages,
                    fired,
                    first,
                    last,
                    later,
                    now,
                    learning,
                    ints,
                    reals,
                    doubles,
                    log,
                    down,
                    up,
                )
            else:
                if longs is not None:
                    young = ages[2] < table[CRITICAL_PERIOD]
                    if kind == DEVELOPMENTAL and young:
                        own = (first, last, post_first, post_last)
                        count_coincidences(table, ages[2], fired, own, source_count, ints, longs)
                deliver_plastic(
                    table,
                    parameters,
                    ages,
                    fired,
                    first,
                    last,
                    later,
                    now,
                    not stopped & TRANSMISSION,
                    allowed,
                    ints,
                    reals,
                    doubles,
                    log,
                    down,
                    up,
                )
                if longs is not None and allowed and kind != PLASTIC:
                    strengthen(
                        table,
                        parameters,
                        ages,
                        neurons_fired,
                        post_first,
                        post_last,
                        ints,
                        reals,
                        doubles,
                        down,
                    )
                increment = up[table[SECOND_FRAME] + ages[1]]
                own_trace = table[POST_TRACE] - table[POST_START]
                for j in range(post_first, post_last):
                    doubles[own_trace + neurons_fired[j]] += increment
            for j in range(AGE_COLUMNS):
                ages[j] += 1
        for k in range(first_neuron, count):
            i = neurons_fired[k]
            counts[i] += 1
            if waiting:
                recent = latest[i]
                if recent[2] >= 0:
                    event = account[EVENTS]
                    events[event, 0] = recent[2]
                    events[event, 1] = recent[3]
                    recent[3] = event
                    account[EVENTS] = event + 1
                recent[2] = recent[1]
                recent[1] = recent[0]
                recent[0] = now
                account[SPIKES] += 1
        tick += 1
