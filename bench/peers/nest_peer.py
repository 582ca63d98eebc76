"""NEST on the benchmark's network; runs in the virtual environment that bench/engine.py makes.

It runs when told to by a line on stdin, and answers with a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import engine_network as shared
import numpy as np

# NEST greets on stdout, which is for answers.
_answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import nest  # noqa: E402

LEARNING = {"stdp": "stdp_synapse_hom", "three": "stdp_dopamine_synapse"}


def build(net: dict, learning: str) -> tuple[object, int, int]:
    """Build the network; return a recorder, of how many neurons, and the number of all neurons."""
    nest.ResetKernel()
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.resolution = 1.0
    nest.local_num_threads = 1
    size = len(net["a"])
    cells = nest.Create("izhikevich", size)
    cells.set(
        {
            "consistent_integration": False,
            "V_min": -100.0,
            **{name: net[name] for name in "abcd"},
            "I_e": net["current"],
            "U_m": -65.0 * net["b"],
            **({"tau_minus": shared.TAU} if learning != "fixed" else {}),
        }
    )
    first = cells[0].global_id
    learns = net["learns"] if learning != "fixed" else np.zeros(len(net["pre"]), dtype=bool)
    models = [("static_synapse", ~learns)]
    if learning == "stdp":
        nest.SetDefaults(
            "stdp_synapse_hom",
            {
                "tau_plus": shared.TAU,
                "lambda": shared.LEARNING_RATE / shared.W_MAX,
                "alpha": shared.DEPRESSION,
                "mu_plus": 1.0,
                "mu_minus": 1.0,
                "Wmax": shared.W_MAX,
            },
        )
    elif learning == "three":
        # Its dopamine comes as spikes through a transmitter.
        reward = nest.Create(
            "spike_generator",
            params={"spike_times": np.arange(1.0, 1e5, shared.REWARD_INTERVAL)},
        )
        relay = nest.Create("parrot_neuron")
        transmitter = nest.Create("volume_transmitter", params={"deliver_interval": 10})
        nest.Connect(reward, relay)
        nest.Connect(relay, transmitter)
        nest.SetDefaults(
            "stdp_dopamine_synapse",
            {
                "volume_transmitter": transmitter,
                "tau_plus": shared.TAU,
                "tau_c": shared.TAU_ELIGIBLE,
                "A_plus": shared.LEARNING_RATE,
                "A_minus": shared.LEARNING_RATE * shared.DEPRESSION,
                "Wmax": shared.W_MAX,
            },
        )
    if learning != "fixed":
        models.append((LEARNING[learning], learns))
    for model, part in models:
        nest.Connect(
            net["pre"][part].astype(np.int64) + first,
            net["post"][part].astype(np.int64) + first,
            "one_to_one",
            {
                "synapse_model": model,
                "weight": net["weight"][part],
                "delay": np.full(int(part.sum()), 1.0),
            },
        )
    counter = nest.Create("spike_recorder", params={"record_to": "memory"})
    sample = cells[:: max(1, size // 1000)]
    nest.Connect(sample, counter)
    return counter, len(sample), size


def main() -> None:
    """Build the simulation, and run it as often as asked."""
    parser = argparse.ArgumentParser()
    parser.add_argument("network", type=Path)
    parser.add_argument("learning", choices=["fixed", "stdp", "three"])
    parser.add_argument("ticks", type=int)
    options = parser.parse_args()
    counter, sample, size = build(shared.load(options.network), options.learning)
    nest.Simulate(float(shared.WARM_UP))
    print(json.dumps("ready"), file=_answers, flush=True)
    for _ in sys.stdin:
        before, begin = counter.n_events, time.process_time()
        nest.Simulate(float(options.ticks))
        spent = time.process_time() - begin
        spikes = (counter.n_events - before) * size / sample
        print(json.dumps([spent, spikes]), file=_answers, flush=True)


if __name__ == "__main__":
    main()
