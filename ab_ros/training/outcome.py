"""What is left of a training or prediction besides a version: a summary and a picture."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from ab_ros.engine.atomic import replaced
from ab_ros.errors import AbRosError
from ab_ros.training.sessions import PredictionSession, TrainingSession


def write_outcome(
    session: TrainingSession | PredictionSession, folder: Path
) -> tuple[list[Path], str]:
    """Write ``summary.json`` and ``learning_curve.png``, or ``prediction.json`` and ``.png``.

    Parameters
    ----------
    session : that has finished.
    folder : for both.

    Returns
    -------
    files : that were written.
    lacking : why there is no picture; empty where there is one.

    Raises
    ------
    AbRosError
        if a file cannot be written.
    """
    name, title = session.brain.name, session.brain.name
    if isinstance(session, TrainingSession):
        summary, written, picture = session.summary(), "summary.json", "learning_curve.png"
    else:
        summary, written, picture = _prediction(session), "prediction.json", "prediction.png"
        title = f"{name}, version {session.brain.version}, predicting"
    text = json.dumps(summary, indent=2, allow_nan=False) + "\n"
    path = folder / written
    try:
        with replaced(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise AbRosError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        from ab_ros import viz
    except ImportError as error:
        needed = "it needs Matplotlib and Pillow"
        return [path], f"no picture: {needed} ({error}): pip install 'ab_ros[plot]'"
    results = session.results
    columns = {f.name: getattr(results, f.name) for f in dataclasses.fields(results)}
    figure = viz.training_figure(**columns, title=title)
    return [path, viz.save(figure, folder / picture)], ""


def _prediction(session: PredictionSession) -> dict[str, Any]:
    """Return what is written down about a prediction, under the names of a training's summary."""
    results = session.results
    return {
        "brain": session.brain.name,
        "version": session.brain.version,
        "description": session.brain.description,
        "episodes": len(results.reward),
        "steps": int(results.steps.sum()),
        "seed": session.brain.definition.training.seed,
        "mean_reward": float(results.reward.mean()) if results.reward.size else None,
        "success_rate": results.success_rate,
        "results": results.lists(),
    }
