"""Commands that are delayed on purpose: what was asked for comes later, what protects does not."""

from __future__ import annotations

import numpy as np
import pytest
from test_motion_stage import CONTRACT, CYCLE, T, ready

from ab_ros.motion import Code, State
from ab_ros.motion.delay import DelayLine

DELAY = 0.03  # one and a half cycles


def test_deltas_come_back_whole_timesteps_later_whatever_the_cycles_are() -> None:
    generator = np.random.default_rng(1)
    line = DelayLine(0.0074)
    deltas = generator.normal(size=(90, 2))
    cuts = np.sort(generator.choice(np.arange(1, 90), 7, replace=False))
    out = np.concatenate([line.push(part, 1e-3) for part in np.split(deltas, cuts)])
    assert out[:7].tolist() == np.zeros((7, 2)).tolist()
    assert out[7:].tolist() == deltas[:-7].tolist()
    line.clear()
    assert line.push(deltas, 1e-3)[:7].tolist() == np.zeros((7, 2)).tolist()
    assert DelayLine(0.0).push(deltas, 1e-3) is deltas


@pytest.mark.parametrize("pacing", ["realtime", "lockstep"])
def test_a_motion_begins_later_by_the_delay(pacing: str) -> None:
    rig = ready(command_delay=DELAY, pacing=pacing, state_timeout=0.2)
    path: list[float] = []
    for ups in (1, 0, 0):
        answer = rig.execute(up=ups, stamp=rig.now, observed=rig.now)
        assert answer.executed and answer.deltas is not None
        assert answer.deltas.values[:, 0].sum() == pytest.approx(0.02 if ups else 0.0)
        path += answer.commands[0].values[:T, 0].tolist()
        rig.wait(CYCLE)
    moving = np.flatnonzero(np.diff(path, prepend=0.0) > 1e-9)
    assert (moving[0], moving[-1]) == (30, 49)
    assert path[-1] == pytest.approx(0.02)


@pytest.mark.parametrize("what", ["stop", "halt", "drift", "run"])
def test_what_waits_is_forgotten_at_every_stop_and_start(what: str) -> None:
    rig = ready(command_delay=DELAY)
    rig.execute(up=1)
    rig.wait(CYCLE)
    run = "run"
    if what == "stop":
        rig.wait(0.1)
        assert rig.where == (State.HOLDING, Code.STALE_SPIKES)
    elif what == "halt":
        rig.stage.halt(rig.now, rig.steady)
        rig.stage.resume(rig.now, rig.steady)
        rig.measure()
    elif what == "drift":
        rig.wait(0.1)
        rig.carry(a=0.3)
    else:
        run, rig.number = "another", -1
        rig.stage.begin_run(run, CONTRACT)
    start = rig.at["a"] if what != "run" else 0.0
    for count in range(12):
        answer = rig.execute(run=run)
        assert answer.executed
        # To where it has drifted it has to go first.
        if what != "drift" or count > 8:
            assert answer.commands[0].values[:, 0] == pytest.approx(start)
        rig.wait(CYCLE)


def test_stops_are_not_delayed() -> None:
    rig = ready(command_delay=1.0)
    for _ in range(60):
        rig.execute(up=1)
        rig.wait(CYCLE)
    rig.measure(a=0.1)
    (stop,) = rig.stage.halt(rig.now, rig.steady)
    assert stop.values[-1, 0] == pytest.approx(0.1)
