"""The outputs of all groups: one that fails does not keep the others from being stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ab_ros.motion.commands import Command
from ab_ros.motion.settings import GroupSettings, Quantity
from ab_ros.nodes.command_interfaces import make_output
from ab_ros.nodes.command_outputs import CommandOutput
from ab_ros.nodes.lifecycle import AbNode

_LONGEST_STOP = 5.0  # s; the process has 9 s in all to end


class GroupOutputs:
    """Makes the output of each group, and plays what they have to play.

    An output that raises stops the node, robot first.

    Parameters
    ----------
    node : the motor node.
    groups : {name: settings}.
    lockstep : whether the robot is a simulation that jumps from cycle to cycle.
    """

    def __init__(
        self, node: AbNode[Any], groups: Mapping[str, GroupSettings], lockstep: bool
    ) -> None:
        self._node = node
        self._outputs: dict[str, CommandOutput] = {
            name: make_output(node, name, group, lockstep) for name, group in groups.items()
        }
        # One timer for all: the executor is not good with many.
        tick = min(output.tick for output in self._outputs.values())
        if math.isfinite(tick):
            node.every(tick, self.play, steady=True)

    def send(self, commands: Iterable[Command]) -> int:
        """Send commands; return how many messages that took."""
        sent = 0
        for command in commands:
            output = self._outputs[command.group]
            try:
                sent += output.send(command)
            except Exception as error:
                self._failed(output, error)
        return sent

    def play(self) -> None:
        """Publish what has become due."""
        self._each(lambda output: output.play())

    def discard(self) -> None:
        """Drop what is still to be sent."""
        self._each(lambda output: output.discard())

    def outdate_positions(self) -> None:
        """Drop positions that belong to a time that is over.

        A robot that was reset with its clock would be driven back to where it was.
        """
        for output in self._outputs.values():
            if output.settings.quantity is Quantity.POSITION:
                self._attempt(output, lambda output: output.outdate())

    def cut_short(self) -> None:
        """Stop without the stage, which has failed."""
        self._each(lambda output: output.cut_short())

    def problems(self) -> list[str]:
        """Say which groups' commands do not get through, and why."""
        problems = {name: output.problem for name, output in self._outputs.items()}
        return [f"{name}: {problem}" for name, problem in problems.items() if problem]

    def finish(self) -> None:
        """Let stops that are played point by point reach their ends."""
        finish_playing(self._outputs.values(), self._node.steady_now, self._failed)

    def _each(self, act: Callable[[CommandOutput], object]) -> None:
        for output in self._outputs.values():
            self._attempt(output, act)

    def _attempt(self, output: CommandOutput, act: Callable[[CommandOutput], object]) -> None:
        try:
            act(output)
        except Exception as error:
            self._failed(output, error)

    def _failed(self, output: CommandOutput, error: Exception) -> None:
        self._node.fail(f"commanding group {output.name!r}", error)


def finish_playing(
    outputs: Iterable[CommandOutput],
    steady: Callable[[], float],
    failed: Callable[[CommandOutput, Exception], None],
) -> None:
    """Let stops that are played point by point reach their ends, all at the same time.

    Called where no timer runs any more; returns after 5 s at the latest, with velocities at zero.

    Parameters
    ----------
    steady : tells the time on the steady clock, s.
    failed : called for an output that cannot publish; the others go on.
    """
    left = list(outputs)
    deadline = steady() + _LONGEST_STOP
    while left:
        late = steady() > deadline
        for output in tuple(left):
            try:
                if late:
                    output.cut_short()
                else:
                    output.play()
            except Exception as error:
                output.discard()
                failed(output, error)
            if not output.playing:
                output.discard()
                left.remove(output)
        if left:
            time.sleep(0.002)
