"""Numba kernels of synapses: the same operations in the same order as the NumPy path, bit for bit.

Values stored as float32 are widened to float64 before any arithmetic, as the NumPy path does; no
kernel keeps other threads of Python waiting.

What a target's spike does to plastic and reward-modulated synapses waits until the synapse is
*settled*: when its presynaptic neuron fires next, and lies in the cache anyway, or when it is asked
for.  Until then the spike stands in a log: the last three of each neuron side by side, older ones
as a chain of events.  A synapse goes through the same operations in the same order as if they had
not waited.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ab_ros.engine.compilation import compiled, part
from ab_ros.engine.layout import (
    BY_TARGET,
    COINCIDENCE_WINDOW,
    COINCIDENCES,
    COLUMN,
    DEPRESSING,
    DEVIATION,
    ELIGIBILITY,
    FACILITATING,
    FIRES,
    FIRST_FRAME,
    HISTORIES,
    JOBS_AT_ONCE,
    KIND,
    LAST_POST,
    LAST_PRE,
    LR,
    MODULATOR_COUNT,
    MODULATOR_SPIKES,
    MODULATORS,
    PLASTIC,
    POST_START,
    POST_STOP,
    POST_TRACE,
    PRE_START,
    PRE_STOP,
    PRE_TRACE,
    REWARD_PLASTIC,
    ROW,
    ROWS_AHEAD,
    SECOND_FRAME,
    SETTLED,
    SIZE,
    SOURCE,
    STRONG,
    TARGET,
    TRACE,
    W_MAX,
    W_MIN,
    WEAK,
    WEIGHT,
)
from ab_ros.engine.prefetch import LINE, prefetch
from ab_ros.engine.synapses.decay import FLUSH
from ab_ros.engine.synapses.developmental import HISTORY
from ab_ros.engine.synapses.gated import WINDOW
from ab_ros.engine.synapses.plastic import DEPRESSION


@compiled
def moved(weight: float, amount: float, bound: float, w_min: float, w_max: float) -> float:
    """Return a weight moved towards a bound, softly; see :class:`SoftBounds`."""
    weight = weight + amount * ((bound - weight) / (w_max - w_min))
    return min(max(weight, w_min), w_max)


@part
def _renew(stored: Any, start: int, stop: int, factor: float) -> None:
    for i in range(start, stop):
        value = np.float64(stored[i]) * factor
        stored[i] = 0.0 if abs(value) < FLUSH else value


@part
def _fetch(table: Any, fired: Any, k: int, last: int, ints: Any, reals: Any) -> None:
    """Ask for the row that is wanted after the next."""
    row = table[ROW] - 2 * table[PRE_START]
    if k + 2 * ROWS_AHEAD < last:
        prefetch(ints, row + 2 * fired[k + 2 * ROWS_AHEAD])
    if k + ROWS_AHEAD < last:
        row += 2 * fired[k + ROWS_AHEAD]
        for s in range(ints[row], ints[row + 1], LINE // 4):
            prefetch(ints, table[TARGET] + s)
            prefetch(reals, table[WEIGHT] + s)
            if table[KIND] == REWARD_PLASTIC:
                prefetch(reals, table[TRACE] + s)
                prefetch(reals, table[ELIGIBILITY] + s)


@part
def deliver(
    table: Any, fired: Any, first: int, last: int, later: Any, ints: Any, reals: Any
) -> None:
    """Send the weights of the rows that fire on their way."""
    targets, weights = ints[table[TARGET] :], reals[table[WEIGHT] :]
    into = later[table[POST_START] : table[POST_STOP]]
    for k in range(first, last):
        _fetch(table, fired, k, last, ints, reals)
        row = table[ROW] + 2 * (fired[k] - table[PRE_START])
        for s in range(ints[row], ints[row + 1]):
            into[targets[s]] += np.float64(weights[s])


@part
def deliver_by_gain(
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
    """Change the gains of presynaptic neurons that fire, and send weight × gain."""
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


@part
def couple(
    table: Any, conductance: float, source_count: int, v: Any, current: Any, ints: Any, reals: Any
) -> None:
    """Add the currents through gap junctions, junction by junction."""
    post_start, pre_start = table[POST_START], table[PRE_START] - source_count
    for s in range(table[SIZE]):
        source = pre_start + ints[table[SOURCE] + s]
        target = post_start + ints[table[TARGET] + s]
        flow = conductance * np.float64(reals[table[WEIGHT] + s]) * (v[source] - v[target])
        current[target] += flow
        current[source] -= flow


@part
def active(table: Any, threshold: float, tick: int, spikes: Any, longs: Any) -> bool:
    """Count the modulator's spikes, and say whether the gate is open."""
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


@part
def _ones(word: Any) -> Any:
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    word = (word & pairs) + ((word >> np.uint64(2)) & pairs)
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int32((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@part
def count_coincidences(
    table: Any, age: int, fired: Any, ranges: Any, source_count: int, ints: Any, longs: Any
) -> None:
    """Take note of spikes, and count those that a target's spike makes coincidences."""
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


@part
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


@part
def settle(
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
            while s < stop and count < JOBS_AT_ONCE:
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


@part
def deliver_rewarded(
    table: Any,
    parameters: Any,
    ages: Any,
    fired: Any,
    first: int,
    last: int,
    later: Any,
    now: int,
    learning: bool,
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
        settle(
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
        for s in range(ints[row], ints[row + 1]):
            into[targets[s]] += np.float64(weights[s])
            trace[s] = np.float64(trace[s]) + increment


@part
def deliver_plastic(
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
            settle(
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


@part
def strengthen(
    table: Any,
    parameters: Any,
    ages: Any,
    fired: Any,
    first: int,
    last: int,
    ints: Any,
    reals: Any,
    doubles: Any,
    down: Any,
) -> None:
    """Strengthen at target spikes what does not wait for that."""
    weights, by_target = reals[table[WEIGHT] :], ints[table[BY_TARGET] :]
    sources, pre_trace = ints[table[SOURCE] :], doubles[table[PRE_TRACE] :]
    strong, w_min, w_max = parameters[STRONG], parameters[W_MIN], parameters[W_MAX]
    strengthen = parameters[LR] * down[table[FIRST_FRAME] + ages[0]]
    for k in range(first, last):
        column = table[COLUMN] + 2 * (fired[k] - table[POST_START])
        for at in range(ints[column], ints[column + 1]):
            s = by_target[at]
            amount = strengthen * pre_trace[sources[s]]
            weights[s] = moved(np.float64(weights[s]), amount, strong, w_min, w_max)


@part
def renew_frame(frame: int, table: Any, factor: float, reals: Any, doubles: Any) -> None:
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
