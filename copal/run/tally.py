"""How the cells of a chunk went: counted as they end, summed over chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Tally:
    """How the cells of a chunk went."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """``stored``, ``empty``, ``carried``, ``kept``, ``lost``, ``failed``,
    ``skipped``, ``blocked``."""
    seconds: float = 0.0
    errors: dict[str, str] = field(default_factory=dict)
    """Unit → message, of those that failed."""
    shots: Counter[str] = field(default_factory=Counter)
    """Of a per-shot feature: shots ``computed`` and ``carried``, in the cells that got a value."""

    def to_json(self) -> dict[str, Any]:
        """As a flow's task passes it on."""
        return {
            "outcomes": dict(self.outcomes),
            "seconds": self.seconds,
            "errors": self.errors,
            "shots": dict(self.shots),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Tally:
        """The tally that ``to_json`` wrote; other keys are left aside."""
        return Tally(
            outcomes=Counter(data["outcomes"]),
            seconds=data["seconds"],
            errors=dict(data["errors"]),
            shots=Counter(data.get("shots", {})),
        )
