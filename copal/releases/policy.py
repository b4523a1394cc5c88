"""The policy: what is released by itself, once a run has made a recipe complete."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import structlog

from copal.asset import Asset
from copal.errors import MissingValue, WriteConflict
from copal.graph import Recipe
from copal.project import Project
from copal.reading import Reading
from copal.registry import MANUAL, FeatureName
from copal.releases.cover import cover
from copal.store.releases import AUTOMATIC, Move, Released, Releases, after, left

TRIES = 10
log = structlog.get_logger()


def settle(
    project: Project, recipes: Mapping[FeatureName, Recipe], by: str
) -> tuple[Released, ...]:
    """Release what is complete under today's recipe, as one set; says what moved.

    A feature moves when today's recipe has every value that its readers see (or cannot have it:
    permanent failures, blocked cells, as long as they are fewer than the values), and everything
    it needs has moved or moves with it. What was never released moves as soon as it has a value,
    whatever its policy. A recipe that a person moved away from stays where it is.

    Parameters
    ----------
    recipes
        Today's, every need before what needs it: those of the plan that was done.
    by
        The run.

    Raises
    ------
    WriteConflict
        Others kept moving.
    """
    releases = Releases(project.folder)
    for _ in range(TRIES):
        history = releases.history()
        moved = _ready(project, recipes, history)
        if not moved:
            return ()
        seen = history[-1].number if history else 0
        if releases.move(moved, seen=seen, kind=AUTOMATIC, by=by, why="complete"):
            for each in moved:
                log.info(
                    "release.moved", feature=each.feature, version=each.version,
                    recipe=each.recipe[:8], kind=AUTOMATIC, by=by,
                )  # fmt: skip
            return tuple(moved)
    raise WriteConflict(f"{project.location}: others kept releasing for {TRIES} tries.")


def _ready(
    project: Project, recipes: Mapping[FeatureName, Recipe], history: Sequence[Move]
) -> list[Released]:
    now = after(history)
    reading: Reading | None = None
    assets = cache(project.select)
    level: set[FeatureName] = set()
    """Features whose readers see today's recipe, once this set has moved."""
    moved: list[Released] = []
    for name, recipe in recipes.items():
        today = recipe.id
        declaration = project.graph.declaration(name)
        if name in now and now[name].recipe == today:
            level.add(name)
            continue
        if today in left(history, name) or not level.issuperset(declaration.needs.values()):
            continue
        if name not in now:
            if not project.store.table(recipe).index().units:
                continue
        else:
            if declaration.release == MANUAL:
                continue
            reading = reading or project.at("release").reading
            if not _complete(project, reading, now[name], recipe, assets):
                continue
        level.add(name)
        moved.append(Released(name, today, recipe.version))
    return moved


def _complete(
    project: Project,
    reading: Reading,
    before: Released,
    recipe: Recipe,
    assets: Callable[[], Sequence[Asset]],
) -> bool:
    try:
        seen = reading.find(before.feature, before.recipe)
    except MissingValue:  # readers see nothing, so nothing can be lost
        return bool(project.store.table(recipe).index().units)
    found = cover(project, reading, seen, recipe, assets)
    # A recipe that fails on most of what there was is a mistake, and nobody should have to see it.
    return found.complete and found.hopeless <= found.kept
