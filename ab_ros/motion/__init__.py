"""Motion: deltas are integrated under limits, and one safety stage stands before every command."""

from ab_ros.motion.answers import Answer, StageStatus
from ab_ros.motion.groups import Command
from ab_ros.motion.limits import JointLimits, LimitSettings, limits_from_urdf, resolve_limits
from ab_ros.motion.safety import Code, State
from ab_ros.motion.settings import INTERFACES, GroupSettings, MotorSettings, Quantity
from ab_ros.motion.stage import MotorStage

__all__ = [
    "INTERFACES",
    "Answer",
    "Code",
    "Command",
    "GroupSettings",
    "JointLimits",
    "LimitSettings",
    "MotorSettings",
    "MotorStage",
    "Quantity",
    "StageStatus",
    "State",
    "limits_from_urdf",
    "resolve_limits",
]
