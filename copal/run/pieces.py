"""A value put together: rows of shots that stayed as they were, and of shots computed now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from copal.binding import Bound
from copal.errors import BrokenContract
from copal.feature import SHOT_INDEX, SHOTS, LocalFile, Output, Value, per_shot_of
from copal.fingerprint import RecipeId
from copal.run.rows import check_rows


@dataclass(frozen=True, slots=True)
class Older:
    """A stored value whose inputs differ from those of the one wanted in nothing but its shots."""

    recipe: RecipeId
    shots: pa.Table
    """The shots that it was computed from, as the feature sees them."""
    value: Value


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a cell: rows and files, and how many of its shots were computed for it."""

    output: Output
    shots: int = 0
    """Shots that the value covers; 0 when the feature is not per shot."""
    computed: int = 0
    carried_from: RecipeId | None = None
    """An older recipe, when nothing at all had to be computed."""


def make(bound: Bound, given: Mapping[str, Any], olders: Iterable[Older] = ()) -> Made:
    """Compute a cell, but for the shots of which an older value has the rows.

    Parameters
    ----------
    given
        The arguments of ``compute``.
    olders
        Taken one after the other, for as long as shots are missing.

    Returns
    -------
    What ``compute`` of all shots gives, byte for byte, if the feature keeps its promise.
    """
    if not per_shot_of(bound.instance):
        return Made(_output(bound.instance.compute(**given)))
    shots = given[SHOTS]
    kept = _kept(shots, olders)
    moved = [place for place, found in enumerate(kept) if found is None]
    if len(moved) == len(kept):
        return Made(_output(bound.instance.compute(**given)), len(kept), len(kept))
    sources: list[tuple[Value, int]] = [(each[0].value, each[1]) for each in kept if each]
    if moved:
        made = compute_some(bound, given, shots.take(moved))
        for place in moved:
            sources.insert(place, (made, shots[SHOT_INDEX][place].as_py()))
    output = joined(bound, pieces_of(sources, shots), given.get("workspace"))
    origin = next(each[0].recipe for each in kept if each) if not moved else None
    return Made(output, len(kept), len(moved), origin)


def compute_some(bound: Bound, given: Mapping[str, Any], shots: pa.Table) -> Value:
    """The rows and files of some shots of a cell; files lie in a workspace of their own.

    Raises
    ------
    BrokenContract
        The feature returned rows of shots that it was not given.
    """
    own = dict(given) | {SHOTS: shots}
    if "workspace" in own:
        own["workspace"] = Path(own["workspace"]) / f"shots-{shots[SHOT_INDEX][0]}"
        own["workspace"].mkdir()
    output = _output(bound.instance.compute(**own))
    check_rows(output.rows, bound.columns, f"'{bound.declaration.name}' of some shots")
    asked = set(shots[SHOT_INDEX].to_pylist())
    if strange := set(output.rows[SHOT_INDEX].to_pylist()) - asked:
        raise BrokenContract(
            f"'{bound.declaration.name}' is per shot, and asked for {len(asked)} shots it gave "
            f"rows of shot {min(strange)}. It must number its rows as '{SHOTS}' does."
        )
    return Value(output.rows, {name: LocalFile(path) for name, path in output.files.items()})


def pieces_of(sources: Sequence[tuple[Value, int]], shots: pa.Table) -> list[Value]:
    """Runs of shots that stood side by side in one value, their rows numbered as shots are now.

    Parameters
    ----------
    sources
        For each of ``shots`` the value that has its rows, and its number there.
    """
    numbers = shots[SHOT_INDEX].to_pylist()
    values = {id(value): value for value, _ in sources}
    places = {key: _rows_by_shot(value.rows) for key, value in values.items()}
    pieces = []
    for _, run in groupby(enumerate(sources), key=lambda e: (id(e[1][0]), e[1][1] - e[0])):
        rows: list[int] = []
        renumbered: list[int] = []
        for place, (value, number) in run:
            its = places[id(value)].get(number, [])
            rows += its
            renumbered += [numbers[place]] * len(its)
        column = value.rows.schema.get_field_index(SHOT_INDEX)
        field = value.rows.schema.field(column)
        taken = value.rows.take(pa.array(rows, pa.int64()))
        pieces.append(
            Value(taken.set_column(column, field, pa.array(renumbered, field.type)), value.files)
        )
    return pieces


def joined(bound: Bound, pieces: Sequence[Value], workspace: Path | None) -> Output:
    """Pieces as one value: by the feature's own ``join`` where it makes files."""
    if workspace is not None and hasattr(bound.instance, "join"):
        output: Output = bound.instance.join(pieces, workspace)
        return output
    return Output(pa.concat_tables([piece.rows for piece in pieces]))


def _output(made: pa.Table | Output) -> Output:
    return made if isinstance(made, Output) else Output(made)


def _kept(shots: pa.Table, olders: Iterable[Older]) -> list[tuple[Older, int] | None]:
    """For each shot an older value that has its rows, and the number that the shot has there."""
    keys = _keys(shots)
    kept: list[tuple[Older, int] | None] = [None] * len(keys)
    for older in olders if keys else ():
        there = dict(zip(_keys(older.shots), older.shots[SHOT_INDEX].to_pylist(), strict=True))
        for place, key in enumerate(keys):
            if kept[place] is None and key in there:
                kept[place] = (older, there[key])
        if None not in kept:
            break
    return kept


def _keys(shots: pa.Table) -> list[tuple[object, ...]]:
    """What a shot is known by: all that the feature sees of it, but for its number."""
    columns = [shots[name].to_pylist() for name in shots.column_names if name != SHOT_INDEX]
    return list(zip(*columns, strict=True))


def _rows_by_shot(rows: pa.Table) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for place, number in enumerate(rows[SHOT_INDEX].to_pylist()):
        found[number].append(place)
    return found
