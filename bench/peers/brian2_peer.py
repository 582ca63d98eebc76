"""Brian2 on the benchmark's network; runs in the virtual environment that bench/engine.py makes.

As C++ standalone it writes and compiles the simulation: the program measures its own processor
time.  With Cython it stays, runs when told to by a line on stdin, and answers with a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import engine_network as shared
from brian2 import (
    NeuronGroup,
    SpikeMonitor,
    Synapses,
    defaultclock,
    device,
    ms,
    prefs,
    set_device,
)

# The state of a tick, in the order in which our engine computes it.
MODEL = "v : 1\nu : 1\nI_in : 1\nI_out : 1 (constant)\n" + "".join(
    f"{name} : 1 (constant)\n" for name in "abcd"
)
TICK = """
v += 0.5*(0.04*v*v + 5*v + 140 - u + I_out + I_in)
v = clip(v, -100, 35)
v += 0.5*(0.04*v*v + 5*v + 140 - u + I_out + I_in)
u += a*(b*v - u)
I_in = 0
"""
STRENGTHEN = "w = clip(w + rate*x*(w_max - w)/w_max, 0, w_max)"
WEAKEN = "w = clip(w - rate*half*y*w/w_max, 0, w_max)"
CLOCK = """
{ timespec now; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  std::cout << "%s " << now.tv_sec + 1e-9 * now.tv_nsec << std::endl; }
"""


def neurons(net: dict, learning: str, formulation: str) -> NeuronGroup:
    """Return the neurons; traces per neuron decay in every tick, and grow at the reset."""
    model, tick, reset = MODEL, TICK, "v = c\nu += d"
    if learning == "stdp" and "neuron" in formulation:
        model += "x : 1\ny : 1\n"
        tick += "x *= decay\ny *= decay\n"
        reset += "\nx += 1\ny += 1"
    group = NeuronGroup(len(net["a"]), model, threshold="v >= 30", reset=reset, name="cells")
    group.run_regularly(tick, dt=1 * ms, when="groups")
    for name in "abcd":
        setattr(group, name, net[name])
    group.I_out = net["current"]
    group.v = -65
    group.u = -65 * net["b"]
    return group


def synapses(net: dict, group: NeuronGroup, learning: str, formulation: str) -> list[Synapses]:
    """Return the synapses: fixed ones, and those that learn."""
    chosen = net["learns"] if learning != "fixed" else None
    made = []
    for learns in (False, True):
        part = slice(None) if chosen is None else chosen == learns
        if learns and chosen is None:
            break
        if not learns:
            s = Synapses(group, group, "w : 1", on_pre="I_in_post += w", name="fixed")
        elif learning == "stdp" and "neuron" in formulation:
            s = Synapses(
                group,
                group,
                "w : 1",
                on_pre="I_in_post += w\n" + WEAKEN.replace("y", "y_post"),
                on_post=STRENGTHEN.replace("*x*", "*x_pre*"),
                name="learning",
            )
        elif learning == "stdp":
            s = Synapses(
                group,
                group,
                "w : 1\ndx/dt = -x/tau : 1 (event-driven)\ndy/dt = -y/tau : 1 (event-driven)",
                on_pre="I_in_post += w\n" + WEAKEN + "\nx += 1",
                on_post=STRENGTHEN + "\ny += 1",
                name="learning",
            )
        else:
            s = Synapses(
                group,
                group,
                "w : 1\ndx/dt = -x/tau : 1 (event-driven)\n"
                "dcredit/dt = -credit/tau_eligible : 1 (event-driven)",
                on_pre="I_in_post += w\nx += 1",
                on_post="credit += x\nx *= 0.5",
                name="learning",
            )
            s.run_regularly(
                "w = clip(w + rate*reward*credit*exp(-(t - lastupdate)/tau_eligible)"
                "*(w_max - w)/w_max, 0, w_max)\ncredit *= 0.5",
                dt=shared.REWARD_INTERVAL * ms,
                when="end",
            )
        s.connect(i=net["pre"][part], j=net["post"][part])
        s.w = net["weight"][part]
        made.append(s)
    return made


def main() -> None:
    """Build the simulation; with Cython, run it as often as asked."""
    parser = argparse.ArgumentParser()
    parser.add_argument("network", type=Path)
    parser.add_argument("learning", choices=["fixed", "stdp", "three"])
    parser.add_argument("formulation", help="float32 or float64; with -neuron or -synapse traces")
    parser.add_argument("ticks", type=int)
    parser.add_argument("--directory", type=Path, help="C++ standalone, built here")
    options = parser.parse_args()
    if "float32" in options.formulation:
        import numpy as np

        prefs.core.default_float_dtype = np.float32
    prefs.devices.cpp_standalone.extra_make_args_unix = ["-j2"]
    prefs.codegen.cpp.extra_compile_args_gcc = ["-w", "-O3", "-ffast-math", "-march=native"]
    if options.directory:
        set_device("cpp_standalone", build_on_run=False)
    else:
        prefs.codegen.target = "cython"
    defaultclock.dt = 1 * ms
    net = shared.load(options.network)
    group = neurons(net, options.learning, options.formulation)
    parts = synapses(net, group, options.learning, options.formulation)
    spikes = SpikeMonitor(group, record=False, name="spikes")
    import math

    names = {
        "rate": shared.LEARNING_RATE,
        "w_max": shared.W_MAX,
        "half": shared.DEPRESSION,
        "decay": math.exp(-1 / shared.TAU),
        "tau": shared.TAU * ms,
        "tau_eligible": shared.TAU_ELIGIBLE * ms,
        "reward": shared.REWARD,
    }
    from brian2 import Network

    whole = Network(group, *parts, spikes)
    if options.directory:
        whole.run(shared.WARM_UP * ms, namespace=names)
        device.insert_code("main", CLOCK % "begin")
        device.insert_code("main", 'std::cout << "spikes " << _array_spikes_N[0] << std::endl;')
        whole.run(options.ticks * ms, namespace=names)
        device.insert_code("main", CLOCK % "end")
        device.insert_code("main", 'std::cout << "spikes " << _array_spikes_N[0] << std::endl;')
        device.build(directory=str(options.directory), compile=True, run=False, debug=False)
        return
    whole.run(shared.WARM_UP * ms, namespace=names)
    print(json.dumps("ready"), flush=True)
    for _ in sys.stdin:
        before, begin = spikes.num_spikes, time.process_time()
        whole.run(options.ticks * ms, namespace=names)
        spent = time.process_time() - begin
        print(json.dumps([spent, int(spikes.num_spikes - before)]), flush=True)


if __name__ == "__main__":
    main()
