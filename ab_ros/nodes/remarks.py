"""What a check of a configuration, or of a running graph, has to say; nothing of ROS is in here."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass


class Level(enum.Enum):
    """How bad it is: it works, it may not do what is meant, it will not work."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Remark:
    """One line of a check.

    Parameters
    ----------
    level : how bad it is.
    text : what is so, and what would be right.
    where : file and line, or the topic; empty where there is none.
    key : the setting, from its node on, as ``motor.groups.arm.topic``.
    """

    level: Level
    text: str
    where: str = ""
    key: str = ""


class Remarks:
    """Remarks in the order in which they were made; none stands twice."""

    def __init__(self) -> None:
        self._made: dict[Remark, None] = {}

    def ok(self, text: str, where: str = "", key: str = "") -> None:
        """Say what works."""
        self.add(Remark(Level.OK, text, where, key))

    def warn(self, text: str, where: str = "", key: str = "") -> None:
        """Say what may not do what is meant."""
        self.add(Remark(Level.WARNING, text, where, key))

    def error(self, text: str, where: str = "", key: str = "") -> None:
        """Say what will not work."""
        self.add(Remark(Level.ERROR, text, where, key))

    def add(self, remark: Remark) -> None:
        """Take a remark; one that was made already changes nothing."""
        self._made.setdefault(remark)

    def count(self, level: Level) -> int:
        """Return how many remarks are of a level."""
        return sum(remark.level is level for remark in self)

    def __iter__(self) -> Iterator[Remark]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)
