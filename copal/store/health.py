"""Health: whether everything a store says it holds is there, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from blake3 import blake3

from copal.errors import CopalError, DamagedTable, MissingValue
from copal.feature import File
from copal.fingerprint import pair_assets
from copal.graph import Recipe
from copal.store.base import StoredValue, value_digest
from copal.store.catalog import Catalog
from copal.store.garbage import named_files
from copal.store.lance_store import LanceStore, LanceTable
from copal.store.releases import Releases
from copal.store.snapshots import Snapshots
from copal.store.tables import plain_errors
from copal.store.upkeep import pieces

Depth = Literal["quick", "full"]

AT_ONCE_BYTES = 32 << 20
"""Values are read this much at a time, so memory stays the same however large the store."""
BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as the store says."""

    place: str
    """Where in the store."""
    what: str


@dataclass(slots=True)
class Checked:
    """How much was looked at."""

    tables: int = 0
    values: int = 0
    files: int = 0
    faults: int = 0


@dataclass(slots=True)
class Inspection:
    """One walk through a store, which reads one version of each table."""

    store: LanceStore
    limit: datetime
    """Files that no value names are faults when they are older: younger ones may be on their way
    into a value."""
    depth: Depth = "quick"
    """``full`` reads every file and compares its digest; ``quick`` its size only."""
    checked: Checked = field(default_factory=Checked)
    assets: frozenset[str] = frozenset()
    """Ids of assets, as they were last read."""

    def faults(self) -> Iterator[Fault]:
        """Everything that is wrong, as it is found."""
        for fault in self._walk():
            self.checked.faults += 1
            yield fault

    def _walk(self) -> Iterator[Fault]:
        folder = self.store.folder
        for feature in folder.names("features"):
            for name in folder.names(f"features/{feature}"):
                yield from self._recipe(f"features/{feature}/{name}")
        yield from self._releases()
        yield from self._snapshots()
        yield from self._catalog()

    def _recipe(self, place: str) -> Iterator[Fault]:
        folder = self.store.folder
        data = folder.get(f"{place}/recipe.json")
        if data is None:
            old = [each for each in folder.objects(place) if each.modified < self.limit]
            if old:
                yield Fault(place, "has no recipe.json; 'copal gc' removes what is left of it")
            return
        recipe = _read_recipe(data, place)
        if isinstance(recipe, str):
            yield Fault(f"{place}/recipe.json", recipe)
            return
        table = self.store.table(recipe)
        before = self.checked.faults
        yield from _readable(f"{place}/values.lance", lambda: self._values(table))
        yield from _readable(f"{place}/attempts.lance", lambda: self._attempts(table))
        if self.checked.faults == before:  # what damaged values name cannot be told
            yield from self._strays(table)

    def _values(self, table: LanceTable) -> Iterator[Fault]:
        dataset = table.values.open()
        if dataset is None:
            return
        table = replace(table, version=dataset.version)
        self.checked.tables += 1
        shape = pieces(dataset)
        at_once = max(1, min(4096, AT_ONCE_BYTES * max(shape.rows, 1) // max(shape.bytes, 1)))
        place = f"{table.place}/values.lance"
        units: set[str] = set()
        with plain_errors(table.values.uri):
            for value, sizes in table.scan(at_once):
                self.checked.values += 1
                if value.unit in units:
                    yield Fault(place, f"unit {value.unit} stands twice")
                units.add(value.unit)
                yield from self._value(value, sizes, table.place)
        named = {asset: unit for unit in units for asset in pair_assets(unit) if asset}
        if not named.keys() <= self.assets:  # some are new, or none were read yet
            found = Catalog(self.store.folder).table("assets").read(["asset_id"])
            self.assets = frozenset(found["asset_id"].to_pylist())
        for asset in sorted(named.keys() - self.assets):
            yield Fault(place, f"unit {named[asset]}: the catalogue has no asset {asset}")

    def _value(self, value: StoredValue, sizes: Mapping[str, int], place: str) -> Iterator[Fault]:
        digests = value.file_digests
        found = value_digest(value.rows, digests)
        if found != value.value_digest:
            yield Fault(
                f"{place}/values.lance",
                f"unit {value.unit}: its rows have digest {found[:8]}, "
                f"and it was stored with {value.value_digest[:8]}",
            )
        for name, file in value.files.items():
            self.checked.files += 1
            told = _wrong_file(file, sizes[name], digests[name], self.depth)
            if told:
                where = f"{place}/files/{digests[name]}"
                yield Fault(where, f"'{name}' of unit {value.unit} {told}")

    def _attempts(self, table: LanceTable) -> Iterator[Fault]:
        dataset = table.attempt_rows.open()
        if dataset is not None:
            self.checked.tables += 1
            read = sum(batch.num_rows for batch in dataset.to_batches())
            if read != dataset.count_rows():
                yield Fault(
                    f"{table.place}/attempts.lance", f"{read} rows of {dataset.count_rows()}"
                )

    def _strays(self, table: LanceTable) -> Iterator[Fault]:
        parts = ("values.lance/", "attempts.lance/", "recipe.json")
        found = [
            each
            for each in table.folder.objects(table.place)
            if each.modified < self.limit
            and not each.name.removeprefix(f"{table.place}/").startswith(parts)
        ]
        named = named_files(table) if found else set()
        for each in found:
            kind, _, name = each.name.removeprefix(f"{table.place}/").partition("/")
            if kind != "files" or name not in named:
                yield Fault(each.name, "is named by no value; 'copal gc' removes what is in files/")

    def _releases(self) -> Iterator[Fault]:
        releases = Releases(self.store.folder)
        for feature, recipe in releases.current().items():
            stored = any(each.id == recipe for each in self.store.recipes(feature))
            if not stored and releases.current().get(feature) == recipe:  # nobody moved it
                yield Fault("releases", f"'{feature}' recipe {recipe[:8]} has no table")

    def _snapshots(self) -> Iterator[Fault]:
        snapshots = Snapshots(self.store)
        for name in snapshots.names():
            place = f"snapshots/{name}.json"
            try:
                snapshot = snapshots.load(name)
                for table, version in snapshots.tables(snapshot):
                    if table.tags().get(snapshot.tag, (0, None))[0] != version:
                        where = table.uri.removeprefix(f"{self.store.folder.uri}/")
                        yield Fault(place, f"version {version} of {where} is not tagged")
                    else:
                        table.at(version).open()
            except CopalError as exc:
                if name in snapshots.names():  # it was not deleted meanwhile
                    yield Fault(place, str(exc))

    def _catalog(self) -> Iterator[Fault]:
        catalog = Catalog(self.store.folder)

        def assets() -> Iterator[Fault]:
            found = catalog.assets(technical=True)
            titles = {title.id for title in catalog.titles()}
            for asset in found:
                if asset.title not in titles:
                    told = f"asset {asset.id} is of a title that is not there: '{asset.title}'"
                    yield Fault("catalog/assets.lance", told)

        def places() -> Iterator[Fault]:
            found = catalog.places()
            known = {asset.id for asset in catalog.assets()}
            for place in found:
                if place.asset is not None and place.asset not in known:
                    told = f"{place.locator} is of an asset that is not there: {place.asset}"
                    yield Fault("catalog/places.lance", told)

        yield from _readable("catalog/assets.lance", assets)
        yield from _readable("catalog/places.lance", places)


def _read_recipe(data: bytes, place: str) -> Recipe | str:
    """The recipe, or what is wrong with its document."""
    try:
        parts = json.loads(data)
        parts.pop("created_at", None)
        recipe = Recipe.from_json(parts)
        expected = f"features/{recipe.feature}/v{recipe.version}-{recipe.id[:16]}"
    except (ValueError, TypeError, AttributeError) as exc:
        return f"cannot be read: {exc}"
    return recipe if place == expected else f"says what belongs into {expected}"


def _readable(place: str, walk: Callable[[], Iterator[Fault]]) -> Iterator[Fault]:
    """The faults of one table, or the one that it cannot be read."""
    try:
        yield from walk()
    except (OSError, ValueError, RuntimeError, MissingValue, DamagedTable) as exc:
        told = (exc.__cause__ or exc) if isinstance(exc, DamagedTable) else exc
        yield Fault(place, f"cannot be read: {' '.join(str(told).split())[:300]}")


def _wrong_file(file: File, size: int, digest: str, depth: Depth) -> str:
    """What is wrong with a file of a value; nothing, mostly."""
    try:
        found = file.size_bytes
        if found != size:
            return f"has {found:,} bytes, and was stored with {size:,}"
        if depth == "full" and _digest(file, found) != digest:
            return "has other bytes than it was stored with"
    except (FileNotFoundError, MissingValue):
        return "is not there"
    return ""


def _digest(file: File, size: int) -> str:
    hasher = blake3()
    for start in range(0, size, BLOCK_BYTES):
        hasher.update(file.read(start, min(BLOCK_BYTES, size - start)))
    return hasher.hexdigest(length=16)
