"""Runs ``ab_ros``; ``AB_ROS_TEST_FAIL`` names a node that fails at its tenth message."""

import os

from ab_ros.cli import main

FAILING = os.environ.get("AB_ROS_TEST_FAIL")
if FAILING:
    from ab_ros.nodes.composed import node_class

    failing = node_class(FAILING)
    figures = 0

    def fail(self, *_) -> None:  # type: ignore[no-untyped-def]
        global figures
        figures += 1
        if figures == 10:
            raise RuntimeError("a defect on purpose")

    failing._joint_state = fail  # type: ignore[attr-defined]

raise SystemExit(main())
