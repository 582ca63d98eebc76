"""Who goes on among nodes of one name, whatever they learn of each other in which order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="needs ROS 2")

from ab_ros.nodes.twins import Claim, Precedence, Standing

SETTLED = 5.0  # s


class World:
    """Nodes of one name, and what each has been told of the others."""

    def __init__(self, births: list[int]) -> None:
        self.time = 0.0
        self.nodes = [Precedence(born, token) for token, born in enumerate(births)]
        self.since: list[float | None] = [None] * len(births)  # when each became active

    def settled(self, node: int) -> bool:
        since = self.since[node]
        return since is not None and self.time - since >= SETTLED

    def claim(self, node: int) -> Claim:
        return self.nodes[node].own(self.settled(node))

    def judge(self, node: int) -> None:
        """Let a node do what it does twice a second."""
        active = self.since[node] is not None
        standing = self.nodes[node].standing(active, self.settled(node), self.time)
        if active and standing is Standing.SECOND:
            self.since[node] = None
        elif not active and standing in (Standing.ALONE, Standing.FIRST):
            self.since[node] = self.time

    def all_is_known(self) -> None:
        """Let all nodes have discovered and heard each other."""
        count = len(self.nodes)
        for _ in range(2 * count):
            for node in range(count):
                self.nodes[node].count(count - 1)
                for other in range(count):
                    self.nodes[node].hear(self.claim(other))
                self.judge(node)

    @property
    def active(self) -> list[int]:
        return [node for node, since in enumerate(self.since) if since is not None]


@given(st.data())
def test_however_late_they_learn_of_each_other_one_stays(data: Any) -> None:
    births = data.draw(st.lists(st.integers(0, 3), min_size=2, max_size=4))
    world, count = World(births), len(births)
    node = st.integers(0, count - 1)
    for _ in range(data.draw(st.integers(0, 30))):
        world.time += data.draw(st.sampled_from([0.0, 0.5, 2.0, 6.0]))
        one, other = data.draw(node), data.draw(node)
        what = data.draw(st.sampled_from(["judge", "discover", "hear"]))
        if what == "judge":
            world.judge(one)
        elif what == "discover":
            world.nodes[one].count(data.draw(st.integers(0, count - 1)))
        else:
            world.nodes[one].hear(world.claim(other))
    world.all_is_known()
    assert len(world.active) == 1
    (stays,) = world.active
    for _ in range(20):
        world.time += 0.5
        world.all_is_known()
        assert world.active == [stays]


def test_one_that_has_been_active_for_a_while_goes_on_beside_any_newcomer() -> None:
    world = World([2, 1])  # the newcomer's clock is behind
    world.judge(0)
    world.time = SETTLED + 1.0
    world.judge(1)
    assert world.active == [0, 1]
    world.all_is_known()
    assert world.active == [0]


def test_one_that_says_nothing_is_given_way_to_by_newcomers_only() -> None:
    world = World([1])
    (node,) = world.nodes
    node.count(1)
    world.judge(0)
    assert not world.active, "what may be first is waited for"
    node.count(0)
    world.judge(0)
    node.count(1)
    world.judge(0)
    assert world.active, "its claim may be under way"
    world.time = 2.0
    world.judge(0)
    assert not world.active

    node.count(0)
    world.judge(0)
    world.time += SETTLED
    node.count(1)
    world.judge(0)
    world.time += 2.0
    world.judge(0)
    assert world.active == [0]


def test_what_one_that_left_had_claimed_is_forgotten() -> None:
    world = World([1, 2, 3])
    world.all_is_known()
    assert world.active == [0]
    for node in (1, 2):
        world.nodes[node].count(1)
        for other in (1, 2):
            world.nodes[node].hear(world.claim(other))
        world.judge(node)
    assert world.active == [0, 1]
