"""The motor node in a process of its own."""

from ab_ros.nodes.motor import main

if __name__ == "__main__":
    raise SystemExit(main())
