"""Layered brains: groups of binary neurons in layers, with sparse codes and Hebbian learning.

from ab_ros.layered import LayeredBrain, computation, learning, neuron, numerical, sensor

layers = [neuron.Neurons(64), neuron.Neurons(16)]
neuron.FeedForward(layers)
brain = LayeredBrain(
    layers,
    sensor.Sensor(encoder=numerical.CyclicEncoder(0, 360, 64)),
    computation=computation.SparseComputation(n=0.05),
    learning=learning.HebbianLearning(),
)
brain.tick(90)
"""

from ab_ros.layered import brain, computation, learning, neuron, numerical, sensor
from ab_ros.layered.brain import LayeredBrain
from ab_ros.layered.computation import Computation, Input, SparseComputation, StandardComputation
from ab_ros.layered.definition import document_of, plan_of, read_definition, write_definition
from ab_ros.layered.learning import HebbianLearning, Learning
from ab_ros.layered.neuron import MAIN, FeedBackward, FeedForward, LoopBack, Neurons
from ab_ros.layered.numerical import CyclicEncoder, SimpleEncoder
from ab_ros.layered.plan import Plan, make_plan
from ab_ros.layered.sensor import Feedback, Sensor
from ab_ros.layered.source import merge

__all__ = [
    "MAIN",
    "Computation",
    "CyclicEncoder",
    "FeedBackward",
    "FeedForward",
    "Feedback",
    "HebbianLearning",
    "Input",
    "LayeredBrain",
    "Learning",
    "LoopBack",
    "Neurons",
    "Plan",
    "Sensor",
    "SimpleEncoder",
    "SparseComputation",
    "StandardComputation",
    "brain",
    "computation",
    "document_of",
    "learning",
    "make_plan",
    "merge",
    "neuron",
    "numerical",
    "plan_of",
    "read_definition",
    "sensor",
    "write_definition",
]
