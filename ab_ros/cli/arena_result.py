"""What worms did in the arena, as figures and as a table."""

from __future__ import annotations

import math
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import combinations
from typing import Any

import numpy as np

import ab_ros
from ab_ros.cli.report import grid
from ab_ros.environments.arena import ArenaSettings
from ab_ros.environments.chemotaxis import Start, Track, index_bound, paired_difference

SPEED_TICKS = 1000
"""Ticks over which a top speed is taken."""
_WORDS = {"run": "this run", "no_learning": "no learning", "no_sensors": "no sensors"}
Tracks = Mapping[str, Sequence[Track]]


def figures_of(tracks: Tracks) -> dict[str, Any]:
    """Return the figures of a run and of its controls, all finite or None.

    Parameters
    ----------
    tracks : by condition, by start; ``run`` is the run itself, others are its controls.
    """
    indices = {name: [track.index for track in of] for name, of in tracks.items()}
    own = tracks["run"]
    speed = top_speed(own)
    ticks, distance = int(own[0].ticks[-1]), float(own[0].distance[0])
    return {
        "chemotaxis_index": _series(indices["run"]),
        "controls": {name: _series(of) for name, of in indices.items() if name != "run"},
        "paired_differences": {
            f"{one}_minus_{other}": asdict(paired_difference(indices[one], indices[other]))
            for one, other in combinations(indices, 2)
            if len(own) > 1
        },
        "ticks_per_second": statistics.median(track.ticks_per_second for track in own),
        "top_speed": speed,
        "index_bound": None if speed is None else index_bound(speed, ticks, distance),
        "starts": [_start(track) for track in own],
    }


def versions() -> dict[str, str | None]:
    """Return the versions of what computes a run; None is not installed."""
    found: dict[str, str | None] = {
        "ab_ros": ab_ros.__version__,
        "python": platform.python_version(),
    }
    for name in ("numpy", "numba"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def top_speed(tracks: Sequence[Track]) -> float | None:
    """Return how far a body's centre got in any 1000 ticks, body lengths; None if none lasted."""
    fastest = None
    for track in tracks:
        later = np.searchsorted(track.ticks, track.ticks + SPEED_TICKS)
        rows = np.flatnonzero(later < track.ticks.size)
        if rows.size:
            way = np.linalg.norm(track.centre[later[rows]] - track.centre[rows], axis=1)
            time = track.ticks[later[rows]] - track.ticks[rows]
            fastest = max(fastest or 0.0, float((way * SPEED_TICKS / time).max()))
    return fastest


def table(figures: Mapping[str, Any], tracks: Tracks) -> str:
    """Return the figures of :func:`figures_of` as a table for people."""
    names = list(tracks)
    several = len(names) > 1
    head = ["start", "bearing", "heading", *(_WORDS[n] if several else "index" for n in names)]
    head.append("wall ticks")
    rows = []
    for number, track in enumerate(tracks["run"]):
        rows.append(
            [
                str(number + 1),
                f"{bearing(track.start):.0f}°",
                f"{degrees(track.start.heading):.0f}°",
                *(f"{tracks[name][number].index:+.3f}" for name in names),
                str(track.wall_ticks),
            ]
        )
    series = [figures["chemotaxis_index"], *figures["controls"].values()]
    for word, form in (("mean", "+.3f"), ("sd", ".3f")):
        values = ["-" if s[word] is None else format(s[word], form) for s in series]
        rows.append([word, "-", "-", *values, "-"])
    parts = ["chemotaxis index", grid(head, rows)]
    if figures["paired_differences"]:
        parts.append("paired differences, with bootstrap 95 % intervals")
        rows = [
            [
                " - ".join(_WORDS[name] for name in key.split("_minus_")),
                f"{found['mean']:+.3f}",
                f"[{found['low']:+.3f}, {found['high']:+.3f}]",
            ]
            for key, found in figures["paired_differences"].items()
        ]
        parts.append(grid(["", "mean", "interval"], rows))
    elif several:
        parts.append("paired differences need at least two starts")
    if figures["top_speed"] is not None:
        parts.append(
            f"top speed {figures['top_speed']:.2f} body lengths in {SPEED_TICKS} ticks: an"
            f" index of at most {figures['index_bound']:+.2f}"
        )
    parts.append(f"{figures['ticks_per_second']:.0f} ticks/s, median of the starts")
    return "\n".join(parts)


def bearing(start: Start) -> float:
    """Return where a start lies, seen from the first food of the standard arena, deg."""
    food = ArenaSettings().peaks[0]
    return degrees(math.atan2(start.y - food.y, start.x - food.x))


def degrees(angle: float) -> float:
    """Return an angle in degrees, in [-180, 180)."""
    return (math.degrees(angle) + 180.0) % 360.0 - 180.0


def _series(indices: Sequence[float]) -> dict[str, Any]:
    return {
        "mean": statistics.fmean(indices),
        "sd": statistics.stdev(indices) if len(indices) > 1 else None,
        "starts": list(indices),
    }


def _start(track: Track) -> dict[str, Any]:
    return {
        "x": track.start.x,
        "y": track.start.y,
        "bearing": bearing(track.start),
        "heading": degrees(track.start.heading),
        "index": track.index,
        "last_distance": float(track.distance[-1]),
        "least_distance": float(track.distance.min()),
        "wall_ticks": track.wall_ticks,
        "rewards": int(track.rewards.size),
        "mean_reward": float(track.rewards.mean()) if track.rewards.size else None,
        "ticks_per_second": track.ticks_per_second,
    }
