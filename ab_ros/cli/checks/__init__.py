"""What would not work with a robot's configuration, found without a robot and without ROS."""
