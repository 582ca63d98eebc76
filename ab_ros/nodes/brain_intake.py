"""From a topic into the brain's inbox: what is read of its messages, and when.

In real time a message is kept as it came, unread, until a cycle asks for it: a camera costs what
the brain looks at, however fast it is.  Joint states are put together as they come, for each may
bring other joints, and so is sound, for each chunk goes on where the one before ended.  In lockstep
every message is for a cycle, so each is read at once.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image, JointState

from ab_ros.brains.inbox import Inbox
from ab_ros.brains.mailbox import Arrival, Throttle
from ab_ros.codec.joint_merge import JointMerger
from ab_ros.errors import AbRosError
from ab_ros.nodes import qos
from ab_ros.nodes.brain_inputs import MAX_AGE, Feed
from ab_ros.nodes.gated import GatedNode
from ab_ros.nodes.message_types import has_stamp, stamp_of, stamp_of_raw
from ab_ros.nodes.robot_messages import read_joint_state
from ab_ros.nodes.sound_input import SoundInput
from ab_ros.values import Observation

# What is large or much, and of which a newer one makes an older one worthless.
_LAZY = ("Image", "Vector", "Scalar")


class Intake:
    """Takes the messages of one input.

    Parameters
    ----------
    name : of the input.
    feed : where its samples come from.
    inbox : that they go to.
    node : for its clock, figures and reports.
    lockstep : whether each sample is for a cycle.
    remote : whether the brain is elsewhere.
    """

    def __init__(
        self,
        name: str,
        feed: Feed,
        inbox: Inbox,
        node: GatedNode,
        *,
        lockstep: bool = False,
        remote: bool = False,
    ) -> None:
        self.name, self.feed = name, feed
        self._inbox, self._node = inbox, node
        self.sound = SoundInput(feed, node.now) if feed.kind == "Audio" else None
        heard = self.sound and (self.sound.message, self.sound.read)
        self.message, self._read = heard or feed.reader(remote)
        self._stamped = has_stamp(self.message)
        self._lockstep = lockstep
        self._throttle = Throttle(feed.max_rate)
        self.joints: JointMerger | None = None
        if feed.kind == "Proprioception":
            self.joints = JointMerger(feed.max_age, feed.joints, feed.quantity)

    @property
    def lazy(self) -> bool:
        """Whether messages are left unread until they are needed."""
        return not self._lockstep and self.feed.kind in _LAZY

    @property
    def raw(self) -> bool:
        """Whether messages are best taken as bytes, of which only those are made that are needed.

        A VGA image costs 0.08 ms less as bytes, and 0.6 ms more if it is made of them; a JPEG of
        one 0.08 and 0.1 ms.  So that pays where few messages of many are read.
        """
        few = self.feed.kind != "Image" or self.feed.max_rate > 0.0
        return self.lazy and few and self.message is not Image

    @property
    def profile(self) -> QoSProfile:
        """How messages are taken: more than the newest if others count, too.

        Those are parts of a whole, or a history.
        """
        if self.sound is not None:
            return qos.HISTORY
        some = self.joints is not None or self.feed.alignment.looks_back
        return qos.EACH_SAMPLE if some else qos.SENSOR

    @property
    def topic(self) -> str:
        """Where the messages come from."""
        return self.feed.topic

    def reset(self) -> None:
        """Forget what came: the clock went back, or the brain begins anew."""
        self._throttle.reset()
        if self.joints is not None:
            self.joints.reset()
        if self.sound is not None:
            self.sound.reset()

    def take(self, message: Any) -> None:
        """Take a message, or its bytes.

        Raises
        ------
        ObservationError
            if it is read at once and cannot be used.
        """
        if self.joints is not None:
            self._take_joints(self.joints, _opened(message, JointState))
            return
        if self.sound is not None:
            self._take_sound(message)
            return
        stamp = self._stamp(message)
        if not self._throttle.passes(stamp):
            self._inbox.skip(self.name, stamp)
        elif self.lazy:
            self._inbox.put(Arrival(stamp, lambda: self._read_late(message, stamp)), self.name)
        else:
            sample = self._read_now(message, stamp)
            dated = self._stamped or not self._lockstep
            self._inbox.put(Arrival(sample.stamp, sample, dated=dated), self.name)

    def complaint(self) -> str:
        """Return a sentence on joints that are wanted and lacking; empty if none are."""
        missing = self.joints.missing() if self.joints is not None else []
        return f"{self.name}: no fresh state of {', '.join(missing)}" if missing else ""

    def _take_joints(self, joints: JointMerger, message: JointState) -> None:
        begin = time.perf_counter()
        sample = self._read(message, self.name)
        known, whole = joints.complete, joints.is_whole(sample)
        merged = joints.merge(sample)
        self._took(begin)
        heard = merged.stamp
        if self._lockstep:
            # Of several publishers that each bring a part, all are awaited, whoever comes first.
            heard = joints.complete
            if heard <= known and heard > -math.inf:
                return
        # A rate is kept once all is put together: one publisher must not use up another's.
        if self._throttle.passes(heard):
            self._inbox.put(Arrival(merged.stamp, merged, heard=heard, whole=whole), self.name)
        else:
            self._inbox.skip(self.name, heard)

    def _take_sound(self, message: Any) -> None:
        begin = time.perf_counter()
        sample = self._read(_opened(message, self.message), self.name)
        self._took(begin)
        # A rate is kept once the sound is put together: it must not lack a chunk.
        if self._throttle.passes(sample.stamp):
            dated = self._stamped or not self._lockstep
            # What came before is a part of it, and not lost.
            self._inbox.put(Arrival(sample.stamp, sample, dated=dated, whole=False), self.name)
        else:
            self._inbox.skip(self.name, sample.stamp)

    def _stamp(self, message: Any) -> float:
        if not self._stamped:
            return self._node.now()
        if isinstance(message, bytes):
            return stamp_of_raw(message, self.message)
        return stamp_of(message)

    def _read_now(self, message: Any, stamp: float) -> Observation:
        begin = time.perf_counter()
        sample = self._read(_opened(message, self.message), self.name)
        self._took(begin)
        return sample if self._stamped else dataclasses.replace(sample, stamp=stamp)

    def _read_late(self, message: Any, stamp: float) -> Observation | None:
        """Read a message when a cycle asks for it, in the thread that owns the brain."""
        try:
            return self._read_now(message, stamp)
        except AbRosError as error:
            self._node.report(self.feed.topic, error)
            return None

    def _took(self, begin: float) -> None:
        self._node.figures.took(f"{self.name} decode", time.perf_counter() - begin)


class BodyState:
    """Joint states as a brain elsewhere is told of them, put together of all publishers'.

    Parameters
    ----------
    topic : where they come from.
    tell : takes them.
    """

    message = JointState
    raw = False
    profile = qos.EACH_SAMPLE

    def __init__(self, topic: str, tell: Callable[[Observation], None]) -> None:
        self.topic = topic
        self._tell = tell
        self._joints = JointMerger(MAX_AGE)

    def reset(self) -> None:
        """Forget the joints: the clock went back."""
        self._joints.reset()

    def take(self, message: Any) -> None:
        """Take a message, or its bytes.

        Raises
        ------
        ObservationError
            if it cannot be used.
        """
        state = read_joint_state(_opened(message, JointState), "state")
        self._tell(self._joints.merge(state))


class Intakes:
    """All inputs of a brain: their subscriptions, and what is wrong with them.

    Parameters
    ----------
    feeds : by input.
    inbox : that samples go to.
    node : that subscribes.
    lockstep, remote : see :class:`Intake`.
    body : the robot's state, where somebody is told of it.
    """

    def __init__(
        self,
        feeds: Mapping[str, Feed],
        inbox: Inbox,
        node: GatedNode,
        *,
        lockstep: bool = False,
        remote: bool = False,
        body: BodyState | None = None,
    ) -> None:
        self._inbox, self._node = inbox, node
        self.intakes = [
            Intake(name, feed, inbox, node, lockstep=lockstep, remote=remote)
            for name, feed in feeds.items()
        ]
        self._takers: list[Intake | BodyState] = [*self.intakes]
        if body is not None:
            self._takers.append(body)
        # Inputs that look at different parts of one camera's image share its messages.
        shared: dict[tuple[str, type[Any]], list[Intake | BodyState]] = {}
        for taker in self._takers:
            shared.setdefault((taker.topic, taker.message), []).append(taker)
        for (topic, message), group in shared.items():
            profile = max((taker.profile for taker in group), key=lambda p: p.depth)
            if lockstep and group != [body]:
                profile = qos.LOCKSTEP
            raw = any(taker.raw for taker in group)
            node.subscribe(message, topic, self._taker(topic, group), profile, raw=raw)
        for intake in self.intakes:
            if intake.sound is not None:
                intake.sound.learn_format(node)

    def _taker(self, topic: str, group: Sequence[Intake | BodyState]) -> Callable[[Any], None]:
        def take(message: Any) -> None:
            for taker in group:
                try:
                    taker.take(message)
                except AbRosError as error:
                    self._node.report(topic, error)

        return take

    def reset(self) -> None:
        """Forget what came."""
        for taker in self._takers:
            taker.reset()
        self._inbox.clear_samples()

    def complaints(self) -> list[str]:
        """Return a sentence for each input of which joints are lacking, once any have come."""
        told = (intake.complaint() for intake in self.intakes if self._inbox.came(intake.name))
        return [sentence for sentence in told if sentence]

    @property
    def counts(self) -> Counter[str]:
        """What was dropped or ignored, and how often sound had to begin anew, by name."""
        counts = self._inbox.counts
        for intake in self.intakes:
            if intake.sound is not None:
                told = intake.sound.counts().items()
                counts.update({f"{intake.name} sound {what}": n for what, n in told})
        return counts

    def tell_figures(self) -> None:
        """Bring the counts and the number of missing joints up to date among the node's figures."""
        figures = self._node.figures
        for name, count in self.counts.items():
            figures.set(name, count)
        for intake in self.intakes:
            if intake.joints is not None:
                figures.set(f"{intake.name} missing joints", len(intake.joints.missing()))


def _opened(message: Any, kind: type[Any]) -> Any:
    return deserialize_message(message, kind) if isinstance(message, bytes) else message
