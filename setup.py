"""The part of ab_ros that needs no ROS 2, as an ordinary Python package.

``pip install .[audio,fast,gym,mcap,plot,record,server,sim]`` is for notebooks, training and tests.
The ROS 2 package, with its messages and nodes, is built from package.xml and CMakeLists.txt by
colcon, which does not read this file.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

PACKAGE = ElementTree.parse(Path(__file__).resolve().parent / "package.xml").getroot()

setup(
    name="ab_ros",
    version=PACKAGE.findtext("version"),
    description=PACKAGE.findtext("description"),
    license="Apache-2.0",
    license_files=["LICENSE"],
    author=PACKAGE.findtext("maintainer"),
    python_requires=">=3.10",
    packages=find_packages(include=["ab_ros", "ab_ros.*"]),
    package_data={
        "ab_ros": [f"**/*.{suffix}" for suffix in ("json", "proto", "sql", "urdf", "yaml")]
    },
    zip_safe=False,
    install_requires=[
        "aiohttp",
        "httpx",
        "jsonschema",
        "numpy",
        "opencv-python-headless",
        "python-socketio",
        "PyYAML",
    ],
    extras_require={
        "audio": ["scipy", "sounddevice"],
        "fast": ["numba"],
        "gym": ["gymnasium"],
        "mcap": ["mcap"],
        "plot": ["matplotlib", "pillow"],
        "record": ["h5py", "protobuf"],
        "server": ["uvicorn", "websockets"],
        "sim": ["mujoco"],
        "test": ["hypothesis", "mypy", "pytest", "ruff", "types-PyYAML", "types-jsonschema"],
    },
    entry_points={"console_scripts": ["ab_ros = ab_ros.cli:main"]},
)
