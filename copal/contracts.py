"""What every feature promises, to be checked on a film of a few seconds by whoever writes one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from copal.asset import Asset
from copal.binding import Bound
from copal.errors import BrokenContract, ComputeFailed, UnreadableMedia
from copal.feature import SHOT_INDEX, SHOTS, Output, Value, per_shot_of
from copal.fingerprint import file_digest, rows_digest
from copal.flow.inline import run_inline
from copal.flow.work import cut
from copal.graph import Graph
from copal.project import REGISTRY_FILE, Project
from copal.registry import load
from copal.run.pieces import compute_some, joined, pieces_of


def feature_names(root: Path) -> list[str]:
    """The features that a repository computes when none is named, in order."""
    return list(Graph(load(root / REGISTRY_FILE)).targets())


def sample_media(folder: Path) -> Path:
    """A film of a few seconds with a few cuts and sound, made with ffmpeg."""
    from copal.demo import sample_film

    path = folder / "sample.mp4"
    sample_film(path)
    return path


def check_feature(root: Path, feature: str, media: Path, folder: Path) -> None:
    """Compute a feature of a repository on a film, and hold it to its contract.

    The same media gives the same rows twice, frame ranges are in order and disjoint, a need
    without rows gives no rows and the right columns, and the rows of a per-shot feature are those
    it gives when it is asked for some of the shots only.

    Parameters
    ----------
    folder
        An empty folder for two stores.

    Raises
    ------
    BrokenContract
        The feature does not keep a promise.
    ComputeFailed
        It, or a need of it, cannot be computed.
    """
    first = _compute(root, feature, media, folder / "first")
    second = _compute(root, feature, media, folder / "second")
    if first[1] != second[1]:
        raise BrokenContract(
            f"'{feature}': the same media gave other rows the second time. Seed what is random, "
            "fix the order of sums, or name what differs in its params."
        )
    for value in first[0]:
        _check_ranges(feature, value.rows)
    _check_empty(Project(root), feature, media, folder)
    project = Project(root, store=str(folder / "first"))
    if per_shot_of(project.bound(feature).instance):
        (asset,) = project.catalog.assets()
        (folder / "per-shot").mkdir()
        check_per_shot(
            project.bound(feature), _arguments(project, feature, asset, media), folder / "per-shot"
        )


def check_per_shot(bound: Bound, given: Mapping[str, Any], folder: Path) -> None:
    """Hold a per-shot feature to it that its rows of a shot follow from that shot alone.

    Parameters
    ----------
    given
        The arguments of ``compute`` for some asset, without ``workspace``.
    folder
        An empty folder.

    Raises
    ------
    BrokenContract
        Rows or files differ, byte for byte, when every second shot is computed by itself, or the
        first one.
    """
    shots = given[SHOTS]
    if not len(shots):
        return
    everything = _of_shots(bound, given, [range(len(shots))], folder / "all")
    for name, parts in (
        ("every second shot", [range(0, len(shots), 2), range(1, len(shots), 2)]),
        ("the first shot", [range(min(1, len(shots))), range(1, len(shots))]),
    ):
        made = _of_shots(bound, given, [part for part in parts if part], folder / name)
        if difference := _difference(everything, made):
            raise BrokenContract(
                f"'{bound.declaration.name}' says that it is per shot, but {difference} when "
                f"{name} is computed by itself. Let no shot's rows depend on the shots beside it, "
                "nor on how many there are; or do not say 'per_shot'."
            )


def _of_shots(
    bound: Bound, given: Mapping[str, Any], parts: Sequence[range], folder: Path
) -> Output:
    """A value out of parts that are computed one by one."""
    sources: dict[int, tuple[Value, int]] = {}
    for number, part in enumerate(parts):
        workspace = folder / str(number)
        workspace.mkdir(parents=True)
        own = dict(given) | ({"workspace": workspace} if "workspace" in bound.arguments else {})
        made = compute_some(bound, own, given[SHOTS].take(list(part)))
        sources |= {place: (made, given[SHOTS][SHOT_INDEX][place].as_py()) for place in part}
    pieces = pieces_of([sources[place] for place in sorted(sources)], given[SHOTS])
    return joined(bound, pieces, folder if "workspace" in bound.arguments else None)


def _difference(one: Output, other: Output) -> str:
    """In which column or file two values differ, in words; empty when in none."""
    if one.rows.num_rows != other.rows.num_rows:
        return f"it gives {other.rows.num_rows} rows instead of {one.rows.num_rows}"
    for name in one.rows.column_names:
        if rows_digest(one.rows.select([name])) != rows_digest(other.rows.select([name])):
            return f"its column '{name}' has other values"
    for name, path in one.files.items():
        if name not in other.files or file_digest(path) != file_digest(other.files[name]):
            return f"its file '{name}' has other bytes"
    return ""


def filled(root: Path, store: Path, media: Path, features: Iterable[str] = ()) -> Project:
    """A project with a store of its own, where features (the default ones) of media are computed.

    Raises
    ------
    UnreadableMedia
        A file is refused.
    ComputeFailed
        A feature, or a need of it, cannot be computed.
    """
    from copal.arrivals import add

    project = Project(root, store=str(store))
    for arrival in add(project, [media]):
        if arrival.decision == "refused":
            raise UnreadableMedia(arrival.note)
    report = run_inline(project, cut(project.plan(features), project.catalog.assets(), 1))
    for errors in report.errors.values():
        raise ComputeFailed(next(iter(errors.values())))
    return project


def _compute(root: Path, feature: str, media: Path, store: Path) -> tuple[list[Value], list[str]]:
    project = filled(root, store, media, [feature])
    table = project.table(feature)
    units = sorted(table.index().units)
    found = table.read(units)
    return [found[u].value() for u in units], [found[u].value_digest for u in units]


def _check_ranges(feature: str, rows: pa.Table) -> None:
    """Shots are in order and do not overlap; other ranges are ranges."""
    if not {"start_frame", "end_frame"} <= set(rows.column_names):
        return
    starts, ends = (rows[name].to_pylist() for name in ("start_frame", "end_frame"))
    for start, end in zip(starts, ends, strict=True):
        if (start is None) != (end is None) or (start is not None and not 0 <= start < end):
            raise BrokenContract(f"'{feature}': [{start}, {end}) is no frame range.")
    if "shot_index" in rows.column_names:
        for end, start in zip(ends, starts[1:], strict=False):
            if start < end:
                raise BrokenContract(
                    f"'{feature}': a range that starts at {start} overlaps one that ends at {end}. "
                    "Shots of one asset must be disjoint and in order."
                )


def _check_empty(project: Project, feature: str, media: Path, folder: Path) -> None:
    bound = project.bound(feature)
    of_rows = any(bound.arguments[each] is pa.Table for each in bound.declaration.needs)
    if not of_rows or bound.declaration.unit == "pair":
        return
    own = Project(project.root, store=str(folder / "first"))
    (asset,) = own.catalog.assets()
    given = _arguments(own, feature, asset, media, empty=True)
    if "workspace" in bound.arguments:
        workspace = folder / "empty"
        workspace.mkdir()
        given["workspace"] = workspace
    made = bound.instance.compute(**given)
    rows = made.rows if isinstance(made, Output) else made
    if rows.num_rows or not rows.schema.equals(bound.columns, check_metadata=False):
        raise BrokenContract(
            f"'{feature}': without rows of its needs it gave {rows.num_rows} rows of "
            f"{rows.schema.names}; it must give none, of {bound.columns.names}."
        )


def _arguments(
    project: Project, feature: str, asset: Asset, media: Path, *, empty: bool = False
) -> dict[str, Any]:
    """What ``compute`` is called with, less the workspace; ``empty`` leaves out all rows."""
    bound = project.bound(feature)
    given: dict[str, Any] = {}
    for argument, need in bound.declaration.needs.items():
        value = project.table(need).read([asset.id])[asset.id].value()
        if empty and bound.arguments[argument] is pa.Table:
            value = Value(project.bound(need).columns.empty_table(), value.files)
        given[argument] = bound.hand_over(argument, value)
    if "source" in bound.arguments:
        from copal.media import Source

        given["source"] = Source(asset.id, media, media.name)
    return given
