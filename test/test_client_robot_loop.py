"""The robot loop: what it executes and what never, in which order it answers, that it goes on."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any

import pytest
from client_parts import PATIENCE, Robot, ScriptedConnection, scripted, update

from ab_ros.client.plugins.decoder import MappingEntry
from ab_ros.client.plugins.deviation import DefaultDeviation
from ab_ros.client.plugins.reward import DefaultReward
from ab_ros.client.robot_loop import RobotLoop
from ab_ros.client.run import Run
from ab_ros.errors import BrainError, BrainUnreachable, ConfigError

MAPPING = [
    MappingEntry(node_id="V1", channel="joint:0", per_step_max=0.5),
    MappingEntry(node_id="L1", channel="joint:7"),
    MappingEntry(node_id="P1", channel="gripper", scheme="addition"),
]
ROWS = [[5, "V1", [1, 1, 0, 0]], {"t": 2, "id": "P1", "bits": [1, 1]}, [2, "L1", [1, 0, 0, 0]]]


@pytest.fixture
def robots() -> Iterator[list[Robot]]:
    started: list[Robot] = []
    yield started
    for robot in started:
        if robot.thread.ident is not None:
            robot.stop()
        robot.run.close()


def robot_of(robots: list[Robot], **settings: Any) -> tuple[ScriptedConnection, Robot]:
    connection, run = scripted()
    run.set_decoder(MAPPING)
    robot = Robot(run, **settings)
    robots.append(robot)
    return connection, robot


def tell(connection: ScriptedConnection, run: Run, message: dict[str, Any]) -> None:
    """Give an update, and wait until its cycle is done."""
    run.heard("cycle:update", message)
    connection.wait(
        lambda: any(
            done["cycle"] == message["cycle"] for done in connection.sent("robot:cycle_done")
        )
    )


def test_commands_come_by_timestep_with_the_documents_names(robots: list[Robot]) -> None:
    connection, robot = robot_of(robots)
    robot.start()
    tell(connection, robot.run, update(0, *ROWS))
    assert robot.commands == [
        {
            "dq": [0.0, 0.0],
            "dg": 2.0,
            "cycle": 0,
            "t": 2,
            "deltas": {"gripper": 2.0, "joint:7": 1.0},
        },
        {"dq": [1.0, 0.0], "dg": 0.0, "cycle": 0, "t": 5, "deltas": {"joint:0": 1.0}},
    ]


def test_the_number_of_joints_is_that_of_the_state(robots: list[Robot]) -> None:
    connection, robot = robot_of(robots)
    robot.state = {"q": [0.0] * 8}
    robot.start()
    tell(connection, robot.run, update(0, *ROWS))
    assert robot.commands[0]["dq"] == [0.0] * 7 + [1.0]


def test_done_comes_before_feedback_before_reward(robots: list[Robot]) -> None:
    connection, robot = robot_of(robots)
    robot.run.set_deviation(DefaultDeviation(robot.run))
    robot.run.set_reward(DefaultReward(robot.run, 0.75))
    robot.start()
    for cycle in range(2):
        robot.run.heard("cycle:update", update(cycle, *ROWS))
    connection.wait(lambda: len(connection.sent("learn:reward")) == 2)
    assert connection.order() == ["robot:cycle_done", "io:chunk", "learn:reward"] * 2
    assert connection.sent("robot:cycle_done")[1] == {"runId": "run-1", "cycle": 1}
    feedback = connection.sent("io:chunk")[1]
    assert feedback == {
        "runId": "run-1",
        "inputId": "fbV1",
        "kind": "Feedback",
        "seq": 1,
        "t": feedback["t"],
        "format": "deviation_f32",
        "meta": {"T": 4, "N": 2, "cycle": 1},
        "data": bytes(16),
    }
    assert connection.sent("learn:reward")[0] == {
        "runId": "run-1",
        "cycle": 0,
        "globalReward": 0.75,
        "byLayer": {"a": 0.75, "b": 0.75},
    }


def test_plug_ins_are_called_once_per_cycle_with_what_happened(robots: list[Robot]) -> None:
    connection, robot = robot_of(robots, options={"goal": 3})
    seen: list[dict[str, Any]] = []

    def reward(summary: dict[str, Any], *, stdp_layers: Any) -> Any:
        seen.append(summary)
        return 2.0, {"a": -1.0}

    robot.run.set_deviation(lambda feedback_id, T, ctx: [5.0, -5.0, 0.5, 0.0])
    robot.run.set_reward(reward)
    robot.start()
    tell(connection, robot.run, update(0, *ROWS, telemetry={"rate": 3.0}))
    connection.wait(lambda: bool(connection.sent("learn:reward")))
    (summary,) = seen
    assert (summary["cycle"], summary["run"], summary["executed"]) == (0, "run-1", True)
    assert summary["spikes"]["V1"]["first_half"] == 2 and summary["timesteps"] == 8
    joint = summary["joints"]["joint:0"]
    assert (joint["before"], joint["after"], joint["velocity_after"]) == (0.1, 0.1, 0.0)
    assert summary["deltas"][5] == {"joint:0": 1.0} and summary["telemetry"] == {"rate": 3.0}
    assert summary["options"] == {"goal": 3} and summary["state"]["q"] == [0.1, 0.2]
    # Finite values are clamped.
    assert connection.sent("learn:reward")[0]["globalReward"] == 1.0
    assert connection.sent("learn:reward")[0]["byLayer"] == {"a": 0.0, "b": 1.0}
    values = memoryview(connection.sent("io:chunk")[0]["data"]).cast("f").tolist()
    assert values == [1.0, -1.0, 0.5, 0.0]


@pytest.mark.parametrize(
    ("plugin", "says"),
    [
        (lambda summary: (math.nan, {}), "must be finite"),
        (lambda summary: (0.5, {"a": math.inf}), "must be finite"),
        (lambda summary: 0.5, "must return (global reward, {layer: reward})"),
        (lambda summary: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_reward_that_is_not_finite_is_refused_and_the_loop_goes_on(
    robots: list[Robot], caplog: pytest.LogCaptureFixture, plugin: Any, says: str
) -> None:
    connection, robot = robot_of(robots)
    robot.run.set_reward(plugin)
    robot.start()
    for cycle in range(2):
        tell(connection, robot.run, update(cycle, *ROWS))
    robot.stop()
    assert not connection.sent("learn:reward") and len(robot.commands) == 4
    assert says in caplog.text and "Traceback" in caplog.text
    assert robot.run.counts()["reward failed"] == 2


@pytest.mark.parametrize("values", [[math.nan] * 4, [0.0] * 3, ["x"] * 4])
def test_a_deviation_that_is_unfit_is_refused_and_the_reward_still_sent(
    robots: list[Robot], caplog: pytest.LogCaptureFixture, values: list[Any]
) -> None:
    connection, robot = robot_of(robots)
    robot.run.set_deviation(lambda feedback_id, T, ctx: values)
    robot.run.set_reward(DefaultReward(robot.run))
    robot.start()
    tell(connection, robot.run, update(0, *ROWS))
    connection.wait(lambda: bool(connection.sent("learn:reward")))
    assert not connection.sent("io:chunk") and "compute_deviation('fbV1')" in caplog.text


def test_what_is_not_finite_never_reaches_the_executor(
    robots: list[Robot], caplog: pytest.LogCaptureFixture
) -> None:
    connection, robot = robot_of(robots)
    deltas: dict[int, dict[int, dict[str, float]]] = {
        0: {0: {"joint:0": 0.1}, 1: {"joint:0": math.nan}},
        1: {0: {"joint:0": math.inf}},
        2: {0: {"joint:0": 0.2}},
    }
    turns = iter(deltas.values())
    robot.run.set_decoder(lambda rows: next(turns))
    robot.start()
    for cycle in deltas:
        tell(connection, robot.run, update(cycle, *ROWS))
    assert [command["deltas"] for command in robot.commands] == [{"joint:0": 0.2}]
    assert robot.loop.counts()["not finite"] == 2 and "not finite" in caplog.text


def test_what_is_too_old_never_reaches_the_executor(robots: list[Robot]) -> None:
    connection, robot = robot_of(robots, max_age=1e-9)
    robot.start()
    tell(connection, robot.run, update(0, *ROWS))
    assert not robot.commands and robot.loop.counts()["command too old"] == 1


def test_an_update_is_as_old_as_the_newest_sample_in_it() -> None:
    connection, run = scripted()
    run.send_chunk("cam_rgb", "Image", "jpeg", b"x", cycle=0)
    sent = connection.sent("io:chunk")[0]["t"]
    for cycle, observed in enumerate((sent, sent + 5.0, None)):
        run.heard("cycle:update", update(cycle, observed=observed))
    old, foreign, unknown = (run.updates.take(0.0) for _ in range(3))
    assert old is not None and foreign is not None and unknown is not None
    assert old.fresh_at < old.received
    assert foreign.fresh_at == foreign.received and unknown.fresh_at == unknown.received


def test_an_update_is_as_old_as_the_answer_to_its_need() -> None:
    _, run = scripted()
    run.heard("io:need", {"runId": "run-1", "cycle": 0, "needs": []})
    run.heard("cycle:update", update(0))
    first = run.updates.take(0.0)
    run.heard("io:need", {"runId": "run-1", "cycle": 1, "needs": []})
    between = run.requests.take(0.0)
    run.cycle_done(0)
    run.heard("cycle:update", update(1))
    second = run.updates.take(0.0)
    assert first is not None and first.fresh_at < first.received
    # A gated brain runs once the cycle before is done: only then does its need begin to age.
    assert second is not None and between is not None
    assert between.received < second.fresh_at < second.received


@pytest.mark.parametrize("state", [ValueError("no bus"), {"q": [math.nan]}, None])
def test_a_robot_whose_state_is_not_known_is_not_moved_but_the_brain_goes_on(
    robots: list[Robot], caplog: pytest.LogCaptureFixture, state: Any
) -> None:
    connection, robot = robot_of(robots)
    good, robot.state = robot.state, state
    robot.start()
    tell(connection, robot.run, update(0, *ROWS))
    assert not robot.commands and robot.loop.counts()["no fresh robot state"] == 1
    assert not connection.sent("robot:state") and "Traceback" in caplog.text
    robot.state = good
    connection.wait(lambda: bool(connection.sent("robot:state")))
    tell(connection, robot.run, update(1, *ROWS))
    assert len(robot.commands) == 2


def test_another_runs_rows_and_cycles_that_were_handled_are_discarded(robots: list[Robot]) -> None:
    connection, robot = robot_of(robots)
    robot.start()
    tell(connection, robot.run, update(3, *ROWS))
    for message in (update(3, *ROWS), update(2, *ROWS), update(9, *ROWS, run="run-0")):
        robot.run.heard("cycle:update", message)
    tell(connection, robot.run, update(4, *ROWS))
    assert [command["cycle"] for command in robot.commands] == [3, 3, 4, 4]
    assert [done["cycle"] for done in connection.sent("robot:cycle_done")] == [3, 4]
    assert robot.loop.counts()["update of an old cycle"] == 2
    assert robot.run.counts()["update of another run"] == 1


def test_after_a_new_run_cycles_count_from_0(robots: list[Robot]) -> None:
    connection, robot = robot_of(robots)
    robot.start()
    tell(connection, robot.run, update(3, *ROWS))
    connection.run = "run-2"
    robot.run.began()
    robot.run.joined()
    tell(connection, robot.run, update(0, *ROWS, run="run-2"))
    assert [command["cycle"] for command in robot.commands] == [3, 3, 0, 0]
    assert connection.sent("robot:cycle_done")[-1] == {"runId": "run-2", "cycle": 0}


def test_rows_outside_the_cycle_are_left_out_and_counted(robots: list[Robot]) -> None:
    connection, robot = robot_of(robots)
    robot.start()
    rows = [[-1, "V1", [1, 0, 0, 0]], [8, "V1", [1, 0, 0, 0]], ["7", "V1", [1, 0, 0, 0]]]
    tell(connection, robot.run, update(0, *rows))
    assert [command["t"] for command in robot.commands] == [7]
    assert robot.loop.counts()["timestep out of range"] == 2


def test_what_the_users_functions_raise_is_logged_and_the_loop_goes_on(
    robots: list[Robot], caplog: pytest.LogCaptureFixture
) -> None:
    connection, robot = robot_of(robots)
    robot.fails.add(0)
    robot.start()
    tell(connection, robot.run, update(0, *ROWS))
    assert "the command executor failed" in caplog.text and "a motor is off" in caplog.text
    robot.run.set_decoder(lambda rows: {0: 1 / 0})
    tell(connection, robot.run, update(1, *ROWS))
    assert "the decoder failed" in caplog.text and "ZeroDivisionError" in caplog.text
    robot.run.set_decoder(MAPPING)
    tell(connection, robot.run, update(2, *ROWS))
    assert [command["cycle"] for command in robot.commands] == [2, 2]
    counts = robot.loop.counts()
    assert (counts["executor failed"], counts["decoder failed"]) == (1, 1)


def test_without_a_decoder_the_robot_stays_and_the_brain_goes_on(
    robots: list[Robot], caplog: pytest.LogCaptureFixture
) -> None:
    connection, run = scripted()
    robot = Robot(run)
    robots.append(robot)
    robot.start()
    for cycle in range(3):
        tell(connection, run, update(cycle, *ROWS))
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert not robot.commands and len(warnings) == 1 and "set_decoder" in caplog.text


def test_a_cycle_that_came_before_the_loop_is_answered(robots: list[Robot]) -> None:
    connection, robot = robot_of(robots)
    robot.run.heard("cycle:update", update(0, *ROWS))
    robot.start()
    connection.wait(lambda: bool(connection.sent("robot:cycle_done")))


def test_the_state_is_sent_again_and_again(robots: list[Robot]) -> None:
    connection, robot = robot_of(robots, state_rate=200.0)
    robot.start()
    connection.wait(lambda: len(connection.sent("robot:state")) >= 5)
    assert connection.sent("robot:state")[0] == {"runId": "run-1", "state": robot.state}


def test_stop_ends_the_loop_also_from_within_and_before(robots: list[Robot]) -> None:
    _, run = scripted()
    run.set_decoder(MAPPING)
    calls: list[int] = []

    def move(command: dict[str, Any]) -> None:
        calls.append(command["t"])
        loop.stop()

    loop = RobotLoop(run, lambda: {"q": [0.0]}, move, max_age=60.0)
    run.heard("cycle:update", update(0, *ROWS))
    loop.run_forever()
    assert calls == [2]
    loop.stop()
    loop.run_forever()
    run.close()


def test_the_keyboard_ends_the_loop_quietly() -> None:
    _, run = scripted()

    def read() -> Any:
        raise KeyboardInterrupt

    RobotLoop(run, read, lambda command: None).run_forever()
    run.close()


def test_closing_the_run_ends_the_loop(robots: list[Robot]) -> None:
    connection, robot = robot_of(robots)
    robot.start()
    connection.wait(lambda: bool(connection.sent("robot:state")))
    robot.run.close()
    robot.thread.join(PATIENCE)
    assert not robot.thread.is_alive() and robot.error is None and connection.closed == 1


def test_a_run_that_cannot_go_on_ends_the_loop_with_its_reason(robots: list[Robot]) -> None:
    connection, robot = robot_of(robots)
    connection.error = BrainError("the contract changed")
    robot.start()
    robot.thread.join(PATIENCE)
    assert robot.error is connection.error


def test_a_lost_connection_ends_the_loop_only_if_that_is_wanted(robots: list[Robot]) -> None:
    connection, robot = robot_of(robots, state_rate=200.0)
    connection.down = 1e6
    robot.start()
    connection.wait(lambda: len(connection.sent("robot:state")) >= 3)
    robot.stop()
    assert robot.error is None
    connection, robot = robot_of(robots, give_up_after=30.0)
    connection.down = 31.0
    robot.start()
    robot.thread.join(PATIENCE)
    assert isinstance(robot.error, BrainUnreachable) and "give_up_after" in str(robot.error)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"state_rate": 0.0}, r"state_rate: must be greater than 0, not 0\.0"),
        ({"max_age": math.nan}, "max_age"),
        ({"command_executor": None}, "command_executor: must be a function"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], says: str) -> None:
    _, run = scripted()
    values = {"state_provider": dict, "command_executor": print, **settings}
    with pytest.raises(ConfigError, match=says):
        RobotLoop(run, **values)
