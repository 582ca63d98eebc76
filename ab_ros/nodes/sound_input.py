"""From a topic's messages to the newest sound that a brain hears."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ab_ros.nodes import qos
from ab_ros.nodes.brain_inputs import Feed
from ab_ros.nodes.gated import GatedNode
from ab_ros.nodes.sound_messages import SOUND_MESSAGES, SoundReader
from ab_ros.values import Observation


class SoundInput:
    """Reads the messages of one topic of sound, each as the newest part of all that came.

    Every message must be read, in the order in which they come, or the sound is torn.

    Parameters
    ----------
    feed : the topic, its message and the window.
    now : returns the robot's time, s, for messages without a stamp.

    Attributes
    ----------
    message : class of the messages.

    Raises
    ------
    ConfigError
        if the package of the message is not installed.
    """

    def __init__(self, feed: Feed, now: Callable[[], float]) -> None:
        self._feed = feed
        self._reader = SoundReader(feed.message or SOUND_MESSAGES[0], now)
        self._window = feed.window()
        self.message = self._reader.message

    def learn_format(self, node: GatedNode) -> None:
        """Let a node take what is said of the sound on a topic beside it, where that is needed."""
        kind, given = self._reader.info, self._feed.sound.info_topic
        if kind is None:
            return
        topic, inform = given or beside(self._feed.topic, "audio_info"), self._reader.inform
        # It may be said again and again, or have been latched.
        node.subscribe(kind, topic, inform, qos.STATUS, always=True)
        # That a publisher does not latch is no trouble.
        node.subscribe(kind, topic, inform, qos.LATCHED, always=True, quiet=True)

    def read(self, message: Any, id: str) -> Observation:
        """Return the newest sound as the sample of input ``id``, a message included.

        Raises
        ------
        ObservationError
            if that cannot be used.
        """
        return self._window.take(self._reader.read(message, id))

    def reset(self) -> None:
        """Begin anew, as after a jump of the clock."""
        self._reader.reset()
        self._window.clear()

    def counts(self) -> Mapping[str, int]:
        """Return how often the sound had to begin anew, by why."""
        return self._window.counts


def beside(topic: str, name: str) -> str:
    """Return the topic ``name`` in the same place as another one."""
    folder, slash, _ = topic.rpartition("/")
    return f"{folder}{slash}{name}"
