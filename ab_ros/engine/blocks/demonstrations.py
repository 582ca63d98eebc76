"""What the catalogue shows of every shipped component: one stimulus each.

An entry is ``name: Stimulus(ticks, pulses, shows)``.  Choose it so that one glance at the raster
tells what the component does: some silence first, then the inputs one after another, with time to
see what stays when they end; 300 to 900 ticks.  ``Pulse("terminal", current, start, stop)`` is a
constant current into an input terminal; with ``period=20`` it is a spike train of that weight.
``shows`` is the line under the picture.  ``potentials=("node",)`` adds a membrane potential where
spikes alone do not tell.

    "working_memory_cell": Stimulus(
        600,
        (Pulse("set_in", 15, 50, 60), Pulse("clear_in", 15, 400, 410)),
        "ten ticks of set_in start the ring; it goes on until clear_in stops it",
    ),
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ab_ros.engine.blocks.stimulus import Pulse, Stimulus

_COMPONENTS: dict[str, Stimulus] = {
    "backward_motor": Stimulus(
        1000,
        (
            Pulse("dorsal_in", 30, 50, 250, period=20),
            Pulse("ventral_in", 30, 300, 500, period=20),
            Pulse("dorsal_in", 30, 550, 950, period=20),
            Pulse("stop_in", 30, 700, 850, period=10),
        ),
        "spikes pass to the next segment towards the head and contract a side, unless stopped",
    ),
    "binary_decision": Stimulus(
        1100,
        (
            Pulse("sensory_a_in", 10, 50, 300),
            Pulse("sensory_b_in", 7, 50, 300),
            Pulse("sensory_b_in", 18, 500, 800),
            Pulse("reset_in", 12, 950, 970),
        ),
        "more evidence for a: a latches and holds; strong evidence for b switches; reset clears",
        noise=0.5,
    ),
    "chemosensory": Stimulus(
        900,
        (
            Pulse("tonic_in", 4.5, 50, 250),
            Pulse("tonic_in", 8, 250, 650),
            Pulse("tonic_in", 4.5, 650, 850),
            Pulse("on_in", 10, 250, 400),
            Pulse("off_in", 10, 650, 800),
        ),
        "a smell that rises and falls: tonic follows it, on and off mark the changes",
    ),
    "command_decision": Stimulus(
        1000,
        (
            Pulse("forward_in", 10, 50, 100),
            Pulse("backward_in", 10, 350, 400),
            Pulse("forward_in", 10, 600, 900),
            Pulse("backward_in", 10, 750, 900),
        ),
        "short inputs start commands that persist; backward wins when both are asked for",
        noise=0.5,
    ),
    "command_decision_v2": Stimulus(
        2400,
        (
            Pulse("forward_in", 10, 100, 350),
            Pulse("forward_in", 12, 1400, 1600),
            Pulse("backward_in", 14, 1700, 1900),
            Pulse("stop_in", 12, 2050, 2070),
        ),
        "forward outlasts its input and tires; backward takes over; stop ends it",
        noise=0.5,
    ),
    "cpg": Stimulus(
        3000,
        (Pulse("drive_in", 4, 1000, 2000), Pulse("stop_in", 30, 2300, 2600)),
        "it bursts by itself, more densely with drive, and stops while stop_in is on",
    ),
    "cross_inhibition": Stimulus(
        900,
        (Pulse("b_in", 8, 50, 850), Pulse("a_in", 12, 300, 600)),
        "b is heard until the stronger a silences it, and again afterwards",
        noise=0.5,
    ),
    "forward_motor": Stimulus(
        1000,
        (
            Pulse("dorsal_in", 30, 50, 250, period=20),
            Pulse("ventral_in", 30, 300, 500, period=20),
            Pulse("dorsal_in", 30, 550, 950, period=20),
            Pulse("stop_in", 30, 700, 850, period=10),
        ),
        "spikes pass to the next segment towards the tail and contract a side, unless stopped",
    ),
    "head_steering": Stimulus(
        900,
        (
            Pulse("left_in", 30, 50, 250, period=15),
            Pulse("right_in", 30, 300, 430, period=15),
            Pulse("left_in", 30, 550, 850, period=15),
            Pulse("right_in", 30, 557, 850, period=30),
        ),
        "left, right, and twice as many spikes to the left as to the right",
    ),
    "mechanosensory": Stimulus(
        3000,
        (
            Pulse("touch_in", 5, 50, 450),
            Pulse("touch_in", 12, 450, 850),
            Pulse("touch_in", 8, 1050, 1450),
            Pulse("touch_in", 8, 2500, 2900),
        ),
        "a light touch, a firm one, one soon after, which has no onset, and one a second later",
    ),
    "modulatory": Stimulus(
        2800,
        (
            Pulse("in", 5, 100, 500),
            Pulse("in", 14, 1700, 2100),
            Pulse("brake_in", 15, 2500, 2520),
        ),
        "a weak input, a strong one: the level follows, outlasts it and fades, until the brake",
        noise=0.5,
    ),
    "noisy_choice": Stimulus(
        4000,
        (
            Pulse("a_in", 1.6, 1000, 2000),
            Pulse("b_in", 0.8, 1000, 2000),
            Pulse("a_in", 1.6, 2000, 3000),
            Pulse("b_in", 1.6, 2000, 3000),
            Pulse("a_in", 0.8, 3000, 4000),
            Pulse("b_in", 1.6, 3000, 4000),
        ),
        "idle without input; more input to a, an even one, and more to b",
    ),
}

_SUB_COMPONENTS: dict[str, Stimulus] = {
    "activity_brake": Stimulus(
        600,
        (Pulse("drive_in", 5, 50, 250), Pulse("drive_in", 20, 300, 500)),
        "the second drive is four times the first, the activity less than twice",
    ),
    "basal_ganglia": Stimulus(
        900,
        (
            Pulse("context_in", 8, 100, 300),
            Pulse("bid_a_in", 2, 100, 300),
            Pulse("context_in", 8, 350, 550),
            Pulse("bid_b_in", 2, 350, 550),
            Pulse("context_in", 8, 600, 850),
            Pulse("bid_a_in", 2, 600, 850),
            Pulse("stop_a_in", 10, 700, 800),
        ),
        "a bid for action a, a bid for action b, and a bid for a that is stopped for 100 ticks",
    ),
    "bistable_motif": Stimulus(
        600,
        (
            Pulse("set_in", 20, 50, 60),
            Pulse("reset_in", 20, 300, 310),
            Pulse("set_in", 20, 450, 460),
        ),
        "ten ticks of set_in start the ring, ten of reset_in stop it",
    ),
    "burst_rebound": Stimulus(
        500,
        (Pulse("inhibit_in", 10, 50, 150), Pulse("inhibit_in", 10, 250, 400)),
        "a burst whenever inhibition ends",
        potentials=("rebound",),
    ),
    "cerebellar_circuit": Stimulus(
        1500,
        (
            Pulse("mossy_in", 20, 50, 60),
            *(Pulse("mossy_in", 20, start, start + 10) for start in range(250, 1250, 100)),
            *(Pulse("error_in", 20, start + 40, start + 50) for start in range(250, 1250, 100)),
            Pulse("mossy_in", 20, 1350, 1360),
        ),
        "a mossy pulse does nothing; after ten errors 40 ticks behind it, it is answered then",
    ),
    "cortical_column": Stimulus(
        700,
        (Pulse("sensory_in", 10, 50, 350), Pulse("feedback_in", 10, 200, 500)),
        "activity flows from layer 4 to layer 5; feedback raises layer 5, and drives nothing alone",
    ),
    "cpg_oscillator": Stimulus(
        800, (Pulse("drive_in", 10, 100, 700),), "left and right take turns while there is drive"
    ),
    "emotional_state": Stimulus(
        6000,
        (
            *(Pulse("good_in", 10, start, start + 200) for start in range(200, 2200, 400)),
            *(Pulse("bad_in", 10, start, start + 200) for start in range(3000, 5000, 400)),
        ),
        "five good events add up to a lasting state, which five bad ones turn round",
    ),
    "gain_controller": Stimulus(
        800,
        (
            Pulse("signal_in", 6, 50, 750),
            Pulse("gain_in", 5, 200, 400),
            Pulse("gain_in", 7, 400, 550),
            Pulse("gain_in", 10, 550, 700),
        ),
        "a steady signal; the current into gain_in is 0, 5, 7, 10 and 0",
    ),
    "hippocampal_circuit": Stimulus(
        900,
        (
            *(Pulse(f"in_{cell}", 10, 50, 100) for cell in (0, 1)),
            *(Pulse(f"in_{cell}", 10, 200, 350) for cell in (0, 1, 2)),
            *(Pulse(f"in_{cell}", 10, 500, 600) for cell in (0, 1)),
            *(Pulse(f"in_{cell}", 10, 700, 850) for cell in (3, 4, 5)),
        ),
        "cells 0 and 1 alone; 0, 1 and 2 together once; then 0 and 1 recall 2; another pattern",
    ),
    "hypothalamic_drive": Stimulus(
        6000,
        (Pulse("need_in", 5, 300, 5000), Pulse("consumption_in", 20, 2500, 2600)),
        "the drive grows with lasting need, is silenced by consumption, and grows anew",
    ),
    "lateral_inhibition": Stimulus(
        500,
        (
            *(Pulse(f"in_{cell}", 8, 50, 450) for cell in range(5)),
            Pulse("in_2", 4, 250, 450),
        ),
        "an even input; then half as much again for the middle cell, and its neighbours fall",
    ),
    "novelty_detector": Stimulus(
        900,
        (
            *(Pulse("in_a", 10, start, start + 50) for start in (50, 200, 350, 500)),
            *(Pulse("in_b", 10, start, start + 50) for start in (650, 800)),
        ),
        "stimulus a four times, then b twice: what repeats is no longer answered",
    ),
    "prefrontal_circuit": Stimulus(
        900,
        (
            Pulse("stimulus_in", 10, 50, 150),
            Pulse("context_a_in", 20, 200, 210),
            Pulse("stimulus_in", 10, 300, 450),
            Pulse("context_b_in", 20, 500, 510),
            Pulse("stimulus_in", 10, 600, 750),
            Pulse("clear_in", 20, 800, 810),
        ),
        "the same stimulus without a rule, under rule a, and under rule b",
    ),
    "rebound_timer": Stimulus(
        800,
        (Pulse("trigger_in", 20, 50, 60), Pulse("trigger_in", 20, 450, 460)),
        "a burst some 65 ticks after every trigger",
        potentials=("rebound",),
    ),
    "reward_circuit": Stimulus(
        2000,
        (
            Pulse("reward_in", 20, 100, 110),
            *(Pulse("cue_in", 20, start, start + 10) for start in range(300, 1900, 200)),
            *(Pulse("reward_in", 20, start + 55, start + 65) for start in range(300, 1700, 200)),
        ),
        "a reward alone, seven with a cue before them, and a cue whose reward stays out",
    ),
    "sensory_bank": Stimulus(
        800,
        (Pulse("channel_in", 10, 50, 500), Pulse("channel_in", 10, 700, 780)),
        "a steady input that is answered less and less, and a new one after a rest",
    ),
    "sequence_detector": Stimulus(
        900,
        (
            Pulse("first_in", 20, 50, 60),
            Pulse("second_in", 20, 90, 100),
            Pulse("second_in", 20, 350, 360),
            Pulse("first_in", 20, 390, 400),
            Pulse("first_in", 20, 600, 610),
            Pulse("second_in", 20, 780, 790),
        ),
        "first then second; second then first; and the second too late",
    ),
    "state_machine_3": Stimulus(
        800,
        (
            Pulse("reset_in", 20, 50, 60),
            *(Pulse("step_in", 20, start, start + 10) for start in (150, 270, 390, 510)),
            Pulse("reset_in", 20, 650, 660),
        ),
        "reset, four steps, reset",
    ),
    "thalamic_relay": Stimulus(
        800,
        (
            Pulse("sensory_in", 10, 50, 450),
            Pulse("sleep_in", 10, 200, 350),
            Pulse("sleep_in", 10, 500, 650),
        ),
        "input is relayed, blocked, relayed; the end of sleep alone makes a rebound burst",
        potentials=("relay",),
    ),
    "winner_take_all": Stimulus(
        800,
        (
            *(Pulse(f"in_{choice}", 8, 50, 750) for choice in "abc"),
            Pulse("in_a", 2, 50, 250),
            Pulse("in_b", 2, 250, 500),
            Pulse("in_c", 2, 500, 750),
        ),
        "all inputs are 8; 2 more go to a, then to b, then to c",
    ),
    "working_memory_cell": Stimulus(
        900,
        (
            Pulse("cue_a_in", 10, 50, 120),
            Pulse("cue_a_in", 10, 200, 280),
            Pulse("set_in", 20, 220, 270),
            Pulse("clear_in", 20, 400, 410),
            Pulse("cue_b_in", 10, 450, 550),
            Pulse("cue_a_in", 10, 600, 680),
            Pulse("clear_in", 20, 820, 830),
        ),
        "cue a alone does nothing; set while a is active; cleared; b recalls nothing, a does",
    ),
}

DEMONSTRATIONS: Mapping[str, Stimulus] = MappingProxyType({**_COMPONENTS, **_SUB_COMPONENTS})
"""Stimuli by the name of the component."""

__all__ = ["DEMONSTRATIONS", "Pulse", "Stimulus"]
