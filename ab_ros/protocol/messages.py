"""The messages of the 0.1 protocol: frozen values, checked where they are read.

Each class has the name of its event, makes the payload that goes on the wire (``to_wire``) and
reads one that came from there (``from_wire``, which raises a
:class:`~ab_ros.errors.ProtocolError` for what cannot be understood).  Keys that are not known are
left alone.

Servers of ab_ros announce what they do beyond the protocol in ``extensions`` of the answer to
start; a client uses none that was not announced:

- ``ack``: events with an acknowledgement id are answered ``{"ok": bool, "reason": str}`` once they
  are taken, and repeated rewards, feedback and cycle-done marks of a cycle are taken once;
- ``hold``: ``io:need_received`` may say in ``sample`` what will come for a need: ``new`` (a chunk),
  ``same`` (none: the last one still holds) or ``none`` (none: the input is silent);
- ``resend``: after ``run:join`` the server sends the update that was not answered, and its need,
  again;
- ``learning``, ``save``: the events ``learn:set`` and ``run:save``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from ab_ros.contract import Contract
from ab_ros.errors import ContractError, ProtocolError, one_of, shown
from ab_ros.protocol.fields import (
    finite,
    is_text,
    read_integer,
    read_list,
    read_mapping,
    read_number,
    read_numbers,
    read_object,
    read_optional_text,
    read_text,
)
from ab_ros.values import Reward

EXTENSIONS = ("ack", "hold", "resend", "learning", "save")
SAMPLES = ("new", "same", "none")
_MOST_ROWS = 1 << 20
_MOST_TIMESTEPS = 1 << 16
_MOST_CELLS = 1 << 26


class Message(Protocol):
    """A message of a run: its event, its run, and how it goes on the wire."""

    @property
    def event(self) -> str:
        """Name of the event."""

    @property
    def run(self) -> str:
        """The run that it belongs to."""

    def to_wire(self) -> dict[str, Any]:
        """Return the payload."""


@dataclass(frozen=True)
class Join:
    """The client takes part in a run."""

    event: ClassVar[str] = "run:join"
    run: str

    def to_wire(self) -> dict[str, Any]:
        """Return the payload."""
        return {"runId": self.run}

    @classmethod
    def from_wire(cls, payload: Any) -> Join:
        """Read a payload."""
        return cls(read_text(cls.event, read_object(cls.event, payload), "runId"))


@dataclass(frozen=True)
class Chunk:
    """One sample of an input, or feedback; ``t`` in unix seconds (or robot time)."""

    event: ClassVar[str] = "io:chunk"
    run: str
    input: str
    kind: str
    seq: int
    t: float
    format: str
    meta: Mapping[str, Any]
    data: bytes = field(repr=False)

    def to_wire(self) -> dict[str, Any]:
        """Return the payload, with ``data`` as bytes; an empty kind is null."""
        return {
            "runId": self.run,
            "inputId": self.input,
            "kind": self.kind or None,
            "seq": self.seq,
            "t": self.t,
            "format": self.format,
            "meta": dict(self.meta),
            "data": self.data,
        }

    @classmethod
    def from_wire(cls, payload: Any, largest: int = 1 << 23) -> Chunk:
        """Read a payload with at most ``largest`` bytes of data."""
        data = read_object(cls.event, payload)
        content = data.get("data")
        if not isinstance(content, (bytes, bytearray, memoryview)):
            raise ProtocolError(f"{cls.event}: data must be binary, not {type(content).__name__}")
        if len(content) > largest:
            raise ProtocolError(
                f"{cls.event}: data must have at most {largest} bytes, not {len(content)}"
            )
        return cls(
            read_text(cls.event, data, "runId"),
            read_text(cls.event, data, "inputId"),
            read_optional_text(cls.event, data, "kind"),
            read_integer(cls.event, data, "seq", 0),
            read_number(cls.event, data, "t"),
            read_text(cls.event, data, "format"),
            read_mapping(cls.event, data, "meta"),
            bytes(content),
        )


@dataclass(frozen=True)
class RobotState:
    """Joint positions (rad or m), velocities (per s), gripper and control period (s).

    ``names`` (ours; may be empty) are the joints', ``cycle`` is sent by some controllers.
    """

    event: ClassVar[str] = "robot:state"
    run: str
    q: tuple[float, ...]
    dq: tuple[float, ...]
    grip: float | None = None
    dt: float = 0.0
    names: tuple[str, ...] = ()
    t: float | None = None
    cycle: int | None = None

    def to_wire(self) -> dict[str, Any]:
        """Return the payload."""
        state: dict[str, Any] = {"q": list(self.q), "dq": list(self.dq)}
        if self.grip is not None:
            state["grip"] = {"pos": self.grip}
        state["dt"] = self.dt
        if self.names:
            state["names"] = list(self.names)
        if self.t is not None:
            state["t"] = self.t
        whole: dict[str, Any] = {"runId": self.run, "state": state}
        return whole if self.cycle is None else {**whole, "cycle": self.cycle}

    @classmethod
    def from_wire(cls, payload: Any) -> RobotState:
        """Read a payload."""
        data = read_object(cls.event, payload)
        state = read_mapping(cls.event, data, "state")
        grip = read_mapping(cls.event, state, "grip").get("pos")
        names = read_list(cls.event, state, "names")
        q = read_numbers(cls.event, state, "q")
        if not all(isinstance(name, str) for name in names) or (names and len(names) != len(q)):
            raise ProtocolError(f"{cls.event}: names must be a text for each of {len(q)} joints")
        return cls(
            read_text(cls.event, data, "runId"),
            q,
            read_numbers(cls.event, state, "dq"),
            None if grip is None else finite(cls.event, "grip.pos", grip),
            read_number(cls.event, state, "dt", 0.0),
            tuple(names),
            None if state.get("t") is None else read_number(cls.event, state, "t"),
            None if data.get("cycle") is None else read_integer(cls.event, data, "cycle"),
        )


@dataclass(frozen=True)
class RewardGiven:
    """The reward of a cycle; one per layer of the contract, and a global one."""

    event: ClassVar[str] = "learn:reward"
    run: str
    cycle: int
    reward: Reward

    @classmethod
    def complete(cls, run: str, cycle: int, reward: Reward, layers: Sequence[str]) -> RewardGiven:
        """Make one with a value for each of the contract's layers, and no other."""
        by_layer = {layer: reward.by_layer.get(layer, reward.overall) for layer in layers}
        return cls(run, cycle, Reward(reward.overall, by_layer))

    def to_wire(self) -> dict[str, Any]:
        """Return the payload."""
        return {
            "runId": self.run,
            "cycle": self.cycle,
            "globalReward": self.reward.overall,
            "byLayer": dict(self.reward.by_layer),
        }

    @classmethod
    def from_wire(cls, payload: Any) -> RewardGiven:
        """Read a payload; finite rewards are clamped to [0, 1]."""
        data = read_object(cls.event, payload)
        by_layer: dict[str, float] = {}
        for layer, value in read_mapping(cls.event, data, "byLayer").items():
            if not is_text(layer):
                raise ProtocolError(f"{cls.event}: byLayer: {shown(layer)} is no name of a layer")
            if value is not None:
                by_layer[layer] = _unit(finite(cls.event, f"byLayer.{layer[:60]}", value))
        overall = _unit(read_number(cls.event, data, "globalReward"))
        return cls(
            read_text(cls.event, data, "runId"),
            read_integer(cls.event, data, "cycle"),
            Reward(overall, by_layer),
        )


@dataclass(frozen=True)
class NeedReceived:
    """The client has read a need; ``sample`` says what will come for it (see the module)."""

    event: ClassVar[str] = "io:need_received"
    run: str
    cycle: int
    id: str
    kind: str
    ts: float
    sample: str = ""

    def to_wire(self) -> dict[str, Any]:
        """Return the payload."""
        data: dict[str, Any] = {
            "runId": self.run,
            "cycle": self.cycle,
            "id": self.id,
            "kind": self.kind or None,
            "ts": self.ts,
        }
        return {**data, "sample": self.sample} if self.sample else data

    @classmethod
    def from_wire(cls, payload: Any) -> NeedReceived:
        """Read a payload."""
        data = read_object(cls.event, payload)
        sample = read_optional_text(cls.event, data, "sample")
        if sample and sample not in SAMPLES:
            raise ProtocolError(f"{cls.event}: unknown sample {sample!r}; {one_of(SAMPLES)}")
        return cls(
            read_text(cls.event, data, "runId"),
            read_integer(cls.event, data, "cycle"),
            read_text(cls.event, data, "id"),
            read_optional_text(cls.event, data, "kind"),
            read_number(cls.event, data, "ts", 0.0),
            sample,
        )


@dataclass(frozen=True)
class CycleExecuted:
    """The commands of a cycle were executed, or refused."""

    event: ClassVar[str] = "robot:cycle_done"
    run: str
    cycle: int

    def to_wire(self) -> dict[str, Any]:
        """Return the payload."""
        return {"runId": self.run, "cycle": self.cycle}

    @classmethod
    def from_wire(cls, payload: Any) -> CycleExecuted:
        """Read a payload."""
        data = read_object(cls.event, payload)
        return cls(read_text(cls.event, data, "runId"), read_integer(cls.event, data, "cycle"))


@dataclass(frozen=True)
class SetLearning:
    """Switch learning on or off (extension ``learning``)."""

    event: ClassVar[str] = "learn:set"
    run: str
    learning: bool

    def to_wire(self) -> dict[str, Any]:
        """Return the payload."""
        return {"runId": self.run, "learning": self.learning}

    @classmethod
    def from_wire(cls, payload: Any) -> SetLearning:
        """Read a payload."""
        data = read_object(cls.event, payload)
        on = data.get("learning")
        if not isinstance(on, bool):
            raise ProtocolError(f"{cls.event}: learning must be true or false, not {shown(on)}")
        return cls(read_text(cls.event, data, "runId"), on)


@dataclass(frozen=True)
class Save:
    """Save the run's brain now (extension ``save``)."""

    event: ClassVar[str] = "run:save"
    run: str

    def to_wire(self) -> dict[str, Any]:
        """Return the payload."""
        return {"runId": self.run}

    @classmethod
    def from_wire(cls, payload: Any) -> Save:
        """Read a payload."""
        return cls(read_text(cls.event, read_object(cls.event, payload), "runId"))


@dataclass(frozen=True)
class NeedItem:
    """One input or feedback that the brain asks for."""

    id: str
    kind: str = ""
    from_output: str = ""

    def to_wire(self) -> dict[str, Any]:
        """Return the item."""
        item = {"id": self.id, "kind": self.kind or None}
        return {**item, "fromOutput": self.from_output} if self.from_output else item

    @classmethod
    def from_wire(cls, event: str, item: Any) -> NeedItem:
        """Read an item."""
        data = read_object(f"{event}: needs", item)
        return cls(
            read_text(event, data, "id"),
            read_optional_text(event, data, "kind"),
            read_optional_text(event, data, "fromOutput"),
        )


@dataclass(frozen=True)
class NeedAsked:
    """What the brain needs for a cycle, within ``deadline`` s (infinite: no hurry)."""

    event: ClassVar[str] = "io:need"
    run: str
    cycle: int
    needs: tuple[NeedItem, ...]
    deadline: float = math.inf

    def to_wire(self) -> dict[str, Any]:
        """Return the payload."""
        return {
            "runId": self.run,
            "cycle": self.cycle,
            "needs": [item.to_wire() for item in self.needs],
            "deadlineMs": None if math.isinf(self.deadline) else 1e3 * self.deadline,
        }

    @classmethod
    def from_wire(cls, payload: Any) -> NeedAsked:
        """Read a payload; a deadline that is missing, null or 0 is none."""
        data = read_object(cls.event, payload)
        items = read_list(cls.event, data, "needs")
        deadline = read_number(cls.event, data, "deadlineMs", 0.0)
        return cls(
            read_text(cls.event, data, "runId"),
            read_integer(cls.event, data, "cycle"),
            tuple(NeedItem.from_wire(cls.event, item) for item in items),
            1e-3 * deadline if deadline > 0.0 else math.inf,
        )


@dataclass(frozen=True)
class CycleUpdate:
    """The output spikes of a cycle, as rows, and figures about it.

    ``received`` (ours): the newest ``seq`` by input that had arrived when the cycle ran;
    ``observed`` (ours): ``t`` of the newest sample in it.
    """

    event: ClassVar[str] = "cycle:update"
    run: str
    cycle: int
    rows: Sequence[Any]
    telemetry: Mapping[str, float] = field(default_factory=dict)
    received: Mapping[str, int] = field(default_factory=dict)
    observed: float | None = None

    def to_wire(self) -> dict[str, Any]:
        """Return the payload."""
        data: dict[str, Any] = {
            "runId": self.run,
            "cycle": self.cycle,
            "outputs": list(self.rows),
            "telemetry": dict(self.telemetry),
            "received": dict(self.received),
        }
        return data if self.observed is None else {**data, "observed": self.observed}

    @classmethod
    def from_wire(cls, payload: Any) -> CycleUpdate:
        """Read a payload; the rows are only counted, figures that are no numbers left out."""
        data = read_object(cls.event, payload)
        telemetry, received = data.get("telemetry"), data.get("received")
        observed = data.get("observed")
        seen = float(observed) if observed is not None and _is_number(observed) else None
        return cls(
            read_text(cls.event, data, "runId"),
            read_integer(cls.event, data, "cycle"),
            read_list(cls.event, data, "outputs", _MOST_ROWS),
            {str(name): float(value) for name, value in _numbers(telemetry)},
            {str(name): int(value) for name, value in _numbers(received)},
            seen,
        )


@dataclass(frozen=True)
class Started:
    """The answer to start: the run, its contract and where its realtime connection is.

    ``dt`` (ours) is the duration of a timestep in s, if the server says so.
    """

    run: str
    contract: Contract
    realtime: Any = None
    extensions: frozenset[str] = frozenset()
    dt: float | None = None

    def to_wire(self, project: str) -> dict[str, Any]:
        """Return the answer."""
        answer = {
            "ok": True,
            "runId": self.run,
            "projectId": project,
            "realtime": self.realtime,
            **contract_to_wire(self.contract),
            "extensions": sorted(self.extensions),
        }
        return answer if self.dt is None else {**answer, "dt": self.dt}

    @classmethod
    def from_wire(cls, answer: Any) -> Started:
        """Read an answer.

        Raises
        ------
        ProtocolError
            for one without a run id, or a contract that is not one.
        """
        data = read_object("start", answer)
        run = read_text("start", data, "runId")
        contract = contract_from_wire("start", data)
        given = data.get("extensions")
        names = given if isinstance(given, Sequence) and not isinstance(given, str) else ()
        dt = data.get("dt")
        if dt is not None and not 0.0 < finite("start", "dt", dt) <= 1.0:
            raise ProtocolError(f"start: dt must be above 0 and at most 1 s, not {shown(dt)}")
        return cls(
            run,
            contract,
            data.get("realtime"),
            frozenset(name for name in names if name in EXTENSIONS),
            None if dt is None else float(dt),
        )


@dataclass(frozen=True)
class RunState:
    """The answer to ``io/state``: the run, its cycle, and what it needs.

    ``need`` is None if it needs nothing now; ``run`` is empty if the project has no run.
    """

    run: str
    cycle: int = 0
    need: NeedAsked | None = None

    def to_wire(self) -> dict[str, Any]:
        """Return the answer."""
        need = self.need.to_wire() if self.need else {"needs": [], "deadlineMs": None}
        return {**need, "ok": True, "runId": self.run or None, "cycle": self.cycle}

    @classmethod
    def from_wire(cls, answer: Any) -> RunState:
        """Read an answer."""
        data = read_object("io/state", answer)
        run = read_optional_text("io/state", data, "runId")
        cycle = read_integer("io/state", data, "cycle", 0)
        if not run or not read_list("io/state", data, "needs"):
            return cls(run, cycle)
        return cls(run, cycle, NeedAsked.from_wire({**data, "cycle": cycle}))


def contract_to_wire(contract: Contract) -> dict[str, Any]:
    """Return ``constants`` and ``io`` of a contract, as start and contract answer them."""
    return {
        "constants": dict(contract.constants),
        "io": {
            "inputs": [dict(port.item) for port in contract.inputs],
            "outputs": [dict(port.item) for port in contract.outputs],
            "feedback": [dict(port.item) for port in contract.feedback],
            "stdp3": {"layers": list(contract.stdp3_layers)},
        },
    }


def contract_from_wire(call: str, answer: Mapping[str, Any]) -> Contract:
    """Read the contract of an answer.

    Raises
    ------
    ProtocolError
        if it is none, cannot be written as JSON (of which the digest is made), or its rasters
        would not fit into memory.
    """
    try:
        contract = Contract.from_dict(answer)
        contract.canonical().encode()
    except ContractError as error:
        raise ProtocolError(f"{call}: {error}") from None
    except (TypeError, ValueError, RecursionError) as error:
        text = shown(str(error))
        raise ProtocolError(f"{call}: contract: cannot be written as JSON: {text}") from None
    for what, timesteps, ports in (
        ("outputs", contract.gamma, contract.outputs),
        ("feedback", contract.feedback_timesteps, contract.feedback),
    ):
        cells = timesteps * sum(port.n for port in ports)
        if timesteps > _MOST_TIMESTEPS or cells > _MOST_CELLS:
            raise ProtocolError(
                f"{call}: contract: the rasters of its {what}, {timesteps} timesteps and {cells}"
                f" cells, are larger than {_MOST_TIMESTEPS} timesteps or {_MOST_CELLS} cells"
            )
    return contract


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) <= 1e300
        and math.isfinite(value)
    )


def _numbers(items: Any) -> list[tuple[Any, Any]]:
    if not isinstance(items, Mapping):
        return []
    return [(name, value) for name, value in items.items() if _is_number(value)]
