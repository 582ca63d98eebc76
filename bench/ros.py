"""What the nodes cost: latency beside a bare rclpy relay, processor time, losses, memory.

Everything runs over real DDS on this computer, each node in a process of its own, all in a ROS
domain of their own.

- *Latency*: a joint state goes in, the command that it leads to comes out: through the brain node
  (a trivial brain, cycles of one timestep) and the motor node, and, in blocks that alternate with
  those, through two relays that only pass messages on.
- *Load*: what brain, motor and critic node take of a core while joint states at 500 Hz, VGA images
  at 30 Hz and sound at 16 kHz come in, with the brain paused and with it running.  In the running
  part, which lasts ten minutes, every spike raster, answer and reward is counted.
- *Memory*: what each node grows by in an hour of robot time, in lockstep with the simulator.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ["ROS_DOMAIN_ID"] = str(10 + os.getpid() % 90)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import numpy as np  # noqa: E402
import rclpy  # noqa: E402
from ab_ros.msg import BrainStatus, CycleDone, MotorStatus, Reward  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from results_page import circumstances, write_section  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import Float64MultiArray  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from ab_ros.nodes import qos  # noqa: E402
from ab_ros.nodes.process import executor  # noqa: E402
from ab_ros.nodes.robot_messages import joint_state  # noqa: E402

MOST_EXTRA_P50, MOST_EXTRA_P99 = 1.5, 5.0  # ms over two relays
MOST_LOAD = 60.0  # % of one core
MOST_GROWTH = 1.0  # MB in an hour
JOINTS = ("j0", "j1", "j2", "j3", "j4", "j5", "j6")

TRIVIAL = """
/**:
  ros__parameters:
    pacing: lockstep
/**/brain:
  ros__parameters:
    dt: 0.002
    save_file: ""
    learning: false
    architecture:
      gamma: 1
      feedback_timesteps: 1
      inputs:
        joints: {kind: Proprioception, topic: joint_states, encoder: joint_population,
                 options: {joints: [j0], lower: -1.0, upper: 1.0, cells: 4}}
      populations:
        move: {size: 2, output: true, min_rate: 0.0, max_rate: 1000.0}
      projections:
        feel: {source: joints, target: move, weight: 1.0}
/**/motor:
  ros__parameters:
    mapping: {move: {population: move, channel: j0, per_step_max: 0.001}}
    limits: {j0: {lower: -1.0, upper: 1.0, velocity: 2.0, acceleration: 50.0}}
    groups: {arm: {interface: position, topic: command, channels: [j0]}}
"""

LOADED = """
/**/brain:
  ros__parameters:
    save_file: ""
    architecture:
      gamma: 40
      feedback_timesteps: 40
      inputs:
        camera: {kind: Image, topic: camera, encoder: saliency, options: {width: 16, height: 12}}
        microphone: {kind: Audio, topic: audio, encoder: spectrum}
        joints: {kind: Proprioception, topic: joint_states, encoder: joint_population,
                 options: {joints: [j0, j1], lower: -1.0, upper: 1.0, cells: 6}}
      populations:
        pan: {neuron: FS, size: 48, noise: 2.0, parts: 2, output: true}
        tilt: {neuron: FS, size: 48, noise: 2.0, parts: 2, output: true}
      projections:
        camera_pan: {source: camera, target: pan, layer: pan, synapse: reward_plastic, weight: 1.2}
        camera_tilt:
          {source: camera, target: tilt, layer: tilt, synapse: reward_plastic, weight: 1.2}
        sound_pan: {source: microphone, target: pan, weight: 0.2}
        joints_pan: {source: joints, target: pan, weight: 0.3}
/**/motor:
  ros__parameters:
    following_error: 0.0
    drift_tolerance: 10.0
    mapping:
      pan: {population: pan, channel: j0, per_step_max: 0.001}
      tilt: {population: tilt, channel: j1, per_step_max: 0.001}
    limits:
      j0: {lower: -1.0, upper: 1.0, velocity: 2.0, acceleration: 50.0}
      j1: {lower: -1.0, upper: 1.0, velocity: 2.0, acceleration: 50.0}
    groups: {arm: {interface: joint_trajectory, topic: command, channels: [j0, j1], period: 0.01}}
/**/critic:
  ros__parameters:
    target: ""
    critic:
      reward_policy: ab_ros.learning.tasks
      options: {terms: {effort: {kind: smoothness, speed: 1.0}}}
"""


class Claim(NamedTuple):
    """What should hold, what was measured, and whether it does."""

    words: str
    target: str
    value: str
    held: bool


class Nodes:
    """Processes of nodes and relays, with their logs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def node(self, name: str, space: str, config: Path, *assignments: str) -> None:
        """Start a node of ab_ros in a namespace."""
        given = [part for text in assignments for part in ("-p", text)]
        self.start(
            name,
            *("-m", f"ab_ros.nodes.{name}", "--ros-args", "-r", f"__ns:={space}"),
            *("--params-file", str(config), *given),
        )

    def start(self, name: str, *arguments: str) -> None:
        """Start Python with arguments."""
        with open(self._folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *arguments], stdout=log, stderr=log, cwd=ROOT
            )

    def check(self) -> None:
        """Stop the benchmark if a process has ended."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                said = (self._folder / f"{name}.log").read_text()[-2000:]
                raise SystemExit(f"{name} has ended with {process.returncode}:\n{said}")

    def words(self) -> str:
        """Return the last words of all processes."""
        return "\n".join(
            f"{name}: {(self._folder / f'{name}.log').read_text()[-800:]}"
            for name in self.processes
        )

    def cpu(self, name: str) -> float:
        """Return the processor time of a process so far, s."""
        pid = self.processes[name].pid
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self, name: str) -> float:
        """Return the resident memory of a process, MB."""
        pages = int(Path(f"/proc/{self.processes[name].pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def end(self) -> None:
        """End all processes, by SIGINT first."""
        for process in self.processes.values():
            process.send_signal(signal.SIGINT)
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def __enter__(self) -> Nodes:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class Probe:
    """A node of the benchmark's own, which spins in a thread."""

    def __init__(self) -> None:
        self.node = rclpy.create_node("probe")
        self._executor = executor()
        self._executor.add_node(self.node)
        self._ended = False
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        while not self._ended:
            self._executor.spin_once(timeout_sec=0.1)

    def until(self, condition: Callable[[], Any], what: str, nodes: Nodes | None = None) -> None:
        """Wait until a condition holds, for a minute."""
        deadline = time.monotonic() + 60.0
        while not condition():
            if nodes is not None:
                nodes.check()
            if time.monotonic() > deadline:
                logs = nodes.words() if nodes is not None else ""
                raise SystemExit(f"waited in vain for {what}\n{logs}")
            time.sleep(0.01)

    def call(self, service: str) -> None:
        """Call a Trigger service."""
        client = self.node.create_client(Trigger, service)
        self.until(client.service_is_ready, service)
        future = client.call_async(Trigger.Request())
        self.until(future.done, service)

    def __enter__(self) -> Probe:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop to spin and destroy the node."""
        self._ended = True
        self._thread.join()
        self.node.destroy_node()


# Latency


class Way:
    """A way from joint states to what comes out of them, and how long each one took."""

    def __init__(self, probe: Probe, source: str, target: str, kind: type[Any]) -> None:
        reliable = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self._publisher = probe.node.create_publisher(JointState, source, reliable)
        probe.node.create_subscription(kind, target, self._hear, reliable)
        self._came = threading.Event()
        self._at = 0.0
        self.took: list[float] = []
        self.lost = 0

    def _hear(self, _: Any) -> None:
        self._at = time.perf_counter()
        self._came.set()

    @property
    def connected(self) -> bool:
        """Whether anybody hears what is sent."""
        return self._publisher.get_subscription_count() > 0

    def send(self, count: int, period: float, patience: float = 1.0) -> None:
        """Send joint states, each after the answer to the last, one each ``period`` s at most."""
        due = time.perf_counter()
        for _ in range(count):
            now = time.time()
            self._came.clear()
            message = joint_state(JOINTS, np.zeros(len(JOINTS)), now, np.zeros(len(JOINTS)))
            begin = time.perf_counter()
            self._publisher.publish(message)
            if self._came.wait(patience):
                self.took.append(1e3 * (self._at - begin))
            else:
                self.lost += 1
            due = max(due + period, time.perf_counter())
            time.sleep(max(0.0, due - time.perf_counter()))


def latencies(folder: Path, blocks: int, count: int) -> dict[str, np.ndarray]:
    """Return ms from a joint state to its command, by way."""
    config = folder / "trivial.yaml"
    config.write_text(TRIVIAL)
    with Probe() as probe, Nodes(folder) as nodes:
        nodes.start("relay_1", str(ROOT / "bench/ros_relay.py"), "relay_in", "relay_on", "relay_1")
        nodes.start("relay_2", str(ROOT / "bench/ros_relay.py"), "relay_on", "relay_out", "relay_2")
        nodes.node("brain", "/trivial", config)
        nodes.node("motor", "/trivial", config)
        ways = {
            "two relays": Way(probe, "relay_in", "relay_out", JointState),
            "brain and motor node": Way(
                probe, "/trivial/joint_states", "/trivial/command", Float64MultiArray
            ),
        }
        for name, way in ways.items():
            probe.until(lambda way=way: way.connected, name, nodes)

            def answers(way: Way = way) -> bool:
                way.send(1, 0.05, 0.5)
                return len(way.took) > 20

            probe.until(answers, f"answers of the {name}", nodes)
            way.took.clear()
            way.lost = 0
        for _ in range(blocks):
            for way in ways.values():
                # The robot stood while the other way was measured, and is seeded anew.
                known = len(way.took), way.lost
                way.send(5, 0.01)
                del way.took[known[0] :]
                way.lost = known[1]
                way.send(count, 0.01)
        nodes.check()
    for name, way in ways.items():
        print(f"{name}: {len(way.took)} answers, {way.lost} without")
    return {name: np.array(way.took) for name, way in ways.items()}


# Load


class Loads(NamedTuple):
    """What a load test gave."""

    paused: dict[str, float]
    running: dict[str, float]
    counts: dict[str, int]
    minutes: float


NODES = ("brain", "motor", "critic")


class Ledger:
    """The cycles whose spikes, answers and rewards were heard."""

    def __init__(self, probe: Probe, space: str) -> None:
        from ab_ros.msg import SpikeRaster

        self.heard: dict[str, Counter[int]] = {}
        self.run = ""
        listen = probe.node.create_subscription
        for name, kind, topic in (
            ("spikes", SpikeRaster, "spikes"),
            ("cycle_done", CycleDone, "cycle_done"),
            ("reward", Reward, "reward"),
        ):
            self.heard[name] = Counter()
            listen(kind, f"{space}/{topic}", self._note(name), qos.own(qos.REWARD))

    def _note(self, name: str) -> Callable[[Any], None]:
        def note(message: Any) -> None:
            self.heard[name][int(message.cycle)] += 1

        return note

    def lost(self, first: int, last: int) -> dict[str, int]:
        """Return how many cycles in [first, last) were not heard of, by topic."""
        return {
            name: sum(cycle not in heard for cycle in range(first, last))
            for name, heard in self.heard.items()
        }


def loads(folder: Path, minutes: float, paused_for: float) -> Loads:
    """Return what the nodes take of a core, %, and what was lost in ``minutes``."""
    config = folder / "loaded.yaml"
    config.write_text(LOADED)
    space = "/loaded"
    brain: list[BrainStatus] = []
    motor: list[MotorStatus] = []
    with Probe() as probe, Nodes(folder) as nodes:
        listen = probe.node.create_subscription
        listen(BrainStatus, f"{space}/brain/status", brain.append, qos.STATUS)
        listen(MotorStatus, f"{space}/motor/status", motor.append, qos.STATUS)
        ledger = Ledger(probe, space)
        for name in ("motor", "critic", "brain"):
            nodes.node(name, space, config)
        nodes.start("streams", str(ROOT / "bench/ros_streams.py"), space)
        probe.until(lambda: brain and brain[-1].code == BrainStatus.RUNNING, "the brain", nodes)
        probe.until(lambda: motor and motor[-1].cycles_executed > 50, "executed cycles", nodes)

        def share(seconds: float) -> dict[str, float]:
            before = {name: nodes.cpu(name) for name in NODES}
            begin = time.monotonic()
            while time.monotonic() - begin < seconds:
                time.sleep(min(1.0, seconds))
                nodes.check()
            passed = time.monotonic() - begin
            return {name: 100.0 * (nodes.cpu(name) - before[name]) / passed for name in NODES}

        refused = int(motor[-1].cycles_refused)
        first, lost_before = int(brain[-1].cycle) + 1, Counter(_counts(brain[-1]))
        running = share(60.0 * minutes)
        last = int(brain[-1].cycle)
        probe.until(lambda: ledger.heard["reward"][last - 2], "the last rewards", nodes)
        status, after = motor[-1], _counts(brain[-1])
        counts = {
            "cycles": last - 2 - first,
            **{f"{k} not heard": n for k, n in ledger.lost(first, last - 2).items()},
            "refused by the motor node": int(status.cycles_refused) - refused,
            **{
                f"brain: {name}": count - lost_before[name]
                for name, count in after.items()
                if "dropped" not in name and count > lost_before[name]
            },
        }
        probe.call(f"{space}/brain/pause")
        time.sleep(0.5)
        paused = share(paused_for)
    return Loads(paused, running, counts, minutes)


def _counts(status: BrainStatus) -> dict[str, int]:
    return dict(zip(status.counter, (int(n) for n in status.count), strict=True))


# Memory


def growth(folder: Path, simulated: float) -> dict[str, tuple[float, float]]:
    """Return {node: resident memory at the begin and the end of the time, MB}.

    The time begins after a sixth of it: histories of DDS keep what they once needed.
    """
    space, status = "/soak", list[BrainStatus]()
    names = ("sim", "motor", "critic", "brain")
    with Probe() as probe, Nodes(folder) as nodes:
        topic = f"{space}/brain/status"
        probe.node.create_subscription(BrainStatus, topic, status.append, qos.STATUS)
        for name in names:
            nodes.node(name, space, ROOT / "config" / "demo.yaml")

        def passed() -> float:
            return int(status[-1].cycle) * 0.04 if status else 0.0

        def until(seconds: float) -> None:
            said = time.monotonic()
            while passed() < seconds:
                nodes.check()
                time.sleep(0.5)
                if time.monotonic() - said > 60.0:
                    said = time.monotonic()
                    print(f"  soak: {passed():.0f} of {simulated * 7.0 / 6.0:.0f} s", flush=True)

        until(simulated / 6.0)
        early = {name: nodes.resident(name) for name in names}
        until(simulated * 7.0 / 6.0)
        late = {name: nodes.resident(name) for name in names}
    return {name: (early[name], late[name]) for name in names}


def claims(
    took: dict[str, np.ndarray], load: Loads, soak: dict[str, tuple[float, float]], hours: float
) -> list[Claim]:
    """Return what should hold."""
    bare, ours = took["two relays"], took["brain and motor node"]
    extra = {q: float(np.percentile(ours, q) - np.percentile(bare, q)) for q in (50, 99)}
    paused = sum(load.paused.values())
    lost = sum(count for name, count in load.counts.items() if "not heard" in name)
    found = [
        Claim(
            "brain and motor node over two relays, median",
            f"≤ {MOST_EXTRA_P50:g} ms",
            f"{extra[50]:.2f} ms",
            extra[50] <= MOST_EXTRA_P50,
        ),
        Claim(
            "the same, 99th percentile",
            f"≤ {MOST_EXTRA_P99:g} ms",
            f"{extra[99]:.2f} ms",
            extra[99] <= MOST_EXTRA_P99,
        ),
        Claim(
            "sensors without a brain, all nodes",
            f"≤ {MOST_LOAD:g} % of a core",
            f"{paused:.0f} %",
            paused <= MOST_LOAD,
        ),
        Claim(
            f"spikes, answers and rewards lost in {load.minutes:g} min",
            "0",
            f"{lost} of {3 * load.counts['cycles']}",
            lost == 0,
        ),
    ]
    for name, (early, late) in soak.items():
        grown = late - early
        found.append(
            Claim(
                f"memory of the {name} node, growth in {60 * hours:.0f} min of robot time",
                f"< {MOST_GROWTH:g} MB",
                f"{grown:+.2f} MB",
                grown < MOST_GROWTH,
            )
        )
    return found


def document(
    took: dict[str, np.ndarray], load: Loads, soak: dict[str, tuple[float, float]], hours: float
) -> str:
    """Return the section of the results page."""
    lines = [
        "## The nodes",
        "",
        circumstances("bench-ros", ("numpy",)),
        "",
        "From a joint state that is published to the command that is heard, ms, over DDS; blocks",
        "of both alternate. The brain has two neurons and cycles of one timestep.",
        "",
        "| way | p50 | p90 | p99 | n |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, values in took.items():
        p = np.percentile(values, [50, 90, 99])
        lines.append(f"| {name} | {p[0]:.2f} | {p[1]:.2f} | {p[2]:.2f} | {values.size} |")
    lines += [
        "",
        "Joint states at 500 Hz, VGA images at 30 Hz, sound at 16 kHz; % of one core:",
        "",
        "| node | brain paused | brain running, 25 cycles/s |",
        "|---|---:|---:|",
        *(f"| {name} | {load.paused[name]:.0f} | {load.running[name]:.0f} |" for name in NODES),
        f"| all | {sum(load.paused.values()):.0f} | {sum(load.running.values()):.0f} |",
        "",
        f"Counted in {load.minutes:g} minutes: "
        + ", ".join(f"{name} {count}" for name, count in load.counts.items())
        + ".",
        "",
        f"Resident memory over {60 * hours:.0f} min of robot time, in lockstep:",
        "",
        f"| node | after {10 * hours:.0f} min, MB | after {70 * hours:.0f} min, MB |",
        "|---|---:|---:|",
        *(f"| {name} | {early:.1f} | {late:.1f} |" for name, (early, late) in soak.items()),
        "",
        "| target | | measured | held |",
        "|---|---|---|---|",
        *(
            f"| {c.words} | {c.target} | {c.value} | {'yes' if c.held else '**no**'} |"
            for c in claims(took, load, soak, hours)
        ),
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the tables; exit code 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=6, help="of each way, for the latency")
    parser.add_argument("--count", type=int, default=500, help="joint states in a block")
    parser.add_argument("--minutes", type=float, default=10.0, help="of load with a running brain")
    parser.add_argument(
        "--soak", type=float, default=3600.0, help="robot time for memory, s; 0: none"
    )
    parser.add_argument("--quick", action="store_true", help="a fraction of it; prints only")
    parser.add_argument("--results", type=Path, help="page to write the section into")
    options = parser.parse_args(arguments)
    if options.quick:
        options.blocks, options.count, options.minutes, options.soak = 2, 200, 0.3, 60.0
    rclpy.init()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        took = latencies(folder, options.blocks, options.count)
        load = loads(folder, options.minutes, 20.0 if not options.quick else 5.0)
        soak = growth(folder, options.soak) if options.soak else {}
    rclpy.try_shutdown()
    hours = options.soak / 3600.0
    section = document(took, load, soak, hours)
    print("\n" + section)
    if options.quick:
        return 0
    if options.results:
        write_section(options.results, "ros", section)
    return 0 if all(claim.held for claim in claims(took, load, soak, hours)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
