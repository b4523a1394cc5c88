"""A backfill: a plan done in slices, so that it can be stopped, watched, and overtaken.

Between two slices open requests are served first. Only the slice at hand is claimed.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from copal import plan as planning
from copal.asset import Asset
from copal.errors import RequestError
from copal.flow import parts
from copal.flow.drive import Engine, Listener, drive
from copal.flow.requests import serve_requests
from copal.flow.work import workers_of
from copal.plan import Plan
from copal.project import Project
from copal.run.report import RunReport
from copal.store.leases import live_runs

log = structlog.get_logger("copal.flow")

SLICE_SECONDS = 60.0
"""What a slice should take: a request waits at most about that long."""
MOST_GROWTH = 4
"""A slice is at most so many times as large as the one before."""
POLL_SECONDS = 1.0
LAST_SECONDS = 6.0
"""How long a slice goes on once the budget is spent, so that what it did is published."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How many cells may fail before a backfill stops."""

    text: str
    cells: int

    @staticmethod
    def of(text: str, planned: int) -> Budget:
        """``2%`` of the cells planned, or a number of them.

        Raises
        ------
        RequestError
            It is neither.
        """
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%?)", text.strip())
        if found is None or (found[2] and float(found[1]) > 100) or (
            not found[2] and "." in found[1]
        ):  # fmt: skip
            raise RequestError(f"--max-failures '{text}': a number of cells, or a share like 2%.")
        if found[2]:
            return Budget(text, math.floor(planned * float(found[1]) / 100))
        return Budget(text, int(found[1]))


class BudgetSpentError(Exception):
    """More cells failed than may; ends a slice that goes on for too long."""


@dataclass(slots=True)
class Backfill:
    """How a backfill went."""

    planned: int
    """Cells to compute when it began."""
    outcomes: Counter[str] = field(default_factory=Counter)
    runs: list[str] = field(default_factory=list)
    served: int = 0
    """Tickets settled between slices."""
    stopped: str = ""
    """Why it ended before its time; empty when it did not."""
    last_error: str = ""
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether some cell failed or it was stopped."""
        return bool(self.stopped) or self.outcomes["failed"] > 0

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "planned": self.planned, "outcomes": dict(self.outcomes), "runs": self.runs,
            "requests_served": self.served, "stopped": self.stopped,
            "seconds": round(self.seconds, 3),
        }  # fmt: skip


def plan_backfill(
    project: Project, feature: str, assets: Sequence[Asset], limit: int | None = None
) -> Plan:
    """What a feature, or ``FEATURE@vN``, is missing on assets; at most ``limit`` units of it.

    Raises
    ------
    RequestError
        The registry declares another version than the one named.
    """
    name, mark, version = feature.partition("@")
    declaration = project.graph.declaration(name)
    if mark and version != f"v{declaration.version}":
        raise RequestError(
            f"'{feature}': the registry declares v{declaration.version}. A backfill computes what "
            "is declared; an older version is read, never computed."
        )
    recipes = project.recipes([name])
    plan = planning.plan(project.graph, recipes, assets, project.held(recipes))
    if limit is None:
        return plan
    first = parts.first_units(plan, declaration.name, limit)
    return parts.needed_by(plan, project.graph, {declaration.name: first})


def work_through(
    project: Project,
    plan: Plan,
    *,
    engine: Engine = "metaflow",
    max_workers: int | None = None,
    max_failures: str | None = None,
    listen: Listener | None = None,
    by: str = "backfill",
    slice_seconds: float = SLICE_SECONDS,
) -> Backfill:
    """Do a plan in slices; cells that other runs have are looked at again when those have ended.

    Parameters
    ----------
    max_failures
        ``2%`` of the cells, or a number: when more fail, the slice at hand is ended and no other
        is begun, so an outage costs a few cells and not a night.
    listen
        Called with every log line of every task.

    Raises
    ------
    RequestError
        ``max_failures`` or ``max_workers`` is no such number.
    StoreError
        A slice ended without a report. What was stored is kept.
    """
    return _Backfill(project, plan, engine, max_workers, max_failures, listen, by).work(
        slice_seconds
    )


class _Backfill:
    """A backfill on its way."""

    def __init__(
        self,
        project: Project,
        plan: Plan,
        engine: Engine,
        max_workers: int | None,
        max_failures: str | None,
        listen: Listener | None,
        by: str,
    ) -> None:
        self.project, self.plan, self.engine, self.by = project, plan, engine, by
        self.workers = workers_of(max_workers)
        self.budget = Budget.of(max_failures, plan.cells) if max_failures is not None else None
        self.listen = listen or _nothing
        self.report = Backfill(planned=plan.cells)
        self.failing = 0
        """Cells of the slice at hand that failed so far."""
        self.spent_at = 0.0

    def work(self, slice_seconds: float) -> Backfill:
        started = time.monotonic()
        self.serve()
        todo = self.plan
        seconds = {str(a.id): a.duration_seconds for a in self.project.catalog.assets()}
        while todo.cells and not self.report.stopped:
            left: set[str] = set()
            others: set[str] = set()
            pace = _Pace(self.workers, slice_seconds)
            for part in parts.slices(todo, pace.sizes(), seconds):
                begun = time.monotonic()
                report = self.do(part)
                pace.took(part, time.monotonic() - begun, report)
                if self.report.stopped:
                    break
                if report is not None and report.elsewhere:
                    others |= report.elsewhere.keys()
                    left |= {unit for _, _, unit in parts.cells_of(part)}
                self.serve()
            if not left or self.report.stopped:
                break
            self.wait_for(others)
            todo = self.still_missing(left)
        self.report.seconds = time.monotonic() - started
        return self.report

    def do(self, part: Plan) -> RunReport | None:
        self.failing = 0
        try:
            report = drive(
                self.project, part, engine=self.engine, max_workers=self.workers,
                listen=self.hear, by=self.by,
            )  # fmt: skip
        except BudgetSpentError:
            self.report.outcomes["failed"] += self.failing
            self.stop()
            return None
        if report.run_id:
            self.report.runs.append(report.run_id)
        for counts in report.outcomes.values():
            self.report.outcomes.update(counts)
        for told in report.errors.values():
            self.report.last_error = next(reversed(told.values()), self.report.last_error)
        log.info("slice.ended", run=report.run_id, cells=part.cells, by=self.by)
        if self.spent(self.report.outcomes["failed"]):
            self.stop()
        return report

    def hear(self, event: Mapping[str, Any]) -> None:
        self.listen(event)
        if event.get("event") == "cell.failed":
            self.failing += 1
            self.report.last_error = str(event.get("error", ""))
            if self.spent(self.report.outcomes["failed"] + self.failing):
                self.spent_at = self.spent_at or time.monotonic()
        if self.spent_at and time.monotonic() - self.spent_at > LAST_SECONDS:
            raise BudgetSpentError

    def spent(self, failed: int) -> bool:
        return self.budget is not None and failed > self.budget.cells

    def stop(self) -> None:
        assert self.budget is not None
        failed = self.report.outcomes["failed"]
        self.report.stopped = (
            f"stopped: {failed:,} of {self.report.planned:,} cells failed, more than "
            f"--max-failures {self.budget.text} lets pass ({self.budget.cells:,}). The last: "
            f"{self.report.last_error.rstrip('.')}. What was stored is kept; run again to go on."
        )
        log.error("backfill.stopped", failed=failed, planned=self.report.planned)

    def serve(self) -> None:
        """Requests go first."""
        self.report.served += serve_requests(
            self.project, engine=self.engine, max_workers=self.workers, listen=self.listen
        )

    def wait_for(self, runs: set[str]) -> None:
        while runs & set(live_runs(self.project.folder)):
            time.sleep(POLL_SECONDS)
            self.serve()

    def still_missing(self, units: set[str]) -> Plan:
        """Cells of units that were left to others, and that those did not store either."""
        recipes = {part.feature: part.recipe for part in self.plan}
        assets = self.project.catalog.assets()
        now = planning.plan(self.project.graph, recipes, assets, self.project.held(recipes))
        wanted = {
            part.feature: {c.unit for c in part.cells} & units for part in self.plan
        }  # fmt: skip
        return parts.needed_by(now, self.project.graph, wanted)


class _Pace:
    """How large a slice may be to take the time it should."""

    def __init__(self, workers: int, slice_seconds: float) -> None:
        self.workers, self.slice_seconds = workers, slice_seconds
        self.next = {"asset": workers, "pair": 64 * workers}
        self.unit = "asset"

    def sizes(self) -> Iterator[int]:
        """The size of each slice, as it is asked for."""
        while True:
            yield self.next[self.unit]

    def took(self, part: Plan, seconds: float, report: RunReport | None) -> None:
        """Learn from a slice; what fails is quick, and says nothing of what would not."""
        self.unit = next((each.unit for each in part if each.cells), self.unit)
        units = len({cell.unit for each in part for cell in each.cells})
        fitting = int(units * self.slice_seconds / max(seconds, 0.01))
        failed = report is None or report.failed
        fitting = min(fitting, units * (1 if failed else MOST_GROWTH))
        self.next[self.unit] = max(self.workers, fitting - fitting % self.workers)


def _nothing(event: Mapping[str, Any]) -> None:
    """Heard by nobody."""
