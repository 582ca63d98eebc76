"""A lifecycle node whose callbacks, timers and threads are gated as its publishers are.

``rclpy.lifecycle`` silences publishers of a node that is not active, and leaves all else running.
"""

from __future__ import annotations

import functools
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

from rclpy.client import Client
from rclpy.clock import Clock, JumpThreshold
from rclpy.clock_type import ClockType
from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.exceptions import ParameterException
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.service import Service
from rclpy.subscription import Subscription
from rclpy.task import Future
from rclpy.timer import Timer

from ab_ros.errors import AbRosError, ConfigError
from ab_ros.figures import Figures
from ab_ros.nodes import qos

EXIT_FAILED = 1


class GatedNode(LifecycleNode):
    """What a node makes and uses: publishers, subscriptions, timers, services, threads.

    All are destroyed when the node is cleaned up.  Attributes: ``figures``, the node's rates, ages,
    latencies and counts; ``exit_code``, not 0 once the node has failed.

    Parameters
    ----------
    name : the node's name.
    options : as ``rclpy.node.Node`` takes them.
    """

    worker_timeout: ClassVar[float] = 5.0
    """How long the worker threads may take to end, s."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self.figures = Figures()
        self.exit_code = 0
        self._active = False
        self._soon: deque[Callable[[], None]] = deque()
        self._spinning: Any = None
        self._entities: list[tuple[Any, Callable[[Any], Any]]] = []
        self._gated_timers: list[Timer] = []
        self._workers: list[threading.Thread] = []
        self._workers_end = threading.Event()
        self._complaints: dict[str, tuple[float, int]] = {}
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._service_change_state.callback = self._transition_service(
            self._service_change_state.callback
        )

    @property
    def active(self) -> bool:
        """Whether the node is active: callbacks run and publishers publish."""
        return self._active

    @property
    def stopping(self) -> threading.Event:
        """Set when the node is being deactivated: worker threads shall end."""
        return self._workers_end

    def now(self) -> float:
        """Return the time on the ROS clock, in s."""
        return float(self.get_clock().now().nanoseconds) * 1e-9

    def steady_now(self) -> float:
        """Return the time on the steady clock, in s."""
        return time.monotonic()

    def advertise(
        self, kind: type[Any], topic: str, profile: QoSProfile, *, always: bool = False
    ) -> Publisher[Any]:
        """Make a publisher; it is silent while the node is not active, unless ``always``."""
        create = self.create_publisher if always else self.create_lifecycle_publisher
        publisher: Publisher[Any] = self._with_overrides(
            topic,
            lambda: create(
                kind,
                topic,
                qos.own(profile),
                event_callbacks=qos.publisher_events(self, topic),
                qos_overriding_options=qos.overridable(),
            ),
        )
        destroy = self.destroy_publisher if always else self.destroy_lifecycle_publisher
        self._entities.append((publisher, destroy))
        return publisher

    def subscribe(
        self,
        kind: type[Any],
        topic: str,
        callback: Callable[[Any], None],
        profile: QoSProfile,
        *,
        always: bool = False,
        raw: bool = False,
        quiet: bool = False,
    ) -> Subscription[Any]:
        """Subscribe; while the node is not active messages are ignored, unless ``always``.

        Publishers that cannot be heard are reported, and users may override the policies; neither
        if it is ``quiet``, for a second subscription of a topic.
        Rate and age are measured.  A message for which the callback raises an AbRosError is counted
        as ``<topic> refused`` and reported; any other exception stops the node.
        """

        def receive(message: Any) -> None:
            if always or self._active:
                self.figures.mark(topic)
                self._guarded(topic, callback, message)

        subscription: Subscription[Any] = self._with_overrides(
            topic,
            lambda: self.create_subscription(
                kind,
                topic,
                receive,
                qos.own(profile),
                event_callbacks=(
                    SubscriptionEventCallbacks(use_default_callbacks=False)
                    if quiet
                    else qos.subscription_events(self, topic)
                ),
                qos_overriding_options=None if quiet else qos.overridable(),
                raw=raw,
            ),
        )
        self._entities.append((subscription, self.destroy_subscription))
        return subscription

    def every(
        self,
        period: float,
        callback: Callable[[], None],
        *,
        steady: bool = False,
        always: bool = False,
    ) -> Timer:
        """Call back every ``period`` s, on the ROS clock or on the steady one."""
        name = getattr(callback, "__name__", "timer")

        def tick() -> None:
            if always or self._active:
                self._guarded(name, callback)

        timer = self.create_timer(period, tick, clock=self._steady if steady else None)
        if not always:
            self._gated_timers.append(timer)
            if not self._active:
                timer.cancel()
        self._entities.append((timer, self.destroy_timer))
        return timer

    def serve(
        self, kind: type[Any], name: str, callback: Callable[[Any, Any], Any]
    ) -> Service[Any, Any]:
        """Offer a service, in every state.

        An AbRosError becomes ``success = False`` and its sentence ``message``, where the response
        has these fields.
        """

        def answer(request: Any, response: Any) -> Any:
            try:
                return callback(request, response)
            except AbRosError as error:
                self.report(name, error)
                said: Exception = error
            except Exception as error:
                self.fail(f"service {name}", error)
                said = error
            if hasattr(response, "success") and hasattr(response, "message"):
                response.success, response.message = False, str(said)
            return response

        service = self.create_service(kind, name, answer)
        self._entities.append((service, self.destroy_service))
        return service

    def use(self, kind: type[Any], name: str) -> Client[Any, Any]:
        """Make a client of a service, for :meth:`ask`."""
        client = self.create_client(kind, name)
        self._entities.append((client, self.destroy_client))
        return client

    def ask(
        self, client: Client[Any, Any], request: Any, answered: Callable[[Any], None]
    ) -> Future[Any]:
        """Send a request and call back with its response, if one comes; nothing is waited for.

        Who no longer expects the response shall say so by ``client.remove_pending_request``, or the
        request is kept for ever.
        """
        future = client.call_async(request)

        def done(future: Future[Any]) -> None:
            self._guarded(client.srv_name, lambda: answered(future.result()))

        future.add_done_callback(done)
        return future

    def watch_clock(
        self, callback: Callable[[float], None], *, forward: float | None = None
    ) -> None:
        """Call back when the ROS clock jumps, with the jump in s: backward, or forward by more.

        The callback comes in the thread that sets the clock and shall be quick.
        """
        threshold = JumpThreshold(
            min_forward=None if forward is None else Duration(seconds=forward),
            min_backward=Duration(nanoseconds=-1),
            on_clock_change=True,
        )

        def jumped(jump: Any) -> None:
            self._guarded("clock jump", callback, jump.delta.nanoseconds * 1e-9)

        handle = self.get_clock().create_jump_callback(threshold, post_callback=jumped)
        self._entities.append((handle, lambda jump_handle: jump_handle.unregister()))

    def drop(self, entity: Any) -> None:
        """Destroy a publisher, subscription, timer or service before the node is cleaned up."""
        for index, (known, destroy) in enumerate(self._entities):
            if known is entity:
                del self._entities[index]
                if entity in self._gated_timers:
                    self._gated_timers.remove(entity)
                destroy(entity)
                return

    def work(self, target: Callable[[threading.Event], None], name: str) -> threading.Thread:
        """Run ``target(stopping)`` in a thread of its own, to be called from :meth:`start`.

        It shall return soon after ``stopping`` is set, and is waited for after :meth:`stop`.  An
        exception in it stops the node with exit code 1.
        """

        def body(stopping: threading.Event) -> None:
            try:
                target(stopping)
            except Exception as error:
                self.fail(f"thread {name}", error)

        thread = threading.Thread(target=body, args=(self._workers_end,), name=name, daemon=True)
        self._workers.append(thread)
        thread.start()
        return thread

    def call_soon(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function in the executor's thread; may be called from any thread."""
        self._soon.append(functools.partial(function, *arguments))
        self.wake()

    def wake(self) -> None:
        """Make the executor return from waiting; may be called from any thread."""
        executor = self._spinning or self.executor
        if executor is not None:
            # Guard conditions would do, but EventsExecutor has none.
            executor.create_task(self._drain)

    def report(self, what: str, error: Exception | str) -> None:
        """Count what was refused and say why, at most once a second for each ``what``."""
        self.figures.add(f"{what} refused")
        said, silent = self._complaints.get(what, (-1.0, 0))
        now = time.monotonic()
        if said >= 0.0 and now - said < 1.0:
            self._complaints[what] = (said, silent + 1)
            return
        more = f" ({silent} more since the last report)" if silent else ""
        self._complaints[what] = (now, 0)
        self.get_logger().warning(f"{what}: {error}{more}")

    def fail(self, what: str, error: Exception) -> None:
        """Report an error that the node cannot go on with: it stops, robot first, with exit code 1.

        May be called from any thread.
        """
        self._log_error(what, error)
        self.exit_code = self.exit_code or EXIT_FAILED
        self.wake()

    # For the lifecycle.

    def _transition_service(
        self, change_state: Callable[[Any, Any], Any]
    ) -> Callable[[Any, Any], Any]:
        """Refuse a transition that the state does not allow; Jazzy's rclpy raises, to our end."""

        def answer(request: Any, response: Any) -> Any:
            try:
                return change_state(request, response)
            except _rclpy.RCLError as error:
                self.report("change_state", f"transition {request.transition.id}: {error}")
                response.success = False
                return response

        return answer

    def _open_gate(self) -> None:
        self._workers_end = threading.Event()
        self._active = True
        for timer in self._gated_timers:
            timer.reset()

    def _close_gate(self) -> None:
        self._active = False
        self._workers_end.set()
        for timer in self._gated_timers:
            timer.cancel()

    def _join_workers(self) -> None:
        deadline = time.monotonic() + self.worker_timeout
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
            if worker.is_alive():
                self.get_logger().error(f"thread {worker.name} has not ended; going on without it")
        self._workers.clear()

    def _destroy_entities(self) -> None:
        # What is published just before its publisher is destroyed may be lost.
        deadline = time.monotonic() + 0.2
        for entity, _ in self._entities:
            left = deadline - time.monotonic()
            if isinstance(entity, Publisher) and left > 0.0:
                entity.wait_for_all_acked(Duration(seconds=left))
        self._gated_timers.clear()
        while self._entities:
            entity, destroy = self._entities.pop()
            destroy(entity)

    def _guarded(self, what: str, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            callback(*arguments)
        except AbRosError as error:
            self.report(what, error)
        except Exception as error:
            self.fail(what, error)

    def _log_error(self, what: str, error: Exception) -> None:
        if isinstance(error, AbRosError):
            self.get_logger().error(f"{what} failed: {error}")
            return
        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self.get_logger().error(f"{what} failed: {type(error).__name__}: {error}\n{trace}")

    def _drain(self) -> None:
        # An exception in a task makes EventsExecutor crash the process, so none may leave here.
        while self._soon:
            self._guarded("deferred call", self._soon.popleft())

    def _with_overrides(self, topic: str, create: Callable[[], Any]) -> Any:
        try:
            return create()
        except (ParameterException, RuntimeError) as error:
            if "qos" not in str(error).lower():
                raise
            name = self.resolve_topic_name(topic)
            raise ConfigError(f"qos_overrides.{name}: {error}") from error
