"""Faults, and a small simulated robot that shows what they do to it, for every command interface.

python test/motion_faults.py        # writes docs/faults.md from what the robot did
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ab_ros.config import parse
from ab_ros.contract import Contract
from ab_ros.engine.atomic import replaced
from ab_ros.errors import ContractError
from ab_ros.motion import (
    INTERFACES,
    Answer,
    Code,
    Command,
    MotorSettings,
    MotorStage,
    Quantity,
    State,
    resolve_limits,
)
from ab_ros.motion.measured import JUMP_TIME
from ab_ros.motion.settings import GRIPPERS
from ab_ros.values import ChannelDeltas, Cycle

PAGE = Path(__file__).resolve().parent.parent / "docs" / "faults.md"
DT, T = 0.002, 10
CYCLE = T * DT
BEAT = 0.01  # s, of joint states and of the watch
BEGIN, END = 0.4, 1.0  # s, of the fault
LAST = 2.4
RESUME = 0.2  # s, after which a person resumes
SPEED = 0.2  # what the brain asks for
CONTRACT = Contract.from_dict({"constants": {"gamma": T}, "io": {"outputs": [{"id": "A", "n": 2}]}})
LIMIT = {
    "lower": -1.0,
    "upper": 1.0,
    "velocity": 0.8,
    "acceleration": 8.0,
    "effort": 5.0,
    "effort_rate": 100.0,
}
FRICTION, MASS, LEAK = 5.0, 0.2, 0.1
CONTROLLER_TIMEOUT = 0.5  # s, of a controller of velocities or efforts; a frozen node needs one


def wheels(interface: str) -> bool:
    """Whether an interface moves a base, whose position nobody measures."""
    return interface.startswith("twist")


def settings_of(interface: str, deadman: float = 0.0, **limit: float) -> MotorSettings:
    """Return the settings of a robot of one channel."""
    channel = "linear_x" if wheels(interface) else "a"
    bound = {**LIMIT, **limit}
    if wheels(interface):
        bound = {key: bound[key] for key in ("velocity", "acceleration")}
    unit = SPEED * DT if INTERFACES[interface] is not Quantity.EFFORT else SPEED * FRICTION / 50.0
    group: dict[str, Any] = {"channels": [channel], "topic": "command", "interface": interface}
    if INTERFACES[interface] is Quantity.EFFORT:
        group["leak"] = LEAK
    return parse(
        MotorSettings,
        {
            "mapping": {"a": {"population": "A", "channel": channel, "per_step_max": unit}},
            "groups": {"group": group},
            "limits": {channel: bound},
            "deadman_timeout": deadman,
            "direct": True,
        },
    )


class Robot:
    """What stands behind the command topic: it has one joint, or one wheel."""

    def __init__(self, interface: str) -> None:
        self.interface = interface
        self.quantity = INTERFACES[interface]
        self.position = self.speed = self.applied = 0.0
        self.blocked = False
        self._command: Command | None = None
        self._sent = self._sent_robot = 0.0
        self._from = self._played = 0.0
        self.silent = 0.0

    def take(self, command: Command, steady: float, now: float) -> None:
        """Take a command, which replaces the one before."""
        self._played = 0.0
        self._command, self._sent, self._sent_robot = command, steady, now
        self._from = self.position

    def discard(self) -> None:
        """Drop the points that a forward output has not played yet."""
        if self._command is not None and self.interface in ("position", "joint_state"):
            self._command = None

    def step(self, steady: float, now: float, frozen: bool, clock: bool) -> None:
        """Let a timestep pass; a controller of trajectories goes by the robot's clock."""
        before = self.position
        self._played += DT if clock else 0.0
        self.silent = self.silent + DT if frozen else 0.0
        if self.quantity is Quantity.POSITION:
            self._follow(steady, now, frozen)
        else:
            self._drive(steady, now, frozen)
        self.speed = (self.position - before) / DT

    def _follow(self, steady: float, now: float, frozen: bool) -> None:
        command = self._command
        if command is None:
            return
        path = command.values[:, 0]
        if self.interface == "joint_trajectory":
            grid = np.concatenate(([0.0], command.times))
            path = np.concatenate(([self._from], path))
            self.position = float(np.interp(self._played, grid, path))
        elif self.interface.startswith("gripper"):
            way = float(path[-1]) - self.position
            self.position += min(max(way, -0.9 * DT), 0.9 * DT)
        else:
            due = self._due(command, steady, now)
            if due and not frozen:
                self.position = float(path[due - 1])

    def _drive(self, steady: float, now: float, frozen: bool) -> None:
        command = self._command
        if self.silent > CONTROLLER_TIMEOUT:
            self.applied, self._command = 0.0, None
        elif command is not None and not frozen:
            due = self._due(command, steady, now)
            if due:
                self.applied = float(command.values[due - 1, 0])
        if self.quantity is Quantity.VELOCITY:
            self.position += self.applied * DT
        else:
            speed = self.speed + (self.applied - FRICTION * self.speed) / MASS * DT
            self.position += speed * DT

    def _due(self, command: Command, steady: float, now: float) -> int:
        passed = steady - self._sent
        if not command.stop:
            passed = min(passed, now - self._sent_robot)
        return int(np.searchsorted(command.times, passed + 1e-9, side="right"))


class World:
    """A brain, a robot and the stage between them, which faults are done to."""

    def __init__(self, interface: str, deadman: float = 0.0, **limits: float) -> None:
        self.interface = interface
        self.deadman, self.limits = deadman, limits
        self.robot = Robot(interface)
        self.channel = "linear_x" if wheels(interface) else "a"
        self.now, self.steady, self.time = 100.0, 5.0, 0.0
        self.run, self.number, self.scale = "first", 0, 1
        self.spikes = self.states = self.clock = self.pressed = True
        self.missing = self.frozen = False
        self.glitch = math.nan
        self.deadman_heard = True
        self.state: dict[str, float] = {}
        self.cycle: dict[str, Any] = {}
        self.held: list[Cycle] = []
        self.commands: list[tuple[float, Command]] = []
        self.answers: list[tuple[float, Answer]] = []
        self.codes: list[tuple[float, State, Code]] = []
        self.path: list[tuple[float, float, float]] = []
        self.effort: list[tuple[float, float]] = []
        self.start()

    def start(self) -> None:
        """Make a stage, as a motor node does when it starts."""
        settings = settings_of(self.interface, self.deadman, **self.limits)
        limits = resolve_limits(settings.channels, settings.limits)
        self.stage = MotorStage(settings, limits, compiled=False)
        self.stage.begin_run(self.run, CONTRACT)
        self.stage.activate(self.now, self.steady)
        self._jumps = 0

    def limit(self, **changes: float) -> None:
        """Change limits live."""
        settings = settings_of(self.interface, self.deadman, **{**self.limits, **changes})
        limits = resolve_limits(settings.channels, settings.limits)
        self.stage.reconfigure(settings, limits)

    def begin(self, run: str) -> None:
        """Let a brain begin a run."""
        self.run, self.number = run, 0
        self.stage.begin_run(run, CONTRACT)

    # ------------------------------------------------------------------------------ what happens

    def step(self) -> None:
        """Let a timestep pass."""
        self.time += DT
        self.steady += DT
        self.now += DT if self.clock else 0.0
        self.robot.step(self.steady, self.now, self.frozen, self.clock)
        self.path.append((self.time, self.robot.position, self.robot.speed))
        tick = round(self.time / DT)
        if tick % round(BEAT / DT) == 0 and not self.frozen:
            if self.deadman_heard:
                self.stage.deadman(self.pressed, self.steady)
            if self.states:
                self.feel()
            self.take(self.stage.watch(self.now, self.steady))
        if tick % T == 0 and self.spikes:
            self.beat()
        if not self.codes or self.codes[-1][1:] != (self.stage.state, self.stage.code):
            self.codes.append((self.time, self.stage.state, self.stage.code))

    def feel(self) -> None:
        """Publish a joint state."""
        names = ["x"] if self.missing else ["x", "a"]
        at = self.state.get("position", self.robot.position)
        if not math.isnan(self.glitch):
            at, self.glitch = self.glitch, math.nan
        position = [0.0, at][: len(names)]
        velocity = [0.0, self.state.get("velocity", self.robot.speed)][: len(names)]
        stamp = self.state.get("stamp", self.now)
        self.stage.measure(names, position, velocity, stamp, self.now, self.steady)

    def beat(self) -> None:
        """Publish a cycle; a frozen motor node finds it later."""
        raster = np.zeros((T, 2), np.uint8)
        raster[:, 0] = 1
        values: dict[str, Any] = {
            "run": self.run,
            "number": self.number,
            "rasters": {"A": raster},
            "dt": DT,
            "stamp": self.now - CYCLE,
            "observed": self.now - CYCLE,
        }
        if "delta" in self.cycle or self.scale != 1:
            unit = self.stage.settings.mapping["a"].unit * self.scale
            deltas = np.full((T, 1), unit)
            deltas[3, 0] = self.cycle.get("delta", unit)
            values |= {"rasters": {}, "deltas": ChannelDeltas((self.channel,), deltas)}
        values |= {key: value for key, value in self.cycle.items() if key != "delta"}
        self.number += 1
        try:
            cycle = Cycle(**values)
        except ContractError as error:
            answer = self.stage.refuse(values["run"], values["number"], Code.BAD_FRAME, str(error))
            self.answers.append((self.time, answer))
            return
        if self.frozen:
            self.held.append(cycle)
        else:
            self.execute(cycle)

    def execute(self, cycle: Cycle) -> None:
        """Hand the stage a cycle."""
        answer = self.stage.execute(cycle, self.now, self.steady)
        self.answers.append((self.time, answer))
        self.take(answer.commands)

    def take(self, commands: tuple[Command, ...]) -> None:
        """Send commands to the robot."""
        if self.stage.clock_jumps != self._jumps:
            self._jumps = self.stage.clock_jumps
            self.robot.discard()
        for command in commands:
            self.commands.append((self.time, command))
            self.robot.take(command, self.steady, self.now)


# -------------------------------------------------------------------------------------- the faults


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, and what makes it right again.

    Parameters
    ----------
    what : in a few words.
    codes : what the stage says: {kind of interface: code}, ``""`` for all that are not named; OK
        where the robot moves on.  Kinds are ``position``, ``grippers``, ``velocity``,
        ``effort`` and ``wheels``.
    begin, end : what happens to the world; ``end`` at :data:`END`.
    refused : code with which cycles are refused while the robot moves on.
    resumed : whether it waits for a person.
    until : s, when the fault ends.
    each : what happens at every timestep of it.
    deadman : s, the robot's ``deadman_timeout``.
    first : what the stage says before, until it believes what is wrong.
    outlasts : s, for which the robot still holds when it has ended.
    """

    what: str
    codes: dict[str, Code]
    begin: Callable[[World], None]
    end: Callable[[World], None]
    refused: Code | None = None
    resumed: bool = False
    until: float = END
    each: Callable[[World], None] | None = None
    deadman: float = 0.0
    first: Code | None = None
    outlasts: float = 0.0

    def says(self, interface: str) -> tuple[Code, ...]:
        """Return what the stage says of it, one after the other."""
        gripper = interface in GRIPPERS
        default = self.codes.get(kind(interface), self.codes[ALL])
        code = self.codes.get("grippers", default) if gripper else default
        if code is Code.OK:
            return ()
        return (code,) if self.first is None or gripper else (self.first, code)


def put(**values: Any) -> Callable[[World], None]:
    """Return what sets attributes of a world."""

    def change(world: World) -> None:
        for name, value in values.items():
            setattr(world, name, value)

    return change


def _jump(by: float) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.now += by

    return change


def _nothing(_: World) -> None:
    pass


def _restart(world: World) -> None:
    # The robot plays on what it got: a forward output goes with its node.
    world.frozen = True


def _restarted(world: World) -> None:
    world.frozen = False
    world.held.clear()
    world.start()


def _killed(world: World) -> None:
    world.spikes = False


def _reborn(world: World) -> None:
    world.spikes = True
    world.begin("second")


def _halt(world: World) -> None:
    world.take(world.stage.halt(world.now, world.steady))


def _shrink(world: World) -> None:
    world.limit(upper=0.5 * world.robot.position, velocity=0.1)


def _widen(world: World) -> None:
    world.limit()


def _double(world: World) -> None:
    raster = np.zeros((T, 2), np.uint8)
    raster[:, 1] = 1
    if round(world.time / DT) % T == T // 2:
        stamp = world.now - CYCLE
        world.execute(Cycle("other", world.number, {"A": raster}, DT, stamp, stamp))


def _pretend(world: World) -> None:
    if round(world.time / DT) % 50 == 3:
        world.stage.measure(["a"], [-0.9], [0.0], world.now, world.now, world.steady)


def _other(world: World) -> None:
    world.stage.other_source("/teleop publishes on command")


def _alone(world: World) -> None:
    world.stage.other_source("")


def _thaw(world: World) -> None:
    world.frozen = False
    for cycle in world.held:
        world.execute(cycle)
    world.held.clear()


ALL = ""
MOVES = {ALL: Code.OK}
BLIND = {"wheels": Code.OK}  # wheels need no joint states
FREE = {**BLIND, "grippers": Code.OK}  # and grippers move as they like

FAULTS: dict[str, Fault] = {
    "spikes stop": Fault(
        "spikes stop", {ALL: Code.STALE_SPIKES}, put(spikes=False), put(spikes=True)
    ),
    "brain killed": Fault(
        "the brain is killed; another begins a new run", {ALL: Code.STALE_SPIKES}, _killed, _reborn
    ),
    "joint states stop": Fault(
        "joint states stop",
        {ALL: Code.STALE_STATE, **BLIND},
        put(states=False),
        put(states=True),
    ),
    "joint missing": Fault(
        "a joint is missing in the joint states",
        {ALL: Code.STALE_STATE, **BLIND},
        put(missing=True),
        put(missing=False),
    ),
    "position NaN": Fault(
        "a measured position is NaN",
        {ALL: Code.NON_FINITE, **BLIND},
        put(state={"position": math.nan}),
        put(state={}),
    ),
    "position inf": Fault(
        "a measured position is infinite",
        {ALL: Code.NON_FINITE, **BLIND},
        put(state={"position": math.inf}),
        put(state={}),
    ),
    "velocity inf": Fault(
        "a measured velocity is infinite",
        {ALL: Code.NON_FINITE, **BLIND},
        put(state={"velocity": -math.inf}),
        put(state={}),
    ),
    "velocity NaN": Fault(
        "measured velocities are NaN: not given",
        MOVES,
        put(state={"velocity": math.nan}),
        put(state={}),
    ),
    "stamp NaN": Fault(
        "the stamp of joint states is NaN",
        {ALL: Code.NON_FINITE, **BLIND},
        put(state={"stamp": math.nan}),
        put(state={}),
    ),
    "cycle stamp NaN": Fault(
        "the stamp of cycles is NaN",
        {ALL: Code.STALE_SPIKES},
        put(cycle={"stamp": math.nan}),
        put(cycle={}),
        refused=Code.BAD_FRAME,
    ),
    "cycle stamp inf": Fault(
        "the stamp of cycles is infinite",
        {ALL: Code.STALE_SPIKES},
        put(cycle={"stamp": math.inf}),
        put(cycle={}),
        refused=Code.BAD_FRAME,
    ),
    "dt NaN": Fault(
        "the timestep of cycles is NaN",
        {ALL: Code.STALE_SPIKES},
        put(cycle={"dt": math.nan}),
        put(cycle={}),
        refused=Code.BAD_FRAME,
    ),
    "dt huge": Fault(
        "the timestep of cycles is 1000 s",
        {ALL: Code.STALE_SPIKES},
        put(cycle={"dt": 1e3}),
        put(cycle={}),
        refused=Code.BAD_FRAME,
    ),
    "delta NaN": Fault(
        "a delta is NaN",
        {ALL: Code.STALE_SPIKES},
        put(cycle={"delta": math.nan}),
        put(cycle={}),
        refused=Code.NON_FINITE,
    ),
    "delta inf": Fault(
        "a delta is infinite",
        {ALL: Code.STALE_SPIKES},
        put(cycle={"delta": math.inf}),
        put(cycle={}),
        refused=Code.NON_FINITE,
    ),
    "deltas too large": Fault(
        "deltas are ten times too large", MOVES, put(scale=10), put(scale=1), until=2.0
    ),
    "clock stops": Fault(
        "the robot's clock stands still",
        {ALL: Code.STALE_STATE},
        put(clock=False),
        put(clock=True),
        until=1.8,
    ),
    "clock back": Fault(
        "the clock jumps back by a minute",
        {ALL: Code.CLOCK_JUMP, **BLIND},
        _jump(-60.0),
        _nothing,
        until=BEGIN,
    ),
    "clock forth": Fault(
        "the clock jumps forth by a minute",
        {ALL: Code.CLOCK_JUMP, **BLIND},
        _jump(60.0),
        _nothing,
        until=BEGIN,
    ),
    "two brains": Fault(
        "a second brain sends spikes of its own run",
        MOVES,
        _nothing,
        _nothing,
        refused=Code.WRONG_RUN,
        each=_double,
    ),
    "other source": Fault(
        "something else publishes on the command topic", {ALL: Code.OTHER_SOURCE}, _other, _alone
    ),
    "deadman released": Fault(
        "the deadman switch is released",
        {ALL: Code.DEADMAN},
        put(pressed=False),
        put(pressed=True),
        deadman=0.1,
    ),
    "deadman silent": Fault(
        "the deadman switch falls silent",
        {ALL: Code.DEADMAN},
        put(deadman_heard=False),
        put(deadman_heard=True),
        deadman=0.1,
    ),
    "halted": Fault("`~/halt` while it moves", {ALL: Code.HALTED}, _halt, _nothing, resumed=True),
    "limits shrunk": Fault(
        "limits are narrowed live, to where the joint is not, and to a lower velocity",
        {ALL: Code.LIMIT_FAULT, "wheels": Code.OK},
        _shrink,
        _widen,
        resumed=True,
    ),
    "beyond limits": Fault(
        "a joint is measured beyond its limits, and stays there",
        {ALL: Code.LIMIT_FAULT, "wheels": Code.OK},
        put(state={"position": 1.2}),
        put(state={}),
        resumed=True,
        first=Code.STATE_JUMP,
    ),
    "position glitch": Fault(
        "one measured position is far off",
        {ALL: Code.STATE_JUMP, **FREE},
        put(glitch=-0.9),
        _nothing,
        until=BEGIN + BEAT,
        outlasts=JUMP_TIME,
    ),
    "second publisher": Fault(
        "something else publishes joint states with other positions",
        {ALL: Code.STATE_JUMP, **FREE},
        _nothing,
        _nothing,
        each=_pretend,
        outlasts=JUMP_TIME,
    ),
    "stage restarted": Fault(
        "the motor node is killed, and started again",
        {ALL: Code.OK},
        _restart,
        _restarted,
        until=1.4,
    ),
    "frozen": Fault(
        "the motor node stands still, then finds all cycles of that time at once",
        {ALL: Code.STALE_STATE, **BLIND},
        put(frozen=True),
        _thaw,
        until=1.4,
    ),
}


def kind(interface: str) -> str:
    """Return what an interface commands, wheels apart."""
    return "wheels" if wheels(interface) else INTERFACES[interface].value


@dataclass(frozen=True)
class Outcome:
    """What a robot did in a fault.

    ``rested`` and ``went_on`` are in s from the fault's begin and end; NaN for never.
    """

    world: World
    codes: tuple[Code, ...]
    refusals: tuple[Code, ...]
    limited: tuple[str, ...]
    rested: float
    went_on: float

    @property
    def did(self) -> str:
        """What it did, in words."""
        said = " and ".join(f"`{code.name}`" for code in self.codes)
        cycles = ", ".join(f"`{code.name}`" for code in self.refusals)
        says = [f"says {said}"] if said else []
        if cycles:
            says.append(f"refuses cycles: {cycles}")
        rules = sorted({entry.split(": ")[1] for entry in self.limited})
        if rules:
            says.append(f"limited by {' and '.join(rules)}")
        if math.isnan(self.rested):
            return "; ".join(["moves on", *says])
        if not self.codes and "position" in rules:
            return "; ".join(["moves on to its limit", *says])
        return "; ".join([f"rests after {_milliseconds(self.rested)}", *says])

    @property
    def then(self) -> str:
        """When it went on, in words."""
        if math.isnan(self.rested) and not self.codes:
            return "–"
        if not self.codes and "moves on" in self.did:
            return "–"
        return f"after {_milliseconds(self.went_on)}"


def _milliseconds(seconds: float) -> str:
    return f"{math.ceil(round(seconds * 100, 6)) * 10} ms"


@cache
def play(name: str, interface: str) -> Outcome:
    """Let a robot live through a fault; return what it did."""
    fault = FAULTS[name]
    world = World(interface, fault.deadman)
    begun = math.inf
    ended = resumed = False
    limited: set[str] = set()
    while world.time < LAST:
        if begun > world.time >= BEGIN:
            fault.begin(world)
            begun = world.time
        if fault.each is not None and BEGIN <= world.time < fault.until:
            fault.each(world)
        if not ended and world.time >= fault.until:
            ended = True
            fault.end(world)
        if fault.resumed and not resumed and world.time >= fault.until + RESUME:
            resumed = True
            world.stage.resume(world.now, world.steady)
        world.step()
    for when, answer in world.answers:
        if begun < when <= fault.until and answer.executed:
            limited |= set(answer.limited)
    still = [abs(speed) < 1e-3 for _, _, speed in world.path]
    times = [when for when, _, _ in world.path]
    went_on = next(
        (
            when - fault.until
            for when, answer in world.answers
            if when > max(fault.until, begun) + DT / 2 and answer.executed
        ),
        math.nan,
    )
    rested = _rest(times, still, begun, fault)
    codes = [code for when, _, code in world.codes if when > begun and code is not Code.OK]
    codes = [code for code in codes if code is not Code.NO_STATE]
    refusals = [
        answer.code
        for when, answer in world.answers
        if begun < when and not answer.executed and answer.code not in codes
    ]
    return Outcome(
        world,
        tuple(dict.fromkeys(codes)),
        tuple(dict.fromkeys(refusals)),
        tuple(sorted(limited)),
        rested,
        went_on,
    )


def _rest(times: list[float], still: list[bool], begun: float, fault: Fault) -> float:
    """Return how long after the fault began the robot first stood for at least 30 ms."""
    for index, when in enumerate(times):
        if when > begun + 1.5 * DT and all(still[index : index + 15]):
            return when - begun
        if when > fault.until + fault.outlasts + CYCLE:
            break
    return math.nan


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield the table: fault, interfaces, what the robot did, when it went on."""
    for name, fault in FAULTS.items():
        found: dict[tuple[str, str], list[str]] = {}
        for interface in INTERFACES:
            outcome = play(name, interface)
            then = outcome.then
            if fault.resumed and not math.isnan(outcome.rested):
                then = "after `~/resume`"
            found.setdefault((outcome.did, then), []).append(interface)
        for (did, then), interfaces in found.items():
            yield fault.what, _named(interfaces), did, then


FAMILIES = {
    "positions": ("joint_trajectory", "position", "joint_state"),
    "grippers": ("gripper", "gripper_action", "gripper_command"),
    "velocities": ("velocity", "joint_jog"),
    "wheels": ("twist", "twist_stamped"),
    "efforts": ("effort",),
}


def _named(interfaces: list[str]) -> str:
    if len(interfaces) == len(INTERFACES):
        return "all"
    words, left = [], list(interfaces)
    for family, members in FAMILIES.items():
        if set(members) <= set(left):
            words.append(family)
            left = [name for name in left if name not in members]
    return ", ".join([*words, *(f"`{name}`" for name in left)])


_FAMILIES = "; ".join(
    f"*{family}*: {', '.join(f'`{name}`' for name in members)}"
    for family, members in FAMILIES.items()
)
HEAD = f"""# Faults

What a simulated robot did when something went wrong while its brain moved it, by command interface.
`python test/motion_faults.py` writes this page from what happened; the tests play the same faults.

- Interfaces are {_FAMILIES}.
- Cycles are of {CYCLE * 1e3:g} ms; joint states and the watch come every {BEAT * 1e3:g} ms.
- The joint moves at {SPEED} rad/s, may move at {LIMIT["velocity"]} rad/s and brakes at
  {LIMIT["acceleration"]:g} rad/s². Time-outs are the default ones; the deadman switch's is 100 ms.
- Times are from the begin of the fault until the robot rests, and from its end until a cycle is
  executed again, rounded up to 10 ms.
- Velocities, wheels and efforts have controllers that stop by themselves
  {CONTROLLER_TIMEOUT * 1e3:g} ms after the last message. Without one, nothing stops a robot whose
  motor node was killed or stands still. Wheels need no joint states.
- A measured position that jumps is doubted until it has stayed there, or all have agreed, for
  {JUMP_TIME * 1e3:g} ms. That of a gripper is not: it goes to its goal as fast as it can.
- A joint that is commanded by position or velocity and does not follow (`following_error`,
  `following_speed`) is a fault, `FOLLOWING_ERROR`. There is none for efforts: a joint that stands
  still under an effort may grip, carry or lean, as it was asked to.

| fault | interfaces | what the robot did | it went on |
|---|---|---|---|
"""


def page() -> str:
    """Return the page."""
    lines = []
    last = ""
    for what, named, did, then in rows():
        lines.append(f"| {what if what != last else ''} | {named} | {did} | {then} |\n")
        last = what
    return HEAD + "".join(lines)


if __name__ == "__main__":
    with replaced(PAGE) as temporary:
        temporary.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
