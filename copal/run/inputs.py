"""What a cell starts from: the digests and the values of its needs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copal.asset import Asset
from copal.binding import Bound
from copal.errors import MissingValue
from copal.feature import Pair, Value
from copal.fingerprint import AssetId, Digest, RecipeId, UnitId, fingerprint, pair_assets
from copal.graph import Recipe
from copal.registry import FeatureName
from copal.store.base import Store, StoredValue, ValueTable

KEPT_VALUES = 1536
"""Values that pair features keep in memory between pairs."""


@dataclass(frozen=True, slots=True)
class Worker:
    """What computing needs: features with their recipes, the store, and where media is."""

    bound: Mapping[FeatureName, Bound]
    recipes: Mapping[FeatureName, Recipe]
    store: Store
    assets: Mapping[AssetId, Asset]
    open_source: Callable[[Asset], Any]
    """Makes the argument ``source`` of an asset."""


class Inputs:
    """The needs of one feature, unit by unit."""

    def __init__(self, worker: Worker, feature: FeatureName) -> None:
        self.worker = worker
        self.bound = worker.bound[feature]
        self.recipe = worker.recipes[feature]
        self.values: OrderedDict[tuple[str, str], StoredValue] = OrderedDict()
        self.wanted: set[tuple[FeatureName, str]] = set()
        """What the batch at hand needs, however much it is: never dropped before it is used."""
        self.known: dict[FeatureName, dict[RecipeId, Recipe]] = {}
        """Every recipe that a need has or had, where an older one was asked for."""

    def need_units(self, need: FeatureName, unit: UnitId) -> tuple[str, ...]:
        """The units of a need that a unit of this feature takes: two for a pair of assets."""
        mine, its = self.bound.declaration.unit, self.worker.bound[need].declaration.unit
        return pair_assets(unit) if mine == "pair" and its == "asset" else (unit,)

    def digests(self, units: Sequence[UnitId]) -> dict[UnitId, Digest | None]:
        """Inputs digest of each unit; None where a need has no value."""
        taken = self.taken(units)
        return {unit: self.digest(unit, taken[unit]) if unit in taken else None for unit in units}

    def taken(
        self, units: Sequence[UnitId], under: Recipe | None = None
    ) -> dict[UnitId, dict[str, list[Digest]]]:
        """Value digests of what each unit takes, by argument; units without one are left out.

        Parameters
        ----------
        under
            The recipe whose needs are meant; today's when left out.
        """
        recipe = under or self.recipe
        found: dict[UnitId, dict[str, list[Digest]]] = {unit: {} for unit in units}
        for argument, need in self.bound.declaration.needs.items():
            table = self.need_table(argument, recipe)
            wanted = sorted({each for unit in found for each in self.need_units(need, unit)})
            digests = table.digests(wanted) if table is not None and wanted else {}
            for unit in list(found):
                its = [digests[each][1] for each in self.need_units(need, unit) if each in digests]
                if len(its) == len(self.need_units(need, unit)):
                    found[unit][argument] = its
                else:
                    del found[unit]
        return found

    def digest(self, unit: UnitId, taken: Mapping[str, Sequence[Digest]]) -> Digest:
        """Inputs digest of a unit that takes values of these digests."""
        return fingerprint(
            "inputs",
            needs=taken,
            essences=self.essences(unit) if self.bound.declaration.of else [],
            **self.recipe.parts(),
        )

    def need_table(self, argument: str, recipe: Recipe) -> ValueTable | None:
        """The table that a recipe takes an argument from; None when the store has it no more."""
        need = self.bound.declaration.needs[argument]
        today = self.worker.recipes[need]
        if recipe is self.recipe:
            return self.worker.store.table(today)
        if need not in self.known:
            known = [today, *self.worker.store.recipes(need)]
            self.known[need] = {each.id: each for each in known}
        meant = self.known[need].get(recipe.needs.get(argument, RecipeId("")))
        return self.worker.store.table(meant) if meant is not None else None

    def essences(self, unit: UnitId) -> list[str]:
        """The streams that the feature reads; all of them unless its class says which."""
        asset = self.worker.assets[AssetId(unit)]
        reads = getattr(self.bound.instance, "reads", None)
        return sorted(e.digest for e in asset.essences if reads is None or e.kind in reads)

    def need_value(self, need: FeatureName, unit: str) -> StoredValue:
        """The value of a need on one unit; the last few are kept in memory."""
        key = (need, unit)
        if key not in self.values:
            self.read(need, [unit])
        if key not in self.values:
            raise MissingValue(f"'{need}' has no value for {unit[:8]} any more.")
        self.values.move_to_end(key)
        return self.values[key]

    def read_ahead(self, units: Sequence[UnitId]) -> None:
        """Read the needs of many units in one scan of each table."""
        needs = set(self.bound.declaration.needs.values())
        self.wanted = {
            (need, each) for need in needs for unit in units for each in self.need_units(need, unit)
        }
        for need in needs:
            absent = {u for n, u in self.wanted if n == need and (n, u) not in self.values}
            self.read(need, sorted(absent))

    def read(self, need: FeatureName, units: Sequence[str]) -> None:
        """Values into memory; those used longest ago make room, but for what is wanted now."""
        found = self.worker.store.table(self.worker.recipes[need]).read(units) if units else {}
        self.values |= {(need, unit): value for unit, value in found.items()}
        spare = [key for key in self.values if key not in self.wanted]
        for key in spare[: max(0, len(self.values) - KEPT_VALUES)]:
            del self.values[key]

    def arguments(self, unit: UnitId, workspace: Path | None) -> dict[str, Any]:
        """What ``compute`` is called with, each need as its annotation asks for it."""
        given: dict[str, Any] = {}
        for argument, need in self.bound.declaration.needs.items():
            values = [self.need_value(need, each).value() for each in self.need_units(need, unit)]
            if len(values) == 2:
                left, right = values
                same = len(set(pair_assets(unit))) == 1
                value: Value | Pair[Value] = Pair(left, left if same else right)
            else:
                (value,) = values
            given[argument] = self.bound.hand_over(argument, value)
        if "source" in self.bound.arguments:
            given["source"] = self.worker.open_source(self.worker.assets[AssetId(unit)])
        if workspace is not None:
            given["workspace"] = workspace
        return given
