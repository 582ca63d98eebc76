"""Nodes of one name: which of them goes on, however late they learn of each other.

Every unique node claims its name on a hidden topic that those of its name share.  Claims have a
total order, which all who hear them judge alike: a node that has been active for a while comes
before newcomers, then the one that was started earlier, then a random number decides.  A claim is
kept for those who are discovered late, so of nodes that know of each other just one stays.
"""

from __future__ import annotations

import enum
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from std_msgs.msg import UInt64MultiArray

from ab_ros.nodes import qos

_TOPIC = "~/_claim"  # hidden, as a part of it begins with an underscore
_GRACE = 1.0  # s in which an active newcomer waits for the claim of a node that it has discovered


class Standing(enum.Enum):
    """Where a node stands among those of its name."""

    ALONE = enum.auto()
    FIRST = enum.auto()
    SECOND = enum.auto()
    UNDECIDED = enum.auto()
    """Another one is there, and has not been heard."""


@dataclass(frozen=True, order=True)
class Claim:
    """A claim to a name; the least one goes on.

    Parameters
    ----------
    newcomer : whether the node has not been active for a while.
    born : when it was started, ns since 1970.
    token : its own random number, 64 bits.
    """

    newcomer: bool
    born: int
    token: int


class Precedence:
    """Judges the claims to a name.  It neither reads a clock nor sends anything.

    Attributes
    ----------
    others : how many other nodes of the name are in the graph.
    """

    def __init__(self, born: int, token: int) -> None:
        self._born, self._token = born, token
        self._claims: dict[int, Claim] = {}
        self._unheard_since = math.inf
        self.others = 0

    def own(self, settled: bool) -> Claim:
        """Return the node's own claim; ``settled``: it has been active for a while."""
        return Claim(not settled, self._born, self._token)

    def hear(self, claim: Claim) -> None:
        """Take a claim, be it the node's own."""
        if claim.token != self._token:
            self._claims[claim.token] = claim

    def count(self, others: int) -> None:
        """Take note of how many others there are; those that stay must be heard anew."""
        if others < self.others:
            self._claims.clear()
        self.others = others

    def standing(self, active: bool, settled: bool, now: float) -> Standing:
        """Judge; ``now`` is the time on a steady clock, s."""
        unheard = self.others > len(self._claims)
        self._unheard_since = min(self._unheard_since, now) if unheard else math.inf
        if not self.others:
            return Standing.ALONE
        if min(self._claims.values(), default=self.own(settled)) < self.own(settled):
            return Standing.SECOND
        if not unheard or settled:
            return Standing.FIRST
        waited = now - self._unheard_since > _GRACE
        return Standing.SECOND if active and waited else Standing.UNDECIDED


class Twins:
    """Watches for nodes of the same name, and says what comes of it.

    Parameters
    ----------
    node : that watches.
    unique : whether it refuses to be active beside another one.
    settled : returns whether it has been active for a while.
    heard : called after each claim of another one.
    """

    def __init__(
        self, node: Any, unique: bool, settled: Callable[[], bool], heard: Callable[[], None]
    ) -> None:
        self._node, self._unique = node, unique
        self._settled, self._heard = settled, heard
        self._precedence = Precedence(time.time_ns(), secrets.randbits(64))
        self._told: Claim | None = None
        self._said: tuple[int, Standing] = (0, Standing.ALONE)
        if unique:
            profile = qos.own(qos.LATCHED)
            self._claims = node.create_publisher(UInt64MultiArray, _TOPIC, profile)
            node.create_subscription(UInt64MultiArray, _TOPIC, self._hear, qos.own(qos.LATCHED))

    @property
    def others(self) -> int:
        """How many other nodes of this name there are."""
        return self._precedence.others

    def look(self, *, remind: bool = False) -> Standing:
        """Look into the graph and return where this node stands; claim the name where that is new.

        To ``remind`` others of the claim, every now and then, is for those that have forgotten it:
        they do when a third node leaves.
        """
        name = self._node.get_fully_qualified_name()
        names = self._node.get_fully_qualified_node_names()
        self._precedence.count(max(0, names.count(name) - 1))
        if self._unique:
            self._claim(remind and self.others > 0)
            standing = self._precedence.standing(
                self._node.active, self._settled(), time.monotonic()
            )
        else:
            standing = Standing.FIRST if self.others else Standing.ALONE
        self._say(name, standing)
        return standing

    def _claim(self, again: bool) -> None:
        claim = self._precedence.own(self._settled())
        if again or claim != self._told:
            self._told = claim
            data = [int(claim.newcomer), claim.born, claim.token]
            self._claims.publish(UInt64MultiArray(data=data))

    def _hear(self, message: UInt64MultiArray) -> None:
        if len(message.data) == 3:  # a later version may say more, and must not be misread
            newcomer, born, token = map(int, message.data)
            self._precedence.hear(Claim(bool(newcomer), born, token))
            self._heard()

    def _say(self, name: str, standing: Standing) -> None:
        others, before = self._said
        if standing is Standing.UNDECIDED or (self.others <= others and standing is before):
            self._said = (min(others, self.others), before)
            return
        self._said = (self.others, standing)
        if standing is Standing.ALONE:
            self._node.get_logger().info(f"the other node named {name} is gone")
            return
        outcome = ""
        if self._unique and standing is Standing.FIRST:
            outcome = ", which came later and does not become active"
        elif self._unique:
            outcome = ", and this one does not become active beside it"
        self._node.get_logger().error(
            f"another node named {name} is running{outcome}: stop one of the two, or give this"
            f" one another name (--ros-args -r __node:=<name>); a node that was killed is"
            f" still listed for some seconds"
        )
