"""The process that a node runs in: its executor, its signals, its exit code.

The robot is stopped before anything else when the process is asked to end, which rclpy's own signal
handlers do not allow for: they invalidate the context while publishers are still needed.
"""

from __future__ import annotations

import math
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import rclpy
from rclpy.exceptions import InvalidNodeNameException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.signals import SignalHandlerOptions

from ab_ros.errors import ConfigError
from ab_ros.nodes.gated import EXIT_FAILED
from ab_ros.nodes.lifecycle import EXIT_BAD_CONFIGURATION, AbNode
from ab_ros.nodes.node_help import help_of
from ab_ros.nodes.parameter_files import check_files

MAX_DOMAIN = 232
"""Highest ROS domain whose DDS ports exist."""
STOP_TIMEOUT = 9.0
"""How long stopping may take before the process is ended, s; launch kills after 10."""
_WAIT = 0.5
_LOOK = 0.1  # s

Watch = Callable[[AbNode[Any]], None]
"""Looks at a node; for people who want to see how it does."""


def executor() -> Any:
    """Return the executor with the lowest latency that this rclpy has."""
    try:
        from rclpy.experimental.events_executor import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    return EventsExecutor()


class StopSignals:
    """Notes SIGINT, SIGTERM and SIGHUP, and wakes who waits; a second one changes nothing."""

    _SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.requested = threading.Event()
        self.wake: Callable[[], None] = lambda: None
        if threading.current_thread() is not threading.main_thread():
            return
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)
        # A Python handler only runs once the executor returns from C++; the byte comes at once.
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in self._SIGNALS:
            signal.signal(number, self._ignore)
        threading.Thread(target=self._listen, name="signals", daemon=True).start()

    @staticmethod
    def _ignore(_number: int, _frame: FrameType | None) -> None:
        pass

    def _listen(self) -> None:
        while number := self._read.recv(1):
            if number[0] in self._SIGNALS:
                self.requested.set()
                self.wake()

    def close(self) -> None:
        """Ignore these signals from now on, to the end of the process."""
        if threading.current_thread() is threading.main_thread():
            for number in self._SIGNALS:
                signal.signal(number, signal.SIG_IGN)


def run(
    *node_classes: type[AbNode[Any]],
    arguments: Sequence[str] | None = None,
    watch: Watch = lambda _: None,
) -> int:
    """Run nodes until a signal or a failure, and return the exit code of the process.

    Asked for ``--help`` (``-h``), it prints that of each node instead.  Running nodes is the last
    thing that a process does: stopping signals are ignored afterwards.

    Parameters
    ----------
    node_classes : the nodes, stopped in this order.
    arguments : ROS arguments as in ``sys.argv``, which is the default.
    watch : called with each node again and again, and once it has ended.

    Returns
    -------
    0 after a signal or the help; 1 if a node failed; 2 if a node did not start because of its
    configuration, which is then told on stderr in one line.
    """
    given = list(sys.argv if arguments is None else arguments)
    if {"-h", "--help"} & set(given[1:]):
        print("\n\n".join(help_of(node_class) for node_class in node_classes))
        return 0
    signals = StopSignals()
    name = ", ".join(node_class.node_name for node_class in node_classes)
    try:
        check_domain()
        check_files(given)
        rclpy.init(args=given, signal_handler_options=SignalHandlerOptions.NO)
    except ConfigError as error:
        return _refuse(name, str(error), EXIT_BAD_CONFIGURATION)
    except (_rclpy.UnknownROSArgsError, _rclpy.RCLInvalidROSArgsError) as error:
        return _refuse(name, _sentence(error), EXIT_BAD_CONFIGURATION)
    except _rclpy.RCLError as error:
        return _refuse_rcl(name, error)
    nodes: list[AbNode[Any]] = []
    spinning = executor()
    code = 0
    try:
        for node_class in node_classes:
            name = node_class.node_name
            nodes.append(node_class(arguments=given))
        _spin(nodes, spinning, signals, watch)
    except (ConfigError, InvalidNodeNameException) as error:
        code = _refuse(name, str(error), EXIT_BAD_CONFIGURATION)
    except _rclpy.RCLError as error:
        code = _refuse_rcl(name, error)
    finally:
        _finish(nodes, spinning, signals, watch)
    return code or max(node.exit_code for node in nodes)


def _spin(nodes: Sequence[AbNode[Any]], spinning: Any, signals: StopSignals, watch: Watch) -> None:
    signals.wake = nodes[0].wake
    for node in nodes:
        spinning.add_node(node)
        node.begin(spinning)
    looked = -math.inf
    while not signals.requested.is_set() and not any(node.exit_code for node in nodes):
        try:
            spinning.spin_once(timeout_sec=_WAIT)
        except Exception as error:
            nodes[0].fail("executor", error)
        if time.monotonic() - looked > _LOOK:
            looked = time.monotonic()
            for node in nodes:
                watch(node)


def _finish(
    nodes: Sequence[AbNode[Any]], spinning: Any, signals: StopSignals, watch: Watch
) -> None:
    signals.wake = lambda: None
    watchdog = threading.Timer(STOP_TIMEOUT, _end)
    watchdog.daemon = True
    watchdog.start()
    for node in nodes:
        try:
            node.finish()
        except Exception as error:
            node.fail("stopping", error)
        watch(node)
    for node in nodes:
        spinning.remove_node(node)
        node.destroy_node()
    spinning.shutdown()
    rclpy.try_shutdown()
    signals.close()
    watchdog.cancel()


def _end() -> None:
    print(f"stopping took longer than {STOP_TIMEOUT:g} s: ending anyway", file=sys.stderr)
    sys.stderr.flush()
    os._exit(EXIT_FAILED)


def check_domain() -> None:
    """Refuse a ROS_DOMAIN_ID that is no domain, by raising a ConfigError."""
    text = os.environ.get("ROS_DOMAIN_ID", "").strip()
    if text and not (text.isdecimal() and int(text) <= MAX_DOMAIN):
        # Left to the middleware, this ends the process without a word about the cause.
        raise ConfigError(
            f"ROS_DOMAIN_ID: {text!r} is not allowed; must be an integer from 0 to {MAX_DOMAIN}"
        )


def _refuse(name: str, sentence: str, code: int) -> int:
    print(f"{name}: {sentence}", file=sys.stderr)
    return code


def _refuse_rcl(name: str, error: BaseException) -> int:
    sentence = _sentence(error)
    if "pars" in sentence:
        return _refuse(name, sentence, EXIT_BAD_CONFIGURATION)
    domain = os.environ.get("ROS_DOMAIN_ID") or "0"
    return _refuse(
        name,
        f"cannot take part in ROS domain {domain}: {sentence}; if very many nodes run in this"
        f" domain, choose another one by ROS_DOMAIN_ID",
        EXIT_FAILED,
    )


def _sentence(error: BaseException) -> str:
    """Return an error of rcl without its source positions."""
    text = re.sub(r",? at [^\s,]+:\d+", "", str(error))
    return " ".join(text.split())
