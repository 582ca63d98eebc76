"""``ab_ros serve``: a brain on this computer for robots elsewhere."""

from __future__ import annotations

import argparse
import logging
import os
import queue
import signal
from pathlib import Path
from types import FrameType
from typing import Any

from ab_ros.codec.rows import ROW_FORMS
from ab_ros.config import parse
from ab_ros.errors import ConfigError

_EXAMPLES = """
examples:
  ab_ros serve arm.db                                  to this computer only; no token needed
  AB_ROS_KEY=... ab_ros serve arm.db --host 0.0.0.0 --certificate host.pem --private-key host.key
  ab_ros serve arm.db --token-file ~/.ab_ros_key --host 192.168.1.5

Every project gets a brain of its own, which begins as BRAIN and is saved under --dir. BRAIN itself
stays as it is. Ctrl-C (or SIGTERM) saves what was learned and ends; a second one ends at once.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    parser = commands.add_parser(
        "serve",
        help="serve a brain to robots over the network",
        description="Serve a brain over the 0.1 protocol (HTTP and Socket.IO), so that this"
        " computer is the brain of robots elsewhere.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    # What is not given stays unset: the defaults and limits are those of the settings.
    unset = argparse.SUPPRESS
    add("brain", type=Path, metavar="BRAIN", help="a brain file")
    add("--host", default=unset, help="address to listen on (default 127.0.0.1)")
    add("--port", type=int, default=unset, help="default 8642; 0: any that is free")
    add(
        "--dir",
        dest="directory",
        type=Path,
        default=unset,
        metavar="DIR",
        help="where projects' brains are saved (default brains/served)",
    )
    add(
        "--project",
        dest="projects",
        action="append",
        default=unset,
        metavar="ID",
        help="a project that is served; may be given again (default: any)",
    )
    add("--rows", choices=ROW_FORMS, default=unset, help="form of output rows (default tuple)")
    keys = parser.add_argument_group("keys and TLS")
    add = keys.add_argument
    add("--token-file", default=unset, metavar="FILE", help="file with the token, chmod 600")
    add(
        "--token-variable",
        default=unset,
        metavar="NAME",
        help="environment variable with the token (default AB_ROS_KEY)",
    )
    add("--certificate", default=unset, metavar="PEM", help="TLS certificate (chain)")
    add("--private-key", default=unset, metavar="PEM", help="the certificate's private key")
    runs = parser.add_argument_group("runs")
    add = runs.add_argument
    add(
        "--hold",
        type=float,
        default=unset,
        metavar="S",
        help="how long a sample is used if nothing more is said about it (default 0.5)",
    )
    add(
        "--linger",
        type=float,
        default=unset,
        metavar="S",
        help="how long a run waits for its client to come back (default 300)",
    )
    add(
        "--autosave",
        type=float,
        default=unset,
        metavar="S",
        help="period of saving: a kill loses no more than that (default 30)",
    )
    add("--max-runs", dest="most_runs", type=int, default=unset, metavar="N", help="default 8")
    add(
        "--max-connections",
        dest="most_connections",
        type=int,
        default=unset,
        metavar="N",
        help="default 32",
    )
    add(
        "--largest-payload",
        type=int,
        default=unset,
        metavar="BYTES",
        help="largest sample that is read (default 8388608)",
    )
    add("--dt", type=float, default=unset, metavar="S", help="timestep of a brain never run")
    add("--seed", type=int, default=unset, metavar="N", help="seed of a brain never run")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    try:
        import uvicorn
        import websockets  # noqa: F401

        from ab_ros.server import BrainServer, ServerSettings
    except ImportError as error:
        raise ConfigError(
            f"the server needs {error.name or error}, which is not installed: pip install"
            f" 'ab_ros[server]'"
        ) from None
    del uvicorn
    given = {name: value for name, value in vars(options).items() if name != "run"}
    settings = parse(ServerSettings, given)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    # These two tell of every connection what the server tells of every run.
    for name in ("uvicorn", "websockets"):
        logging.getLogger(name).setLevel(logging.WARNING)
    ended = _ending()
    with BrainServer(settings) as server:
        projects = ", ".join(settings.projects) or "any"
        print(
            f"serves {settings.brain} on {server.url} (project ids: {projects}); Ctrl-C saves and"
            f" ends",
            flush=True,
        )
        if not settings.loopback and not settings.certificate:
            print("  without TLS: token and samples cross the network in the clear", flush=True)
        ended.get()
        print("saves and ends", flush=True)
    return 0


def _ending() -> queue.SimpleQueue[int]:
    """Return a queue that gets SIGTERM or SIGINT; a second signal ends the process at once."""
    # Not an event: its lock may be held by whom the signal interrupts.
    ended: queue.SimpleQueue[int] = queue.SimpleQueue()
    asked = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(128 + number)
        asked = True
        ended.put(number)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    return ended
