"""The schedule of one machine: everything that is missing, whenever the registry's cron says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from copal import cron
from copal.errors import CopalError, RequestError
from copal.flow.backfill import Backfill, Budget, work_through
from copal.flow.drive import Engine, Listener
from copal.flow.requests import WATCH_SECONDS, serve_requests
from copal.flow.work import workers_of
from copal.project import Project

log = structlog.get_logger("copal.flow")


def keep_schedule(
    open_project: Callable[[], Project],
    *,
    now: bool = False,
    once: bool = False,
    engine: Engine = "metaflow",
    max_workers: int | None = None,
    max_failures: str | None = None,
    listen: Listener | None = None,
    poll_seconds: float = WATCH_SECONDS,
) -> Backfill | None:
    """Keep to the registry's schedule until interrupted; requests are served in between.

    The registry is read anew each time something is due. A run that cannot be made, since the
    registry is damaged or the store away, is logged, and the schedule goes on.

    Parameters
    ----------
    now
        Begin with a run, whatever the time.
    once
        Return after the first run.

    Returns
    -------
    How the last run went.

    Raises
    ------
    RequestError
        The registry has no schedule, or one that is no cron line; or ``max_failures`` or
        ``max_workers`` is no such number.
    """
    workers_of(max_workers)
    if max_failures is not None:
        Budget.of(max_failures, planned=0)  # a mistake is told now, and not in the night
    project = open_project()
    due = datetime.now(UTC) if now else _next_due(project)
    log.info("schedule.kept", schedule=project.registry.schedule, next=due.isoformat())
    while True:
        if datetime.now(UTC) < due:
            left = (due - datetime.now(UTC)).total_seconds()
            if _serve(project, engine, max_workers, listen) == 0:
                time.sleep(max(0.0, min(poll_seconds, left)))
            continue
        log.info("schedule.due", at=due.isoformat())
        done: Backfill | None = None
        try:
            project = open_project()
            done = work_through(
                project, project.plan(), engine=engine, max_workers=max_workers,
                max_failures=max_failures, listen=listen, by="schedule",
            )  # fmt: skip
            log.info("schedule.done", **done.to_json())
        except RequestError:
            raise
        except CopalError as exc:
            if once:
                raise
            log.error("schedule.failed", error=str(exc))
        if once:
            return done
        due = _next_due(project)
        log.info("schedule.next", next=due.isoformat())


def _next_due(project: Project) -> datetime:
    line = project.registry.schedule
    if line is None:
        raise RequestError(
            f"{project.registry.where} has no 'schedule', so nothing is ever due. "
            'Give it one, such as schedule: "0 3 * * ? *".'
        )
    due = cron.parse(line).next_after(datetime.now(UTC))
    if due is None:
        raise RequestError(f"schedule '{line}': it is never due again.")
    return due


def _serve(
    project: Project, engine: Engine, max_workers: int | None, listen: Listener | None
) -> int:
    try:
        return serve_requests(project, engine=engine, max_workers=max_workers, listen=listen)
    except CopalError as exc:
        log.error("requests.failed", error=str(exc))
        return 0
