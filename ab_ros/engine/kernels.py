"""Numba kernels: the same operations in the same order as the NumPy path, bit for bit.

No fast-math and no parallel loops: both would change the order of floating-point operations.
Values stored as float32 are widened to float64 before any arithmetic, as the NumPy path does.

What a target's spike does to plastic and reward-modulated synapses waits until the synapse is
*settled*: when its presynaptic neuron fires next, and lies in the cache anyway, or when it is asked
for.  Until then the spike stands in a log: the last three of each neuron side by side, older ones
as a chain of events.  A synapse goes through the same operations in the same order as if they had
not waited.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from ab_ros.engine.neurons import V_CLIP_HIGH, V_CLIP_LOW, V_SPIKE
from ab_ros.engine.prefetch import LINE, prefetch
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
KIND, DELAY, SIZE, PRE_START, PRE_STOP, POST_START, POST_STOP = range(7)
ROW, SLOT, SOURCE, COLUMN, COLUMN_SLOT, SETTLED = range(7, 13)
PRE_TRACE, POST_TRACE, SYNAPSE_TRACE, DEVIATION = range(13, 17)
FIRST_FRAME, FIRST_FRAME_SIZE, SECOND_FRAME, SECOND_FRAME_SIZE = range(17, 21)
MODULATORS, MODULATOR_COUNT, MODULATOR_SPIKES, STOPS = range(21, 25)
LIFE, FIRES, LAST_POST, COINCIDENCE_WINDOW, CRITICAL_PERIOD = range(25, 30)
TABLE_COLUMNS = 30
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
# What to settle before ticking.
NOTHING, REWARDED, ALL = range(3)
# Entries of the log's account (int64): events in it, the tick from which it counts time, and
# spikes since then.
EVENTS, SINCE, SPIKES = range(3)
# Target spikes that are dealt with together; one synapse can have as many as a frame has ticks.
_JOBS = 512
JOBS = _JOBS + 4100
# Rows between the one that is worked on and the one that is asked for.
_AHEAD = 2
# The log counts time in int32.
_LATE = 2**30


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on first use; keep the result on disk, if there is a place that can be written."""
    try:
        kernel: Callable[..., Any] = njit(cache=True, error_model="numpy")(function)
    except RuntimeError:
        kernel = njit(error_model="numpy")(function)
    return kernel


@compiled
def _neurons(neurons: Any, drive: Any, arriving: Any, spikes: Any) -> None:
    a, b, c, d, v, u = neurons
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


@compiled
def _fetch(table: Any, fired: Any, k: int, last: int, arrays: Any) -> None:
    """Ask for the row that is wanted after the next."""
    rows, targets, weights = arrays[:3]
    if k + 2 * _AHEAD < last:
        prefetch(rows, 2 * (table[ROW] + fired[k + 2 * _AHEAD] - table[PRE_START]))
    if k + _AHEAD < last:
        slot = table[SLOT]
        own = rows[table[ROW] + fired[k + _AHEAD] - table[PRE_START]]
        for s in range(slot + own[0], slot + own[1], LINE // 4):
            prefetch(targets, s)
            prefetch(weights, s)
        if table[KIND] == REWARD_PLASTIC:
            other = table[SYNAPSE_TRACE]
            for s in range(other + own[0], other + own[1], LINE // 4):
                prefetch(arrays[8], s)
                prefetch(arrays[12], s)


@compiled
def _deliver(table: Any, fired: Any, first: int, last: int, later: Any, arrays: Any) -> None:
    rows, targets, weights = arrays[:3]
    slot, row = table[SLOT], table[ROW] - table[PRE_START]
    into = later[table[POST_START] : table[POST_STOP]]
    for k in range(first, last):
        _fetch(table, fired, k, last, arrays)
        own = rows[row + fired[k]]
        for s in range(slot + own[0], slot + own[1]):
            into[targets[s]] += np.float64(weights[s])


@compiled
def _deliver_by_gain(
    table: Any,
    use: float,
    age: int,
    fired: Any,
    first: int,
    last: int,
    later: Any,
    arrays: Any,
    down: Any,
    up: Any,
) -> None:
    rows, targets, weights = arrays[:3]
    deviation = arrays[9]
    start, slot = table[PRE_START], table[SLOT]
    into = later[table[POST_START] : table[POST_STOP]]
    frame = table[FIRST_FRAME] + age
    for k in range(first, last):
        _fetch(table, fired, k, last, arrays)
        i = fired[k] - start
        at = table[DEVIATION] + i
        if table[KIND] == FACILITATING:
            deviation[at] = deviation[at] + use * up[frame]
            gain = 1.0 + deviation[at] * down[frame]
        else:
            gain = (1.0 - deviation[at] * down[frame]) * use
            deviation[at] = (1.0 - gain) * up[frame]
        own = rows[table[ROW] + i]
        for s in range(slot + own[0], slot + own[1]):
            into[targets[s]] += np.float64(weights[s]) * gain


@compiled
def _couple(
    table: Any, conductance: float, source_count: int, v: Any, current: Any, arrays: Any
) -> None:
    targets, weights, sources = arrays[1:4]
    slot, first = table[SLOT], table[SOURCE]
    post_start, pre_start = table[POST_START], table[PRE_START] - source_count
    for k in range(table[SIZE]):
        source = pre_start + sources[first + k]
        target = post_start + targets[slot + k]
        flow = conductance * np.float64(weights[slot + k]) * (v[source] - v[target])
        current[target] += flow
        current[source] -= flow


@compiled
def _active(table: Any, threshold: float, tick: int, spikes: Any, arrays: Any) -> bool:
    modulators, modulator_spikes = arrays[10:12]
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
    table: Any, age: int, fired: Any, ranges: Any, source_count: int, arrays: Any, lives: Any
) -> None:
    sources, columns, by_target = arrays[3:6]
    coincidences, fires, history, last_pre, last_post = lives
    for k in range(ranges[0], ranges[1]):
        pre = table[FIRES] + fired[k] - table[PRE_START]
        passed = age - last_pre[pre]
        kept = np.uint64(0)
        if passed < HISTORY:
            kept = history[pre] << np.uint64(passed)
        history[pre] = kept | np.uint64(1)
        last_pre[pre] = age
        fires[pre] += 1
    for k in range(ranges[2], ranges[3]):
        i = fired[k] - source_count - table[POST_START]
        post = table[LAST_POST] + i
        reach = min(table[COINCIDENCE_WINDOW] + 1, age - last_post[post])
        column = columns[table[COLUMN] + i]
        for at in range(table[COLUMN_SLOT] + column[0], table[COLUMN_SLOT] + column[1]):
            s = by_target[at]
            pre = table[FIRES] + sources[table[SOURCE] + s]
            bits = reach - (age - last_pre[pre])
            if bits > 0:
                mask = ~np.uint64(0) >> np.uint64(HISTORY - bits)
                coincidences[table[LIFE] + s] += _ones(history[pre] & mask)
        last_post[post] = age


@compiled
def _unchain(spikes: Any, events: Any, since: int, slot: int, jobs: Any, count: int) -> int:
    """Note all spikes of a target that is busy, the earliest first."""
    event = spikes[3]
    more = 0
    while event >= 0 and events[event, 0] >= since:
        more += 1
        event = events[event, 1]
    event = spikes[3]
    for k in range(count + more - 1, count - 1, -1):
        jobs[k, 0] = slot
        jobs[k, 1] = events[event, 0]
        event = events[event, 1]
    for k in range(3):
        jobs[count + more + k, 0] = slot
        jobs[count + more + k, 1] = spikes[2 - k]
    return count + more + 3


@compiled
def _settle(
    table: Any,
    parameters: Any,
    ages: Any,
    first_row: int,
    last_row: int,
    now: int,
    learning: bool,
    arrays: Any,
    log: Any,
    down: Any,
    up: Any,
) -> None:
    """Do what target spikes before ``now``, in the log's time, have done to rows of synapses."""
    rows, targets, weights = arrays[:3]
    pre_trace, trace, eligibility = arrays[6], arrays[8], arrays[12]
    latest, events, settled, jobs = log[:4]
    rewarded = table[KIND] == REWARD_PLASTIC
    slot, other = table[SLOT], table[SYNAPSE_TRACE] - table[SLOT]
    post_start = table[POST_START]
    first_frame = table[FIRST_FRAME] + ages[0] - now
    second_frame = table[SECOND_FRAME] + ages[1] - now
    rate, strong = parameters[LR], parameters[STRONG]
    w_min, w_max = parameters[W_MIN], parameters[W_MAX]
    for row in range(first_row, last_row):
        since = settled[table[SETTLED] + row]
        if since >= now:
            continue
        settled[table[SETTLED] + row] = now
        if not (rewarded or learning):
            continue
        own = rows[table[ROW] + row]
        x = 0.0
        if not rewarded:
            x = pre_trace[table[PRE_TRACE] + row]
            if x == 0.0:
                continue
        s = slot + own[0]
        while s < slot + own[1]:
            # First note what is to be done, without branches that hang on distant memory.
            count = 0
            while s < slot + own[1] and count < _JOBS:
                if rewarded and trace[other + s] == 0.0:
                    s += 1
                    continue
                spikes = latest[post_start + targets[s]]
                if spikes[2] >= since:
                    count = _unchain(spikes, events, since, s, jobs, count)
                else:
                    both = spikes[1] >= since
                    jobs[count, 0] = s
                    jobs[count, 1] = spikes[1] if both else spikes[0]
                    jobs[count + 1, 0] = s
                    jobs[count + 1, 1] = spikes[0]
                    count += (spikes[0] >= since) + both
                s += 1
            for k in range(count):
                at, time = jobs[k]
                if rewarded:
                    value = np.float64(trace[other + at])
                    factor = down[first_frame + time] * up[second_frame + time]
                    eligibility[other + at] = np.float64(eligibility[other + at]) + value * factor
                    trace[other + at] = value * 0.5
                else:
                    amount = rate * down[first_frame + time] * x
                    weights[at] = moved(np.float64(weights[at]), amount, strong, w_min, w_max)


@compiled
def _learn_before(
    table: Any,
    parameters: Any,
    ages: Any,
    fired: Any,
    first: int,
    last: int,
    learning: bool,
    arrays: Any,
    down: Any,
    up: Any,
) -> None:
    """Weaken at presynaptic spikes, and update their traces."""
    rows, targets, weights = arrays[:3]
    pre_trace, post_trace, trace = arrays[6:9]
    slot, row = table[SLOT], table[ROW] - table[PRE_START]
    other = table[SYNAPSE_TRACE] - slot
    increment = up[table[FIRST_FRAME] + ages[0]]
    if table[KIND] == REWARD_PLASTIC:
        for k in range(first, last):
            own = rows[row + fired[k]]
            for s in range(slot + own[0], slot + own[1]):
                trace[other + s] = np.float64(trace[other + s]) + increment
        return
    weak, w_min, w_max = parameters[WEAK], parameters[W_MIN], parameters[W_MAX]
    weaken = parameters[LR] * DEPRESSION * down[table[SECOND_FRAME] + ages[1]]
    post = post_trace[table[POST_TRACE] : table[POST_TRACE] + table[POST_STOP] - table[POST_START]]
    for k in range(first, last):
        if learning:
            own = rows[row + fired[k]]
            for s in range(slot + own[0], slot + own[1]):
                amount = weaken * post[targets[s]]
                weights[s] = moved(np.float64(weights[s]), amount, weak, w_min, w_max)
        pre_trace[table[PRE_TRACE] + fired[k] - table[PRE_START]] += increment


@compiled
def _learn_after(
    table: Any,
    parameters: Any,
    ages: Any,
    fired: Any,
    first: int,
    last: int,
    source_count: int,
    learning: bool,
    arrays: Any,
    down: Any,
    up: Any,
) -> None:
    """Strengthen at target spikes what does not wait for that, and update their traces."""
    weights, sources, columns, by_target, pre_trace, post_trace = arrays[2:8]
    strong, w_min, w_max = parameters[STRONG], parameters[W_MIN], parameters[W_MAX]
    strengthen = parameters[LR] * down[table[FIRST_FRAME] + ages[0]]
    increment = up[table[SECOND_FRAME] + ages[1]]
    for k in range(first, last):
        i = fired[k] - source_count - table[POST_START]
        if learning and table[KIND] != PLASTIC:
            column = columns[table[COLUMN] + i]
            for at in range(table[COLUMN_SLOT] + column[0], table[COLUMN_SLOT] + column[1]):
                s = by_target[at]
                amount = strengthen * pre_trace[table[PRE_TRACE] + sources[table[SOURCE] + s]]
                weight = np.float64(weights[table[SLOT] + s])
                weights[table[SLOT] + s] = moved(weight, amount, strong, w_min, w_max)
        post_trace[table[POST_TRACE] + i] += increment


@compiled
def _end_frames(table: Any, ages: Any, first: bool, second: bool, arrays: Any, down: Any) -> None:
    """Set up the frames anew that have grown old."""
    kind = table[KIND]
    first_factor = down[table[FIRST_FRAME] + ages[0]] if first else 1.0
    second_factor = down[table[SECOND_FRAME] + ages[1]] if second else 1.0
    rows = table[PRE_STOP] - table[PRE_START]
    if kind == REWARD_PLASTIC:
        start, stop = table[SYNAPSE_TRACE], table[SYNAPSE_TRACE] + table[SIZE]
        if first:
            _renew(arrays[8], start, stop, first_factor)
        if second:
            _renew(arrays[12], start, stop, second_factor)
    elif kind in (FACILITATING, DEPRESSING):
        _renew(arrays[9], table[DEVIATION], table[DEVIATION] + rows, first_factor)
    else:
        if first:
            _renew(arrays[6], table[PRE_TRACE], table[PRE_TRACE] + rows, first_factor)
        if second:
            start = table[POST_TRACE]
            stop = start + table[POST_STOP] - table[POST_START]
            _renew(arrays[7], start, stop, second_factor)
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
    ticks: int,
    settle: int,
    learning: bool,
    neurons: Any,
    pending: Any,
    counts: Any,
    tables: Any,
    parameters: Any,
    all_ages: Any,
    arrays: Any,
    lives: Any,
    log: Any,
    down: Any,
    up: Any,
    fired: Any,
) -> None:
    """Tick a circuit whose arrays :class:`~ab_ros.engine.compiled.CompiledAdvance` has packed.

    Settle first what ``settle`` says, if anything.
    """
    delays = pending.shape[0]
    latest, events, settled, _, account = log
    waiting = settled.size > 0
    for t in range(ticks + 1):
        # Before each tick, and after the last.
        now = tick - account[SINCE]
        full = waiting and (account[EVENTS] + counts.size > events.shape[0] or now > _LATE)
        for k in range(tables.shape[0]):
            table, ages = tables[k], all_ages[k]
            kind = table[KIND]
            if kind in (FIXED, GAP_JUNCTION):
                continue
            first = ages[0] == table[FIRST_FRAME_SIZE] - 1
            second = ages[1] == table[SECOND_FRAME_SIZE] - 1
            due = full or first or second or settle == ALL
            if (kind == PLASTIC and due) or (
                kind == REWARD_PLASTIC and (due or settle == REWARDED)
            ):
                stop = table[PRE_STOP] - table[PRE_START]
                _settle(table, parameters[k], ages, 0, stop, now, learning, arrays, log, down, up)
            if first or second:
                _end_frames(table, ages, first, second, arrays, down)
        if full or (settle == ALL and waiting):
            latest[:] = -1
            settled[:] = 0
            account[EVENTS] = 0
            account[SPIKES] = 0
            account[SINCE] = tick
            now = 0
        settle = NOTHING
        if t == ticks:
            break
        spikes = raster[t]
        arriving = pending[tick % delays]
        for k in range(tables.shape[0]):
            if tables[k, KIND] == GAP_JUNCTION:
                conductance = parameters[k, USE]
                _couple(tables[k], conductance, source_count, neurons[4], arriving, arrays)
        _neurons(neurons, drive[min(t, drive.shape[0] - 1)], arriving, spikes[source_count:])
        count = _list_fired(spikes, fired)
        for k in range(tables.shape[0]):
            table, ages = tables[k], all_ages[k]
            kind = table[KIND]
            if kind == GAP_JUNCTION:
                continue
            stopped = 0
            if kind == GATED and not _active(table, parameters[k, THRESHOLD], tick, spikes, arrays):
                stopped = table[STOPS]
            first = _first_from(fired, count, table[PRE_START])
            last = _first_from(fired, count, table[PRE_STOP])
            later = pending[(tick + table[DELAY]) % delays]
            if kind in (FACILITATING, DEPRESSING):
                use = parameters[k, USE]
                _deliver_by_gain(table, use, ages[0], fired, first, last, later, arrays, down, up)
            else:
                if kind in (PLASTIC, REWARD_PLASTIC):
                    for j in range(first, last):
                        _fetch(table, fired, j, last, arrays)
                        row = fired[j] - table[PRE_START]
                        _settle(
                            table,
                            parameters[k],
                            ages,
                            row,
                            row + 1,
                            now,
                            learning,
                            arrays,
                            log,
                            down,
                            up,
                        )
                if not stopped & TRANSMISSION:
                    _deliver(table, fired, first, last, later, arrays)
                if kind == FIXED:
                    continue
                allowed = learning and not stopped & LEARNING
                post_first = _first_from(fired, count, source_count + table[POST_START])
                post_last = _first_from(fired, count, source_count + table[POST_STOP])
                if kind == DEVELOPMENTAL and ages[2] < table[CRITICAL_PERIOD]:
                    ranges = (first, last, post_first, post_last)
                    _count_coincidences(table, ages[2], fired, ranges, source_count, arrays, lives)
                _learn_before(
                    table, parameters[k], ages, fired, first, last, allowed, arrays, down, up
                )
                if kind != REWARD_PLASTIC:
                    _learn_after(
                        table,
                        parameters[k],
                        ages,
                        fired,
                        post_first,
                        post_last,
                        source_count,
                        allowed,
                        arrays,
                        down,
                        up,
                    )
            for j in range(AGE_COLUMNS):
                ages[j] += 1
        for k in range(_first_from(fired, count, source_count), count):
            i = fired[k] - source_count
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
