"""Values that cross module borders refuse what makes no sense."""

from __future__ import annotations

import numpy as np
import pytest

from ab_ros.errors import ContractError
from ab_ros.values import ChannelDeltas, Cycle


def cycle(**changes: object) -> Cycle:
    raster = np.zeros((20, 4), np.uint8)
    values = {"rasters": {"pan": raster}, "dt": 0.001, "stamp": 1.0, "observed": 1.0, **changes}
    return Cycle("run", 3, **values)  # type: ignore[arg-type]


def test_a_cycle_is_as_long_as_its_rasters_or_its_deltas() -> None:
    assert cycle().timesteps == 20
    assert cycle(rasters={}).timesteps == 0
    deltas = ChannelDeltas(("yaw", "pitch"), np.zeros((7, 2)))
    assert cycle(rasters={}, deltas=deltas).timesteps == 7
    with pytest.raises(ContractError, match="cycle 3: must have rasters or deltas, not both"):
        cycle(deltas=deltas)


def test_deltas_name_each_channel_once_and_have_a_column_for_it() -> None:
    with pytest.raises(ContractError, match=r"must have the form \[T, 1\], not \[7, 2\]"):
        ChannelDeltas(("yaw",), np.zeros((7, 2)))
    with pytest.raises(ContractError, match="must have the form"):
        ChannelDeltas(("yaw",), np.zeros(7))
    with pytest.raises(ContractError, match="must name each channel once"):
        ChannelDeltas(("yaw", "yaw"), np.zeros((7, 2)))
