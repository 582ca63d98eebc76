"""When a cycle of a served run may begin; what a client may ask for. No clock, no socket."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ab_ros.errors import ConfigError, ProtocolError
from ab_ros.server import ServerSettings
from ab_ros.server.options import StartOptions
from ab_ros.server.pacing import FreePacing, GatedPacing, Pacing, Verdict


def asked(pacing: Pacing, now: float) -> Pacing:
    pacing.joined(now)
    pacing.asked(now)
    return pacing


def test_a_gated_cycle_waits_for_the_commands_of_the_one_before_and_for_its_samples() -> None:
    gate = asked(GatedPacing(), 0.0)
    assert gate.verdict(1.0, answered=False) is Verdict.WAIT
    assert gate.verdict(1.0, answered=True) is Verdict.RUN
    gate.ran(1.0)
    gate.asked(1.0)
    assert gate.verdict(2.0, answered=True) is Verdict.WAIT
    assert gate.wake_at() == math.inf
    gate.executed(2.0)
    assert gate.verdict(2.0, answered=True) is Verdict.RUN


def test_a_gated_cycle_runs_without_samples_when_the_deadline_has_passed() -> None:
    gate = asked(GatedPacing(0.1), 0.0)
    assert gate.wake_at() == 0.1
    assert gate.verdict(0.09, answered=False) is Verdict.WAIT
    assert gate.verdict(0.11, answered=False) is Verdict.RUN


def test_the_deadline_counts_from_the_gate_if_that_opens_after_the_need() -> None:
    gate = asked(GatedPacing(0.1), 0.0)
    gate.ran(1.0)
    gate.asked(1.0)
    gate.executed(1.05)
    assert gate.verdict(1.12, answered=False) is Verdict.WAIT
    assert gate.verdict(1.16, answered=False) is Verdict.RUN


def test_a_gate_that_opens_after_the_deadline_has_the_need_sent_again() -> None:
    gate = asked(GatedPacing(0.1), 0.0)
    gate.ran(1.0)
    gate.asked(1.0)
    gate.executed(3.0)
    assert gate.verdict(3.0, answered=False) is Verdict.ASK_AGAIN
    gate.asked(3.01)
    assert gate.verdict(3.05, answered=False) is Verdict.WAIT
    assert gate.verdict(3.12, answered=False) is Verdict.RUN


def test_samples_that_are_there_already_need_not_be_asked_for_again() -> None:
    gate = asked(GatedPacing(0.1), 0.0)
    gate.ran(1.0)
    gate.asked(1.0)
    gate.executed(3.0)
    assert gate.verdict(3.0, answered=True) is Verdict.RUN


def test_a_client_that_joins_opens_the_gate() -> None:
    gate = asked(GatedPacing(), 0.0)
    gate.ran(1.0)
    asked(gate, 2.0)
    assert gate.verdict(2.0, answered=True) is Verdict.RUN


def test_a_free_run_has_a_cycle_every_period_and_makes_up_for_none() -> None:
    free = asked(FreePacing(0.1), 0.0)
    assert free.verdict(0.05, answered=True) is Verdict.WAIT
    assert free.verdict(0.1, answered=False) is Verdict.RUN
    free.ran(0.11)
    assert free.wake_at() == pytest.approx(0.2)
    assert free.left(0.15) == pytest.approx(0.05)
    free.ran(0.95)
    assert free.wake_at() == 0.95


def test_start_options_leave_the_brain_as_it_is_unless_they_say_so() -> None:
    assert StartOptions.from_wire({"mode": "live", "robot": {"dof": 7}}) == StartOptions()
    assert StartOptions.from_wire({"learning": None, "seed": None}) == StartOptions()
    assert StartOptions.from_wire(
        {"learning": False, "seed": 7, "fresh": True, "pacing": "gated", "deadlineMs": 250}
    ) == StartOptions(False, 7, True, False, True, 0.25)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "start: must be an object"),
        ({"learning": 1}, "learning must be true or false"),
        ({"fresh": "yes"}, "fresh must be true or false"),
        ({"seed": -1}, "seed must be an integer of at least 0"),
        ({"seed": 1.5}, "seed must be an integer"),
        ({"seed": True}, "seed must be an integer"),
        ({"pacing": "fast"}, "unknown pacing 'fast'; one of: free, gated"),
        ({"pacing": ["gated"]}, "unknown pacing"),
        ({"deadlineMs": "soon"}, "deadlineMs must be a number"),
        ({"deadlineMs": 0}, "deadlineMs must be above 0"),
        ({"deadlineMs": math.nan}, "deadlineMs must be finite"),
    ],
)
def test_an_option_of_the_wrong_type_is_refused_with_what_is_allowed(
    body: Any, message: str
) -> None:
    with pytest.raises(ProtocolError, match=message):
        StartOptions.from_wire(body)


def test_settings_that_contradict_each_other_are_refused(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="TLS needs both"):
        ServerSettings(tmp_path / "brain.db", certificate="host.pem")
    with pytest.raises(ConfigError, match="1 to 128 characters"):
        ServerSettings(tmp_path / "brain.db", projects=("",))
