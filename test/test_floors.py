"""Imports point down the floors of the design, never up; only the nodes know ROS."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

FLOORS = {
    "errors": 0,
    "config": 0,
    "contract": 0,
    "contract_changes": 0,
    "values": 0,
    "figures": 0,
    "engine": 0,
    "codec": 1,
    "motion": 1,
    "protocol": 1,
    "brains": 2,
    "learning": 2,
    "layered": 2,
    "environments": 3,
    "loop": 3,
    "client": 3,
    "server": 4,
    "training": 4,
    "viz": 4,
    "nodes": 5,
    "cli": 5,
}
ROS = (
    *("rclpy", "std_msgs", "sensor_msgs", "geometry_msgs", "trajectory_msgs", "std_srvs"),
    *("launch", "launch_ros"),
)
PACKAGE = Path(__file__).resolve().parents[1] / "ab_ros"
MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path != PACKAGE / "__init__.py"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_imports_point_down(path: Path) -> None:
    floor = FLOORS[part_of(path)]
    for name in imports(path):
        package, *rest = name.split(".")
        if package == "ab_ros" and rest and rest[0] in FLOORS:
            assert FLOORS[rest[0]] <= floor, f"{path} imports {name} from a floor above"
            if part_of(path) == "engine":
                assert rest[0] in ("engine", "errors"), f"the engine imports {name}"
        if package in ROS or name.startswith("ab_ros.msg"):
            assert part_of(path) == "nodes", f"{path} imports {name}, which only nodes may"
