"""``ab_ros demo``: a simulated robot whose brain learns to follow what it sees."""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ab_ros.errors import AbRosError, ConfigError

if TYPE_CHECKING:
    from ab_ros.nodes.demo import DemoResult, Progress

_LONGEST_BAR = 40
_CONFIGS = {"arm": "demo.yaml", "car": "diff_drive.yaml"}
_ROWS = (
    ("still", "the {robot} held still"),
    ("start", "untrained brain"),
    ("learned", "after {learn:g} s of learning"),
    ("mirrored", "camera mirrored"),
    ("relearned", "after {learn:g} s of relearning"),
    ("no_learning", "control: learning off"),
    ("shuffled", "control: shuffled reward"),
)


def add_parser(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    parser = commands.add_parser(
        "demo",
        help="a simulated robot learns to follow a ball",
        description="A simulated robot with a camera, an arm or a car, learns to keep a red ball in"
        " the middle of its view. Starts the nodes sim, brain, motor and critic, which talk over"
        " ROS topics only; prints a table, and writes report.json and pictures.",
    )
    parser.add_argument("--seed", type=_seed, default=1, help="of brain and ball (default 1)")
    parser.add_argument(
        "--quick", action="store_true", help="one learning phase and one control only"
    )
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="learn in real time (minutes) instead of in lockstep with the simulation",
    )
    parser.add_argument(
        "--feedback", action="store_true", help="teach by deviations (feedback) beside rewards"
    )
    parser.add_argument(
        "--robot",
        choices=tuple(_CONFIGS),
        default="arm",
        help="which parameter file is taken, where --config names none (default arm)",
    )
    parser.add_argument(
        "--brain",
        choices=("embedded", "remote"),
        default="embedded",
        help="where the brain is: in its node, or behind 'ab_ros serve' on this computer, over the"
        " 0.1 protocol (default embedded)",
    )
    parser.add_argument(
        "--learn", type=_duration, default=60.0, metavar="S", help="robot time of a learning phase"
    )
    parser.add_argument(
        "--probe",
        type=_duration,
        default=10.0,
        metavar="S",
        help="robot time of a frozen probe, and of the last phase, in real time",
    )
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for the results")
    parser.add_argument("--config", type=Path, help="parameter file (default: the robot's)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the demo; print the table and write the pictures."""
    try:
        from ab_ros.nodes.demo import Demo, DemoOptions
    except ImportError as error:
        raise AbRosError(
            f"the demo needs ROS 2 and the built package ({error}); 'make demo' sets up both"
        ) from None
    out: Path = options.out
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be made: {error}") from None
    shutil.rmtree(out / "logs", ignore_errors=True)
    chosen = DemoOptions(
        config=options.config or _config_of(options.robot),
        out=out,
        seed=options.seed,
        quick=options.quick,
        realtime=options.realtime,
        feedback=options.feedback,
        remote=options.brain == "remote",
        learn_seconds=options.learn,
        probe_seconds=options.probe,
        realtime_seconds=options.probe,
    )
    line = _LiveLine()
    try:
        result = Demo(chosen, line.show).run()
    finally:
        line.end()
    print(table(result.report))
    for file in draw(result, out):
        print(f"  {file}")
    return 0


def table(report: dict[str, Any]) -> str:
    """Return the figures of a report as a table for people."""
    rms = report["rms_error"]
    learn = report["options"]["learn_seconds"]
    lines = ["", "  distance of the ball from the middle of the view     RMS"]
    shrink = min(1.0, _LONGEST_BAR / max(rms.values()))
    for key, words in _ROWS:
        if key in rms:
            bar = "█" * max(1, round(shrink * rms[key]))
            what = words.format(learn=learn, robot=report["robot"])
            lines.append(f"  {what:<40}{rms[key]:>15.1f}°  {bar}")
    lines.append(f"  {'learned brain, in real time':<40}{report['rms_error_realtime']:>15.1f}°")
    if report["brain"] == "remote":
        lines.append("  (brain behind a service on this computer)")
    right, closed = report["gripper_right"], report["gripper_closed"]
    if "learned" in right and "silent" in closed:
        lines += [
            "",
            f"  gripper closed just when the ball is in the middle {100 * right['learned']:6.0f} %",
            f"  gripper closed if the ball comes without its tone  {100 * closed['silent']:6.0f} %",
        ]
    latency = report["latency_ms"]
    lines += [
        "",
        f"  real-time factor           {report['real_time_factor']:.2f}",
    ]
    if report["lockstep_speed"]:
        lines.append(f"  in lockstep                {report['lockstep_speed']:.1f} x real time")
    for key, words in (("cycle", "cycle"), ("sensor_to_command", "sensor to command")):
        both = latency[key]
        lines.append(f"  latency, {words:<17} {both['p50']:.1f} ms p50, {both['p99']:.1f} ms p99")
    lines.append(f"  spikes                     {report['spikes_per_second']:.0f} per second")
    lines.append(f"  wall time                  {report['wall_seconds']:.0f} s")
    lines.append("")
    return "\n".join(lines)


def draw(result: DemoResult, out: Path) -> list[Path]:
    """Write the pictures of a result; return their paths and the report's."""
    from ab_ros.viz.learning import Phase, Probe, learning_curve
    from ab_ros.viz.raster import spike_raster
    from ab_ros.viz.saving import save

    rms = result.report["rms_error"]
    main = [phase for phase in result.phases if phase.track == "main" and phase.name != "still"]
    offset = main[0].begin
    files = [out / "report.json"]
    figure = learning_curve(
        np.concatenate([phase.times for phase in main]) - offset,
        np.degrees(np.concatenate([phase.angles for phase in main])),
        still=rms["still"],
        phases=[Phase(p.name, p.begin - offset, p.end - offset, p.learning) for p in main],
        probes=[Probe(p.name, p.end - offset - 1e-6, p.rms) for p in main if not p.learning],
        controls={
            words: rms[key]
            for key, words in (("no_learning", "no learning"), ("shuffled", "shuffled reward"))
            if key in rms
        },
    )
    files.append(save(figure, out / "learning_curve.png"))
    if result.cycles:
        rasters = {
            name: np.concatenate([cycle.rasters[name] for cycle in result.cycles])
            for name in result.cycles[0].rasters
        }
        first = result.cycles[0]
        figure = spike_raster(
            rasters,
            first.dt,
            start=0.0,
            cycle_timesteps=first.timesteps,
            title="Spikes of the learned brain, two seconds of a probe",
        )
        files.append(save(figure, out / "spike_raster.png"))
    return [*files, *_draw_frames(result, out)]


def _draw_frames(result: DemoResult, out: Path) -> list[Path]:
    from ab_ros.viz.animation import AnimationFrame, write_animation
    from ab_ros.viz.frames import contact_sheet
    from ab_ros.viz.saving import save

    shots, captions, film = [], [], []
    errors = {
        round(float(t), 4): math.degrees(float(a))
        for phase in result.phases
        for t, a in zip(phase.times, phase.angles, strict=True)
    }
    for name, topics in result.frames.items():
        eyes = {round(t, 4): image for t, image in topics["camera/image_raw"]}
        views = [(round(t, 4), image) for t, image in topics["overview/image_raw"]]
        pairs = [(t, view, eyes[t]) for t, view in views if t in eyes]
        film += [AnimationFrame(view, eye, name, errors.get(t, math.nan)) for t, view, eye in pairs]
        for t, view, eye in pairs[len(pairs) // 2 : len(pairs) // 2 + 1]:
            shots += [view, eye]
            error = errors.get(t)
            distance = f"{error:.1f}° off" if error is not None else ""
            captions += [f"{name}\nthe scene", f"{name}\nwhat the brain sees, {distance}"]
    if not film:
        return []
    sheet = contact_sheet(shots, captions, columns=4, title="Before and after learning")
    return [
        save(sheet, out / "camera_frames.png"),
        write_animation(out / "demo.gif", film),
    ]


class _LiveLine:
    """One line on the terminal that says where the demo is; whole lines where it is no terminal."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._phase = ""
        self._shown = 0.0

    def show(self, progress: Progress) -> None:
        """Show where the demo is."""
        p = progress
        share = min(1.0, p.simulated / p.phase_seconds) if p.phase_seconds else 0.0
        bar = "━" * round(20 * share) + "─" * (20 - round(20 * share))
        error = f"error {p.error:5.1f}°" if math.isfinite(p.error) else "no ball     "
        text = (
            f"  {p.phase:<20}{bar}  {p.simulated:5.1f} / {p.phase_seconds:.0f} s robot time"
            f"   {error}   {p.wall:4.0f} s wall time"
        )
        if self._terminal:
            end = "\n" if self._phase and p.phase != self._phase else ""
            print(f"{end}\r{text}", end="", flush=True)
        elif share == 1.0 or time.monotonic() - self._shown > 10.0:
            print(text, flush=True)
            self._shown = time.monotonic()
        self._phase = p.phase

    def end(self) -> None:
        """Leave the line."""
        if self._terminal and self._phase:
            print()


def _config_of(robot: str) -> Path:
    """Return a robot's file in config/: of the checkout, or of the installed package."""
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    name = _CONFIGS[robot]
    beside = Path(__file__).resolve().parents[2] / "config" / name
    if beside.is_file():
        return beside
    try:
        return Path(get_package_share_directory("ab_ros")) / "config" / name
    except PackageNotFoundError:
        raise ConfigError(f"config/{name} is not found: give --config FILE") from None


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 10**6:
        raise argparse.ArgumentTypeError(f"must be 0 to 999999, not {value}")
    return value


def _duration(text: str) -> float:
    value = float(text)
    if not 1.0 <= value <= 3600.0:
        raise argparse.ArgumentTypeError(f"must be 1 to 3600 s, not {text}")
    return value
