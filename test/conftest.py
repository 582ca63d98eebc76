"""What all tests share: a ROS domain of their own, and the settings that nodes inherit."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if not os.environ.get("CI"):
    settings.load_profile("unhurried")  # in CI, Hypothesis's own profile is as patient

# As ROS 2's own domain_coordinator does: whoever holds the port holds the domain, and the system
# gives it back however the holder ends.  Domains above 101 meet the range of ephemeral ports.
DOMAINS = range(1, 102)
PORT_OF_DOMAIN_0 = 22119

_domains = pytest.StashKey[list[socket.socket]]()


def _take_domain(ahead: int = 0) -> tuple[int, socket.socket]:
    first = (os.getpid() + ahead) % len(DOMAINS)
    for domain in (*DOMAINS[first:], *DOMAINS[:first]):
        held = socket.socket()
        try:
            held.bind(("127.0.0.1", PORT_OF_DOMAIN_0 + domain))
        except OSError:
            held.close()
            continue
        return domain, held
    raise pytest.UsageError("all ROS domains are taken: is another test run hanging?")


def pytest_configure(config: pytest.Config) -> None:
    domain, held = _take_domain()
    # Nodes in processes of their own have a domain to themselves.
    nodes_domain, also_held = _take_domain(len(DOMAINS) // 2)
    config.stash[_domains] = [held, also_held]
    # Before any test module is imported: rclpy, FastDDS and OpenBLAS read these once.
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    os.environ["AB_ROS_TEST_DOMAIN"] = str(nodes_domain)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["OPENBLAS_NUM_THREADS"] = "1"


def pytest_unconfigure(config: pytest.Config) -> None:
    for held in config.stash.get(_domains, []):
        held.close()


def _has_ros() -> bool:
    return find_spec("rclpy") is not None and find_spec("ab_ros.msg") is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Everything else is the same code with the same pinned packages on every distribution.
    mentions = {path: "rclpy" in path.read_text() for path in {item.path for item in items}}
    for item in items:
        if item.get_closest_marker("ros") or mentions[item.path]:
            item.add_marker("distribution")
    if _has_ros():
        return
    workspace = os.environ.get("AB_ROS_WORKSPACE")
    if workspace:
        # Inside the workspace the tests of nodes must never be skipped unnoticed.
        raise pytest.UsageError(f"rclpy or ab_ros.msg cannot be imported in {workspace}")
    skip = pytest.mark.skip(reason="needs ROS 2 and the built messages: run `make test`")
    for item in items:
        if item.get_closest_marker("ros"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def root() -> Path:
    """The top folder of the project."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def ros_domain() -> int:
    """The ROS domain of this test run; child processes find it in ROS_DOMAIN_ID."""
    return int(os.environ["ROS_DOMAIN_ID"])


@pytest.fixture
def ros_context() -> Iterator[object]:
    """An initialised rclpy context of the test's own, shut down at its end."""
    rclpy = pytest.importorskip("rclpy")
    context = rclpy.Context()
    rclpy.init(context=context)
    yield context
    context.try_shutdown()


@pytest.fixture(scope="module")
def motor_peer() -> Iterator[Any]:
    """A node of the test's, which plays robot and brain to motor nodes."""
    from ros_process import Peer

    peer = Peer("robot_and_brain")
    yield peer
    peer.close()


@pytest.fixture(scope="module")
def moving(motor_peer: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One motor node with a group of every interface; the tests of a module share it."""
    from motor_files import PATIENT, parameters
    from motor_rig import rigged

    path = parameters(tmp_path_factory.mktemp("motor"), more=PATIENT)
    with rigged(motor_peer, path) as rig:
        yield rig


@pytest.fixture
def rig(moving: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The shared motor node, executing cycles of a run of its own for each test."""
    moving.bad.clear()
    moving.speeds.clear()
    moving.missing.clear()
    moving.neuron = 0
    moving.begin(request.node.name)
    moving.feeling = True
    moving.ready()
    moving.beating = True
    moving.executed(2)
    yield moving
    moving.beating = False
