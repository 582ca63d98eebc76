"""The demo: a brain learns to follow a ball, unlearns and relearns it in a mirror, beside controls.

The nodes run in processes of their own and talk over topics only; this script starts them, sets
the scene by parameters and services, and measures what the camera's true bearing of the ball says.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.config import load_yaml, node_parameters
from ab_ros.errors import ConfigError
from ab_ros.nodes.brain_service import BrainService
from ab_ros.nodes.conductor import Conductor
from ab_ros.nodes.launcher import NodeError, NodeProcesses
from ab_ros.values import Cycle
from ab_ros.viz.saving import write_bytes

NODES = ("sim", "motor", "critic", "brain")
_FORGET = 2.0  # s of robot time in which the brain forgets a tone
_SILENT = 5.0  # s of robot time, at most, in which the ball is there without one
Report = Callable[["Progress"], None]
Frames = dict[str, list[tuple[float, NDArray[np.uint8]]]]


@dataclass(frozen=True)
class DemoOptions:
    """What the demo is asked for.

    ``learn_seconds`` and ``probe_seconds`` are s of robot time; ``remote``: the brain is a service
    on this computer.
    """

    config: Path
    out: Path
    seed: int = 1
    quick: bool = False
    realtime: bool = False
    feedback: bool = False
    remote: bool = False
    learn_seconds: float = 60.0
    probe_seconds: float = 10.0
    realtime_seconds: float = 10.0
    animation_seconds: float = 4.0


@dataclass(frozen=True)
class Progress:
    """Where the demo is: for a live line."""

    phase: str
    error: float
    simulated: float
    phase_seconds: float
    wall: float


@dataclass
class PhaseRecord:
    """One phase: when, and the target's distance from the middle, float64[n] s and rad."""

    name: str
    track: str
    learning: bool
    begin: float
    end: float
    times: NDArray[np.float64]
    angles: NDArray[np.float64]

    @property
    def rms(self) -> float:
        """RMS of the distance in degrees."""
        return math.degrees(math.sqrt(float(np.mean(np.square(self.angles)))))


@dataclass
class DemoResult:
    """What the demo measured; ``report`` is what goes into report.json."""

    report: dict[str, Any] = field(default_factory=dict)
    phases: list[PhaseRecord] = field(default_factory=list)
    cycles: list[Cycle] = field(default_factory=list)
    frames: dict[str, Frames] = field(default_factory=dict)


class Demo:
    """Runs the script of the demo.

    Parameters
    ----------
    options : what is asked for.
    tell : called often with where it is.
    """

    def __init__(self, options: DemoOptions, tell: Report) -> None:
        self.options = options
        self._tell = tell
        self.result = DemoResult()
        self._period, self._robot, self._hears = self._read_config()
        self._wall = time.monotonic()
        self._lockstep_time = [0.0, 0.0]
        self._remote_parameters: dict[str, Any] = {}
        self._grip: dict[str, float] = {}
        self._closed: dict[str, float] = {}
        self._service = BrainService(options.out) if options.remote else None
        self.conductor: Conductor

    def run(self) -> DemoResult:
        """Run all phases.

        Raises
        ------
        NodeError
            if a node ends or does not do what it is asked.
        ConfigError
            if the configuration file cannot be used.
        """
        options = self.options
        untrained = self._service.build(options.config, options.seed) if self._service else None
        self.conductor = conductor = Conductor(NODES)
        try:
            with NodeProcesses(options.out / "logs") as processes:
                conductor.processes = processes
                self._serve(processes, untrained)
                self._start(processes, self._scripted_parameters())
                self._learn_and_relearn()
                self._controls()
                conductor.processes = None
            conductor.forget_nodes()
            with NodeProcesses(options.out / "logs") as processes:
                conductor.processes = processes
                self._serve(processes, Path(self._brain_file))
                self._start(processes, self._realtime_parameters())
                self._real_time()
                conductor.processes = None
        finally:
            conductor.close()
        self._write_report()
        return self.result

    # Setting up

    def _read_config(self) -> tuple[float, str, bool]:
        """Return the duration of a cycle, s, the robot's name, and whether the brain hears."""
        data, source = load_yaml(self.options.config)
        parameters, where = node_parameters(data, source, "brain")
        try:
            gamma = int(parameters["architecture"]["gamma"])
        except (KeyError, TypeError, ValueError):
            raise ConfigError(
                f"{where.at(('architecture', 'gamma'))}: must be the timesteps per cycle"
            ) from None
        robot, _ = node_parameters(data, source, "sim")
        # What is wrong with the inputs, the brain node says.
        inputs = parameters["architecture"].get("inputs")
        given = inputs.values() if isinstance(inputs, dict) else ()
        hears = any(isinstance(item, dict) and item.get("kind") == "Audio" for item in given)
        return gamma * float(parameters.get("dt", 0.001)), str(robot.get("robot", "arm")), hears

    def _scripted_parameters(self) -> dict[str, dict[str, Any]]:
        o = self.options
        pacing = "realtime" if o.realtime else "lockstep"
        brain = {"pacing": pacing, "wait_for_reward": not o.realtime, "stop_at_cycle": 1}
        if not o.realtime:
            # On a busy machine, too, nothing but the seed shall decide the figures.
            brain["answer_timeout"] = 20.0
        return {
            "sim": {"pacing": pacing, "seed": o.seed, "motion": "sines"},
            "motor": {"pacing": pacing},
            "critic": {"pacing": pacing, "critic.seed": o.seed, "judge_timeout": 20.0},
            "brain": {**brain, "seed": o.seed, "learning": False, "save_file": self._brain_file},
        }

    def _realtime_parameters(self) -> dict[str, dict[str, Any]]:
        o = self.options
        system = {"use_sim_time": False}
        file = "" if o.remote else self._brain_file
        brain = {"pacing": "realtime", "wait_for_reward": False, "file": file}
        sim = {"pacing": "realtime", "clock": "system", "motion": "still", "seed": o.seed + 900}
        return {
            "sim": sim,
            "motor": {**system, "pacing": "realtime"},
            "critic": {**system, "pacing": "realtime"},
            "brain": {**system, **brain, "learning": False, "save_file": ""},
        }

    def _serve(self, processes: NodeProcesses, brain: Path | None) -> None:
        service, self._remote_parameters = self._service, {}
        if service is None or brain is None:
            return
        self._prepare_surroundings()
        service.start(processes, brain)
        self._say("starting the service", 0.0, 0.0)
        # Its kernels may have to be compiled first.
        self.conductor.wait("the brain's service", lambda: bool(service.url(processes)), 180.0)
        self._remote_parameters = service.parameters(processes)

    def _save(self) -> None:
        """Save what the brain has learned so far, for the last phase."""
        self.conductor.trigger("brain/save")
        if self._service is not None:
            self._service.keep(Path(self._brain_file))

    @property
    def _brain_file(self) -> str:
        return str((self.options.out / "brain.db").resolve())

    @staticmethod
    def _prepare_surroundings() -> None:
        for variable, value in (
            ("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST"),
            ("OPENBLAS_NUM_THREADS", "1"),
        ):
            os.environ.setdefault(variable, value)

    def _start(self, processes: NodeProcesses, parameters: Mapping[str, dict[str, Any]]) -> None:
        self._prepare_surroundings()
        for node in NODES:
            own = {"autostart": node != "brain", **parameters[node]}
            if node == "brain":
                own.update(self._remote_parameters)
            processes.start(node, [self.options.config.resolve()], own)
        self._say("starting the nodes", 0.0, 0.0)
        c = self.conductor
        c.wait("the simulation", lambda: c.time > -math.inf, timeout=60.0)
        c.wait("the motor node", lambda: c.motor_ready, timeout=60.0)
        # The motor node hears the simulation: now a first cycle will not go astray.
        c.transition("brain", "configure", "activate")

    # The script

    def _learn_and_relearn(self) -> None:
        o, c = self.options, self.conductor
        # The very first cycle on a machine compiles the engine.
        self._wait_paused(timeout=180.0)
        self._wait_for_outcome(0.0)
        c.trigger("motor/halt")
        self._phase("still", "main", o.probe_seconds, "sines", 100, home=False)
        self._probe("start", 200, film="before")
        self._learn("learning", "main", 1)
        self._probe("learned", 300, film="learned", keep=True)
        self._save()
        if self.options.quick:
            self._silence()
            return
        c.switch("sim/mirror", True)
        self._probe("mirrored", 400, film="mirrored", mirror=True)
        self._learn("relearning", "main", 2, mirror=True)
        self._probe("relearned", 500, film="relearned", mirror=True)
        self._silence(mirror=True)

    def _silence(self, mirror: bool = False) -> None:
        """Let the ball come without a tone, once the last one has been forgotten."""
        if not self._hears:
            return
        c, seconds = self.conductor, min(self.options.probe_seconds, _SILENT)
        c.set("sim", {"tone": False})
        self._phase("forgetting", "silence", _FORGET, "hidden", 0, mirror=mirror)
        self._phase("silent", "silence", seconds, "sines", 300, mirror=mirror)
        c.set("sim", {"tone": True})

    def _controls(self) -> None:
        c = self.conductor
        # The learned brain is saved; what the controls do to theirs is not to be kept.
        c.set("brain", {"save_file": ""})
        if not self.options.quick:
            self._new_brain()
            self._phase("no learning", "no_learning", self.options.learn_seconds, "jumps", 1)
            self._probe("no_learning", 300, track="no_learning")
        self._new_brain()
        c.set("critic", {"critic.shuffle": True})
        self._learn("shuffled reward", "shuffled", 1)
        self._probe("shuffled", 300, track="shuffled")
        c.set("critic", {"critic.shuffle": False})

    def _real_time(self) -> None:
        o, c = self.options, self.conductor
        c.wait("the brain", lambda: c.brain.code == c.brain.RUNNING, timeout=60.0)
        c.wait("a first command", lambda: c.motor.cycles_executed > 0, timeout=60.0)
        # Before a robot that nothing moves yet, the ball would walk away.
        c.set("sim", {"motion": "sines"})
        begin, wall = c.time, time.monotonic()
        self._collect("real time", "realtime", False, begin, begin + o.realtime_seconds, wall)
        elapsed = time.monotonic() - wall
        simulated = self.result.phases[-1].end - begin
        status = c.brain.header.stamp
        c.wait("the brain's figures", lambda: c.brain.header.stamp != status)
        c.wait("the motor node's figures", lambda: math.isfinite(c.motor.sensor_to_command_p50))
        self.result.report["real_time_factor"] = round(simulated / elapsed, 3)
        self.result.report["latency_ms"] = {
            "cycle": _milliseconds(c.brain.cycle_latency_p50, c.brain.cycle_latency_p99),
            "sensor_to_command": _milliseconds(
                c.motor.sensor_to_command_p50, c.motor.sensor_to_command_p99
            ),
        }
        self.result.report["spikes_per_second"] = round(c.brain.spikes_per_second, 1)

    def _new_brain(self) -> None:
        """Give the nodes a brain as it was at the start, from the same seed."""
        c = self.conductor
        c.set("brain", {"learning": False, "stop_at_cycle": 1})
        run, before = c.brain.run, c.time
        c.transition("brain", "deactivate", "cleanup", "configure", "activate")
        c.wait("the new brain", lambda: c.brain.run not in ("", run) and c.brain.cycle <= 1)
        self._wait_paused()
        self._wait_for_outcome(before)
        if not self.options.realtime:
            # Else the critic might judge the first cycle by settings that are made for the next.
            # If the critic has missed that cycle, there is nothing to wait for.
            with contextlib.suppress(NodeError):
                c.wait("the first reward", lambda: c.rewarded == (c.brain.run, 0), timeout=5.0)

    def _learn(self, name: str, track: str, path: int, mirror: bool = False) -> None:
        o, c = self.options, self.conductor
        c.set("critic", {"critic.deviation_enabled": o.feedback})
        self._phase(name, track, o.learn_seconds, "jumps", path, learning=True, mirror=mirror)
        c.set("critic", {"critic.deviation_enabled": False})

    def _probe(
        self,
        name: str,
        path: int,
        track: str = "main",
        film: str = "",
        keep: bool = False,
        mirror: bool = False,
    ) -> None:
        o, c = self.options, self.conductor
        seconds = o.probe_seconds
        c.keep_cycles = round(2.0 / self._period) if keep else 0
        if film:
            # Pictures of the whole scene take time: only for the first seconds.
            c.watch_frames("camera/image_raw", "overview/image_raw", lockstep=not o.realtime)
            c.set("sim", {"overview_rate": 0.5 / self._period})
            first = min(seconds, o.animation_seconds)
            self._phase(name, track, first, "sines", path, mirror=mirror)
            c.set("sim", {"overview_rate": 0.0})
            self.result.frames[film] = c.take_frames()
            seconds -= first
        if seconds > 0:
            self._phase(name, track, seconds, "sines", path, mirror=mirror, home=not film)
        if keep:
            self.result.cycles = list(c.cycles)
        c.keep_cycles = 0
        if film and seconds > 0:
            self._join_last_two()

    def _phase(
        self,
        name: str,
        track: str,
        seconds: float,
        motion: str,
        path: int,
        *,
        learning: bool = False,
        mirror: bool = False,
        home: bool = True,
    ) -> None:
        """Run the loop for some robot time; the brain is paused before and after."""
        o, c = self.options, self.conductor
        if home:
            c.trigger("motor/halt")
            c.set("sim", {"motion": motion, "seed": 1000 * o.seed + path})
            self._change_scene(lambda: c.trigger("sim/reset"))
            c.trigger("motor/resume")
            c.forget_motor()
            # The motor node starts from a fresh measured state.
            self._change_scene(lambda: c.switch("sim/mirror", mirror))
            c.wait("the motor node", lambda: c.motor_ready)
        elif name == "still":
            c.set("sim", {"motion": motion, "seed": 1000 * o.seed + path})
            self._change_scene(lambda: c.trigger("sim/reset"))
        begin, wall = c.time, time.monotonic()
        cycles = round(seconds / self._period)
        first = c.brain.cycle
        # With a later stop the brain goes on at once: a short phase may be over before a service
        # could be called.  What it was shown before the scene was changed may still be under way.
        then = {"learning": learning, "stop_at_cycle": first + cycles, "not_before": begin}
        c.set("brain", then)
        self._collect(name, track, learning, begin, begin + cycles * self._period, wall)
        self._wait_paused(first + cycles)
        if not o.realtime:
            self._lockstep_time[0] += cycles * self._period
            self._lockstep_time[1] += time.monotonic() - wall

    def _change_scene(self, change: Callable[[], object]) -> None:
        """Change what the simulation shows, and wait until it is seen."""
        c = self.conductor
        before = c.time
        change()
        c.wait("the changed scene", lambda: c.time > before)

    def _collect(
        self, name: str, track: str, learning: bool, begin: float, end: float, wall: float
    ) -> None:
        """Wait until the robot's time is ``end``; record the errors."""
        c = self.conductor
        told, looked = [0.0], [begin]
        grips: list[tuple[bool, bool]] = []
        tolerance = 1e-4

        def over() -> bool:
            now = time.monotonic()
            if now - told[0] > 0.2:
                told[0] = now
                recent = [angle for _, angle in c.errors[-50:]]
                if recent:
                    error = math.degrees(_rms(recent))
                    self._say(name, error, max(0.0, c.time - begin), end - begin)
            if "gripper_left" in c.joints and c.time > looked[0]:
                looked[0] = c.time
                on_target = c.errors[-1][1] < math.radians(5.0)
                grips.append((c.joints["gripper_left"] < 0.015, on_target))
            return c.time >= end - tolerance

        c.wait(f"the end of phase {name!r}", over, timeout=120.0 + 20.0 * (end - begin))
        inside = [(t, a) for t, a in c.errors if begin + tolerance < t <= end + tolerance]
        # In real time a simulation that has stood still may have leapt over a short phase.
        inside = inside or c.errors[-1:]
        times, angles = np.array(inside).T
        self.result.phases.append(PhaseRecord(name, track, learning, begin, end, times, angles))
        self._say(name, math.degrees(_rms(angles)), end - begin, end - begin)
        if grips:
            closed, on_target = np.array(grips).T
            self._grip[name] = float(np.mean(closed == on_target))
            self._closed[name] = float(np.mean(closed))
        del c.errors[:-1]

    def _join_last_two(self) -> None:
        two, one = self.result.phases.pop(), self.result.phases.pop()
        times, angles = np.append(one.times, two.times), np.append(one.angles, two.angles)
        self.result.phases.append(
            PhaseRecord(one.name, one.track, one.learning, one.begin, two.end, times, angles)
        )

    def _wait_paused(self, cycle: int = 1, timeout: float = 60.0) -> None:
        c = self.conductor
        c.wait(
            f"the brain to pause before cycle {cycle}",
            lambda: c.brain.code == c.brain.PAUSED and c.brain.cycle >= cycle,
            timeout,
        )

    def _wait_for_outcome(self, before: float) -> None:
        """Wait until the first cycle has been played: time has passed, and the robot stands."""
        c = self.conductor
        c.wait("the outcome of the first cycle", lambda: c.time > before, timeout=60.0)

    def _say(self, phase: str, error: float, simulated: float, seconds: float = 0.0) -> None:
        wall = time.monotonic() - self._wall
        self._tell(Progress(phase, error, simulated, seconds, wall))

    # The report

    def _write_report(self) -> None:
        o, report = self.options, self.result.report
        names = ("still", "start", "learned", "mirrored", "relearned", "no_learning", "shuffled")
        rms = {phase.name: round(phase.rms, 3) for phase in self.result.phases}
        report["seed"] = o.seed
        report["robot"] = self._robot
        report["brain"] = "remote" if o.remote else "embedded"
        report["rms_error"] = {name: rms[name] for name in names if name in rms}
        report["rms_error_realtime"] = rms["real time"]
        report["gripper_right"] = {
            k: round(v, 3) for k, v in self._grip.items() if k in (*names, "real time")
        }
        report["gripper_closed"] = {
            k: round(self._closed[k], 3) for k in ("learned", "silent") if k in self._closed
        }
        report["options"] = {
            "config": str(o.config),
            "quick": o.quick,
            "realtime": o.realtime,
            "feedback": o.feedback,
            "learn_seconds": o.learn_seconds,
            "probe_seconds": o.probe_seconds,
        }
        simulated, wall = self._lockstep_time
        report["lockstep_speed"] = round(simulated / wall, 2) if wall else None
        report["wall_seconds"] = round(time.monotonic() - self._wall, 1)
        report["domain"] = self.conductor.domain
        text = json.dumps(report, indent=2, sort_keys=True, allow_nan=False)
        write_bytes(o.out / "report.json", (text + "\n").encode())


def _rms(values: ArrayLike) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _milliseconds(p50: float, p99: float) -> dict[str, float]:
    return {"p50": round(1e3 * p50, 2), "p99": round(1e3 * p99, 2)}
