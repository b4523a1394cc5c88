"""A plan driven to its end: claimed, cut, run by an engine, and remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import structlog

from copal.errors import StoreError
from copal.flow import parts
from copal.flow.work import cut, new_run_id, workers_of
from copal.plan import Plan
from copal.project import Project
from copal.registry import FeatureName
from copal.releases import settle
from copal.run.report import RunReport
from copal.store.leases import Lease, claim, keep_only
from copal.store.runs import begin_run, end_run

log = structlog.get_logger("copal.flow")

Engine = Literal["metaflow", "inline"]
Listener = Callable[[Mapping[str, Any]], None]


def drive(
    project: Project,
    plan: Plan,
    *,
    engine: Engine = "metaflow",
    max_workers: int | None = None,
    listen: Listener | None = None,
    by: str = "python",
    run_id: str = "",
) -> RunReport:
    """Do a plan, but for the cells that a live run is computing already.

    Parameters
    ----------
    listen
        Called with every log line of every task of the Metaflow engine.
    by
        What starts the run, for those who look at it later.
    run_id
        The run's id when somebody told it already; see ``new_run_id``.

    Returns
    -------
    How it went; ``elsewhere`` tells which cells were left to which run, ``unsettled`` why what it
    completed could not be released.
    """
    workers = workers_of(max_workers)
    recipes = {part.feature: part.recipe for part in plan}
    if plan.cells == 0:
        settle(project, recipes, by)
        return RunReport()
    project.store.introduce()
    with Lease(project.folder, run_id or new_run_id()) as lease:
        mine, elsewhere, waiting = claimed(project, plan, lease.run_id)
        if mine.cells == 0:
            return RunReport(elsewhere=elsewhere, waiting=waiting)
        cells = {str(part.feature): len(part.cells) for part in mine if part.cells}
        run = begin_run(project.folder, lease.run_id, by, engine, cells)
        log.info("run.started", run=lease.run_id, by=by, engine=engine, cells=mine.cells)
        try:
            report = _run(project, mine, engine, workers, listen, lease)
        except BaseException as exc:
            stopped = isinstance(exc, KeyboardInterrupt)
            state, progress = "stopped" if stopped else "failed", lease.progress.to_json()
            end_run(project.folder, run, state, progress, "" if stopped else str(exc))
            log.info("run.ended", run=lease.run_id, state=state, error=str(exc))
            raise
        report.elsewhere, report.waiting = elsewhere, waiting
        report.keep(project.store)
        state = "failed" if report.failed else "done"
        end_run(project.folder, run, state, report.outcomes)
        log.info("run.ended", run=lease.run_id, state=state, seconds=round(report.seconds, 3))
        try:
            settle(project, recipes, lease.run_id)
        except StoreError as exc:  # the values are stored: the next run releases them
            log.error("release.failed", run=lease.run_id, error=str(exc))
            report.unsettled = str(exc)
    return report


def claimed(project: Project, plan: Plan, run_id: str) -> tuple[Plan, dict[str, int], int]:
    """What of a plan this run may do; how many cells each other run has; how many wait for them."""
    cells = parts.cells_of(plan)
    taken = claim(project.folder, run_id, cells)
    if not taken:
        return plan, {}, 0
    gone: dict[FeatureName, set[str]] = {}
    for places in taken.values():
        for place in places:
            feature, _, unit = cells[place]
            gone.setdefault(feature, set()).add(unit)
    mine, waiting = parts.without(plan, project.graph, gone)
    if waiting:  # what waits for another is nobody's yet
        keep_only(project.folder, run_id, parts.cells_of(mine))
    return mine, {run: len(places) for run, places in taken.items()}, waiting


def _run(
    project: Project,
    plan: Plan,
    engine: Engine,
    workers: int,
    listen: Listener | None,
    lease: Lease,
) -> RunReport:
    work = cut(plan, project.catalog.assets(), workers, lease.run_id)
    if engine == "inline":
        from copal.flow.inline import run_inline

        return run_inline(project, work, lease.progress.add)

    def hear(event: Mapping[str, Any]) -> None:
        lease.progress.hear(event)
        if listen is not None:
            listen(event)

    from copal.flow.metaflow_engine import run_metaflow

    return run_metaflow(project, work, max_workers=workers, listen=hear)
