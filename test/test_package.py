"""What is installed, and that the files that describe the package agree with it and each other."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import ab_ros

NODES = ("brain", "critic", "episodes", "motor", "sim", "stepper", "target")
SOURCES = ("audio_capture", "audio_file")

# Third-party modules that ab_ros imports: what rosdep and what pip call them.
ROSDEP = {
    "aiohttp": "python3-aiohttp",
    "cv2": "python3-opencv",
    "gymnasium": "python3-gymnasium-pip",
    "h5py": "python3-h5py",
    "httpx": "python3-httpx",
    "jsonschema": "python3-jsonschema",
    "matplotlib": "python3-matplotlib",
    "mcap": "mcap-ros2-support",
    "mujoco": "python3-mujoco-pip",
    "numba": "python3-numba",
    "numpy": "python3-numpy",
    "PIL": "python3-pil",
    "google": "python3-protobuf",
    "scipy": "python3-scipy",
    "socketio": "python3-socketio",
    "sounddevice": "python3-sounddevice-pip",
    "uvicorn": "python3-uvicorn",
    "websockets": "python3-websockets",
    "yaml": "python3-yaml",
}
PIP = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "google": "protobuf",
    "socketio": "python-socketio",
    "yaml": "PyYAML",
}

# Modules that always come with another one that is named.
# Numba is made of llvmlite, python-socketio of python-engineio.
BESIDE = ("llvmlite", "engineio")


def package_xml(root: Path) -> ElementTree.Element:
    return ElementTree.parse(root / "package.xml").getroot()


@pytest.fixture(scope="module")
def setup_arguments(root: Path) -> dict[str, Any]:
    """What setup.py tells setuptools."""
    seen: dict[str, Any] = {}
    patch = pytest.MonkeyPatch()
    patch.chdir(root)
    patch.setattr("setuptools.setup", lambda **arguments: seen.update(arguments))
    spec = spec_from_file_location("ab_ros_setup", root / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(module_from_spec(spec))
    patch.undo()
    return seen


def imported(root: Path, *, of_nodes: bool) -> Iterator[tuple[Path, str]]:
    """Third-party modules that the files of ``ab_ros`` import, at whatever depth."""
    for path in sorted((root / "ab_ros").rglob("*.py")):
        if not of_nodes and "nodes" in path.parts:
            continue
        for statement in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(statement, ast.Import):
                names = [alias.name for alias in statement.names]
            elif isinstance(statement, ast.ImportFrom) and statement.level == 0:
                names = [statement.module or ""]
            for name in names:
                top = name.split(".")[0]
                if top not in (*sys.stdlib_module_names, *BESIDE, "ab_ros", "__future__"):
                    yield path, top


# --- Descriptions ------------------------------------------------------------------------------


def test_all_files_name_the_same_version(root: Path, setup_arguments: dict[str, Any]) -> None:
    version = package_xml(root).findtext("version")
    assert ab_ros.__version__ == version
    assert setup_arguments["version"] == version
    changelog = (root / "CHANGELOG.rst").read_text()
    latest = re.findall(r"^(Forthcoming|\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\))\n-+$", changelog, re.M)
    assert latest, "CHANGELOG.rst has no section of REP 132"
    assert latest[0] == "Forthcoming" or latest[0].startswith(f"{version} ")


def test_package_xml_names_every_dependency(root: Path) -> None:
    named = {
        element.text
        for element in package_xml(root)
        if element.tag in ("depend", "exec_depend", "build_depend")
    }
    unnamed = {
        f"{path.relative_to(root)}: {module}"
        for path, module in imported(root, of_nodes=True)
        # Messages that are not installed are refused when they are asked for.
        if ROSDEP.get(module, module) not in named and module not in ("control_msgs",)
    }
    assert not unnamed


def test_setup_py_names_every_dependency(root: Path, setup_arguments: dict[str, Any]) -> None:
    named = set(setup_arguments["install_requires"])
    named.update(*setup_arguments["extras_require"].values())
    unnamed = {
        f"{path.relative_to(root)}: {module}"
        for path, module in imported(root, of_nodes=False)
        # Asked only where a sourced ROS 2 has installed the package.
        if PIP.get(module, module) not in named and module != "ament_index_python"
    }
    assert not unnamed


def test_package_xml_and_setup_py_name_the_same_packages(
    root: Path, setup_arguments: dict[str, Any]
) -> None:
    pip = set(setup_arguments["install_requires"])
    for extra in ("audio", "fast", "gym", "mcap", "plot", "record", "server", "sim"):
        pip.update(setup_arguments["extras_require"][extra])
    rosdep = {
        element.text
        for element in package_xml(root).iterfind("exec_depend")
        if (element.text or "").startswith(("python3-", "mcap"))
    }
    assert rosdep == set(ROSDEP.values())
    assert pip == {PIP.get(module, module) for module in ROSDEP}


def test_pins_include_every_dependency(root: Path, setup_arguments: dict[str, Any]) -> None:
    needed = set(setup_arguments["install_requires"])
    needed.update(*setup_arguments["extras_require"].values())
    for name in ("python.in", "kilted.txt", "jazzy.txt"):
        lines = (root / "scripts" / "requirements" / name).read_text().splitlines()
        pinned = {re.split(r"[=\s;]", line)[0].lower() for line in lines}
        assert {name.lower() for name in needed} <= pinned, name


def test_setup_py_installs_code_and_data(root: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build", "--build-base", str(tmp_path)],
        cwd=root,
        check=True,
        capture_output=True,
    )
    installed = {path.relative_to(tmp_path / "lib") for path in (tmp_path / "lib").rglob("*")}
    expected = {
        path.relative_to(root)
        for path in (root / "ab_ros").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= installed
    assert {path.parts[0] for path in installed} == {"ab_ros"}


WITHOUT_ROS = """
import importlib, pkgutil, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("rclpy", "std_msgs", "sensor_msgs") or name == "ab_ros.msg":
            raise ImportError(f"{name} is imported")

sys.meta_path.insert(0, Refuse())
import ab_ros
for module in pkgutil.walk_packages([sys.argv[1]], "ab_ros."):
    runs = module.name.endswith(".__main__")
    if not runs and not module.name.startswith(("ab_ros.nodes", "ab_ros.msg")):
        importlib.import_module(module.name)
"""


def test_everything_but_the_nodes_is_imported_without_ros(root: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_ROS, str(root / "ab_ros")],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


# --- What colcon installs ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def prefix() -> Path:
    """Where the package is installed."""
    packages = pytest.importorskip("ament_index_python.packages")
    return Path(packages.get_package_prefix("ab_ros"))


@pytest.mark.ros
@pytest.mark.parametrize("place", ["checkout", "elsewhere"])
def test_messages_and_modules_are_imported_together(place: str, root: Path, tmp_path: Path) -> None:
    names = ", ".join(path.stem for path in sorted((root / "msg").glob("*.msg")))
    code = f"from ab_ros.msg import {names}; import ab_ros.errors; print(Reward().cycle)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root if place == "checkout" else tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "0\n"


@pytest.mark.ros
@pytest.mark.parametrize("name", ["ab_ros", *NODES, *SOURCES])
def test_executable_is_where_ros2_run_looks(name: str, prefix: Path) -> None:
    executable = prefix / "lib" / "ab_ros" / name
    assert os.access(executable, os.X_OK)
    lines = executable.read_text().splitlines()
    # Its interpreter is the one that the package was built for.
    assert Path(lines[0].removeprefix("#!")).samefile(sys.executable)
    module = next(line.split()[1] for line in lines if line.startswith("from ab_ros"))
    code = f"from {module} import main; print(callable(main))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout == "True\n", result.stderr


@pytest.mark.ros
def test_config_and_launch_files_are_installed(prefix: Path, root: Path) -> None:
    for folder in ("config", "launch"):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                installed = prefix / "share" / "ab_ros" / path.relative_to(root)
                assert installed.read_bytes() == path.read_bytes()


CAMERA = """
import array, time
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

rclpy.init()
node = rclpy.create_node("camera")
quality = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)
publisher = node.create_publisher(Image, "image", quality)
image = Image(height=480, width=640, encoding="rgb8", step=1920)
image.data = array.array("B", bytes(480 * 640 * 3))
while publisher.get_subscription_count() == 0:
    time.sleep(0.01)
input()
for number in range(10):
    image.header.frame_id = str(number)
    publisher.publish(image)
input()
"""


@pytest.mark.ros
def test_camera_images_fit_the_shared_memory(ros_context: Any) -> None:
    """A burst of VGA images arrives whole, best effort, with the profile of config/fastdds.xml."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    node = rclpy.create_node("viewer", context=ros_context)
    quality = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)
    received: list[str] = []
    subscription = node.create_subscription(
        Image, "image", lambda image: received.append(image.header.frame_id), quality
    )
    executor = SingleThreadedExecutor(context=ros_context)
    executor.add_node(node)
    camera = subprocess.Popen([sys.executable, "-c", CAMERA], stdin=subprocess.PIPE)
    try:
        assert camera.stdin is not None
        while node.count_publishers("image") == 0:
            assert camera.poll() is None
            executor.spin_once(timeout_sec=0.1)
        camera.stdin.write(b"\n")
        camera.stdin.flush()
        idle = 0
        while len(received) < 10 and idle < 50:
            before = len(received)
            executor.spin_once(timeout_sec=0.1)
            idle = 0 if len(received) > before else idle + 1
        assert received == [str(number) for number in range(10)]
    finally:
        camera.kill()
        camera.wait()
        node.destroy_subscription(subscription)
        node.destroy_node()
