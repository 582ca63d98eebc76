"""How the compiled kernels find what they work on: columns of tables, and codes."""

from __future__ import annotations

# Kinds of tables.
FIXED, PLASTIC, REWARD_PLASTIC, FACILITATING, DEPRESSING, GAP_JUNCTION, GATED, DEVELOPMENTAL = (
    range(8)
)
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
JOBS_AT_ONCE = 512
JOBS = JOBS_AT_ONCE + 4100
# Rows between the one that is worked on and the one that is asked for.
ROWS_AHEAD = 2
