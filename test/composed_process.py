"""The nodes of a loop, without a robot, in one process."""

from ab_ros.nodes.brain import BrainNode
from ab_ros.nodes.critic import CriticNode
from ab_ros.nodes.motor import MotorNode
from ab_ros.nodes.process import run

if __name__ == "__main__":
    raise SystemExit(run(MotorNode, BrainNode, CriticNode))
