"""What a worker tells of its cells: an attempt each for the store, a line of log, the tally."""

from __future__ import annotations

import resource
import socket
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from copal.binding import code_digest
from copal.fingerprint import pair_assets
from copal.plan import Cell
from copal.registry import FeatureName
from copal.run.inputs import Worker
from copal.run.tally import Tally
from copal.store.base import Attempt

log = structlog.get_logger("copal.run")


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds since it was made, of the clock and of processors, those of programs included."""

    clock: float = field(default_factory=time.monotonic)
    processors: float = field(default_factory=lambda: _cpu_seconds())

    def costs(self, cells: int = 1) -> dict[str, Any]:
        """What one of some cells cost that were computed since."""
        return {
            "seconds": (time.monotonic() - self.clock) / cells,
            "cpu_seconds": (_cpu_seconds() - self.processors) / cells,
        }


class Journal:
    """The attempts of one feature's cells until they are stored, and how many went how."""

    def __init__(self, worker: Worker, feature: FeatureName, run_id: str) -> None:
        self.worker = worker
        self.feature = feature
        self.version = worker.recipes[feature].version
        self.run_id = run_id
        self.machine = socket.gethostname()
        self.code = code_digest(worker.bound[feature])
        self.tally = Tally()
        self.attempts: list[Attempt] = []

    def tell(self, cell: Cell, outcome: str) -> None:
        """Of a cell that was not tried: ``blocked`` or ``kept``."""
        self.tally.outcomes[outcome] += 1
        log.info(f"cell.{outcome}", feature=self.feature, unit=cell.unit)

    def note(
        self,
        cell: Cell,
        outcome: str,
        *,
        rows: int = 0,
        shots: int = 0,
        shots_computed: int = 0,
        error: str = "",
        **attempt: Any,
    ) -> None:
        """Of a cell that was tried; ``attempt`` are more fields of the attempt."""
        self.tally.outcomes[outcome] += 1
        if shots:
            self.tally.shots["computed"] += shots_computed
            self.tally.shots["carried"] += shots - shots_computed
        assets = (self.worker.assets.get(each) for each in set(pair_assets(cell.unit)))
        self.attempts.append(
            Attempt(
                unit=cell.unit,
                outcome=outcome,
                run_id=self.run_id,
                at=datetime.now(UTC),
                media_seconds=sum(asset.duration_seconds for asset in assets if asset),
                error=error,
                machine=self.machine,
                code_digest=self.code,
                shots=shots or None,
                shots_computed=shots_computed if shots else None,
                **attempt,
            )
        )
        details: dict[str, Any] = {"error": error} if error else {"rows": rows}
        if shots:
            details |= {"shots": shots, "shots_computed": shots_computed}
        log.info(
            f"cell.{outcome}",
            feature=self.feature,
            version=self.version,
            unit=cell.unit,
            reason=str(cell.reason),
            elapsed_seconds=round(attempt.get("seconds", 0.0), 3),
            **details,
        )

    def taken(self) -> list[Attempt]:
        """The attempts since it was last asked."""
        found, self.attempts = self.attempts, []
        return found


def _cpu_seconds() -> float:
    mine = resource.getrusage(resource.RUSAGE_SELF)
    its = resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + its.ru_utime + its.ru_stime
