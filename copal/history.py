"""What computing has cost so far: the attempts and the runs of a store, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from copal.graph import Recipe
from copal.plan import Plan
from copal.price import Chunk, History, PastRun, Price, Sample, Shape, price
from copal.project import TABLES_AT_ONCE, Project
from copal.run.report import RunReport
from copal.store import Attempt
from copal.store.inventory import NEWEST_ATTEMPTS, Inventories

NEWEST_RUNS = 10
ENOUGH = 3
"""Cells below which an older recipe that has more tells more."""


def price_of(
    project: Project,
    plan: Plan,
    assets: Sequence[Chunk],
    pairs: Sequence[Chunk],
    *,
    workers: int,
    flow: bool,
) -> Price:
    """What a plan costs, cut into chunks of assets and of pairs, at a number of workers."""
    shape = Shape(
        assets=assets,
        pairs=pairs,
        workers=workers,
        flow=flow,
        gpus={part.feature: project.graph.declaration(part.feature).resources.gpu for part in plan},
    )
    parts = [part for part in plan if part.cells]
    with ThreadPoolExecutor(TABLES_AT_ONCE) as pool:
        found = pool.map(lambda part: history(project, part.recipe), parts)
        histories = {part.feature: each for part, each in zip(parts, found, strict=True)}
    return price(plan, histories, past_runs(project), durations(project), shape)


def history(project: Project, recipe: Recipe) -> History:
    """The newest cells computed of a recipe, or of the newest older one that has enough."""
    newest = _newest(project, recipe)
    samples, shots, older = _samples(newest), _shots(newest), ""
    for other in project.store.others(recipe) if len(samples) < ENOUGH else ():
        if len(samples) >= ENOUGH:
            break
        attempts = _newest(project, other)
        shots = _shots(attempts) | shots
        if len(found := _samples(attempts)) > len(samples):
            samples = found
            older = f"v{other.version}" if other.version != recipe.version else "older"
    return History(samples, older, shots)


def _newest(project: Project, recipe: Recipe) -> Sequence[Attempt]:
    kept = Inventories(project.store).kept(recipe)
    if kept is not None:
        return kept.newest_attempts()
    return project.store.table(recipe).last_attempts(NEWEST_ATTEMPTS)


def _samples(attempts: Sequence[Attempt]) -> list[Sample]:
    """Cells of which everything was computed and nothing carried over."""
    return [
        Sample(each.unit, each.seconds, each.cpu_seconds, each.bytes)
        for each in attempts
        if each.outcome in ("stored", "empty") and each.shots == each.shots_computed
    ]


def _shots(attempts: Sequence[Attempt]) -> dict[str, int]:
    return {each.unit: each.shots for each in attempts if each.shots is not None}


def past_runs(project: Project) -> list[PastRun]:
    """The newest runs that were flows and said how long they took."""
    found = []
    for run_id in project.folder.names("runs")[-NEWEST_RUNS:]:
        data = project.store.load(f"runs/{run_id}/report.json")
        if data is None:  # stopped before its end
            continue
        report = RunReport.from_json(data)
        if report.tasks and report.workers:
            found.append(PastRun(report.seconds, report.tasks, report.workers, report.cell_seconds))
    return found


def durations(project: Project) -> Mapping[str, float]:
    """Seconds of media of every asset."""
    rows = project.catalog.table("assets").read(["asset_id", "duration_seconds"])
    return dict(zip(*(rows[name].to_pylist() for name in rows.column_names), strict=True))
