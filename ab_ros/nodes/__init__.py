"""The ROS 2 nodes, and the only place that imports rclpy: thin layers over the ROS-free parts."""

import os

# Node processes share few cores, where BLAS threads wait for each other (a small product then takes
# 40 ms instead of 0.4 ms).  NumPy reads this when it is imported, so it must stand here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
