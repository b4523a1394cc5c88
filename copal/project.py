"""A folder opened: its registry, its features bound to their classes, its catalogue, its store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from copal import binding, registry
from copal.asset import Asset, Title, title_id
from copal.binding import Bound
from copal.errors import MissingValue, RequestError, UnknownTitle, suggestion
from copal.fingerprint import AssetId
from copal.graph import Graph, Recipe
from copal.plan import Earlier, Failure, Held, Plan, plan
from copal.registry import FeatureName
from copal.store import Catalog, LanceStore, open_folder
from copal.store.lance_store import LanceTable

REGISTRY_FILE = "registry.yaml"


class Project:
    """A feature repository and its store."""

    def __init__(self, root: Path, store: str | None = None) -> None:
        self.root = root.resolve()
        self.registry = registry.load(self.root / REGISTRY_FILE)
        self.graph = Graph(self.registry)
        self.location = store or os.environ.get("COPAL_STORE") or self.registry.store
        """Where the store is: as given, ``$COPAL_STORE``, or the registry's ``store``."""
        self.folder = open_folder(self.location, self.root)
        self.store = LanceStore(self.folder)
        self.catalog = Catalog(self.folder)
        self._bound: dict[FeatureName, Bound] = {}

    @staticmethod
    def find(start: Path | None = None, store: str | None = None) -> Project:
        """The project of a folder, or of the nearest one above the working directory.

        Raises
        ------
        RegistryError
            There is none, or it cannot be read.
        """
        named = start or os.environ.get("COPAL_PROJECT")
        if named:
            return Project(Path(named), store)
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / REGISTRY_FILE).exists():
                return Project(folder, store)
        return Project(here, store)

    def bound(self, name: str) -> Bound:
        """A feature's class, made with its params."""
        declaration = self.graph.declaration(name)
        if declaration.name not in self._bound:
            self._bound[declaration.name] = binding.bind(
                declaration, self.root, self.registry.where
            )
        return self._bound[declaration.name]

    def recipes(self, features: Iterable[str] = ()) -> dict[FeatureName, Recipe]:
        """Recipes of the features named, or of the default ones, with all they need, in order."""
        names = self.graph.targets(features)
        found = {name: binding.ingredients(self.bound(name)) for name in names}
        return self.graph.recipes(names, found)

    def recipe(self, feature: str, version: int | None = None) -> Recipe:
        """Today's recipe of a feature, or the newest stored one of a version.

        Raises
        ------
        MissingValue
            No recipe of that version has a table.
        """
        if version is None:
            return self.recipes([feature])[FeatureName(feature)]
        declared = self.graph.declaration(feature)
        for recipe in self.store.recipes(declared.name):
            if recipe.version == version:
                return recipe
        raise MissingValue(f"'{feature}' v{version}: nothing was stored under this version.")

    def table(self, feature: str, version: int | None = None) -> LanceTable:
        """Values of a feature under today's recipe, or under the newest of a version."""
        return self.store.table(self.recipe(feature, version))

    @cached_property
    def titles(self) -> dict[str, Title]:
        """Every title of the catalogue, by id."""
        return {title.id: title for title in self.catalog.titles()}

    def select(self, titles: Sequence[str] = ()) -> list[Asset]:
        """The assets of titles, named by id, by name, or by the start of an asset's id.

        Raises
        ------
        UnknownTitle
            One of the names means nothing here.
        """
        assets = self.catalog.assets()
        if not titles:
            return assets
        chosen: dict[AssetId, Asset] = {}
        for name in titles:
            found = self._named(name, assets)
            if not found:
                known = [*self.titles, *(title.name for title in self.titles.values())]
                raise UnknownTitle(
                    f"no title '{name}' in {self.location}." + (suggestion(name, known) or
                    " 'copal add' brings files in; 'copal status' lists what is there.")
                )  # fmt: skip
            chosen |= {asset.id: asset for asset in found}
        return sorted(chosen.values(), key=lambda asset: asset.id)

    def _named(self, name: str, assets: Sequence[Asset]) -> list[Asset]:
        wanted = title_id(name)
        by_title = [asset for asset in assets if asset.title == wanted]
        if by_title:
            return by_title
        known = {title.id for title in self.titles.values() if title_id(title.name) == wanted}
        by_name = [asset for asset in assets if asset.title in known]
        if by_name:
            return by_name
        by_show = [asset for asset in assets if asset.show and title_id(asset.show) == wanted]
        if by_show:
            return by_show
        if len(name) < 4:
            return []
        return [asset for asset in assets if asset.id.startswith(name.lower())]

    def asset(self, name: str) -> Asset:
        """The one asset that a name means.

        Raises
        ------
        UnknownTitle, RequestError
            None, or more than one.
        """
        found = self.select([name])
        if len(found) > 1:
            ids = ", ".join(asset.short for asset in found)
            raise RequestError(f"'{name}' means {len(found)} assets ({ids}). Name one by its id.")
        return found[0]

    def held(self, recipes: Mapping[FeatureName, Recipe]) -> dict[FeatureName, Held]:
        """What the store holds of each feature: units, failures, older recipes."""
        return {name: self._held(recipe) for name, recipe in recipes.items()}

    def _held(self, recipe: Recipe) -> Held:
        table = self.store.table(recipe)
        stored = table.index().units
        older = [each for each in self.store.recipes(recipe.feature) if each.id != recipe.id]
        return Held(
            stored=stored,
            failures={u: f for u, f in failures(table).items() if u not in stored},
            earlier=[Earlier(each, self.store.table(each).index().units) for each in older],
        )

    def plan(
        self,
        features: Iterable[str] = (),
        titles: Sequence[str] = (),
        force: Sequence[str] = (),
    ) -> Plan:
        """What is missing for features (the default ones) on titles (all), and why."""
        wanted = list(features)
        recipes = self.recipes([*wanted, *force] if wanted else force and self._with_default(force))
        return plan(self.graph, recipes, self.select(titles), self.held(recipes), force=force)

    def _with_default(self, force: Sequence[str]) -> list[str]:
        return [*self.graph.targets(), *force]


def failures(table: LanceTable) -> dict[str, Failure]:
    """The last failure of each unit under a recipe; one that a person released counts no tries."""
    found: dict[str, Failure] = {}
    for attempt in table.attempts(["failed", "released"]):
        before = found.get(attempt.unit)
        if attempt.outcome == "failed":
            found[attempt.unit] = Failure(
                error=attempt.error,
                error_class=attempt.error_class,
                retryable=attempt.retryable,
                tries=1 + (before.tries if before else 0),
            )
        elif before is not None:
            found[attempt.unit] = replace(before, retryable=True, tries=0)
    return found
