"""A folder opened: its registry, its features bound to their classes, its catalogue, its store."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import cached_property
from itertools import chain, combinations_with_replacement
from pathlib import Path

from copal import binding, registry
from copal.asset import Asset, Title
from copal.binding import Bound
from copal.errors import BadParams, FeatureError, RequestError, UnknownTitle, suggestion
from copal.fingerprint import AssetId, RecipeId, pair_unit
from copal.graph import Graph, Recipe
from copal.plan import Earlier, Failure, Held, Plan, plan
from copal.reading import RELEASE, Reading, parted
from copal.registry import Declaration, FeatureName
from copal.store import Attempt, Catalog, LanceStore, open_folder
from copal.store.inventory import FAILING, Inventories
from copal.store.lance_store import LanceTable

REGISTRY_FILE = "registry.yaml"

TABLES_AT_ONCE = 8
FEW_ASSETS = 16
"""Assets whose units, pairs included, are looked up one by one."""


class Project:
    """A feature repository and its store."""

    def __init__(self, root: Path, store: str | None = None) -> None:
        self.root = root.resolve()
        self.registry = registry.load(self.root / REGISTRY_FILE)
        self.graph = Graph(self.registry)
        self.location = store or os.environ.get("COPAL_STORE") or self.registry.store
        """Where the store is: as given, ``$COPAL_STORE``, or the registry's ``store``."""
        self._named = self.location if store or os.environ.get("COPAL_STORE") else None
        self.folder = open_folder(self.location, self.root)
        self.store = LanceStore(self.folder)
        self.catalog = Catalog(self.folder)
        self.reads = RELEASE
        """What is read where a question does not say: ``release``, ``today``, or a snapshot."""
        self._reading: Reading | None = None
        self._todays: dict[FeatureName, Bound] = {}
        self._bound: dict[FeatureName, Bound] = {}

    @staticmethod
    def find(start: Path | None = None, store: str | None = None) -> Project:
        """The project of a folder, or of the nearest one above the working directory.

        Raises
        ------
        RegistryError
            There is none, or it cannot be read.
        """
        return Project(find_root(start), store)

    def expect_store(self) -> None:
        """Nothing, unless somebody named a store that is not there; the registry's may be new.

        Raises
        ------
        RequestError
            There is no store at the place named.
        """
        if self._named is None or self.folder.get("store.json") is not None:
            return
        if not self.folder.names("catalog") and not self.folder.names("features"):
            raise RequestError(f"no store at {self._named}. 'copal add' makes it.")

    def bound(self, name: str) -> Bound:
        """A feature's class, made with its params: today's, or those of the recipe that is read.

        Raises
        ------
        RequestError
            The class does not take the params of the recipe that is read any more.
        """
        declaration = self.graph.declaration(name)
        today = self._bound_today(declaration)
        if self._reading is None:
            return today
        if declaration.name not in self._bound:
            self._bound[declaration.name] = self._bound_as_read(today)
        return self._bound[declaration.name]

    def _bound_today(self, declaration: Declaration) -> Bound:
        if declaration.name not in self._todays:
            made = binding.bind(declaration, self.root, self.registry.where)
            self._todays[declaration.name] = made
        return self._todays[declaration.name]

    def _bound_as_read(self, today: Bound) -> Bound:
        declaration = today.declaration
        try:
            recipe = self.reading.recipe(declaration.name)
        except FeatureError:  # nothing is stored, and here nobody can compute it
            return today
        specs = fields(today.instance)
        speed = {spec.name for spec in specs if spec.metadata.get("speed_only")}
        kept = {name: value for name, value in declaration.params.items() if name in speed}
        try:
            older = replace(declaration, params=kept | dict(recipe.params))
            return binding.bind(older, self.root, self.registry.where)
        except BadParams as exc:
            raise RequestError(
                f"'{declaration.name}' {recipe.label} was computed with params that "
                f"{declaration.compute} does not take any more, so its rows can be shown and "
                "nothing else."
            ) from exc

    def recipes(self, features: Iterable[str] = ()) -> dict[FeatureName, Recipe]:
        """Recipes of the features named, or of the default ones, with all they need, in order."""
        names = self.graph.targets(features)
        found = {
            name: binding.ingredients(self._bound_today(self.graph.declaration(name)))
            for name in names
        }
        return self.graph.recipes(names, found)

    @property
    def reading(self) -> Reading:
        """Which recipes are read: looked up anew each time, unless this is ``at`` one question."""
        if self._reading is not None:
            return self._reading
        return self._looked_up(self.reads)

    def _looked_up(self, at: str) -> Reading:
        return Reading(self.graph, self.store, lambda name: self.recipes([name])[name], at)

    def at(
        self,
        at: str = "",
        *features: str,
        recipes: Mapping[FeatureName, RecipeId] | None = None,
    ) -> Project:
        """The project as one question sees it: one set of recipes, looked up once.

        Parameters
        ----------
        at
            ``release``, ``today`` or a snapshot; what the project reads otherwise when empty.
        features
            What the question is about, each ``FEATURE`` or ``FEATURE@AT``: everything is read as
            it was when they were made from it.
        recipes
            Or what an answer was read from, to read more that belongs to it.

        Raises
        ------
        RequestError
            There is no such version or snapshot, or the features do not belong together.
        """
        keep = self._reading is not None and at in ("", self._reading.at)
        reading = self.reading if keep else self._looked_up(at or self.reads)
        reading = reading.with_pins(recipes) if recipes is not None else reading.about(*features)
        seen = copy.copy(self)
        seen._reading, seen._bound = reading, {}
        if reading.snapshot is not None and not keep:
            seen.catalog = reading.snapshot.assets(self.folder)
            seen.__dict__.pop("titles", None)
        return seen

    def recipe(self, feature: str) -> Recipe:
        """The recipe of a feature that is read: the released one, unless something else is said.

        Parameters
        ----------
        feature
            ``FEATURE``, or ``FEATURE@AT``.
        """
        name, at = parted(feature)
        reading = self.reading.about(feature) if at else self.reading
        return reading.recipe(name)

    def table(self, feature: str) -> LanceTable:
        """The values of a feature that are read; see ``recipe``."""
        name, at = parted(feature)
        reading = self.reading.about(feature) if at else self.reading
        return reading.table(name)

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
        if not titles:
            return self.catalog.assets()
        chosen: dict[AssetId, Asset] = {}
        for name in titles:
            found = self.catalog.find(name)
            if not found:
                known = [*self.titles, *(title.name for title in self.titles.values())]
                raise UnknownTitle(
                    f"no title '{name}' in {self.location}." + (suggestion(name, known) or
                    " 'copal add' brings files in; 'copal status' lists what is there.")
                )  # fmt: skip
            chosen |= {asset.id: asset for asset in found}
        return sorted(chosen.values(), key=lambda asset: asset.id)

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

    def held(
        self, recipes: Mapping[FeatureName, Recipe], units: Sequence[str] | None = None
    ) -> dict[FeatureName, Held]:
        """What the store holds of each feature, or of a few units of it: values, failures."""
        with ThreadPoolExecutor(TABLES_AT_ONCE) as pool:
            older = dict(zip(recipes, pool.map(self.store.others, recipes.values()), strict=True))
        every = chain(recipes.values(), *older.values())
        found = iter(Inventories(self.store).of(every, units))
        now = dict(zip(recipes, found, strict=False))
        return {
            name: Held(
                stored=each.units,
                empty=each.empty,
                failures=_last(each.attempts()),
                earlier=[Earlier(recipe, next(found).units) for recipe in older[name]],
            )
            for name, each in now.items()
        }

    def plan(
        self,
        features: Iterable[str] = (),
        titles: Sequence[str] = (),
        force: Sequence[str] = (),
    ) -> Plan:
        """What is missing for features (the default ones) on titles (all), and why."""
        wanted = list(features)
        recipes = self.recipes([*wanted, *force] if wanted else force and self._with_default(force))
        assets = self.select(titles) if titles else self.catalog.assets(brief=True)
        held = self.held(recipes, _few_units(assets) if titles else None)
        return plan(self.graph, recipes, assets, held, force=force)

    def _with_default(self, force: Sequence[str]) -> list[str]:
        return [*self.graph.targets(), *force]


def find_root(start: Path | None = None) -> Path:
    """The folder given, ``$COPAL_PROJECT``, or the nearest above this one that has a registry."""
    named = start or os.environ.get("COPAL_PROJECT")
    if named:
        return Path(named)
    here = Path.cwd()
    return next((f for f in (here, *here.parents) if (f / REGISTRY_FILE).exists()), here)


def _few_units(assets: Sequence[Asset]) -> list[str] | None:
    """All units among a few assets; of many, None, since a whole column is then read sooner."""
    if len(assets) > FEW_ASSETS:
        return None
    ids = [asset.id for asset in assets]
    return [*ids, *(pair_unit(a, b) for a, b in combinations_with_replacement(ids, 2))]


def failures(table: LanceTable, units: Sequence[str] | None = None) -> dict[str, Failure]:
    """The last failure of each unit under a recipe; one that a person released counts no tries."""
    return _last(table.attempts(FAILING, units))


def _last(attempts: Iterable[Attempt]) -> dict[str, Failure]:
    found: dict[str, Failure] = {}
    for attempt in attempts:
        before = found.get(attempt.unit)
        if attempt.outcome != "released":
            found[attempt.unit] = Failure(
                error=attempt.error,
                error_class=attempt.error_class,
                retryable=attempt.retryable,
                tries=1 + (before.tries if before else 0),
                skipped=attempt.outcome == "skipped",
            )
        elif before is not None:
            found[attempt.unit] = replace(before, retryable=True, tries=0, skipped=False)
    return found
