"""How a run went: cells by feature and outcome, errors, seconds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from copal.run.chunk import Tally


@dataclass(slots=True)
class RunReport:
    """How a run went."""

    run_id: str = ""
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    """Feature → outcome → cells."""
    errors: dict[str, dict[str, str]] = field(default_factory=dict)
    """Feature → unit → message."""
    seconds: float = 0.0
    tasks: int = 0
    """Metaflow tasks that ran; 0 when no flow was started."""
    died: list[str] = field(default_factory=list)
    """Tasks whose process ended before it could say how its cells went."""

    def add(self, feature: str, tally: Tally) -> None:
        """Count the cells of one chunk."""
        if tally.outcomes:
            self.outcomes.setdefault(feature, Counter()).update(tally.outcomes)
        if tally.errors:
            self.errors.setdefault(feature, {}).update(tally.errors)

    def count(self, *outcomes: str) -> int:
        """Cells of these outcomes over all features."""
        return sum(counts[each] for counts in self.outcomes.values() for each in outcomes)

    @property
    def computed(self) -> int:
        """Cells whose ``compute`` ran to its end, those that another run published first too."""
        return self.count("stored", "empty")

    @property
    def failed(self) -> bool:
        """Whether some cell failed, or a worker died."""
        return bool(self.died) or self.count("failed") > 0

    def to_json(self) -> dict[str, object]:
        """As kept with the run."""
        return {
            "run_id": self.run_id,
            "outcomes": {name: dict(counts) for name, counts in self.outcomes.items()},
            "errors": self.errors,
            "seconds": round(self.seconds, 3),
            "tasks": self.tasks,
            "died": self.died,
        }

    @staticmethod
    def from_json(data: Mapping[str, object] | bytes) -> RunReport:
        """The report that ``to_json`` wrote."""
        found: dict[str, Any] = json.loads(data) if isinstance(data, bytes) else dict(data)
        found["outcomes"] = {n: Counter(counts) for n, counts in found["outcomes"].items()}
        return RunReport(**found)
