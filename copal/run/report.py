"""How a run went: cells by feature and outcome, errors, seconds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from copal.run.tally import Tally
from copal.store.base import Store


@dataclass(slots=True)
class RunReport:
    """How a run went."""

    run_id: str = ""
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    """Feature → outcome → cells."""
    errors: dict[str, dict[str, str]] = field(default_factory=dict)
    """Feature → unit → message."""
    shots: dict[str, Counter[str]] = field(default_factory=dict)
    """Per-shot feature → shots ``computed`` and ``carried``, in the cells that got a value."""
    seconds: float = 0.0
    tasks: int = 0
    """Metaflow tasks that ran; 0 when no flow was started."""
    workers: int = 0
    """Tasks at a time; 0 where the report is older than this field."""
    cell_seconds: float = 0.0
    """Wall time of all cells, one after the other; what is left of a run went to its tasks."""
    died: list[str] = field(default_factory=list)
    """Tasks whose process ended before it could say how its cells went."""
    elsewhere: dict[str, int] = field(default_factory=dict)
    """Live run → cells that were left to it, since it is computing them."""
    waiting: int = 0
    """Cells left out because they need one of those."""
    unsettled: str = ""
    """Why what the run completed could not be released; the next run tries it again."""

    def add(self, feature: str, tally: Tally) -> None:
        """Count the cells of one chunk."""
        if tally.outcomes:
            self.outcomes.setdefault(feature, Counter()).update(tally.outcomes)
        if tally.shots:
            self.shots.setdefault(feature, Counter()).update(tally.shots)
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
            "shots": {name: dict(counts) for name, counts in self.shots.items()},
            "seconds": round(self.seconds, 3),
            "tasks": self.tasks,
            "workers": self.workers,
            "cell_seconds": round(self.cell_seconds, 3),
            "died": self.died,
            "elsewhere": self.elsewhere,
            "waiting": self.waiting,
            **({"unsettled": self.unsettled} if self.unsettled else {}),
        }

    def keep(self, store: Store) -> None:
        """Write the report into the store, beside the run's other documents."""
        store.save(f"runs/{self.run_id}/report.json", (json.dumps(self.to_json()) + "\n").encode())

    @staticmethod
    def from_json(data: Mapping[str, object] | bytes) -> RunReport:
        """The report that ``to_json`` wrote."""
        found: dict[str, Any] = json.loads(data) if isinstance(data, bytes) else dict(data)
        for name in ("outcomes", "shots"):
            counts = found.get(name, {})
            found[name] = {feature: Counter(its) for feature, its in counts.items()}
        return RunReport(**found)
