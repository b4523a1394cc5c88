"""Looking: the rows of both recipes side by side, unit by unit, and what was seen so far."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from copal.compare.differences import (
    Boundaries,
    Pairs,
    Ranges,
    boundaries,
    gone_and_new,
    pairs,
    row_keys,
)
from copal.compare.neighbours import MOST_VECTORS, Neighbours, neighbours
from copal.fingerprint import UnitId, pair_assets
from copal.graph import Recipe
from copal.project import Project
from copal.store.lance_store import LanceTable

if TYPE_CHECKING:
    import numpy.typing as npt

AT_ONCE = 32
"""Values in memory of either side."""


@dataclass(frozen=True, slots=True)
class UnitDifference:
    """One unit whose rows differ."""

    unit: UnitId
    name: str
    """Titles of its assets."""
    old_rows: int
    new_rows: int
    gone: int
    """Rows of the old recipe that the new one has not."""
    new: int
    """Rows of the new recipe that the old one had not."""
    f1: float | None
    """Of boundaries, for rows that are ranges."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How two recipes score the same pairs of shots."""

    overlap: float
    """Mean share of a block's best ``k`` that is in both."""
    k: int
    common: float
    """Pairs in both, of all that was compared."""
    mean_drift: float
    largest_drift: float


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two recipes, and the table of shots that its indices count."""

    recipe: Recipe
    table: LanceTable
    shots: LanceTable | None

    def ranges(self, units: Sequence[str]) -> dict[str, Ranges]:
        """Frames of the shots of assets, by index; empty where nobody needs them."""
        found = self.shots.read(units) if self.shots is not None else {}
        return {
            unit: {
                row["shot_index"]: (row["start_frame"], row["end_frame"])
                for row in value.rows.select(["shot_index", "start_frame", "end_frame"]).to_pylist()
            }
            for unit, value in found.items()
        }


class Looked:
    """What was seen of the rows so far."""

    def __init__(
        self, project: Project, feature: str, sides: tuple[Side, Side], tolerance: int, k: int,
        seed: int,
    ) -> None:  # fmt: skip
        self.project = project
        self.feature = feature
        self.sides = sides
        self.tolerance, self.k, self.seed = tolerance, k, seed
        self.names = {a.id: project.titles[a.title].name for a in project.select()
                      if a.title in project.titles}  # fmt: skip
        self.count = 0
        self.rows = [0.0, 0.0, 0.0, 0.0]
        self.boundaries: Boundaries | None = None
        self.units: list[UnitDifference] = []
        self.pairs: list[tuple[float, Pairs]] = []
        self.vectors: dict[str, tuple[dict[Hashable, Any], dict[Hashable, Any]]] = {}

    def look(self, units: Sequence[str], weight: float, *, differ: bool) -> None:
        """Compare the rows of units that stand for ``weight`` times as many."""
        for start in range(0, len(units), AT_ONCE):
            for unit, tables, ranges in self._read(units[start : start + AT_ONCE]):
                self.count += 1
                self._compare(unit, tables, ranges, weight, differ)

    def _read(
        self, units: Sequence[str]
    ) -> Iterator[tuple[str, list[pa.Table], list[Ranges | None]]]:
        values = [side.table.read(units) for side in self.sides]
        shots = [side.ranges(units) for side in self.sides]
        for unit in units:
            if all(unit in each for each in values):  # nobody removed it meanwhile
                yield unit, [v[unit].rows for v in values], [s.get(unit) for s in shots]

    def _compare(
        self,
        unit: str,
        tables: list[pa.Table],
        ranges: list[Ranges | None],
        weight: float,
        differ: bool,
    ) -> None:
        old, new = tables
        keys = [row_keys(t, r) for t, r in zip(tables, ranges, strict=True)] if differ else [[], []]
        gone, come = gone_and_new(*keys)
        for place, number in enumerate((old.num_rows, new.num_rows, gone, come)):
            self.rows[place] += weight * number
        names = set(old.column_names) & set(new.column_names)
        f1 = None
        if {"start_frame", "end_frame"} <= names:
            found = boundaries(old, new, self.tolerance)
            self.boundaries = (self.boundaries or Boundaries()) + found.times(weight)
            f1 = found.f1
        if {"left_shot", "right_shot", "score"} <= names:
            self.pairs.append((weight, pairs(old, new, self.k)))
        self._keep_vectors(unit, tables, ranges, names)
        if differ:
            titles = (self.names.get(a, a[:8]) for a in dict.fromkeys(pair_assets(unit)) if a)
            self.units.append(UnitDifference(
                UnitId(unit), " + ".join(titles), old.num_rows, new.num_rows, gone, come, f1
            ))  # fmt: skip

    def _keep_vectors(
        self, unit: str, tables: list[pa.Table], ranges: list[Ranges | None], names: set[str]
    ) -> None:
        for name in sorted(names):
            if not all(_is_vectors(table, name) for table in tables):
                continue
            kept = self.vectors.setdefault(name, ({}, {}))
            if max(map(len, kept)) >= MOST_VECTORS:
                continue
            for store, table, shots in zip(kept, tables, ranges, strict=True):
                matrix = _matrix(table, name)
                for place, row in zip(_places(table, shots), matrix, strict=True):
                    store[unit, place] = row

    def neighbours(self) -> dict[str, Neighbours]:
        """By column, those that were found."""
        found = {
            name: neighbours(old, new, self.k, self.seed)
            for name, (old, new) in self.vectors.items()
        }
        return {name: each for name, each in found.items() if each is not None}

    def scores(self) -> Scores | None:
        """Over all blocks that were looked at."""
        if not self.pairs:
            return None
        weights = sum(weight for weight, _ in self.pairs)
        common = sum(weight * each.common for weight, each in self.pairs)
        drift = sum(weight * each.total_drift for weight, each in self.pairs)
        return Scores(
            overlap=sum(weight * each.overlap for weight, each in self.pairs) / weights,
            k=self.k,
            common=common,
            mean_drift=drift / common if common else 0.0,
            largest_drift=max(each.largest_drift for _, each in self.pairs),
        )


def _is_vectors(table: pa.Table, name: str) -> bool:
    kind = table.schema.field(name).type
    return bool(pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type))


def _matrix(table: pa.Table, name: str) -> npt.NDArray[np.float32]:
    """(rows, d)"""
    column = table[name].combine_chunks()
    flat = np.asarray(column.flatten().to_numpy(zero_copy_only=False), np.float32)
    return flat.reshape(len(column), column.type.list_size)


def _places(table: pa.Table, shots: Ranges | None) -> list[Hashable]:
    """What tells rows apart: the frames of their shot where they are known, or their place."""
    if "shot_index" not in table.column_names:
        return list(range(table.num_rows))
    index = table["shot_index"].to_pylist()
    return [shots.get(each, each) for each in index] if shots is not None else index
