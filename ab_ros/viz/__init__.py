"""Pictures of what a brain does and learns; plain arrays in, figures and files out."""

from ab_ros.viz.animation import AnimationFrame, write_animation
from ab_ros.viz.frames import contact_sheet
from ab_ros.viz.learning import Phase, Probe, learning_curve
from ab_ros.viz.raster import spike_raster
from ab_ros.viz.saving import save, write_bytes

__all__ = [
    "AnimationFrame",
    "Phase",
    "Probe",
    "contact_sheet",
    "learning_curve",
    "save",
    "spike_raster",
    "write_animation",
    "write_bytes",
]
