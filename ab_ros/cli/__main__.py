"""``python -m ab_ros.cli``."""

from ab_ros.cli import main

raise SystemExit(main())
