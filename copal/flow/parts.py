"""Parts of a plan: some of its cells with all they need, without some, or slice by slice."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from copal.graph import Graph
from copal.plan import Plan
from copal.registry import FeatureName


def needed_by(plan: Plan, graph: Graph, wanted: Mapping[FeatureName, Collection[str]]) -> Plan:
    """The cells of units that are wanted, and the missing cells that those need."""
    keep: dict[FeatureName, set[str]] = {name: set(units) for name, units in wanted.items()}
    for part in reversed(plan.features):
        wished = keep.get(part.feature, set())
        mine = {str(cell.unit) for cell in part.cells if cell.unit in wished}
        for need in set(graph.declaration(part.feature).needs.values()):
            keep.setdefault(need, set()).update(
                each for unit in mine for each in graph.units_of_need(part.feature, need, unit)
            )
    return _only(plan, keep)


def without(
    plan: Plan, graph: Graph, taken: Mapping[FeatureName, Collection[str]]
) -> tuple[Plan, int]:
    """A plan without cells that somebody else has, and without those that need one of them.

    Returns
    -------
    The rest, and how many cells were left out because they wait for one that is taken.
    """
    left: dict[FeatureName, set[str]] = {}
    keep: dict[FeatureName, set[str]] = {}
    waiting = 0
    for part in plan:
        mine = set(taken.get(part.feature, ()))
        stuck = [
            (need, left[need])
            for need in set(graph.declaration(part.feature).needs.values())
            if left.get(need)
        ]
        for cell in part.cells if stuck else ():
            if cell.unit in mine:
                continue
            if any(each in gone for need, gone in stuck
                   for each in graph.units_of_need(part.feature, need, cell.unit)):  # fmt: skip
                mine.add(cell.unit)
                waiting += 1
        left[part.feature] = mine
        keep[part.feature] = {str(cell.unit) for cell in part.cells} - mine
    return _only(plan, keep), waiting


def slices(
    plan: Plan, sizes: Iterator[int], weights: Mapping[str, float] | None = None
) -> Iterator[Plan]:
    """A plan cut along its units: assets first, the longest media last, then pairs.

    Parameters
    ----------
    sizes
        How many units the next slice takes; asked before each.
    weights
        Asset → seconds of its media, so that an early slice is a short one.
    """
    for unit in ("asset", "pair"):
        parts = [part for part in plan if part.unit == unit and part.cells]
        weight = weights if unit == "asset" and weights else {}
        units = sorted({cell.unit for part in parts for cell in part.cells},
                       key=lambda each: (weight.get(each, 0.0), each))  # fmt: skip
        start = 0
        while start < len(units):
            size = max(1, next(sizes))
            chosen = set(units[start : start + size])
            yield _only(plan, {part.feature: chosen for part in parts})
            start += size


def first_units(plan: Plan, feature: FeatureName, limit: int) -> list[str]:
    """The first units of a feature that are missing."""
    return [cell.unit for cell in plan.feature(feature).cells[:limit]]


def _only(plan: Plan, keep: Mapping[FeatureName, Collection[str]]) -> Plan:
    return Plan(tuple(
        replace(part, cells=tuple(c for c in part.cells if c.unit in keep.get(part.feature, ())))
        for part in plan
    ))  # fmt: skip


def cells_of(plan: Plan) -> Sequence[tuple[FeatureName, str, str]]:
    """Feature, recipe and unit of every cell."""
    return [(part.feature, part.recipe.id, cell.unit) for part in plan for cell in part.cells]
