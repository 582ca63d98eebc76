"""The demo and its command: a whole run, the same one again, and runs that are cut short."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ros_process import NodeProcess

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")

from ab_ros.brains.embedded import EmbeddedBrain

pytestmark = pytest.mark.ros

PATIENCE = 900.0
"""How long a test waits for something that must happen, s; a bound, not a measurement."""
AGAIN = """
import sys
from pathlib import Path
from ab_ros.nodes.demo import Demo, DemoOptions

config, out = map(Path, sys.argv[1:])
options = dict(quick=True, learn_seconds=2.0, probe_seconds=1.0, realtime_seconds=1.0)
Demo(DemoOptions(config, out, **options), lambda _: None).run()
"""


def surroundings(domain: int) -> dict[str, str]:
    path = os.pathsep.join(part for part in sys.path if part)
    return {**os.environ, "PYTHONPATH": path, "ROS_DOMAIN_ID": str(domain)}


def ab_ros(*arguments: str, domain: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ab_ros.cli", *arguments],
        env=surroundings(domain),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def commands_of(out: Path) -> dict[int, str]:
    """Return the running processes, by id, that name a folder in their command."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(out) in command and state != "Z":
            found[int(folder.name)] = command
    return found


def eventually(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)
    return value


@pytest.fixture
def domain(ros_domain: int) -> int:
    """The domain in which a demo begins to look for a free one."""
    return ros_domain


@pytest.fixture
def config(root: Path) -> Path:
    return root / "config" / "demo.yaml"


@pytest.fixture
def own_config(config: Path, tmp_path: Path) -> Path:
    """A copy in the test's folder, so that the demo's processes can be told apart."""
    copy = tmp_path / "demo.yaml"
    copy.write_text(config.read_text())
    return copy


class RunningDemo:
    """A demo that is cut short."""

    def __init__(self, config: Path, out: Path, domain: int, *options: str) -> None:
        command = ["-m", "ab_ros.cli", "demo", "--config", str(config), "--out", str(out), *options]
        self.folder = config.parent
        self.process = subprocess.Popen(
            [sys.executable, "-u", *command],
            env=surroundings(domain),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until_phase(self, phase: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip().startswith(phase):
                return
        raise AssertionError(f"no phase {phase!r}: {self.process.communicate()[1]}")

    def node(self, name: str) -> int:
        """Return the process of a node."""

        def running() -> list[int]:
            commands = commands_of(self.folder)
            return [pid for pid, text in commands.items() if f"ab_ros.nodes.{name} " in text]

        (found,) = eventually(running, f"node {name}")
        return int(found)

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and what was said."""
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors

    def expect_nothing_left(self) -> None:
        eventually(lambda: not commands_of(self.folder), "the end of all processes")


@pytest.fixture
def running(own_config: Path, tmp_path: Path, domain: int) -> Iterator[RunningDemo]:
    demo = RunningDemo(own_config, tmp_path / "out", domain)
    yield demo
    if demo.process.poll() is None:
        demo.process.send_signal(signal.SIGINT)
        demo.end()


def test_a_whole_run_writes_its_report_and_the_same_seed_the_same_figures(
    own_config: Path, tmp_path: Path, domain: int
) -> None:
    out = tmp_path / "out"
    run = ab_ros(
        *("demo", "--quick", "--learn", "2", "--probe", "1"),
        *("--out", str(out), "--config", str(own_config)),
        domain=domain,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["seed"] == 1
    assert set(report["rms_error"]) == {"still", "start", "learned", "shuffled"}
    assert all(0.0 < error < 90.0 for error in report["rms_error"].values())
    assert report["real_time_factor"] > 0.0 and report["spikes_per_second"] > 0.0
    for stage in ("cycle", "sensor_to_command"):
        latency = report["latency_ms"][stage]
        assert 0.0 < latency["p50"] <= latency["p99"]
    assert "the arm held still" in run.stdout and "real-time factor" in run.stdout
    pictures = {"learning_curve.png", "spike_raster.png", "camera_frames.png", "demo.gif"}
    for name in pictures:
        data = (out / name).read_bytes()
        assert data.startswith(b"GIF8" if name.endswith("gif") else b"\x89PNG"), name
        assert 5_000 < len(data) < 20_000_000, name
        assert name in run.stdout
    assert not commands_of(tmp_path)

    again = tmp_path / "again"
    again.mkdir()
    subprocess.run(
        [sys.executable, "-c", AGAIN, str(own_config), str(again)],
        env=surroundings(domain),
        check=True,
        timeout=PATIENCE,
    )
    assert json.loads((again / "report.json").read_text())["rms_error"] == report["rms_error"]


def test_the_car_has_the_same_demo(tmp_path: Path, domain: int) -> None:
    out = tmp_path / "out"
    run = ab_ros(
        *("demo", "--robot", "car", "--quick", "--learn", "2", "--probe", "1", "--out", str(out)),
        domain=domain,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["robot"] == "car" and not report["gripper_right"]
    assert set(report["rms_error"]) == {"still", "start", "learned", "shuffled"}
    assert all(0.0 < error < 180.0 for error in report["rms_error"].values())
    assert "the car held still" in run.stdout
    assert not commands_of(tmp_path)


def test_a_brain_behind_a_service_does_the_same(
    own_config: Path, tmp_path: Path, domain: int
) -> None:
    out = tmp_path / "out"
    run = ab_ros(
        *("demo", "--quick", "--learn", "2", "--probe", "1", "--brain", "remote"),
        *("--out", str(out), "--config", str(own_config)),
        domain=domain,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["brain"] == "remote"
    assert set(report["rms_error"]) == {"still", "start", "learned", "shuffled"}
    assert all(0.0 < error < 90.0 for error in report["rms_error"].values())
    assert "brain behind a service" in run.stdout
    files = (out / "untrained.db", out / "brain.db")
    before, learned = (EmbeddedBrain.load(file).network.weights("camera_pan") for file in files)
    assert (before != learned).any()
    assert not commands_of(tmp_path)


def test_no_service_outlives_the_demo(own_config: Path, tmp_path: Path, domain: int) -> None:
    demo = RunningDemo(own_config, tmp_path / "out", domain, "--brain", "remote")
    demo.until_phase("still ")
    demo.process.send_signal(signal.SIGINT)
    ended, errors = demo.end()
    assert ended == 130 and "Traceback" not in errors
    demo.expect_nothing_left()
    assert "saves and ends" in (tmp_path / "out" / "logs" / "serve.log").read_text()


def test_a_node_that_is_killed_ends_the_demo_with_its_name(running: RunningDemo) -> None:
    running.until_phase("still ")
    os.kill(running.node("brain"), signal.SIGKILL)
    code, errors = running.end()
    assert code == 1
    assert "node brain was ended by SIGKILL" in errors and "brain.log" in errors
    assert "Traceback" not in errors
    running.expect_nothing_left()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_no_node_outlives_the_demo(running: RunningDemo, number: int, code: int) -> None:
    running.node("brain")
    running.process.send_signal(number)
    ended, errors = running.end()
    assert ended == code
    assert "Traceback" not in errors
    running.expect_nothing_left()


def test_a_wrong_key_is_told_with_file_and_line(
    own_config: Path, tmp_path: Path, domain: int
) -> None:
    text = own_config.read_text()
    line = next(k for k, row in enumerate(text.splitlines(), 1) if "wait_for_reward:" in row)
    own_config.write_text(text.replace("wait_for_reward:", "wait_for_rewards:"))
    run = ab_ros("demo", "--out", str(tmp_path / "out"), "--config", str(own_config), domain=domain)
    assert run.returncode == 2
    assert f"{own_config}:{line}" in run.stderr and "wait_for_rewards" in run.stderr
    assert "Traceback" not in run.stderr
    assert not commands_of(tmp_path)
    own_config.write_text(text.replace("gamma:", "gama:"))
    run = ab_ros("demo", "--out", str(tmp_path / "out"), "--config", str(own_config), domain=domain)
    assert run.returncode == 2 and "gamma" in run.stderr


def test_it_keeps_clear_of_the_nodes_of_others(domain: int) -> None:
    script = (
        "from ab_ros.nodes.conductor import Conductor, _free_domain, participants_here\n"
        f"assert participants_here({domain}), 'it is known that there is somebody'\n"
        "c = Conductor(('sim', 'tiny'))\n"
        "print(c.domain, _free_domain(('sim',))[0])\n"
        "c.close()\n"
    )
    other = NodeProcess(
        Path(__file__).with_name("tiny_node.py"), env={"ROS_DOMAIN_ID": str(domain)}
    )
    with other:
        other.wait_for("start")
        run = subprocess.run(
            [sys.executable, "-c", script],
            env=surroundings(domain),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    # Nodes of the same names stand in the first domain, and this conductor in the second.
    assert run.returncode == 0, run.stderr
    first, second = map(int, run.stdout.split())
    assert domain < first < second


def test_the_command_explains_itself() -> None:
    run = ab_ros("--help")
    assert run.returncode == 0 and "demo" in run.stdout and "settings" in run.stdout
    run = ab_ros("demo", "--help")
    assert run.returncode == 0
    for option in ("--seed", "--quick", "--realtime", "--feedback", "--out", "--config"):
        assert option in run.stdout
    for node, key in (
        ("motor", "following_error"),
        ("brain", "stop_at_cycle"),
        ("critic", "reward_policy"),
        ("sim", "camera_rate"),
    ):
        run = ab_ros("settings", node)
        assert run.returncode == 0 and key in run.stdout, run.stderr
    for wrong in (["settings", "nose"], ["demo", "--seed", "-1"], ["demo", "--learn", "0"], []):
        run = ab_ros(*wrong)
        assert run.returncode == 2 and "Traceback" not in run.stderr
