"""What happens in episodes, as the event pump tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ab_ros.training.schema import Message


class Event:
    """Something that the simulator has to answer, or to know."""


@dataclass
class EpisodeStartEvent(Event):
    """An episode begins.

    Attributes
    ----------
    initial_properties : what the lesson sets, by the config's schema; empty when predicting.
    initial_state : to be set: the state after the simulator was reset.
    """

    initial_properties: Message = field(default_factory=Message)
    initial_state: Mapping[str, Any] | None = None


@dataclass
class SimulateEvent(Event):
    """An action is there: the simulation has to go one step on.

    Attributes
    ----------
    action : what the brain does.
    state, reward, terminal : to be set: what came of it; a prediction needs no reward.
    """

    action: Message
    state: Mapping[str, Any] | None = None
    reward: float | None = 0.0
    terminal: bool = False


@dataclass
class EpisodeFinishEvent(Event):
    """An episode has ended, by a terminal state or because its steps were used up."""


@dataclass
class FinishedEvent(Event):
    """Training or prediction is over."""


@dataclass
class UnknownEvent(Event):
    """Something inside that needs no answer, such as a pause.

    Attributes
    ----------
    reason : what it is.
    """

    reason: str = ""
