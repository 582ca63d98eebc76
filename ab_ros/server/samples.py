"""The newest sample of each input of a run: how long it holds, and whether a need was answered."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np

from ab_ros.brains.local import LocalBrain
from ab_ros.errors import AbRosError, ObservationError, ProtocolError
from ab_ros.protocol.formats import decode_sample
from ab_ros.protocol.messages import Chunk, NeedReceived, RobotState
from ab_ros.values import Observation, read_only

_PROPRIOCEPTION = "Proprioception"


class Sample:
    """A chunk of an input, decoded when it is first asked for.

    Parameters
    ----------
    chunk : what came.
    kind : of the input.
    names : joints of the input's encoder; empty if it has none.
    """

    def __init__(self, chunk: Chunk, kind: str, names: tuple[str, ...]) -> None:
        self.chunk = chunk
        self._kind, self._names = kind, names
        self._decoded: Observation | None = None
        self._refused = False

    def observation(self) -> Observation | None:
        """Return the sample; None if it was refused before.

        Raises
        ------
        AbRosError
            the first time, if it cannot be decoded.
        """
        if self._decoded is None and not self._refused:
            self._refused = True
            self._decoded = decode_sample(self.chunk, self._kind, self._names)
            self._refused = False
        return self._decoded


class JointStates:
    """The newest state of the robot, for inputs of proprioception without a chunk.

    Parameters
    ----------
    state : what came.
    stamp : s, when the robot says it was so, else when it came.
    """

    def __init__(self, state: RobotState, stamp: float) -> None:
        self._state = state
        self._stamp = stamp if state.t is None else state.t

    def observation(self, name: str, joints: tuple[str, ...]) -> Observation:
        """Return the state as a sample of an input.

        Parameters
        ----------
        name : of the input.
        joints : of the input's encoder, in the order of the positions if those have no names.

        Raises
        ------
        ObservationError
            if the positions have no names, and are fewer than the encoder's joints.
        """
        state = self._state
        names = state.names or joints
        if not names or len(state.q) < len(names):
            raise ObservationError(
                f"input {name!r}: robot:state has {len(state.q)} positions without names, but the"
                f" encoder has {len(names)} joints"
            )
        table = np.full((3, len(names)), np.nan)
        table[0] = state.q[: len(names)]
        if len(state.dq) >= len(names):
            table[1] = state.dq[: len(names)]
        return Observation(
            name, _PROPRIOCEPTION, self._stamp, "joint_state", read_only(table), {"names": names}
        )


class Samples:
    """Mailboxes for the newest sample of each input; the owner keeps threads apart.

    Parameters
    ----------
    brain : whose inputs they are.
    hold : s that a sample is used if the client says nothing more about it.

    Attributes
    ----------
    counts : what was refused, dropped or ignored, by name.
    last_refusal : why the newest sample that was refused was refused.
    received : newest ``seq`` by input.
    """

    def __init__(self, brain: LocalBrain, hold: float) -> None:
        self._kinds = {name: i.kind for name, i in brain.inputs.items()}
        self._joints = {name: _joints_of(encoder) for name, encoder in brain.encoders.items()}
        self._hold = hold
        self._held: dict[str, Sample] = {}
        self._confirmed: dict[str, float] = {}
        self._words: dict[str, str] = {}
        self._fresh: set[str] = set()
        self._unread: set[str] = set()
        self._state: JointStates | None = None
        self._state_came = -math.inf
        self._cycle = 0
        self.counts: Counter[str] = Counter()
        self.last_refusal = ""
        self.received: dict[str, int] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._kinds

    def joined(self) -> None:
        """Note that a client has joined: it may count its samples anew."""
        self.received.clear()

    def put(self, chunk: Chunk, now: float) -> None:
        """Take a chunk of an input.

        Parameters
        ----------
        chunk : older ones than the newest are ignored and counted.
        now : s on the steady clock.
        """
        name = chunk.input
        held = self._held.get(name)
        newest = self.received.get(name, -1)
        if chunk.seq < newest and held is not None and chunk.t <= held.chunk.t:
            self.counts[f"{name} out of order"] += 1
            return
        meant = chunk.meta.get("cycle")
        late = isinstance(meant, (int, float)) and meant < self._cycle
        if not late:
            self._fresh.add(name)
            self._words.pop(name, None)
        self._confirmed[name] = now
        if chunk.seq == newest and held is not None:
            return
        if name in self._unread:
            self.counts[f"{name} dropped"] += 1
        self._held[name] = Sample(chunk, self._kinds[name], self._joints[name])
        self._unread.add(name)
        self.received[name] = chunk.seq

    def put_state(self, state: RobotState, stamp: float, now: float) -> None:
        """Take a state of the robot; ``stamp`` is in unix seconds."""
        self._state, self._state_came = JointStates(state, stamp), now

    def word(self, received: NeedReceived, now: float) -> None:
        """Take what the client says will come for an input of the cycle."""
        if received.id not in self._kinds or received.sample not in ("same", "none"):
            return
        if received.cycle != self._cycle:
            self.counts["needs answered late"] += 1
            return
        if received.sample == "same":
            self._confirmed[received.id] = now
        self._words[received.id] = received.sample

    def answered(self) -> bool:
        """Whether every input has a sample for this cycle, or a word that there is none."""
        return all(name in self._fresh or name in self._words for name in self._kinds)

    def take(self, now: float) -> list[tuple[str, Sample | JointStates]]:
        """Return what the cycle sees, and begin to collect for the next one."""
        taken: list[tuple[str, Sample | JointStates]] = []
        for name, kind in self._kinds.items():
            word = self._words.get(name)
            if word == "none":
                self._held.pop(name, None)
                continue
            sample = self._held.get(name)
            vouched = word == "same" or name in self._fresh
            if sample and not vouched and now - self._confirmed[name] > self._hold:
                self.counts[f"{name} too old"] += 1
                del self._held[name]
                sample = None
            if sample is not None:
                taken.append((name, sample))
            elif kind == _PROPRIOCEPTION and self._state and now - self._state_came <= self._hold:
                taken.append((name, self._state))
        self._words.clear()
        self._fresh.clear()
        self._unread.clear()
        self._cycle += 1
        return taken

    def observations(self, taken: Iterable[tuple[str, Sample | JointStates]]) -> list[Observation]:
        """Decode what was taken; what cannot be decoded is counted and left out."""
        seen = []
        for name, sample in taken:
            try:
                observation = (
                    sample.observation()
                    if isinstance(sample, Sample)
                    else sample.observation(name, self._joints[name])
                )
            except (ProtocolError, ObservationError) as error:
                self.refuse(f"{name} refused", error)
                continue
            if observation is not None:
                seen.append(observation)
        return seen

    def refuse(self, what: str, error: AbRosError) -> None:
        """Count something that was refused, and remember why."""
        self.counts[what] += 1
        self.last_refusal = str(error)


def _joints_of(encoder: object) -> tuple[str, ...]:
    joints = getattr(getattr(encoder, "settings", None), "joints", ())
    return tuple(joints)
