"""Fixed synapses: a weight that never changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ab_ros.engine.synapses.rule import Rule, Synapse
from ab_ros.engine.synapses.table import SynapseTable


@dataclass(frozen=True)
class Fixed(Synapse):
    """A synapse that delivers its weight ``w``, of any sign, with every presynaptic spike."""

    type_name: ClassVar[str] = "fixed"

    def rule(self, table: SynapseTable) -> FixedRule:
        """Return the rule of a table of fixed synapses."""
        return FixedRule(table)


class FixedRule(Rule):
    """No state, no learning."""
