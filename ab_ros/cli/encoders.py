"""``ab_ros encoders``: the encoders that a configuration can choose, and their settings."""

from __future__ import annotations

import argparse
import inspect
import re
from typing import Any

from ab_ros.codec.encoder import Encoder
from ab_ros.codec.plugins import brought_by, plugin_names
from ab_ros.codec.registry import ENCODERS, find_encoder
from ab_ros.config import describe


def add_parser(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    parser = commands.add_parser(
        "encoders",
        help="list the encoders of samples, or say what one does and every setting of it",
        description="Encoders turn samples of a sensor into spikes.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="of one encoder")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a line for each encoder, or all about one."""
    if options.name:
        encoder = find_encoder(options.name)
        print(f"{options.name}: reads {', '.join(encoder.kinds)}\n")
        print(f"{_plain(encoder)}\n\n{describe(encoder.settings_type)}")
        return 0
    foreign = [name for name in plugin_names() if name not in ENCODERS]
    width = max(map(len, (*ENCODERS, *foreign)))
    for name, encoder in ENCODERS.items():
        print(f"{name:{width}}  {_plain(encoder).splitlines()[0]} ({', '.join(encoder.kinds)})")
    for name in foreign:
        print(f"{name:{width}}  of {brought_by(name)}")
    return 0


def _plain(encoder: type[Encoder]) -> str:
    """Return what an encoder says of itself, without the marks of reStructuredText."""
    text = inspect.getdoc(encoder) or "(It does not say what it does.)"
    return re.sub(r":\w+:`~?([\w.]+)`", r"\1", text).replace("``", "")
