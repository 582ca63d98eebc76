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
FIRST_FRAME, FIRST_FRAME_SIZE, SECOND_FRAME, SECOND_FRAME_SIZE = range(7, 11)
MODULATOR_COUNT, STOPS, COINCIDENCE_WINDOW, CRITICAL_PERIOD = range(11, 15)
# Where its arrays start in those that all tables share: of int32,
ROW, TARGET, SOURCE, COLUMN, BY_TARGET, SETTLED, COINCIDENCES = range(15, 22)
# of int64,
MODULATORS, MODULATOR_SPIKES, FIRES, HISTORIES, LAST_PRE, LAST_POST = range(22, 28)
# of the type of the weights,
WEIGHT, TRACE, ELIGIBILITY = range(28, 31)
# and of float64.
PRE_TRACE, POST_TRACE, DEVIATION = range(31, 34)
TABLE_COLUMNS = 34
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
    options: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True}
    try:
        kernel: Callable[..., Any] = njit(cache=True, **options)(function)
    except RuntimeError:
        kernel = njit(**options)(function)
    return kernel


def _part(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile what only kernels call, and what is kept on disk as part of them."""
    options: dict[str, Any] = {"no_cfunc_wrapper": True, "no_cpython_wrapper": True}
    kernel: Callable[..., Any] = njit(error_model="numpy", **options)(function)
    return kernel


@_part
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


@compiled
def moved(weight: float, amount: float, bound: float, w_min: float, w_max: float) -> float:
    """Return a weight moved towards a bound, softly; see :class:`SoftBounds`."""
    weight = weight + amount * ((bound - weight) / (w_max - w_min))
    return min(max(weight, w_min), w_max)


@_part
def _renew(stored: Any, start: int, stop: int, factor: float) -> None:
    for i in range(start, stop):
        value = np.float64(stored[i]) * factor
        stored[i] = 0.0 if abs(value) < FLUSH else value


@_part
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


@_part
def _fetch(table: Any, fired: Any, k: int, last: int, ints: Any, reals: Any) -> None:
    """Ask for the row that is wanted after the next."""
    row = table[ROW] - 2 * table[PRE_START]
    if k + 2 * _AHEAD < last:
        prefetch(ints, row + 2 * fired[k + 2 * _AHEAD])
    if k + _AHEAD < last:
        row += 2 * fired[k + _AHEAD]
        for s in range(ints[row], ints[row + 1], LINE // 4):
            prefetch(ints, table[TARGET] + s)
            prefetch(reals, table[WEIGHT] + s)
            if table[KIND] == REWARD_PLASTIC:
                prefetch(reals, table[TRACE] + s)
                prefetch(reals, table[ELIGIBILITY] + s)


@_part
def _deliver(
    table: Any, fired: Any, first: int, last: int, later: Any, ints: Any, reals: Any
) -> None:
    targets, weights = ints[table[TARGET] :], reals[table[WEIGHT] :]
    into = later[table[POST_START] : table[POST_STOP]]
    for k in range(first, last):
        _fetch(table, fired, k, last, ints, reals)
        row = table[ROW] + 2 * (fired[k] - table[PRE_START])
        for s in range(ints[row], ints[row + 1]):
            into[targets[s]] += np.float64(weights[s])


@_part
def _deliver_by_gain(
    table: Any,
    use: float,
    age: int,
    fired: Any,
    first: int,
    last: int,
    later: Any,
    ints: Any,
    reals: Any,
    doubles: Any,
    down: Any,
    up: Any,
) -> None:
    targets, weights = ints[table[TARGET] :], reals[table[WEIGHT] :]
    into = later[table[POST_START] : table[POST_STOP]]
    frame = table[FIRST_FRAME] + age
    for k in range(first, last):
        _fetch(table, fired, k, last, ints, reals)
        pre = fired[k] - table[PRE_START]
        at = table[DEVIATION] + pre
        if table[KIND] == FACILITATING:
            doubles[at] = doubles[at] + use * up[frame]
            gain = 1.0 + doubles[at] * down[frame]
        else:
            gain = (1.0 - doubles[at] * down[frame]) * use
            doubles[at] = (1.0 - gain) * up[frame]
        row = table[ROW] + 2 * pre
        for s in range(ints[row], ints[row + 1]):
            into[targets[s]] += np.float64(weights[s]) * gain


@_part
def _couple(
    table: Any, conductance: float, source_count: int, v: Any, current: Any, ints: Any, reals: Any
) -> None:
    post_start, pre_start = table[POST_START], table[PRE_START] - source_count
    for s in range(table[SIZE]):
        source = pre_start + ints[table[SOURCE] + s]
        target = post_start + ints[table[TARGET] + s]
        flow = conductance * np.float64(reals[table[WEIGHT] + s]) * (v[source] - v[target])
        current[target] += flow
        current[source] -= flow


@_part
def _active(table: Any, threshold: float, tick: int, spikes: Any, longs: Any) -> bool:
    first, size = table[MODULATORS], table[MODULATOR_COUNT]
    window = table[MODULATOR_SPIKES]
    now = 0
    for k in range(first, first + size):
        now += spikes[longs[k]]
    longs[window + tick % WINDOW] = now
    total = 0
    for k in range(window, window + WINDOW):
        total += longs[k]
    active: bool = total / (size * WINDOW) >= threshold
    return active


@_part
def _ones(word: Any) -> Any:
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    word = (word & pairs) + ((word >> np.uint64(2)) & pairs)
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int32((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@_part
def _count_coincidences(
    table: Any, age: int, fired: Any, ranges: Any, source_count: int, ints: Any, longs: Any
) -> None:
    # The history is uint64, stored as int64.
    fires, history = longs[table[FIRES] :], longs[table[HISTORIES] :]
    last_pre, last_post = longs[table[LAST_PRE] :], longs[table[LAST_POST] :]
    for k in range(ranges[0], ranges[1]):
        pre = fired[k] - table[PRE_START]
        passed = age - last_pre[pre]
        kept = np.uint64(0)
        if passed < HISTORY:
            kept = np.uint64(history[pre]) << np.uint64(passed)
        history[pre] = np.int64(kept | np.uint64(1))
        last_pre[pre] = age
        fires[pre] += 1
    for k in range(ranges[2], ranges[3]):
        post = fired[k] - source_count - table[POST_START]
        reach = min(table[COINCIDENCE_WINDOW] + 1, age - last_post[post])
        column = table[COLUMN] + 2 * post
        for at in range(ints[column], ints[column + 1]):
            s = ints[table[BY_TARGET] + at]
            pre = ints[table[SOURCE] + s]
            bits = reach - (age - last_pre[pre])
            if bits > 0:
                mask = ~np.uint64(0) >> np.uint64(HISTORY - bits)
                ints[table[COINCIDENCES] + s] += _ones(np.uint64(history[pre]) & mask)
        last_post[post] = age


@_part
def _unchain(spikes: Any, events: Any, since: int, slot: int, jobs: Any) -> int:
    """Note all spikes of a target that is busy, the earliest first."""
    event = spikes[3]
    more = 0
    while event >= 0 and events[event, 0] >= since:
        more += 1
        event = events[event, 1]
    event = spikes[3]
    for k in range(more - 1, -1, -1):
        jobs[k, 0] = slot
        jobs[k, 1] = events[event, 0]
        event = events[event, 1]
    for k in range(3):
        jobs[more + k, 0] = slot
        jobs[more + k, 1] = spikes[2 - k]
    return more + 3


@_part
def _settle(
    table: Any,
    parameters: Any,
    ages: Any,
    pre_first: int,
    pre_last: int,
    now: int,
    learning: bool,
    ints: Any,
    reals: Any,
    doubles: Any,
    log: Any,
    down: Any,
    up: Any,
) -> None:
    """Do what target spikes before ``now``, in the log's time, have done to rows of synapses."""
    latest, events, jobs = log
    rewarded = table[KIND] == REWARD_PLASTIC
    targets, weights = ints[table[TARGET] :], reals[table[WEIGHT] :]
    trace, eligibility = reals[table[TRACE] :], reals[table[ELIGIBILITY] :]
    post_start = table[POST_START]
    first_frame = table[FIRST_FRAME] + ages[0] - now
    second_frame = table[SECOND_FRAME] + ages[1] - now
    rate, strong = parameters[LR], parameters[STRONG]
    w_min, w_max = parameters[W_MIN], parameters[W_MAX]
    for pre in range(pre_first - table[PRE_START], pre_last - table[PRE_START]):
        since = ints[table[SETTLED] + pre]
        if since >= now:
            continue
        ints[table[SETTLED] + pre] = now
        x = 0.0
        if not rewarded:
            x = doubles[table[PRE_TRACE] + pre]
            if x == 0.0 or not learning:
                continue
        s, stop = np.int64(ints[table[ROW] + 2 * pre]), ints[table[ROW] + 2 * pre + 1]
        while s < stop:
            # First note what is to be done, without branches that hang on distant memory.
            count = 0
            while s < stop and count < _JOBS:
                if rewarded and trace[s] == 0.0:
                    s += 1
                    continue
                spikes = latest[post_start + targets[s]]
                if spikes[2] >= since:
                    count += _unchain(spikes, events, since, s, jobs[count:])
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
                    value = np.float64(trace[at])
                    factor = down[first_frame + time] * up[second_frame + time]
                    eligibility[at] = np.float64(eligibility[at]) + value * factor
                    trace[at] = value * 0.5
                else:
                    amount = rate * down[first_frame + time] * x
                    weights[at] = moved(np.float64(weights[at]), amount, strong, w_min, w_max)


@_part
def _deliver_rewarded(
    table: Any,
    parameters: Any,
    ages: Any,
    fired: Any,
    first: int,
    last: int,
    later: Any,
    now: int,
    ints: Any,
    reals: Any,
    doubles: Any,
    log: Any,
    down: Any,
    up: Any,
) -> None:
    """Settle and deliver at presynaptic spikes, and update the synapses' traces."""
    targets, weights, trace = ints[table[TARGET] :], reals[table[WEIGHT] :], reals[table[TRACE] :]
    into = later[table[POST_START] : table[POST_STOP]]
    increment = up[table[FIRST_FRAME] + ages[0]]
    for k in range(first, last):
        _fetch(table, fired, k, last, ints, reals)
        pre = fired[k]
        _settle(
            table, parameters, ages, pre, pre + 1, now, True, ints, reals, doubles, log, down, up
        )
        row = table[ROW] + 2 * (pre - table[PRE_START])
        for s in range(ints[row], ints[row + 1]):
            into[targets[s]] += np.float64(weights[s])
            trace[s] = np.float64(trace[s]) + increment


@_part
def _deliver_plastic(
    table: Any,
    parameters: Any,
    ages: Any,
    fired: Any,
    first: int,
    last: int,
    later: Any,
    now: int,
    transmits: bool,
    learning: bool,
    ints: Any,
    reals: Any,
    doubles: Any,
    log: Any,
    down: Any,
    up: Any,
) -> None:
    """Settle what waits, deliver, and weaken at presynaptic spikes; update the neurons' traces."""
    targets, weights = ints[table[TARGET] :], reals[table[WEIGHT] :]
    into = later[table[POST_START] : table[POST_STOP]]
    post_trace = doubles[table[POST_TRACE] :]
    weak, w_min, w_max = parameters[WEAK], parameters[W_MIN], parameters[W_MAX]
    increment = up[table[FIRST_FRAME] + ages[0]]
    weaken = parameters[LR] * DEPRESSION * down[table[SECOND_FRAME] + ages[1]]
    for k in range(first, last):
        _fetch(table, fired, k, last, ints, reals)
        pre = fired[k]
        if table[KIND] == PLASTIC:
            _settle(
                table,
                parameters,
                ages,
                pre,
                pre + 1,
                now,
                learning,
                ints,
                reals,
                doubles,
                log,
                down,
                up,
            )
        row = table[ROW] + 2 * (pre - table[PRE_START])
        if transmits:
            for s in range(ints[row], ints[row + 1]):
                into[targets[s]] += np.float64(weights[s])
        if learning:
            for s in range(ints[row], ints[row + 1]):
                amount = weaken * post_trace[targets[s]]
                weights[s] = moved(np.float64(weights[s]), amount, weak, w_min, w_max)
        doubles[table[PRE_TRACE] + pre - table[PRE_START]] += increment


@_part
def _learn_after(
    table: Any,
    parameters: Any,
    ages: Any,
    fired: Any,
    first: int,
    last: int,
    learning: bool,
    ints: Any,
    reals: Any,
    doubles: Any,
    down: Any,
    up: Any,
) -> None:
    """Strengthen at target spikes what does not wait for that, and update their traces."""
    weights, by_target = reals[table[WEIGHT] :], ints[table[BY_TARGET] :]
    sources, pre_trace = ints[table[SOURCE] :], doubles[table[PRE_TRACE] :]
    strong, w_min, w_max = parameters[STRONG], parameters[W_MIN], parameters[W_MAX]
    strengthen = parameters[LR] * down[table[FIRST_FRAME] + ages[0]]
    increment = up[table[SECOND_FRAME] + ages[1]]
    for k in range(first, last):
        post = fired[k] - table[POST_START]
        if learning and table[KIND] != PLASTIC:
            column = table[COLUMN] + 2 * post
            for at in range(ints[column], ints[column + 1]):
                s = by_target[at]
                amount = strengthen * pre_trace[sources[s]]
                weights[s] = moved(np.float64(weights[s]), amount, strong, w_min, w_max)
        doubles[table[POST_TRACE] + post] += increment


@_part
def _renew_frame(frame: int, table: Any, factor: float, reals: Any, doubles: Any) -> None:
    """Set up one of a table's frames anew."""
    kind = table[KIND]
    if kind == REWARD_PLASTIC:
        start = table[TRACE] if frame == 0 else table[ELIGIBILITY]
        _renew(reals, start, start + table[SIZE], factor)
        return
    start, size = table[PRE_TRACE], table[PRE_STOP] - table[PRE_START]
    if kind in (FACILITATING, DEPRESSING):
        start = table[DEVIATION]
    elif frame == 1:
        start, size = table[POST_TRACE], table[POST_STOP] - table[POST_START]
    _renew(doubles, start, start + size, factor)


@_part
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
    all_parameters: Any,
    all_ages: Any,
    ints: Any,
    longs: Any,
    reals: Any,
    doubles: Any,
    log: Any,
    account: Any,
    down: Any,
    up: Any,
    fired: Any,
) -> None:
    """Tick a circuit whose arrays :class:`~ab_ros.engine.compiled.CompiledAdvance` has packed.

    Settle first what ``settle`` says, if anything.
    """
    delays = pending.shape[0]
    latest, events, _ = log
    waiting = latest.size > 0
    for t in range(ticks + 1):
        # Before each tick, and after the last.
        now = tick - account[SINCE]
        full = waiting and (account[EVENTS] + counts.size > events.shape[0] or now > _LATE)
        anew = full or settle == ALL
        for k in range(tables.shape[0]):
            table, parameters, ages = tables[k], all_parameters[k], all_ages[k]
            kind = table[KIND]
            if kind in (FIXED, GAP_JUNCTION):
                continue
            old = 0
            for frame in range(2):
                old += ages[frame] == table[FIRST_FRAME_SIZE + 2 * frame] - 1
            asked = kind == REWARD_PLASTIC and settle == REWARDED
            if kind in (PLASTIC, REWARD_PLASTIC) and (anew or old or asked):
                start, stop = table[PRE_START], table[PRE_STOP]
                _settle(
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
                    _renew_frame(frame, table, factor, reals, doubles)
                    ages[frame] = 0
        if anew:
            latest[:] = -1
            account[EVENTS] = 0
            account[SPIKES] = 0
            account[SINCE] = tick
            now = tick - tick
        settle = NOTHING
        if t == ticks:
            break
        spikes = raster[t]
        arriving = pending[tick % delays]
        for k in range(tables.shape[0]):
            if tables[k, KIND] == GAP_JUNCTION:
                conductance = all_parameters[k, USE]
                _couple(tables[k], conductance, source_count, neurons[4], arriving, ints, reals)
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
            if kind == GAP_JUNCTION:
                continue
            stopped = 0
            if kind == GATED and not _active(table, parameters[THRESHOLD], tick, spikes, longs):
                stopped = table[STOPS]
            first = _first_from(fired, count, table[PRE_START])
            last = _first_from(fired, count, table[PRE_STOP])
            later = pending[(tick + table[DELAY]) % delays]
            if kind in (FACILITATING, DEPRESSING):
                _deliver_by_gain(
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
            if kind == FIXED:
                _deliver(table, fired, first, last, later, ints, reals)
                continue
            allowed = learning and not stopped & LEARNING
            post_first = _first_from(fired, count, source_count + table[POST_START])
            post_last = _first_from(fired, count, source_count + table[POST_STOP])
            if kind == REWARD_PLASTIC:
                _deliver_rewarded(
                    table,
                    parameters,
                    ages,
                    fired,
                    first,
                    last,
                    later,
                    now,
                    ints,
                    reals,
                    doubles,
                    log,
                    down,
                    up,
                )
            else:
                if kind == DEVELOPMENTAL and ages[2] < table[CRITICAL_PERIOD]:
                    ranges = (first, last, post_first, post_last)
                    _count_coincidences(table, ages[2], fired, ranges, source_count, ints, longs)
                _deliver_plastic(
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
                _learn_after(
                    table,
                    parameters,
                    ages,
                    neurons_fired,
                    post_first,
                    post_last,
                    allowed,
                    ints,
                    reals,
                    doubles,
                    down,
                    up,
                )
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
