"""Blocks: the best pairs of shots of many pairs of assets, read at once or computed for now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from copal.errors import MissingValue
from copal.fingerprint import UnitId, pair_assets
from copal.project import Project
from copal.registry import FeatureName
from copal.run.inputs import Inputs, Worker
from copal.store.lance_store import LanceTable
from copal.store.tables import Table, plain_errors

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

MOST_SHOT_PAIRS = 20_000_000
"""Missing blocks are computed for an answer up to this many pairs of shots: about a second."""
MOST_BLOCKS = 400


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of many values of one feature, one value after the other."""

    units: tuple[str, ...]
    """The units asked for that have a value."""
    counts: Ints
    """Rows of each."""
    columns: Mapping[str, pa.Array]

    @property
    def unit(self) -> Ints:
        """Place in ``units`` of each row's unit."""
        return np.repeat(np.arange(len(self.units)), self.counts)

    @property
    def starts(self) -> Ints:
        """Place of each unit's first row."""
        return np.cumsum(self.counts) - self.counts

    def numpy(self, name: str) -> npt.NDArray[Any]:
        """One column."""
        return np.asarray(self.columns[name].to_numpy(zero_copy_only=False))


def read_rows(table: LanceTable, units: Sequence[str]) -> Rows:
    """Rows of those units that have a value.

    Reads the names of all units, which are short, and then only the rows of the ones wanted: a
    filter on thousands of names takes longer than the answer.
    """
    lance_table = Table(table.values_uri(), pa.schema([]), table.folder.storage_options)
    dataset = lance_table.open()
    if dataset is None:
        return Rows((), np.zeros(0, np.int64), {})
    with plain_errors(lance_table.uri):
        held = dataset.to_table(columns=["unit"])["unit"].to_pylist()
    places = dict(zip(held, range(len(held)), strict=True))
    found = [unit for unit in units if unit in places]
    if not found:
        return Rows((), np.zeros(0, np.int64), {})
    with plain_errors(lance_table.uri):
        taken = dataset.take([places[unit] for unit in found], columns=["unit", "items"])
    parts = [_filled(chunk) for chunk in taken["items"].chunks]
    counts = np.concatenate([np.diff(part.offsets.to_numpy()) for part in parts])
    structs = pa.concat_arrays([part.flatten() for part in parts])
    names = [structs.type.field(i).name for i in range(structs.type.num_fields)]
    return Rows(tuple(taken["unit"].to_pylist()), counts.astype(np.int64),
                dict(zip(names, structs.flatten(), strict=True)))  # fmt: skip


def _filled(chunk: pa.ListArray) -> pa.ListArray:
    """A chunk of lists in which a value without rows is an empty list."""
    if chunk.null_count == 0:
        return chunk
    lengths = chunk.value_lengths().fill_null(0).to_numpy()
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, chunk.flatten())


@dataclass(frozen=True, slots=True)
class Blocks:
    """The pairs of shots that one flavour proposes for pairs of assets."""

    flavour: str
    unit: Ints
    """Place of each row's pair of assets among those asked about."""
    left_shot: Ints
    right_shot: Ints
    left_first: npt.NDArray[np.bool_]
    score: npt.NDArray[np.float64]
    ranges: npt.NDArray[np.int64]
    """(rows, 4) start and end of the left shot, start and end of the right one."""
    floors: npt.NDArray[np.float64]
    """For each pair of assets, what a pair of shots beyond the block scores at most: -inf when
    there is none, inf when nobody has computed the block."""
    stored: int
    computed: int
    symmetric: bool
    """Whether two shots score the same both ways, so that a row stands for both."""


def read_blocks(
    project: Project, flavour: str, feature: FeatureName, units: Sequence[UnitId], fill: bool
) -> Blocks:
    """Blocks of a flavour from the store, and those missing computed where they are few.

    Parameters
    ----------
    fill
        Whether to compute what is missing. It is not stored: that is what ``run`` is for.
    """
    bound = project.bound(feature)
    rows = read_rows(project.table(feature), units)
    held = set(rows.units)
    missing = [unit for unit in units if unit not in held]
    made = computed_blocks(project, feature, missing) if fill and missing else {}
    place = {unit: index for index, unit in enumerate(units)}
    owner = np.array([place[UnitId(unit)] for unit in rows.units], np.int64)
    owners = [np.repeat(owner, rows.counts)]
    names = [field.name for field in bound.columns]
    parts = {name: [rows.numpy(name)] if rows.units else [] for name in names}
    top_k = getattr(bound.instance, "top_k", None)
    floors = np.full(len(units), np.inf)
    if rows.units:
        floors[owner] = _floors(rows.numpy("score"), rows.counts, top_k)
    for unit, table in made.items():
        owners.append(np.full(table.num_rows, place[unit], np.int64))
        for name in names:
            parts[name].append(table[name].to_numpy())
        count = np.array([table.num_rows])
        floors[place[unit]] = _floors(table["score"].to_numpy(), count, top_k)[0]
    joined = {name: np.concatenate(values or [np.zeros(0)]) for name, values in parts.items()}
    spans = ("left_start_frame", "left_end_frame", "right_start_frame", "right_end_frame")
    given = bound.instance
    return Blocks(
        flavour=flavour,
        unit=np.concatenate(owners),
        left_shot=joined["left_shot"].astype(np.int64),
        right_shot=joined["right_shot"].astype(np.int64),
        left_first=joined["left_first"].astype(bool),
        score=joined["score"].astype(np.float64),
        ranges=np.stack([joined[name].astype(np.int64) for name in spans], axis=1),
        floors=floors,
        stored=len(rows.units),
        computed=len(made),
        symmetric=getattr(given, "outgoing", 0) == getattr(given, "incoming", 1),
    )


def _floors(scores: npt.NDArray[Any], counts: Ints, top_k: int | None) -> npt.NDArray[np.float64]:
    """The last score of each block that is full; -inf where the block holds every pair."""
    floors = np.full(len(counts), -np.inf)
    if top_k is not None:
        full = np.flatnonzero(counts >= top_k)
        floors[full] = scores[np.cumsum(counts)[full] - 1]
    return floors


def computed_blocks(
    project: Project, feature: FeatureName, units: Sequence[UnitId]
) -> dict[UnitId, pa.Table]:
    """Blocks made now by the feature's own class from stored needs; none when they are many.

    Pairs of assets whose needs nobody has computed are left out. The class computes today's
    recipe: of another, and of a snapshot, there is what was stored.
    """
    today = project.recipes([feature])[feature]
    if project.reading.snapshot is not None or project.recipe(feature).parts() != today.parts():
        return {}
    if len(units) > MOST_BLOCKS or not hasattr(project.bound(feature).instance, "compute"):
        return {}
    names = project.graph.targets([feature])
    worker = Worker(
        bound={name: project.bound(name) for name in names},
        recipes={name: project.recipe(name) for name in names},
        store=project.store,
        assets={},
        open_source=_no_media,
    )
    inputs = Inputs(worker, feature)
    arguments: dict[UnitId, dict[str, Any]] = {}
    for unit in units:
        try:
            arguments[unit] = inputs.arguments(unit, None)
        except MissingValue:
            continue
    if sum(_size(given, unit) for unit, given in arguments.items()) > MOST_SHOT_PAIRS:
        return {}
    instance = project.bound(feature).instance
    if hasattr(instance, "compute_batch"):
        tables = instance.compute_batch(list(arguments.values()))
        return dict(zip(arguments, tables, strict=True))
    return {unit: instance.compute(**given) for unit, given in arguments.items()}


def _size(arguments: Mapping[str, Any], unit: UnitId) -> int:
    """Pairs of shots of a block: of the first need, whose rows are shots."""
    left, right = pair_assets(unit)
    first = next(iter(arguments.values()))
    product = int(first.left.num_rows) * int(first.right.num_rows)
    return product // 2 if left == right else product


def _no_media(asset: object) -> Any:
    raise AssertionError(f"a block is made from stored values, not from the media of {asset}")
