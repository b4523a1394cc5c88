"""Cover: how much of what readers see under one recipe another recipe has too."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from copal.asset import Asset
from copal.graph import Recipe
from copal.plan import units_of
from copal.project import Project, failures
from copal.reading import Reading


@dataclass(frozen=True, slots=True)
class Cover:
    """What readers would keep if they saw another recipe, in units."""

    seen: int
    """Units that have a value now, of assets that are in the catalogue and still asked for."""
    kept: int
    """Those of them that have a value under the other recipe too."""
    hopeless: int
    """Those of the others that get none: they failed for good, or a need of theirs did."""

    @property
    def lost(self) -> int:
        """Units that readers would miss, and that a run would compute."""
        return self.seen - self.kept - self.hopeless

    @property
    def complete(self) -> bool:
        """Whether nothing is left that a run would add."""
        return self.lost == 0


def cover(
    project: Project,
    reading: Reading,
    before: Recipe,
    after: Recipe,
    assets: Callable[[], Sequence[Asset]],
) -> Cover:
    """How far ``after`` has what readers see under ``before``.

    Parameters
    ----------
    assets
        Gives the catalogue's; called only when it matters.
    """
    declaration = project.graph.declaration(after.feature)
    held = project.store.table(before).index().units
    if held:
        asked = units_of(declaration, project.graph.kinds(after.feature), assets())
        held = held & set(asked)
    missing = held - project.store.table(after).index().units
    dead = hopeless(project, reading, after, missing)
    return Cover(len(held), len(held) - len(missing), len(dead))


def hopeless(project: Project, reading: Reading, recipe: Recipe, units: Set[str]) -> frozenset[str]:
    """Those of some units without a value that get none unless a person does something."""
    if not units:
        return frozenset()
    failed = failures(project.store.table(recipe))
    found = {unit for unit in units if unit in failed and failed[unit].final}
    declaration = project.graph.declaration(recipe.feature)
    made_from = reading.made_from(recipe)
    for name in dict.fromkeys(declaration.needs.values()):
        if name not in made_from or not (rest := units - found):
            continue
        wanted = {unit: project.graph.units_of_need(recipe.feature, name, unit) for unit in rest}
        table = project.store.table(made_from[name])
        absent = {each for some in wanted.values() for each in some} - table.index().units
        dead = hopeless(project, reading, made_from[name], absent)
        found |= {unit for unit, some in wanted.items() if not dead.isdisjoint(some)}
    return frozenset(found)
