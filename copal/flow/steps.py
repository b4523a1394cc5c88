"""What the generated flow's steps call: each opens the project anew and passes only numbers on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

# Every task of the flow imports this module, so what is heavy is imported where it is used.
from copal.errors import WorkerDied
from copal.flow.orphans import end_with_parent
from copal.placement import PART

NO_CHUNK = -1
"""Stands in for the chunks of a run that has none: Metaflow refuses a foreach over nothing."""

EVENTS = "COPAL_EVENTS"
"""File to which a task appends its log lines, for the one who started the run to follow."""

end_with_parent()


def begin(plan_id: str) -> tuple[str, list[int]]:
    """The run to do and the numbers of its chunks of assets; plans when no run is given."""
    from copal.flow.work import load_head

    project = _project()
    run_id = plan_id
    if not run_id:
        from metaflow import current  # type: ignore[attr-defined]  # exported lazily

        from copal.flow.deployed import plan_run

        run_id = plan_run(project, str(current.run_id))
    return run_id, list(range(load_head(project.store, run_id).assets)) or [NO_CHUNK]


def pair_chunks(run_id: str) -> list[int]:
    """Numbers of the run's chunks of pairs."""
    from copal.flow.work import load_head

    return list(range(load_head(_project().store, run_id).pairs)) or [NO_CHUNK]


def compute(feature: str, run_id: str, kind: str, chunk: int) -> dict[str, Any]:
    """Compute the cells of one feature in one chunk."""
    told: dict[str, Any] = {"feature": feature, "chunk": chunk}
    if chunk == NO_CHUNK:
        return told | {"outcomes": {}, "errors": {}, "seconds": 0.0}
    from copal.flow.work import load_chunk, load_head
    from copal.flow.worker import make_worker
    from copal.registry import FeatureName
    from copal.run import Tally, compute_cells

    project = _project()
    name = FeatureName(feature)
    tally = Tally()
    if cells := load_chunk(project.store, run_id, kind, chunk).get(name):
        head = load_head(project.store, run_id)
        worker = make_worker(project, [feature], head.recipes)
        with _alive(project, run_id):
            tally = compute_cells(worker, name, cells, run_id)
    return told | tally.to_json()


def _alive(project: Any, run_id: str) -> Any:
    """On a cluster each task says that the run is alive; on one machine its driver does."""
    from contextlib import nullcontext

    if os.environ.get(PART):
        return nullcontext()
    from copal.flow.deployed import beating

    return beating(project, run_id)


def run_of(inputs: Iterable[Any], plan_id: str) -> str:
    """The run that joined branches belong to; a branch whose task died may not know it."""
    return next((str(each.run_id) for each in inputs if getattr(each, "run_id", None)), plan_id)


def tallies_of(inputs: Iterable[Any]) -> list[dict[str, Any]]:
    """What was gathered before the branches parted."""
    return next((each.tallies for each in inputs if getattr(each, "tallies", None)), [])


def gather(
    inputs: Iterable[Any], features: Sequence[str], kind: str, run_id: str
) -> list[dict[str, Any]]:
    """The tallies of all branches; a task that died leaves an attempt for each cell it owed."""
    from copal.flow.work import load_chunk, load_head

    found: list[dict[str, Any]] = []
    seen: set[tuple[str, int]] = set()
    for branch in inputs:
        for feature in features:
            tally = getattr(branch, f"{feature}_tally", None)
            crash = getattr(branch, f"{feature}_crash", None)
            if tally is not None and crash is None and (feature, tally["chunk"]) not in seen:
                seen.add((feature, tally["chunk"]))
                found.append(tally)
    project = _project()
    head = load_head(project.store, run_id)
    for chunk in range(head.assets if kind == "assets" else head.pairs):
        owed = load_chunk(project.store, run_id, kind, chunk)
        for name, cells in owed.items():
            if cells and (name, chunk) not in seen:
                found.append(_bury(project, name, chunk, [cell.unit for cell in cells], run_id))
    _tell_card(project, features, run_id, found)
    return found


def _tell_card(
    project: Any, features: Sequence[str], run_id: str, tallies: Sequence[dict[str, Any]]
) -> None:
    """Fill the step's card, when the flow was compiled with cards."""
    from metaflow import current  # type: ignore[attr-defined]  # exported lazily

    if (card := current.get("card")) is not None:
        from copal.flow.cards import fill

        fill(card, project, features, run_id, tallies)


def _bury(
    project: Any, feature: str, chunk: int, units: Sequence[str], run_id: str
) -> dict[str, Any]:
    """Note the cells that a dead task left without a value."""
    from datetime import UTC, datetime

    from copal.matcher import Then, verdict
    from copal.store.base import Attempt

    table = project.store.table(project.recipes([feature])[feature])
    stored = table.index().units
    told = {each.unit for each in table.attempts(["failed", "skipped"]) if each.run_id == run_id}
    owed = [unit for unit in units if unit not in stored and unit not in told]
    error = WorkerDied(f"'{feature}': the task of chunk {chunk} ended before it was done.")
    then = verdict(project.graph.declaration(feature).errors, error)
    outcome = "skipped" if then is Then.SKIP else "failed"
    table.record(
        [
            Attempt(
                unit=unit,
                outcome=outcome,
                run_id=run_id,
                at=datetime.now(UTC),
                error=str(error),
                error_class=type(error).__name__,
                retryable=then is Then.RETRY,
            )
            for unit in owed
        ]
    )
    return {
        "feature": feature,
        "chunk": chunk,
        "outcomes": {outcome: len(owed)},
        "errors": {} if then is Then.SKIP else {unit: str(error) for unit in owed},
        "seconds": 0.0,
        "died": True,
    }


def finish(run_id: str, tallies: Sequence[dict[str, Any]]) -> None:
    """Keep the run's report, and release what the run completed.

    Raises
    ------
    WorkerDied
        A task ended before it was done, so the run is no success.
    """
    from copal.run import Tally
    from copal.run.report import RunReport

    report = RunReport(run_id=run_id)
    for each in tallies:
        report.add(each["feature"], Tally.from_json(each))
        if each.get("died"):
            report.died.append(f"{each['feature']} of chunk {each['chunk']}")
    project = _project()
    report.keep(project.store)
    if not os.environ.get(PART):  # otherwise whoever started the run does it
        from copal.flow.deployed import finish_run
        from copal.flow.work import load_head
        from copal.releases import settle

        finish_run(project, report)
        done = load_head(project.store, run_id).recipes
        settle(project, project.recipes({*project.graph.targets(), *done}), run_id)
    if report.died:
        raise WorkerDied(f"{len(report.died)} tasks ended before they were done: {report.died[:5]}")


def _project() -> Any:
    from copal.project import Project

    _tell_events()
    flow_file = Path(sys.argv[0]).resolve()
    return Project.find(Path(os.environ.get("COPAL_PROJECT") or flow_file.parent.parent))


def _tell_events() -> None:
    """Log lines as JSON: to the file that whoever started the run follows, or to stderr."""
    import structlog

    path = os.environ.get(EVENTS)
    stream = Path(path).open("a", buffering=1) if path else sys.stderr  # noqa: SIM115  # open as long as the task
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
