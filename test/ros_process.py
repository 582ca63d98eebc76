"""Start nodes in processes of their own, and talk to them from the test."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DOMAIN = int(os.environ.get("AB_ROS_TEST_DOMAIN") or 10 + os.getpid() % 90)
"""The ROS domain of these nodes, which a test run claims; above 101 the ports meet those that Linux
hands out."""
# More than the 20 s for which a node is still listed whose farewell was lost, and than a process of
# all nodes takes from its start to its end on a machine that does many other things.
PATIENCE = 120.0
"""How long a test waits for something that must happen, s; a bound, not a measurement."""

_ASK_AGAIN = 5.0  # s


class NodeProcess:
    """A Python script that runs a node; its output can be waited for line by line."""

    def __init__(self, script: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
        surroundings = {
            **os.environ,
            "ROS_DOMAIN_ID": str(DOMAIN),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            **(env or {}),
        }
        self.process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=surroundings,
        )
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._new: queue.Queue[str | None] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in (
                (self.process.stdout, self.lines),
                (self.process.stderr, self.errors),
            )
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any, into: list[str]) -> None:
        for line in stream:
            into.append(line.rstrip("\n"))
            self._new.put(line)
        self._new.put(None)

    def wait_for(self, text: str) -> None:
        """Wait until a line of stdout or stderr contains a text."""
        deadline = time.monotonic() + PATIENCE
        while not any(text in line for line in [*self.lines, *self.errors]):
            left = deadline - time.monotonic()
            if left <= 0.0 or (self.process.poll() is not None and self._new.empty()):
                if any(text in line for line in [*self.lines, *self.errors]):
                    return
                raise AssertionError(f"no {text!r} in {self.lines} or {self.errors}")
            try:
                self._new.get(timeout=min(left, 0.2))
            except queue.Empty:
                continue

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for the end and return the exit code."""
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return code

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        # Peers go on seeing a killed node for 20 s and would call its services in vain.
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


class Peer:
    """A plain node in the test's process."""

    def __init__(self, name: str = "test_peer") -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.signals import SignalHandlerOptions

        self.context = rclpy.Context()
        rclpy.init(
            args=[],
            context=self.context,
            domain_id=DOMAIN,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self.node = rclpy.create_node(name, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def until(self, condition: Callable[[], Any], what: str = "it") -> Any:
        """Spin until a condition holds and return its value."""
        deadline = time.monotonic() + PATIENCE
        while not (value := condition()):
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            self.executor.spin_once(timeout_sec=0.02)
        return value

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service of a lifecycle node, once, and return its response.

        DDS drops the response to a client that the server has not discovered yet.  A server
        discovers clients in the order in which they were made: one that answers a later client
        knows this one, too.
        """
        client = self.node.create_client(kind, name)
        try:
            self.until(client.service_is_ready, f"service {name}")
            self.state(name.rpartition("/")[0])
            future = client.call_async(request)
            self.until(future.done, f"an answer from {name}")
            return future.result()
        finally:
            self.node.destroy_client(client)

    def ask(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service that changes nothing; ask again where no answer comes, as in `call`."""
        client = self.node.create_client(kind, name)
        try:
            self.until(client.service_is_ready, f"service {name}")
            futures = [client.call_async(request)]
            asked = time.monotonic()

            def answered() -> Any:
                nonlocal asked
                if time.monotonic() - asked > _ASK_AGAIN:
                    asked = time.monotonic()
                    futures.append(client.call_async(request))
                return next((future for future in futures if future.done()), None)

            return self.until(answered, f"an answer from {name}").result()
        finally:
            self.node.destroy_client(client)

    def transition(self, node: str, transition: int) -> bool:
        """Ask for a lifecycle transition; whether it succeeded."""
        from lifecycle_msgs.srv import ChangeState

        request = ChangeState.Request()
        request.transition.id = transition
        return bool(self.call(ChangeState, f"{node}/change_state", request).success)

    def state(self, node: str) -> str:
        """Return the lifecycle state of a node."""
        from lifecycle_msgs.srv import GetState

        return str(self.ask(GetState, f"{node}/get_state", GetState.Request()).current_state.label)

    def set_parameters(self, node: str, **values: Any) -> Any:
        """Set parameters together; the result with its reason.  Dots are written ``__``."""
        from rcl_interfaces.srv import SetParametersAtomically
        from rclpy.parameter import Parameter

        request = SetParametersAtomically.Request(
            parameters=[
                Parameter(name.replace("__", "."), value=value).to_parameter_msg()
                for name, value in values.items()
            ]
        )
        return self.call(
            SetParametersAtomically, f"{node}/set_parameters_atomically", request
        ).result

    def close(self) -> None:
        import rclpy

        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context, uninstall_handlers=False)
