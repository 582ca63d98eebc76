"""What all tests share: a ROS domain of their own, and the settings that nodes inherit."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

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

_domain = pytest.StashKey[socket.socket]()


def _take_domain() -> tuple[int, socket.socket]:
    first = os.getpid() % len(DOMAINS)
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
    domain, config.stash[_domain] = _take_domain()
    # Before any test module is imported: rclpy, FastDDS and OpenBLAS read these once.
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["OPENBLAS_NUM_THREADS"] = "1"


def pytest_unconfigure(config: pytest.Config) -> None:
    held = config.stash.get(_domain, None)
    if held is not None:
        held.close()


def _has_ros() -> bool:
    return find_spec("rclpy") is not None and find_spec("ab_ros.msg") is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
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
