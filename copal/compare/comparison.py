"""A comparison: two recipes of one feature, unit by unit, in bounded time at any size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from copal.compare.differences import Boundaries
from copal.compare.looking import Looked, Scores, Side, UnitDifference
from copal.compare.neighbours import Neighbours
from copal.errors import MissingValue, RequestError
from copal.feature import SHOTS
from copal.fingerprint import is_within
from copal.graph import Recipe
from copal.project import Project, failures
from copal.reading import RELEASE, TODAY, parted
from copal.store.lance_store import LanceTable


@dataclass(frozen=True, slots=True)
class Cost:
    """What computing under one recipe took, and what failed."""

    computed: int
    carried: int
    cpu_seconds: float
    seconds: float
    media_seconds: float
    """Of what was computed."""
    failed: int
    """Units that failed when they were last tried."""

    @property
    def cpu_per_media_hour(self) -> float:
        """CPU-seconds for an hour of media; NaN when nothing was computed."""
        return self.cpu_seconds / self.media_seconds * 3600 if self.media_seconds else math.nan


@dataclass(frozen=True, slots=True)
class Comparison:
    """What another recipe of a feature changes. Rows are looked at in a sample of the units."""

    feature: str
    old: Recipe
    new: Recipe
    both: int
    """Units that have a value under both."""
    changed: int
    """Those of them whose values differ."""
    only_old: int
    only_new: int
    looked: int
    """Units whose rows were compared."""
    looked_changed: int
    rows_old: float
    rows_new: float
    rows_gone: float
    rows_come: float
    """Rows in all units that both have; estimated where the sample is smaller."""
    tolerance: int
    """Frames within which two boundaries are one."""
    boundaries: Boundaries | None
    neighbours: Mapping[str, Neighbours]
    """Column of vectors → how they agree."""
    scores: Scores | None
    costs: tuple[Cost, Cost]
    units: tuple[UnitDifference, ...] = field(default=())
    """Those that were looked at and differ, the most first."""

    @property
    def sampled(self) -> bool:
        """Whether some units were left out."""
        return self.looked < self.both


def compare(
    project: Project,
    old: str,
    new: str = "",
    titles: Sequence[str] = (),
    *,
    sample: int = 200,
    tolerance: int = 0,
    k: int = 10,
    seed: int = 0,
) -> Comparison:
    """Compare two recipes of a feature.

    Parameters
    ----------
    old, new
        ``FEATURE@AT`` each; what is released when nothing stands after the first, and today's
        recipe when nothing stands after the second, or when it is not given.
    sample
        Units whose rows are compared: so many of those that differ, and of those that do not.
    tolerance
        Frames within which two boundaries are one.
    k
        How many neighbours, and how many of the best pairs, are compared.

    Raises
    ------
    RequestError
        They are no two recipes of one feature.
    """
    if sample < 1 or k < 1 or tolerance < 0:
        raise RequestError("--sample and --top must be 1 or more, --tolerance 0 or more.")
    feature, sides = _sides(project, old, new)
    chosen = {asset.id for asset in project.select(titles)}
    held = [_digests(side.table, chosen) for side in sides]
    both = sorted(held[0].keys() & held[1].keys())
    changed = [unit for unit in both if held[0][unit] != held[1][unit]]
    alike = [unit for unit in both if held[0][unit] == held[1][unit]]
    dice = np.random.default_rng(seed)
    looked = Looked(project, feature, sides, tolerance, k, seed)
    for units in (changed, alike):
        some = sorted(dice.permutation(np.array(units, object))[:sample].tolist())
        looked.look(some, len(units) / max(len(some), 1), differ=units is changed)
    total = looked.rows
    return Comparison(
        feature=feature,
        old=sides[0].recipe,
        new=sides[1].recipe,
        both=len(both),
        changed=len(changed),
        only_old=len(held[0].keys() - held[1].keys()),
        only_new=len(held[1].keys() - held[0].keys()),
        looked=looked.count,
        looked_changed=min(len(changed), sample),
        rows_old=total[0],
        rows_new=total[1],
        rows_gone=total[2],
        rows_come=total[3],
        tolerance=tolerance,
        boundaries=looked.boundaries,
        neighbours=looked.neighbours(),
        scores=looked.scores(),
        costs=(_cost(sides[0].table, chosen), _cost(sides[1].table, chosen)),
        units=tuple(sorted(looked.units, key=lambda each: (-each.gone - each.new, each.unit))),
    )


def _sides(project: Project, old: str, new: str) -> tuple[str, tuple[Side, Side]]:
    (feature, first), (other, second) = parted(old), parted(new or parted(old)[0])
    if other != feature:
        raise RequestError(f"'{old}' and '{new}' are two features; compare two recipes of one.")
    name = project.graph.declaration(feature).name
    reading = project.at(RELEASE).reading
    recipes = (reading.asked(name, first or RELEASE), reading.asked(name, second or TODAY))
    if recipes[0].id == recipes[1].id:
        raise RequestError(
            f"'{feature}' {recipes[0].label} is both: there is nothing to compare. Name another "
            f"as {feature}@v1 or {feature}@ and the start of a recipe."
        )
    sides = []
    for recipe in recipes:
        try:
            shots = reading.made_from(recipe).get(project.graph.declaration(SHOTS).name) if (
                SHOTS in project.registry.features and feature != SHOTS
            ) else None  # fmt: skip
        except MissingValue:
            shots = None
        table = project.store.table(shots) if shots is not None else None
        sides.append(Side(recipe, project.store.table(recipe), table))
    return feature, (sides[0], sides[1])


def _digests(table: LanceTable, chosen: set[Any]) -> dict[str, str]:
    """Value digest by unit, of units of some assets."""
    found = table.values.read(["unit", "value_digest"])
    return {
        unit: digest
        for unit, digest in zip(*(found[n].to_pylist() for n in found.column_names), strict=True)
        if is_within(unit, chosen)
    }


def _cost(table: LanceTable, chosen: set[Any]) -> Cost:
    tried = table.attempts(["stored", "empty", "carried"])
    mine = [each for each in tried if is_within(each.unit, chosen)]
    computed = [each for each in mine if each.outcome != "carried"]
    held = table.index().units
    failed = [unit for unit in failures(table) if unit not in held and is_within(unit, chosen)]
    return Cost(
        computed=len(computed),
        carried=len(mine) - len(computed),
        cpu_seconds=sum(each.cpu_seconds for each in computed),
        seconds=sum(each.seconds for each in computed),
        media_seconds=sum(each.media_seconds for each in computed),
        failed=len(failed),
    )
