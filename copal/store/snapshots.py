"""Snapshots: a name for one consistent set of table versions, which no clean-up takes away."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args

from copal.errors import MissingValue, RequestError, StoreError, suggestion
from copal.fingerprint import RecipeId
from copal.graph import Recipe
from copal.registry import FeatureName
from copal.store.catalog import Catalog, CatalogTable
from copal.store.folder import Folder
from copal.store.lance_store import LanceStore, LanceTable
from copal.store.tables import Table

PLACE = "snapshots"
TAG = "copal-"
"""How the names start that snapshots give to versions of tables."""
RESERVED = re.compile(r"release|today|v\d+")
"""Words that already mean something after an ``@``."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """One feature of a snapshot: a recipe, and a version of its values table."""

    recipe: RecipeId
    version: int
    """The Lance version; 0 when nothing was stored yet."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which version of which table a name stands for."""

    name: str
    created_at: datetime
    tag: str
    """What its versions are called in Lance."""
    features: Mapping[FeatureName, Pinned]
    catalog: Mapping[str, int]
    """``assets``, ``titles``, ``places`` → version."""

    def table(self, store: LanceStore, feature: str) -> LanceTable:
        """The values of a feature as they were.

        Raises
        ------
        MissingValue
            The snapshot does not hold the feature.
        """
        pinned = self.features.get(FeatureName(feature))
        if pinned is None:
            raise MissingValue(
                f"snapshot '{self.name}' does not hold '{feature}': "
                "nothing of it was stored when the snapshot was taken."
            )
        return store.table(store.find(feature, pinned.recipe), pinned.version)

    def assets(self, folder: Folder) -> Catalog:
        """The catalogue as it was."""
        return Catalog(folder, self.catalog)

    def to_json(self) -> bytes:
        """The document that stands in the store."""
        found = {
            "name": self.name,
            "created_at": self.created_at.isoformat(),
            "tag": self.tag,
            "features": {
                name: {"recipe": pinned.recipe, "version": pinned.version}
                for name, pinned in self.features.items()
            },
            "catalog": dict(self.catalog),
        }
        return (json.dumps(found, indent=1) + "\n").encode()

    @staticmethod
    def from_json(data: bytes, where: str) -> Snapshot:
        """What the document says.

        Raises
        ------
        StoreError
            It is damaged.
        """
        try:
            found = json.loads(data)
            return Snapshot(
                name=found["name"],
                created_at=datetime.fromisoformat(found["created_at"]),
                tag=found["tag"],
                features={
                    FeatureName(name): Pinned(RecipeId(each["recipe"]), int(each["version"]))
                    for name, each in found["features"].items()
                },
                catalog={name: int(version) for name, version in found["catalog"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise StoreError(f"{where} is damaged: {exc!r}.") from exc


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The snapshots of a store, one document each, made once and never changed."""

    store: LanceStore

    def create(self, name: str, recipes: Mapping[FeatureName, Recipe]) -> Snapshot:
        """Name the versions that the tables of recipes are at, and the catalogue's.

        Parameters
        ----------
        recipes
            Every need before what needs it. Values are published in that order, so versions are
            read in the opposite one: whoever reads the snapshot never finds a value whose needs
            it does not find.

        Raises
        ------
        RequestError
            The name is taken, or cannot be one.
        """
        self.check_name(name)
        snapshot = self._versions(name, recipes)
        tables = self._tables(snapshot, recipes)
        try:
            for table, version in tables:
                table.tag(snapshot.tag, version)
            mine = self.store.folder.put_new(_document(name), snapshot.to_json())
        except BaseException:
            _untag(tables, snapshot.tag)
            raise
        if not mine and self.load(name) != snapshot:  # an answer that was lost is no second one
            _untag(tables, snapshot.tag)
            raise _taken(name)
        return snapshot

    def check_name(self, name: str) -> None:
        """Nothing, unless a snapshot cannot be called so.

        Raises
        ------
        RequestError
            The name is taken, or cannot be one.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise RequestError(
                f"'{name}' cannot be the name of a snapshot: letters, digits, '.', '_' and '-', "
                "64 at most, the first a letter or a digit."
            )
        if RESERVED.fullmatch(name):
            raise RequestError(f"'{name}' cannot be the name of a snapshot: '@{name}' has one.")
        if self.store.folder.get(_document(name)) is not None:
            raise _taken(name)

    def _versions(self, name: str, recipes: Mapping[FeatureName, Recipe]) -> Snapshot:
        found = {
            feature: Pinned(recipe.id, self.store.table(recipe).values.newest())
            for feature, recipe in reversed(list(recipes.items()))
        }
        catalog = Catalog(self.store.folder)
        versions = {each: catalog.table(each).newest() for each in get_args(CatalogTable)}
        return Snapshot(
            name=name,
            created_at=datetime.now(UTC),
            tag=f"{TAG}{name}-{uuid.uuid4().hex[:8]}",
            features={feature: found[feature] for feature in recipes if found[feature].version},
            catalog=versions,
        )

    def _tables(
        self, snapshot: Snapshot, recipes: Mapping[FeatureName, Recipe]
    ) -> list[tuple[Table, int]]:
        """The tables of a snapshot that are there, with their versions."""
        catalog = Catalog(self.store.folder)
        found = [
            (self.store.table(recipes[name]).values, pinned.version)
            for name, pinned in snapshot.features.items()
            if name in recipes
        ]
        found += [(catalog.table(n), snapshot.catalog.get(n, 0)) for n in get_args(CatalogTable)]
        return [(table, version) for table, version in found if version]

    def tables(self, snapshot: Snapshot) -> list[tuple[Table, int]]:
        """Every table that a snapshot names a version of, with that version."""
        recipes = {
            name: self.store.find(name, pinned.recipe) for name, pinned in snapshot.features.items()
        }
        return self._tables(snapshot, recipes)

    def load(self, name: str) -> Snapshot:
        """One snapshot.

        Raises
        ------
        RequestError
            There is none of that name.
        """
        data = self.store.folder.get(_document(name)) if name and "/" not in name else None
        if data is None:
            raise RequestError(
                f"no snapshot '{name}' in {self.store.folder.uri}." + suggestion(name, self.names())
            )
        return Snapshot.from_json(data, f"{self.store.folder.uri}/{_document(name)}")

    def names(self) -> list[str]:
        """Names of all snapshots, sorted."""
        ends = (found.name.removeprefix(f"{PLACE}/") for found in self.store.folder.objects(PLACE))
        return sorted(end.removesuffix(".json") for end in ends if end.endswith(".json"))

    def all(self) -> list[Snapshot]:
        """Every snapshot, by name; one that is deleted meanwhile is left out."""
        folder = self.store.folder
        found = ((name, folder.get(_document(name))) for name in self.names())
        return [
            Snapshot.from_json(data, f"{folder.uri}/{_document(name)}")
            for name, data in found
            if data is not None
        ]

    def delete(self, name: str) -> None:
        """Forget a snapshot; its versions may be cleaned up from now on."""
        snapshot = self.load(name)
        self.store.folder.remove([_document(name)])
        catalog = Catalog(self.store.folder)
        for each in get_args(CatalogTable):
            catalog.table(each).untag(snapshot.tag)
        for feature in snapshot.features:
            for recipe in self.store.recipes(feature):
                self.store.table(recipe).values.untag(snapshot.tag)


def _document(name: str) -> str:
    return f"{PLACE}/{name}.json"


def _untag(tables: list[tuple[Table, int]], tag: str) -> None:
    for table, _ in tables:
        table.untag(tag)


def _taken(name: str) -> RequestError:
    return RequestError(
        f"there is a snapshot '{name}' already. A snapshot never changes: "
        "choose another name, or delete it first."
    )
