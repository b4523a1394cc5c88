"""A quote: what a plan would cost, cut and shared out as a run of it would be."""

from __future__ import annotations

from copal.flow.work import Chunk, cut, workers_of
from copal.history import price_of
from copal.plan import Plan
from copal.price import Chunk as Units
from copal.price import Price
from copal.project import Project


def quote(project: Project, plan: Plan, *, flow: bool, max_workers: int | None) -> Price:
    """The price of a plan as a flow at so many workers (one for each core), or in one process.

    Raises
    ------
    RequestError
        Fewer than one worker is asked for.
    """
    workers = workers_of(max_workers)
    if not flow:
        workers = 1
    assets = project.catalog.assets(brief=True) if plan.cells else []
    work = cut(plan, assets, workers)
    return price_of(
        project,
        plan,
        [_units(chunk) for chunk in work.assets],
        [_units(chunk) for chunk in work.pairs],
        workers=workers,
        flow=flow,
    )


def _units(chunk: Chunk) -> Units:
    return {feature: [cell.unit for cell in cells] for feature, cells in chunk.items()}
