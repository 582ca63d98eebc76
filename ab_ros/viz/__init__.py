"""Pictures of what a brain does and learns; plain arrays in, figures and files out."""

from ab_ros.viz.activity import record_raster, record_rates
from ab_ros.viz.animation import AnimationFrame, write_animation
from ab_ros.viz.benchmark import benchmark_figure
from ab_ros.viz.episode import signal_figure
from ab_ros.viz.frames import contact_sheet
from ab_ros.viz.learning import Phase, Probe, learning_curve
from ab_ros.viz.learning_tasks import TaskCurves, learning_tasks
from ab_ros.viz.raster import spike_raster
from ab_ros.viz.results import record_learning, result_figure
from ab_ros.viz.saving import save, write_bytes
from ab_ros.viz.traces import record_potentials, record_weights
from ab_ros.viz.training import training_figure

__all__ = [
    "AnimationFrame",
    "Phase",
    "Probe",
    "TaskCurves",
    "benchmark_figure",
    "contact_sheet",
    "learning_curve",
    "learning_tasks",
    "record_learning",
    "record_potentials",
    "record_raster",
    "record_rates",
    "record_weights",
    "result_figure",
    "save",
    "signal_figure",
    "spike_raster",
    "training_figure",
    "write_animation",
    "write_bytes",
]
