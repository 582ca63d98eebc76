"""The robot's side of a run: send its state, execute the cycles' commands, judge them."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ab_ros.client.exchange import Update
from ab_ros.client.plugins.decoder import Deltas
from ab_ros.client.run import Run
from ab_ros.client.samples import read_state
from ab_ros.codec.rows import deltas_to_dq_dg, rasters_from_rows
from ab_ros.errors import BrainError, BrainUnreachable, ConfigError, ContractError, ObservationError
from ab_ros.learning.critic import Moment, Snapshot
from ab_ros.protocol.messages import RobotState
from ab_ros.values import Cycle

_log = logging.getLogger(__name__)

StateProvider = Callable[[], Mapping[str, Any]]
CommandExecutor = Callable[[dict[str, Any]], object]
_LONGEST_WAIT = 0.5


class RobotLoop:
    """Sends the robot's state, and for each cycle executes, marks it done and judges it.

    Everything of the user's is called in the thread of :meth:`run_forever`, one after the other.
    For each ``cycle:update`` the run's decoder turns the rows into deltas; for each timestep that
    has an entry, in ascending order and without a pause between them, the executor is called with::

        {"dq": [delta of joint:0, …], "dg": delta of the gripper, "cycle": int, "t": int,
         "deltas": {channel: delta}}

    Whoever plays the deltas out over time does so behind the executor.  Then ``robot:cycle_done``,
    the deviations of the run's plug-in and its reward are sent, in this order.

    Never executed are: rows of another run, or of a cycle that was handled; a cycle with a delta
    that is not finite (as a whole); what is older than ``max_age``, or comes while the robot's own
    state is not known as freshly.  A cycle is as old as the oldest of these: its arrival, that of
    its need, and the newest sample in it, if the server names that.  It is marked done all the
    same, so that the brain goes on.

    What a function of the user's raises is logged with its stack trace.  If that was the executor,
    the rest of its cycle is left out, and the next cycle is executed again.

    Parameters
    ----------
    run : whose loop it is.
    state_provider : returns ``{"q": [...], "dq": [...], "grip": {"pos": float}, "dt": s}``; the
        length of ``q`` is the number of joints.  It is also asked after each cycle, if there is a
        plug-in to be told.
    command_executor : moves the robot.
    state_rate : Hz at which the state is sent, while the executor returns in time.
    max_age : s that a command, or the robot's state, may be old.
    give_up_after : s without a connection after which :meth:`run_forever` fails; never by default.
    options : handed to the plug-ins in ``summary["options"]``.

    Raises
    ------
    ConfigError
        for a function that cannot be called, or a number that is not above 0.
    """

    def __init__(
        self,
        run: Run,
        state_provider: StateProvider,
        command_executor: CommandExecutor,
        *,
        state_rate: float = 20.0,
        max_age: float = 1.0,
        give_up_after: float = math.inf,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        for name, function in (
            ("state_provider", state_provider),
            ("command_executor", command_executor),
        ):
            if not callable(function):
                raise ConfigError(f"RobotLoop.{name}: must be a function, not {function!r}")
        for name, value in (
            ("state_rate", state_rate),
            ("max_age", max_age),
            ("give_up_after", give_up_after),
        ):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ConfigError(f"RobotLoop.{name}: must be greater than 0, not {value!r}")
        self._run = run
        self._read_state = state_provider
        self._execute_command = command_executor
        self._period = 1.0 / state_rate
        self._max_age = max_age
        self._give_up_after = give_up_after
        self._options = dict(options or {})
        self._counts: Counter[str] = Counter()
        self._stopped = threading.Event()
        self._running = threading.Lock()
        self._state: RobotState | None = None
        self._state_at = -math.inf
        self._state_due = -math.inf
        self._handled = ("", -1)
        self._last_refusal = ""

    def run_forever(self) -> None:
        """Run until :meth:`stop` or the end of the run.

        An interrupt from the keyboard ends it quietly, and closes the run.

        Raises
        ------
        BrainUnreachable
            if there was no connection for ``give_up_after`` s.
        BrainError
            if the run cannot go on, such as when the service has another brain now.
        ConfigError
            if it runs already.
        """
        if not self._running.acquire(blocking=False):
            raise ConfigError("RobotLoop: runs already")
        self._run.add_part(self)
        try:
            while not self._stopped.is_set() and not self._run.closed:
                self._send_state_if_due()
                wait = max(0.0, self._state_due - time.monotonic())
                update = self._run.updates.take(min(wait, _LONGEST_WAIT))
                if update is not None and not self._stopped.is_set():
                    self._handle(update)
                self._check_connection()
        except KeyboardInterrupt:
            _log.info("stopped from the keyboard")
            self._run.close()
        except BrainError:
            # Another thread may close the run while this one speaks.
            if not self._run.closed:
                raise
        finally:
            self._run.remove_part(self)
            self._stopped.clear()
            self._running.release()

    def stop(self) -> None:
        """Make :meth:`run_forever` return soon, or at once if it is called next; any thread."""
        self._stopped.set()
        self._run.updates.wake()

    def counts(self) -> Mapping[str, int]:
        """Return how often what was executed, refused or ignored, by name."""
        return dict(self._counts)

    def _check_connection(self) -> None:
        self._run.check()
        lost = self._run.lost_for()
        if lost > self._give_up_after:
            raise BrainUnreachable(
                f"run {self._run.run_id}: no connection for {lost:.1f} s, more than give_up_after"
                f" ({self._give_up_after:g} s)"
            )

    # The robot's state

    def _send_state_if_due(self) -> None:
        now = time.monotonic()
        if now < self._state_due:
            return
        # After a late turn the states that were left out are not made up for.
        self._state_due = max(self._state_due + self._period, now)
        if self._measure():
            assert self._state is not None
            self._run.send_message(self._state)

    def _measure(self) -> bool:
        """Ask for the robot's state; return whether it is one."""
        try:
            self._state = read_state(self._run.run_id, self._read_state())
        except ObservationError as error:
            self._counts["state refused"] += 1
            _log.error("what the state provider returned %s", error, exc_info=True)
            return False
        except Exception:
            self._counts["state provider failed"] += 1
            _log.exception("the state provider failed")
            return False
        self._state_at = time.monotonic()
        return True

    # Cycles

    def _handle(self, update: Update) -> None:
        run, number = update.message.run, update.message.cycle
        if run != self._run.run_id:
            self._counts["update of another run"] += 1
            return
        if run == self._handled[0] and number <= self._handled[1]:
            self._counts["update of an old cycle"] += 1
            return
        self._handled = (run, number)
        before = self._snapshot()
        deltas = self._decode(update)
        executed = deltas is not None and self._execute(update, deltas)
        self._counts["cycle executed" if executed else "cycle refused"] += 1
        if self._run.has_plugins:
            self._measure()
        summary = self._summary(update, deltas or {}, executed, before)
        self._run.finish_cycle(number, summary, run=run)

    def _decode(self, update: Update) -> Deltas | None:
        """Return what to execute, ascending in time; None if the cycle is refused."""
        if not self._run.has_decoder:
            self._refuse(update, "the run has no decoder (Run.set_decoder)")
            return None
        try:
            decoded = self._run.decode(update.message.rows)
            steps = {int(t): dict(channels) for t, channels in decoded.items()}
            total = sum(sum(abs(delta) for delta in step.values()) for step in steps.values())
        except Exception:
            self._counts["decoder failed"] += 1
            _log.exception("cycle %d: the decoder failed", update.message.cycle)
            return None
        if not math.isfinite(total):
            self._counts["not finite"] += 1
            _log.error(
                "cycle %d: a delta is not finite: the cycle is refused", update.message.cycle
            )
            return None
        inside = [t for t in sorted(steps) if 0 <= t < self._run.contract.gamma]
        if len(inside) < len(steps):
            self._counts["timestep out of range"] += len(steps) - len(inside)
        return {t: steps[t] for t in inside}

    def _execute(self, update: Update, deltas: Deltas) -> bool:
        for t, channels in deltas.items():
            self._send_state_if_due()
            refusal = self._refusal(update)
            if refusal:
                self._refuse(update, refusal)
                return False
            assert self._state is not None
            dq, dg = deltas_to_dq_dg(channels, len(self._state.q))
            command = {
                "dq": dq,
                "dg": dg,
                "cycle": update.message.cycle,
                "t": t,
                "deltas": dict(channels),
            }
            try:
                self._execute_command(command)
            except Exception:
                self._counts["executor failed"] += 1
                _log.exception("cycle %d: the command executor failed", update.message.cycle)
                return False
        self._last_refusal = ""
        return True

    def _refuse(self, update: Update, refusal: str) -> None:
        self._counts[refusal] += 1
        if refusal != self._last_refusal:
            self._last_refusal = refusal
            _log.warning("cycle %d: not executed: %s", update.message.cycle, refusal)

    def _refusal(self, update: Update) -> str:
        """Say why a cycle must not move the robot now; empty if it may."""
        now = time.monotonic()
        if self._stopped.is_set():
            return "stopped"
        if now - update.fresh_at > self._max_age:
            return "command too old"
        if self._state is None or now - self._state_at > self._max_age:
            return "no fresh robot state"
        return ""

    # --- For the plug-ins ----------------------------------------------------------------------

    def _snapshot(self) -> Snapshot:
        state = self._state
        if state is None:
            return Snapshot(time.time())
        names = state.names or [f"joint:{index}" for index in range(len(state.q))]
        # There may be no velocities.
        velocities = dict(zip(names, state.dq, strict=False))
        return Snapshot(time.time(), dict(zip(names, state.q, strict=True)), velocities=velocities)

    def _summary(
        self, update: Update, deltas: Deltas, executed: bool, before: Snapshot
    ) -> Mapping[str, Any]:
        """Return what the plug-ins are told; see :meth:`ab_ros.client.run.Run.finish_cycle`."""
        message = update.message
        try:
            rasters, _ = rasters_from_rows(message.rows, self._run.contract)
        except ContractError as error:
            self._counts["rows refused"] += 1
            _log.error("cycle %d: %s", message.cycle, error)
            rasters = {}
        after = self._snapshot()
        cycle = Cycle(
            message.run,
            message.cycle,
            rasters,
            self._run.dt,
            before.stamp,
            before.stamp,
            message.telemetry,
        )
        state = self._state
        return {
            **Moment(cycle, executed, before, after, self._options).summary(),
            "timesteps": self._run.contract.gamma,
            "deltas": {t: dict(step) for t, step in deltas.items()},
            "telemetry": dict(message.telemetry),
            "state": None if state is None else state.to_wire()["state"],
        }
