"""The critic node in a process of its own; the test plays brain, motor node and robot."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ros_process import NodeProcess, Peer

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")

from ab_ros.msg import BrainContract, CycleDone, Deviation, PopulationSpikes, Reward, SpikeRaster
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Vector3Stamped
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from ab_ros.contract import Contract
from ab_ros.learning.scaffold import sync_policies
from ab_ros.nodes import qos
from ab_ros.nodes.messages import brain_contract, to_time
from ab_ros.nodes.robot_messages import joint_state

pytestmark = pytest.mark.ros

CONTRACT = Contract.from_dict(
    {
        "constants": {"gamma": 20, "outputWindowN": 4, "feedbackN": 2, "feedbackT": 4},
        "io": {
            "inputs": [{"id": "camera", "kind": "Image"}],
            "outputs": [{"id": "pan", "n": 4, "kind": "Motor"}],
            "feedback": [
                {"id": name, "n": 2, "fromOutput": "pan", "toLayer": "pan"} for name in ("a", "b")
            ],
            "stdp3": {"layers": ["pan"]},
        },
    }
)
POLICY = """
def compute_reward(summary, *, stdp_layers):
    if summary["cycle"] == 3:
        raise ValueError("no idea")
    moved = summary["joints"]["yaw"]["after"] - summary["joints"]["yaw"]["before"]
    seen = summary["target"]["after"] is not None
    return GOOD * (0.5 + moved), {layer: 1.0 if seen else 0.0 for layer in stdp_layers}


def compute_deviation(feedback_id, *, T, ctx=None):
    return [0.25 if feedback_id == "a" else -0.25] * T
"""
PERIOD = 0.02
_names = itertools.count()


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("critic_test")
    yield peer
    peer.close()


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.py"
    path.write_text(POLICY.replace("GOOD", "1.0"))
    return path


class Play:
    """Brain, motor node and robot around one critic, in a namespace of its own."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.space = f"/critic_{next(_names)}"
        make, topic = peer.node.create_publisher, self.space + "/{}"
        self._contract = make(BrainContract, topic.format("contract"), qos.LATCHED)
        self._spikes = make(SpikeRaster, topic.format("spikes"), qos.REWARD)
        self._done = make(CycleDone, topic.format("cycle_done"), qos.REWARD)
        self._joints = make(JointState, topic.format("joint_states"), qos.COMMAND)
        self._target = make(Vector3Stamped, topic.format("target/direction"), qos.COMMAND)
        self.publishers = [self._contract, self._spikes, self._done, self._joints, self._target]
        self.rewards: list[Reward] = []
        self.deviations: list[Deviation] = []
        self.figures: dict[str, str] = {}
        self.health = ""
        listen = peer.node.create_subscription
        self.subscriptions = [
            listen(Reward, topic.format("reward"), self.rewards.append, qos.REWARD),
            listen(Deviation, topic.format("deviation"), self.deviations.append, qos.REWARD),
            listen(DiagnosticArray, "/diagnostics", self._diagnose, 10),
        ]
        self.run = ""
        self.time = 10.0

    def critic(self, *assignments: str, file: Path | None = None) -> NodeProcess:
        # Each state is published once, and must not be lost before the critic knows who does.
        reliable = [
            f"qos_overrides.{self.space}/{topic}.subscription.reliability:=reliable"
            for topic in ("joint_states", "target/direction")
        ]
        parameters = [part for text in (*assignments, *reliable) for part in ("-p", text)]
        if file is not None:
            parameters += ["--params-file", str(file)]
        arguments = ["--ros-args", "-r", f"__ns:={self.space}", *parameters]
        return NodeProcess(Path("-m"), "ab_ros.nodes.critic", *arguments)

    def _diagnose(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.hardware_id == f"{self.space}/critic":
                self.health = status.message
                self.figures = {value.key: value.value for value in status.values}

    def until(self, condition: Callable[[], Any], what: str) -> None:
        self.peer.until(condition, what)

    def begin(self, run: str) -> None:
        self.until(lambda: all(p.get_subscription_count() for p in self.publishers), "the critic")
        self.until(lambda: all(s.get_publisher_count() for s in self.subscriptions), "its topics")
        critic = f"{self.space}/critic"
        self.until(lambda: self.peer.state(critic) == "active", "an active critic")
        self.run = run
        self.tell_contract()
        # What comes before a contract is kept for it, and counted as of another run.
        self.until(lambda: "contract differences" in self.figures, "a critic with a contract")
        self.show(0.0)

    def tell_contract(self) -> None:
        self._contract.publish(brain_contract(CONTRACT, self.run))

    def show(
        self,
        yaw: float,
        target: tuple[float, float, float] = (0.0, 0.0, 1.0),
        velocity: float | None = None,
    ) -> None:
        message = Vector3Stamped()
        message.header.stamp = to_time(self.time)
        message.vector.x, message.vector.y, message.vector.z = target
        velocities = None if velocity is None else [velocity]
        self._joints.publish(joint_state(["yaw"], [yaw], self.time, velocities))
        self._target.publish(message)

    def spikes(self, cycle: int, run: str | None = None) -> None:
        self._spikes.publish(
            SpikeRaster(
                run=self.run if run is None else run,
                cycle=cycle,
                dt=0.001,
                timesteps=20,
                observed=to_time(self.time),
                populations=[PopulationSpikes(id="pan", size=4, t=[1], neuron=[2])],
            )
        )

    def done(self, cycle: int, run: str | None = None, duration: float = PERIOD) -> None:
        message = CycleDone(
            run=self.run if run is None else run, cycle=cycle, executed=True, duration=duration
        )
        message.header.stamp = to_time(self.time)
        self._done.publish(message)

    def cycle(self, cycle: int, before: float, after: float, **show: Any) -> None:
        self.show(before)
        self.spikes(cycle)
        self.done(cycle)
        self.time += PERIOD
        self.show(after, **show)

    def reload(self) -> Trigger.Response:
        return self.peer.call(Trigger, f"{self.space}/critic/reload", Trigger.Request())

    def until_rewards(self, count: int) -> Reward:
        self.until(lambda: len(self.rewards) >= count, f"{count} rewards")
        assert [reward.cycle for reward in self.rewards] == list(range(count))
        return self.rewards[-1]

    def until_count(self, name: str, count: int) -> None:
        self.until(lambda: self.figures.get(name) == str(count), f"{count} x {name!r}")

    def close(self) -> None:
        for publisher in self.publishers:
            self.peer.node.destroy_publisher(publisher)
        for subscription in self.subscriptions:
            self.peer.node.destroy_subscription(subscription)


@pytest.fixture
def play(peer: Peer) -> Iterator[Play]:
    play = Play(peer)
    yield play
    play.close()


def test_every_cycle_gets_one_reward_by_the_users_policy(play: Play, policy: Path) -> None:
    both = (f"critic.reward_policy:={policy}", f"critic.deviation_policy:={policy}")
    with play.critic(*both, "judge_timeout:=60.0") as node:
        play.begin("first")
        play.cycle(0, before=0.1, after=0.3)
        reward = play.until_rewards(1)
        assert (reward.run, reward.cycle, list(reward.layer)) == ("first", 0, ["pan"])
        assert reward.global_reward == pytest.approx(0.7)
        assert list(reward.layer_reward) == [1.0]
        assert reward.deviations == 2
        play.until(lambda: len(play.deviations) == 2, "deviations")
        assert [(d.run, d.cycle, d.feedback) for d in play.deviations] == [
            ("first", 0, "a"),
            ("first", 0, "b"),
        ]
        assert list(play.deviations[0].deviation) == [0.25] * 4

        # The answer may come before the spikes, and more than once; other runs do not count.
        play.show(0.3)
        play.done(0)
        play.done(1)
        play.done(1)
        play.done(1, run="another")
        play.done(1, duration=math.nan)
        play.spikes(1, run="another")
        play.time += PERIOD
        play.show(0.1, target=(0.0, 0.0, 0.0))
        play.until_count("cycle_done repeated", 3)
        assert len(play.rewards) == 1
        play.spikes(1)
        reward = play.until_rewards(2)
        assert reward.global_reward == pytest.approx(0.3)
        assert list(reward.layer_reward) == [0.0]  # zeros: the target is unknown
        play.until_count("spikes of another run", 1)
        play.until_count("cycle_done of another run", 1)

        # No number in a joint state: refused and counted, and judged by the next one.
        play.spikes(2)
        play.done(2)
        play.time += PERIOD
        play.show(math.nan)
        play.until_count("joint_states refused", 1)
        assert len(play.rewards) == 2
        play.time += PERIOD / 4
        play.show(0.2)
        play.until_rewards(3)

        # The policy fails: a neutral reward, said with file and line.
        play.cycle(3, before=0.2, after=0.4)
        reward = play.until_rewards(4)
        assert (reward.global_reward, list(reward.layer)) == (0.5, [])
        node.wait_for(f"{policy}:4: compute_reward failed: ValueError: no idea")
        play.until(lambda: "1 failures" in play.health, "the failure in the diagnostics")

        # The user mends the policy.
        policy.write_text("def nothing(): pass\n")
        answer = play.reload()
        assert not answer.success and "has no function compute_reward()" in answer.message
        policy.write_text(POLICY.replace("GOOD", "0.0").replace("== 3", "== 99"))
        assert play.reload().success
        play.cycle(4, before=0.4, after=0.4)
        assert play.until_rewards(5).global_reward == 0.0

        # Without deviations, and in a new run.
        result = play.peer.set_parameters(f"{play.space}/critic", critic__deviation_enabled=False)
        assert result.successful
        play.rewards.clear()
        play.begin("second")
        play.cycle(0, before=0.4, after=0.4)
        reward = play.until_rewards(1)
        assert (reward.run, reward.deviations) == ("second", 0)


def test_a_cycle_is_judged_whose_spikes_overtook_the_contracts(play: Play, policy: Path) -> None:
    with play.critic(f"critic.reward_policy:={policy}", "judge_timeout:=60.0"):
        play.begin("first")
        play.run = "third"
        play.cycle(0, before=0.1, after=0.3)
        play.until_count("spikes of another run", 1)
        play.until_count("cycle_done of another run", 1)
        play.run = "second"
        play.tell_contract()
        play.cycle(0, before=0.3, after=0.3)
        assert play.until_rewards(1).run == "second"
        play.run = "third"
        play.tell_contract()
        play.until(lambda: len(play.rewards) == 2, "a reward of the third run")
        reward = play.rewards[-1]
        assert (reward.run, reward.cycle) == ("third", 0)
        assert reward.global_reward == pytest.approx(0.7)


def test_a_cycle_may_come_before_the_contract_of_its_run(play: Play, policy: Path) -> None:
    with play.critic(f"critic.reward_policy:={policy}", "judge_timeout:=60.0"):
        play.begin("first")
        play.run = "second"
        play.cycle(0, before=0.0, after=0.1)
        play.until_count("spikes of another run", 1)
        play.until_count("cycle_done of another run", 1)
        play.begin("second")
        assert play.until_rewards(1).run == "second"


def test_a_cycle_whose_spikes_are_lost_does_not_hold_up_the_next(play: Play, policy: Path) -> None:
    with play.critic(f"critic.reward_policy:={policy}", "judge_timeout:=60.0") as node:
        play.begin("run")
        play.done(0)
        play.time += PERIOD
        play.cycle(1, before=0.0, after=0.1)
        play.until(lambda: play.rewards, "the reward of cycle 1")
        assert [reward.cycle for reward in play.rewards] == [1]
        node.wait_for("cycle 0 is not judged: its spikes did not arrive")


def test_shuffled_rewards_are_the_same_values_at_other_times(play: Play, policy: Path) -> None:
    count = 40
    with play.critic(
        f"critic.reward_policy:={policy}", "critic.shuffle:=true", "judge_timeout:=60.0"
    ):
        play.begin("run")
        earned = []
        for cycle in [*range(3), *range(4, count)]:
            after = 0.01 * cycle
            play.cycle(cycle, before=0.0, after=after)
            earned.append(round(0.5 + after, 6))
            seen = len(earned)
            play.until(lambda seen=seen: len(play.rewards) >= seen, f"{seen} rewards")
        given = [round(reward.global_reward, 6) for reward in play.rewards]
        assert set(given) <= set(earned) and given != earned
        assert all(value in earned[: k + 1] for k, value in enumerate(given))


def test_a_policy_that_cannot_be_used_keeps_the_node_from_starting(play: Play) -> None:
    with play.critic("critic.reward_policy:=/nowhere/policy.py") as node:
        node.wait_for("/nowhere/policy.py: there is no such policy file")
        assert node.end() != 0


FOLDER_POLICY = """
from policies._contract import FEEDBACK_IDS, GAMMA
from mine import GAIN


def compute_reward(summary, *, stdp_layers):
    return GAIN * GAMMA / 100, {}
"""


def test_a_policy_folder_is_used_compared_with_the_brain_and_reloaded(
    play: Play, tmp_path: Path
) -> None:
    folder = tmp_path / "of_the_robot"
    other = Contract.from_dict(
        {"constants": {"gamma": 30}, "io": {"outputs": [{"id": "pan", "n": 2}]}}
    )
    sync_policies(other, folder)
    (folder / "reward_policy.py").write_text(FOLDER_POLICY)
    (folder / "mine.py").write_text("GAIN = 1\n")
    with play.critic(f"critic.policies:={folder}", "judge_timeout:=60.0") as node:
        play.begin("run")
        said = f"policies {folder}: not of the running brain's contract: "
        node.wait_for(f"{said}constant gamma: was 30, is 20; ")
        play.until(lambda: "output 'pan': n was 2, is 4" in play.health, "the difference")
        # It goes on all the same, with what it has.
        play.cycle(0, before=0.0, after=0.0)
        reward = play.until_rewards(1)
        assert reward.global_reward == pytest.approx(0.3) and reward.deviations == 2

        # A broken file: the old policies stay, those of the feedback as well.
        (folder / "mine.py").write_text("GAIN = \n")
        (folder / "error_deviation_policy.py").unlink()
        answer = play.reload()
        assert not answer.success
        assert "import failed: SyntaxError" in answer.message and "mine.py" in answer.message
        play.cycle(1, before=0.0, after=0.0)
        reward = play.until_rewards(2)
        assert reward.global_reward == pytest.approx(0.3) and reward.deviations == 2

        # Mended and synced, with files that look to Python as if they had not changed.
        (folder / "mine.py").write_text("GAIN = 2\n")
        assert sync_policies(CONTRACT, folder).changed
        answer = play.reload()
        assert answer.success and answer.message == "policies loaded anew"
        play.until(lambda: play.health == "judges cycles", "no more complaints")
        play.cycle(2, before=0.0, after=0.0)
        assert play.until_rewards(3).global_reward == pytest.approx(0.4)


TASKS = """
/**/critic:
  ros__parameters:
    judge_timeout: 60.0
    critic:
      reward_policy: ab_ros.learning.tasks
      deviation_policy: ab_ros.learning.tasks
      options:
        terms:
          reach: {kind: joint_goal, joints: {yaw: 0.5}, scale: 0.2}
          smooth: {kind: smoothness, jump: 4.0, weight: 0.5}
        layers: {pan: [reach, smooth]}
        overall: [reach]
        feedback:
          a: {joint: yaw, goal: 0.5, full: 0.4}
"""


def test_ready_made_policies_need_yaml_alone(play: Play, tmp_path: Path) -> None:
    file = tmp_path / "critic.yaml"
    file.write_text(TASKS)
    with play.critic(file=file):
        play.begin("run")
        play.show(0.2, velocity=1.0)
        play.spikes(0)
        play.done(0)
        play.time += PERIOD
        play.show(0.3, velocity=-1.0)
        reward = play.until_rewards(1)
        assert reward.global_reward == pytest.approx(0.75)
        assert list(reward.layer_reward) == [pytest.approx(0.625)]
        play.until(lambda: len(play.deviations) == 2, "deviations")
        assert list(play.deviations[0].deviation) == [-1.0, 1.0, -1.0, 1.0]
        assert list(play.deviations[1].deviation) == [0.0] * 4


def test_a_wrong_option_is_told_with_file_and_line(play: Play, tmp_path: Path) -> None:
    file = tmp_path / "critic.yaml"
    file.write_text(TASKS.replace("scale: 0.2", "scael: 0.2"))
    arguments = ["--ros-args", "-r", f"__ns:={play.space}", "--params-file", str(file)]
    with NodeProcess(Path("-m"), "ab_ros.nodes.critic", *arguments) as node:
        node.wait_for(
            f"{file}:10: critic.options.terms.reach.scael: unknown key; did you mean 'scale'?"
        )
        assert node.end() != 0
