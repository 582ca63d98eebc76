"""A gripper of the simulated arm that is told by an action where to go, as a real one is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.task import Future
from sensor_msgs.msg import JointState

from ab_ros.environments.arm_robot import ArmRobot
from ab_ros.errors import ConfigError, WorldError
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.optional_messages import optional

ACTION = "control_msgs/action/ParallelGripperCommand"
_REACH = 0.02  # s in which a set-point is approached
_NEAR = 0.002  # m from the goal that count as there
_STILL = 0.0005  # m; less in _STALL s is no movement
_STALL = 1.0  # s


class SimGripper:
    """Serves ParallelGripperCommand; the newest goal counts, and aborts the one before.

    Parameters
    ----------
    node : the simulator node.
    robot : the arm.
    action : name of the action.
    joints : of the gripper: one.

    Raises
    ------
    ConfigError
        if there is not one joint, or control_msgs is not installed.
    """

    def __init__(
        self, node: AbNode[Any], robot: ArmRobot, action: str, joints: Sequence[str]
    ) -> None:
        if len(joints) != 1:
            raise ConfigError(f"joints: a gripper's action moves one, not {list(joints)}")
        self._node, self._robot, self._action, self._joint = node, robot, action, joints[0]
        self._kind = optional(ACTION)
        self._end: Future[str] | None = None
        self._goal = self._seen = 0.0
        self._since = 0.0
        self._server = ActionServer(
            node,
            self._kind,
            action,
            execute_callback=self._execute,
            goal_callback=self._judge,
            cancel_callback=lambda _goal: CancelResponse.ACCEPT,
        )

    def close(self) -> None:
        """End the action's service."""
        self._finish("aborted")
        self._server.destroy()

    def watch(self) -> None:
        """Look whether the gripper has arrived, or cannot go on; after every step of time."""
        if self._end is None:
            return
        position, now = self._position(), self._robot.time
        if abs(position - self._goal) < _NEAR:
            self._finish("reached")
        elif abs(position - self._seen) > _STILL:
            self._seen, self._since = position, now
        elif now - self._since > _STALL:
            self._finish("stalled")

    def _judge(self, request: Any) -> GoalResponse:
        command = request.command
        if not self._node.active or len(command.position) != 1:
            return GoalResponse.REJECT
        if command.name and list(command.name) != [self._joint]:
            return GoalResponse.REJECT
        try:
            self._robot.follow(self._action, [self._joint], [_REACH], [list(command.position)])
        except WorldError as error:
            self._node.report(self._action, error)
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    async def _execute(self, handle: Any) -> Any:
        self._finish("aborted")
        self._goal = float(handle.request.command.position[0])
        self._seen, self._since = self._position(), self._robot.time
        self._end = end = Future(executor=self._node.executor)
        how = await end
        if handle.is_cancel_requested:
            handle.canceled()
        elif how == "aborted":
            handle.abort()
        else:
            handle.succeed()
        state = JointState(name=[self._joint], position=[self._position()])
        return self._kind.Result(
            state=state, stalled=how == "stalled", reached_goal=how == "reached"
        )

    def _finish(self, how: str) -> None:
        end, self._end = self._end, None
        if end is not None:
            end.set_result(how)

    def _position(self) -> float:
        state = self._robot.world.joint_state()
        return float(state.position[state.names.index(self._joint)])
