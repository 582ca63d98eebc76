"""Pictures of what a brain does and learns; plain arrays in, figures and files out."""

from ab_ros.viz.activity import record_raster, record_rates
from ab_ros.viz.animation import AnimationFrame, write_animation
from ab_ros.viz.frames import contact_sheet
from ab_ros.viz.learning import Phase, Probe, learning_curve
from ab_ros.viz.raster import spike_raster
from ab_ros.viz.results import record_learning, result_figure
from ab_ros.viz.saving import save, write_bytes
from ab_ros.viz.traces import record_potentials, record_weights

__all__ = [
    "AnimationFrame",
    "Phase",
    "Probe",
    "contact_sheet",
    "learning_curve",
    "record_learning",
    "record_potentials",
    "record_raster",
    "record_rates",
    "record_weights",
    "result_figure",
    "save",
    "spike_raster",
    "write_animation",
    "write_bytes",
]
