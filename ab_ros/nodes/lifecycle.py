"""The lifecycle node that all nodes of ab_ros build upon.

A node fills in four hooks.  Around them, this base brings declared and validated parameters, the
gating of callbacks while the node is not active, errors told in a sentence, and figures on
``/diagnostics``.  :func:`ab_ros.nodes.process.run` runs it.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from ab_ros.errors import AbRosError, ConfigError
from ab_ros.nodes.diagnostics import Diagnostics, Health, Level
from ab_ros.nodes.gated import EXIT_FAILED, GatedNode
from ab_ros.nodes.parameters import Parameters
from ab_ros.nodes.twins import Standing, Twins

S = TypeVar("S")

SUCCESS = TransitionCallbackReturn.SUCCESS
FAILURE = TransitionCallbackReturn.FAILURE
ERROR = TransitionCallbackReturn.ERROR

EXIT_BAD_CONFIGURATION = 2

_CLOCK_PATIENCE = 3.0  # s in which a simulation may start before people are told
_PACE_LOOKS = 9  # every 0.5 s: the real-time factor is that of the last 4 s


class AbNode(GatedNode, Generic[S]):
    """A lifecycle node with settings of type ``S``.

    Subclasses set ``node_name`` and ``settings_class`` and override the hooks :meth:`setup`,
    :meth:`start`, :meth:`stop` and :meth:`teardown`.  All hooks and callbacks run in the executor's
    thread.  A hook that raises an :class:`~ab_ros.errors.AbRosError` makes the transition fail; any
    other exception is a defect: it leads to error processing, and the node cleans up.

    rclpy keeps the state of a node in attributes of plain names (``_clock``, ``_parameters``,
    ``_timers``, ``_publishers``, ``_services`` …): attributes of a subclass need other ones.

    Parameters
    ----------
    arguments : the arguments of the process; ``sys.argv`` by default.
    options : as ``rclpy.node.Node`` takes them.

    Raises
    ------
    ConfigError
        for an unknown or missing parameter, or a wrong type or value.
    """

    node_name: ClassVar[str]
    settings_class: ClassVar[type[Any]]
    unique: ClassVar[bool] = False
    """Whether the node refuses to be active beside another one of its name."""
    discovery_time: ClassVar[float] = 1.0
    """How long a unique node looks for others before it activates itself, s."""
    newcomer_time: ClassVar[float] = 5.0
    """How long a unique node must have been active to go on before any other one, s."""

    def __init__(self, *, arguments: Sequence[str] | None = None, **options: Any) -> None:
        super().__init__(self.node_name, **options)
        self._configured = False
        self._hook_error: Exception | None = None
        self._born = time.monotonic()
        self._active_since = math.inf
        self._activate_after: float | None = None
        self._waits_for_clock = False
        self._pace: deque[tuple[float, float]] = deque(maxlen=_PACE_LOOKS)
        self._parameters_of_node: Parameters[S] = Parameters(
            self,
            self.settings_class,
            arguments=arguments,
            check=self.check,
            changed=self._reconfigure,
        )
        for sentence in self._parameters_of_node.source.unused:
            self.get_logger().warning(sentence)
        self.autostart = self._declare_autostart()
        self._diagnostics = Diagnostics(self, self.figures, self._overall_health)
        self._twins = Twins(self, self.unique, self._is_settled, self._give_way_or_begin)
        self._graph_timer = self.create_timer(0.5, self._watch_graph, clock=self._steady)

    # What a node fills in.

    def check(self, settings: S) -> None:
        """Refuse settings that are each allowed but do not go together, by raising ConfigError.

        Called before the node is complete, and for each live change: it shall look at nothing else.
        A sentence that begins with a setting's dotted name and a colon is told with file and line.
        """

    def setup(self) -> None:
        """Make publishers, subscriptions, timers and services; load what is needed."""

    def start(self) -> None:
        """Begin to act; publishers are enabled, callbacks follow."""

    def stop(self) -> None:
        """Cease to act, the robot first; publishers are still enabled, callbacks have ceased.

        Also called when :meth:`start` failed half-way.
        """

    def teardown(self) -> None:
        """Release what :meth:`setup` loaded, also when it failed half-way.

        What was made by :meth:`advertise` and the like is destroyed afterwards.
        """

    def reconfigure(self, new: S, old: S) -> None:
        """Apply settings that were changed while running; ``settings`` is already the new one."""

    def health(self) -> Health:
        """Say how the node does, for ``/diagnostics``."""
        return Level.OK, "active" if self._active else "not active"

    @classmethod
    def help_more(cls) -> str:
        """Return what ``--help`` shall say beside topics and parameters, such as devices."""
        return ""

    # What a node uses.

    @property
    def settings(self) -> S:
        """The current settings."""
        return self._parameters_of_node.value

    def located(self, error: ConfigError) -> ConfigError:
        """Return an error whose sentence begins with a setting's name with its file and line."""
        return ConfigError(self._parameters_of_node.located(error) or str(error))

    # Starting and finishing.

    def begin(self, executor: Any) -> None:
        """Configure and activate the node if ``autostart`` is set; called once it is spun."""
        self._spinning = executor
        self.wake()
        if self.autostart:
            self.call_soon(self._autostart)

    def finish(self) -> None:
        """Deactivate, clean up and shut down, whatever the state is; the robot is stopped first."""
        self._activate_after = None
        for label, transition in (
            ("active", self.trigger_deactivate),
            ("inactive", self.trigger_cleanup),
        ):
            if self.state == label and transition() is not SUCCESS:
                self.exit_code = self.exit_code or EXIT_FAILED
        if self.state in ("unconfigured", "inactive", "active"):
            self.trigger_shutdown()
        self._spinning = None

    @property
    def state(self) -> str:
        """The lifecycle state: ``unconfigured``, ``inactive``, ``active`` or ``finalized``."""
        return str(self._state_machine.current_state[1])

    @property
    def condition(self) -> Health:
        """How the node does, in any state; as on ``/diagnostics``."""
        return self._overall_health()

    def _autostart(self) -> None:
        if self.state == "unconfigured" and self.trigger_configure() is not SUCCESS:
            self._give_up()
        elif self.state == "inactive":
            wait = self.discovery_time if self.unique else 0.0
            self._activate_after = self._born + wait
            self._activate_if_due()

    def _activate_if_due(self) -> None:
        if self._activate_after is None or time.monotonic() < self._activate_after:
            return
        if self.state != "inactive":
            self._activate_after = None
            return
        if self._may_be_active():
            self._activate_after = None
            if self.trigger_activate() is not SUCCESS:
                self._give_up()

    def _give_up(self) -> None:
        bad = isinstance(self._hook_error, ConfigError)
        self.exit_code = self.exit_code or (EXIT_BAD_CONFIGURATION if bad else EXIT_FAILED)
        self.wake()

    def _watch_graph(self) -> None:
        self._watch_pace()
        self._give_way_or_begin(remind=True)

    def _give_way_or_begin(self, *, remind: bool = False) -> None:
        standing = self._twins.look(remind=remind)
        if self._active and self.unique and standing is Standing.SECOND:
            self.trigger_deactivate()
            if self.autostart:
                self._activate_after = time.monotonic()
        self._activate_if_due()

    def _is_settled(self) -> bool:
        return self._active and time.monotonic() - self._active_since >= self.newcomer_time

    def _may_be_active(self) -> bool:
        return not self.unique or self._twins.look() in (Standing.ALONE, Standing.FIRST)

    def _watch_pace(self) -> None:
        """Measure how fast the robot's clock goes, and say so where there is none."""
        now, steady = self.now(), self.steady_now()
        if self._pace and now < self._pace[-1][0]:
            self._pace.clear()  # a simulation that was reset
        self._pace.append((now, steady))
        before, steady_before = self._pace[0]
        if steady > steady_before:
            self.figures.set("real-time factor", (now - before) / (steady - steady_before))
        waits = bool(self.get_clock().ros_time_is_active) and now == 0.0
        if waits and not self._waits_for_clock and steady - self._born > _CLOCK_PATIENCE:
            self._waits_for_clock = True
            self.get_logger().warning(self._no_clock())
        elif self._waits_for_clock and not waits:
            self._waits_for_clock = False
            self.get_logger().info("/clock has begun")

    def _no_clock(self) -> str:
        others = self.count_publishers("/clock")
        silent = "its publisher has sent none" if others else "nobody publishes it"
        return (
            f"use_sim_time is set, but no time has come on /clock: {silent}; start the simulation,"
            f" or set use_sim_time to false"
        )

    def _declare_autostart(self) -> bool:
        override = self._parameter_overrides.get("autostart")
        value = True if override is None else override.value
        if not isinstance(value, bool):
            origin = self._parameters_of_node.source.at(("autostart",))
            raise ConfigError(f"{origin}: must be true or false, not {value!r}")
        described = ParameterDescriptor(
            description="Whether the node configures and activates itself.", read_only=True
        )
        self.declare_parameter("autostart", value, described, ignore_override=True)
        return value

    # Transitions.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run :meth:`setup`."""
        self._configured = True
        outcome = self._attempt_hook("configuring", self.setup)
        if outcome is not SUCCESS:
            self._clean_up()
        return outcome

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enable publishers and callbacks and run :meth:`start`."""
        if not self._may_be_active():
            self.get_logger().error("not activated: another node of this name is running")
            return FAILURE
        super().on_activate(state)
        self._active_since = time.monotonic()
        self._open_gate()
        outcome = self._attempt_hook("activating", self.start)
        if outcome is not SUCCESS:
            self._cease(state)
        return outcome

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run :meth:`stop`, then disable publishers, whatever goes wrong."""
        return self._cease(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run :meth:`teardown` and destroy what was made since the node was configured."""
        return self._clean_up()

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and clean up as far as the state asks for it."""
        self._cease(state)
        self._clean_up()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and clean up: the node can be configured again."""
        self._cease(state)
        self._clean_up()
        return SUCCESS

    def _cease(self, state: LifecycleState) -> TransitionCallbackReturn:
        if not self._active:
            return SUCCESS
        self._close_gate()
        outcome = self._attempt_hook("deactivating", self.stop)
        self._join_workers()
        super().on_deactivate(state)
        return SUCCESS if outcome is SUCCESS else ERROR

    def _clean_up(self) -> TransitionCallbackReturn:
        if not self._configured:
            return SUCCESS
        self._configured = False
        outcome = self._attempt_hook("cleaning up", self.teardown)
        self._destroy_entities()
        return SUCCESS if outcome is SUCCESS else ERROR

    # Errors.

    def _attempt_hook(self, what: str, hook: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            hook()
        except AbRosError as error:
            self._hook_error = error
            self.get_logger().error(f"{what} failed: {error}")
            return FAILURE
        except Exception as error:
            self._hook_error = error
            self._log_error(what, error)
            return ERROR
        return SUCCESS

    def _reconfigure(self, new: S, old: S) -> None:
        # Before setup there is nothing to apply it to; setup will read it.
        if self._configured:
            self._guarded("reconfiguring", self.reconfigure, new, old)

    def _overall_health(self) -> Health:
        if self._twins.others:
            return Level.ERROR, "another node of this name is running"
        if self._waits_for_clock:
            return Level.WARN, self._no_clock()
        return self.health() if self._configured else (Level.OK, "not configured")
