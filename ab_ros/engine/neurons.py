"""The Izhikevich neuron: parameters, presets, and one tick of the dynamics.

E. M. Izhikevich, "Simple model of spiking neurons", IEEE Transactions on Neural Networks 14 (2003).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.engine.validation import check_number
from ab_ros.errors import EngineError, one_of

V_START = -65.0
V_SPIKE = 30.0
V_CLIP_LOW = -100.0
V_CLIP_HIGH = 35.0


@dataclass(frozen=True)
class NeuronParameters:
    """The four parameters of an Izhikevich neuron.

    Parameters
    ----------
    a : rate of the recovery variable u, 1/ms; 0 freezes u.
    b : sensitivity of u to the membrane potential.
    c : membrane potential after a spike, mV; below the spike threshold of 30.
    d : what a spike adds to u.

    Raises
    ------
    EngineError
        if a value is not finite, ``a`` is not in [0, 1], or ``c`` is not below 30.
    """

    a: float
    b: float
    c: float
    d: float

    def __post_init__(self) -> None:
        for name in ("a", "b", "c", "d"):
            number = check_number(f"NeuronParameters.{name}", getattr(self, name))
            object.__setattr__(self, name, number)
        check_number("NeuronParameters.a", self.a, ge=0.0, le=1.0)
        if self.c >= V_SPIKE:
            raise EngineError(f"NeuronParameters.c: must be less than {V_SPIKE:g} (got {self.c})")


PRESETS: Mapping[str, NeuronParameters] = MappingProxyType(
    {
        "RS": NeuronParameters(0.02, 0.2, -65.0, 8.0),
        "FS": NeuronParameters(0.1, 0.2, -65.0, 2.0),
        "IB": NeuronParameters(0.02, 0.2, -55.0, 4.0),
        "CH": NeuronParameters(0.02, 0.2, -50.0, 2.0),
        "LTS": NeuronParameters(0.02, 0.25, -65.0, 2.0),
    }
)
"""Regular spiking, fast spiking, intrinsically bursting, chattering, low-threshold spiking."""


def neuron_parameters(kind: str | NeuronParameters, where: str = "neuron kind") -> NeuronParameters:
    """Return the parameters of a preset's name, or ``kind`` itself.

    Raises
    ------
    EngineError
        if the name is not a preset's.
    """
    if isinstance(kind, NeuronParameters):
        return kind
    if kind not in PRESETS:
        raise EngineError(
            f"{where}: unknown neuron kind {kind!r}; {one_of(PRESETS)}, or a NeuronParameters"
        )
    return PRESETS[kind]


@dataclass(frozen=True, eq=False)
class NeuronArrays:
    """Izhikevich parameters of many neurons, one value each.

    Parameters
    ----------
    a, b, c, d : float64[size], see :class:`NeuronParameters`; kept as read-only copies.

    Raises
    ------
    EngineError
        naming the parameter, the first bad neuron and its value.
    """

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    c: NDArray[np.float64]
    d: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in ("a", "b", "c", "d"):
            where = f"NeuronArrays.{name}"
            values = per_neuron(where, getattr(self, name), np.shape(self.a)[:1])
            object.__setattr__(self, name, values)
        for name, bad, allowed in (
            ("a", (self.a < 0.0) | (self.a > 1.0), "in [0, 1]"),
            ("c", self.c >= V_SPIKE, f"less than {V_SPIKE:g}"),
        ):
            first = np.flatnonzero(bad)
            if first.size:
                raise EngineError(
                    f"NeuronArrays.{name}: must be {allowed}"
                    f" (got {getattr(self, name)[first[0]]:g} at neuron {first[0]})"
                )

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(self.a.size)

    @classmethod
    def repeat(cls, kinds: Sequence[NeuronParameters], counts: Sequence[int]) -> NeuronArrays:
        """Return ``counts[i]`` neurons of each ``kinds[i]``, in order."""
        columns = (np.array([getattr(p, name) for p in kinds], np.float64) for name in "abcd")
        return cls(*(np.repeat(column, counts) for column in columns))


NeuronKind = str | NeuronParameters | NeuronArrays | Sequence[str | NeuronParameters]
"""What says how neurons of a group behave: one for all, or one for each."""


def neuron_arrays(kind: NeuronKind, size: int, where: str) -> NeuronArrays:
    """Return the parameters of each of ``size`` neurons.

    Raises
    ------
    EngineError
        for an unknown preset, or if there are not ``size`` kinds.
    """
    if isinstance(kind, str | NeuronParameters):
        return NeuronArrays.repeat([neuron_parameters(kind, where)], [size])
    if not isinstance(kind, NeuronArrays):
        kinds = [neuron_parameters(each, f"{where}: neuron {i}") for i, each in enumerate(kind)]
        kind = NeuronArrays.repeat(kinds, [1] * len(kinds))
    if kind.size != size:
        raise EngineError(f"{where}: needs {size} neuron kinds, one for each (got {kind.size})")
    return kind


def per_neuron(where: str, values: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return a read-only copy of values, one for each neuron.

    Raises
    ------
    EngineError
        if they are not finite numbers, or of another shape.
    """
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise EngineError(f"{where}: must be numbers (got {values!r})") from None
    if array.ndim != 1 or array.shape != shape:
        size = shape[0] if shape else "size"
        raise EngineError(f"{where}: must have the shape [{size}] (got {list(array.shape)})")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise EngineError(f"{where}: must be finite (got {array[bad[0]]} at neuron {bad[0]})")
    array.setflags(write=False)
    return array


class NeuronState:
    """Parameters and dynamic state of all neurons of a network, as arrays of float64[N].

    Attributes
    ----------
    a, b, c, d : parameters, see :class:`NeuronParameters`.
    v : membrane potential, mV.
    u : recovery variable.
    """

    def __init__(self, groups: Sequence[NeuronArrays]) -> None:
        self.a, self.b, self.c, self.d = (
            np.concatenate([getattr(group, name) for group in groups]) for name in "abcd"
        )
        self.size = int(self.a.size)
        self.v = np.empty(self.size)
        self.u = np.empty(self.size)
        self._rate = np.empty(self.size)
        self._term = np.empty(self.size)
        self._fired = np.empty(self.size, dtype=np.bool_)
        self.reset()

    def reset(self) -> None:
        """Return to the resting start: v = -65, u = b v."""
        self.v.fill(V_START)
        np.multiply(self.b, self.v, out=self.u)

    def step(self, current: NDArray[np.float64], spikes: NDArray[np.uint8]) -> None:
        """Advance all neurons by one tick (1 ms).

        Parameters
        ----------
        current : input of this tick, float64[N].
        spikes : uint8[N], written: 1 where the neuron fired.
        """
        v, u, rate, term, fired = self.v, self.u, self._rate, self._term, self._fired
        self._half_step(current)
        np.maximum(v, V_CLIP_LOW, out=v)
        np.minimum(v, V_CLIP_HIGH, out=v)
        self._half_step(current)
        np.multiply(self.b, v, out=term)
        np.subtract(term, u, out=term)
        np.multiply(self.a, term, out=rate)
        np.add(u, rate, out=u)
        np.greater_equal(v, V_SPIKE, out=fired)
        np.copyto(v, self.c, where=fired)
        np.add(u, self.d, out=u, where=fired)
        spikes[:] = fired

    def _half_step(self, current: NDArray[np.float64]) -> None:
        # The order of operations is part of the contract with the compiled path.
        v, u, rate, term = self.v, self.u, self._rate, self._term
        np.multiply(v, 0.04, out=rate)
        np.multiply(rate, v, out=rate)
        np.multiply(v, 5.0, out=term)
        np.add(rate, term, out=rate)
        np.add(rate, 140.0, out=rate)
        np.subtract(rate, u, out=rate)
        np.add(rate, current, out=rate)
        np.multiply(rate, 0.5, out=rate)
        np.add(v, rate, out=v)
