"""Inventory: what a recipe's table holds, unit by unit, and what failed; read once a version."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import pyarrow as pa
import pyarrow.compute as pc

from copal import __version__
from copal.fingerprint import Digest, fingerprint
from copal.graph import Recipe
from copal.store.base import Attempt
from copal.store.lance_store import LanceStore
from copal.store.summary import AT_ONCE, Summaries
from copal.store.tables import is_in
from copal.units import Units

FAILING = ("failed", "skipped", "released")
"""Outcomes of attempts that decide whether a unit without a value is tried."""
NEWEST_ATTEMPTS = 2000
"""So many are kept: enough for a rate, and quick however many there are."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What one recipe's table holds, without its rows."""

    units: Units
    """Those that have a value."""
    empty: Units
    """Those of them whose value has no rows."""
    failing: pa.Table
    """Attempts that failed, were skipped or released, in the order of their time."""
    newest: pa.Table
    """The newest attempts, which tell what the next ones cost, in the order of their time."""

    def among(self, units: Sequence[str]) -> Inventory:
        """The same of a few units alone."""
        few = pa.array(units, pa.string())

        def only(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
            return column.filter(pc.is_in(column, value_set=few))

        failing = self.failing.filter(pc.is_in(self.failing["unit"], value_set=few))
        return Inventory(
            Units(only(self.units.column)), Units(only(self.empty.column)), failing, self.newest
        )

    def attempts(self) -> list[Attempt]:
        """The failing ones."""
        return [Attempt(**row) for row in self.failing.to_pylist()]

    def newest_attempts(self) -> list[Attempt]:
        """The newest ones."""
        return [Attempt(**row) for row in self.newest.to_pylist()]


@dataclass(frozen=True, slots=True)
class Inventories:
    """The inventories of a store, each kept as one document while its tables are as they were.

    A table that has moved is read again, two short columns of it; the others cost two listings
    and one small read each, however many commits they were written in.
    """

    store: LanceStore

    def of(self, recipes: Iterable[Recipe], units: Sequence[str] | None = None) -> list[Inventory]:
        """The inventory of each recipe, in order; of a few units alone when they are given.

        Recipes of two features may have one id.
        """
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return [*pool.map(self._one, recipes, repeat(units))]

    def kept(self, recipe: Recipe) -> Inventory | None:
        """The inventory of a recipe, if its tables are as they were when it was kept."""
        data = Summaries(self.store).load(_document(recipe))
        return None if data is None else _read(data, self._versions(recipe))

    def _one(self, recipe: Recipe, units: Sequence[str] | None) -> Inventory:
        versions = self._versions(recipe)
        summaries = Summaries(self.store)
        data = summaries.load(_document(recipe))
        if data is not None and (found := _read(data, versions)):
            return found.among(units) if units else found
        table = self.store.table(recipe)
        held = table.values.read(["unit", "state"], is_in("unit", units) if units else None)
        empty = held.filter(pc.equal(held["state"], "empty"))
        failing = table.attempt_table(FAILING, units)
        rows = table.attempt_rows
        newest = rows.schema.empty_table() if units else rows.read_last(NEWEST_ATTEMPTS)
        found = Inventory(Units(held["unit"]), Units(empty["unit"]), failing, newest.sort_by("at"))
        if not units and (held.num_rows or newest.num_rows):
            summaries.keep(_document(recipe), _written(found, versions))
        return found

    def _versions(self, recipe: Recipe) -> Digest:
        place = self.store.table(recipe).place
        newest = [
            Summaries(self.store).newest(f"{place}/{name}.lance") for name in ("values", "attempts")
        ]
        return fingerprint("inventory", copal=__version__, place=place, newest=newest)


def _document(recipe: Recipe) -> str:
    return f"{recipe.feature}-{recipe.id}.arrow"


def _written(inventory: Inventory, versions: Digest) -> bytes:
    """Four Arrow streams one after the other, the first with the versions in its schema."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    units = pa.table({"unit": inventory.units.column}, metadata={"versions": versions})
    empty = pa.table({"unit": inventory.empty.column})
    for part in (units, empty, inventory.failing, inventory.newest):
        with pa.ipc.new_stream(sink, part.schema, options=options) as stream:
            stream.write_table(part)
    return bytes(memoryview(sink.getvalue()))


def _read(data: bytes, versions: Digest) -> Inventory | None:
    """What was written, if it is of these versions and whole."""
    source = pa.BufferReader(data)
    try:
        first = pa.ipc.open_stream(source)
        if (first.schema.metadata or {}).get(b"versions") != versions.encode():
            return None
        units = Units(first.read_all()["unit"])
        empty = Units(pa.ipc.open_stream(source).read_all()["unit"])
        failing, newest = (pa.ipc.open_stream(source).read_all() for _ in range(2))
        return Inventory(units, empty, failing, newest)
    except (pa.ArrowInvalid, KeyError, OSError):  # damaged, or of a format of before
        return None
