"""What every feature promises, to be checked on a film of a few seconds by whoever writes one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from copal.errors import BrokenContract, CopalError
from copal.feature import Output, Value
from copal.flow.inline import run_inline
from copal.flow.work import cut
from copal.graph import Graph
from copal.project import REGISTRY_FILE, Project
from copal.registry import load


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

    The same media gives the same rows twice, frame ranges are in order and disjoint, and a need
    without rows gives no rows and the right columns.

    Parameters
    ----------
    folder
        An empty folder for two stores.

    Raises
    ------
    BrokenContract
        The feature does not keep a promise.
    CopalError
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


def _compute(root: Path, feature: str, media: Path, store: Path) -> tuple[list[Value], list[str]]:
    from copal.arrivals import add

    project = Project(root, store=str(store))
    for arrival in add(project, [media]):
        if arrival.decision == "refused":
            raise CopalError(arrival.note)
    report = run_inline(project, cut(project.plan([feature]), project.catalog.assets(), 1))
    for errors in report.errors.values():
        raise CopalError(next(iter(errors.values())))
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
    of_rows = {
        argument: project.bound(need).columns
        for argument, need in bound.declaration.needs.items()
        if bound.arguments[argument] is pa.Table
    }
    if not of_rows or bound.declaration.unit == "pair":
        return
    own = Project(project.root, store=str(folder / "first"))
    (asset,) = own.catalog.assets()
    given: dict[str, Any] = {}
    for argument, need in bound.declaration.needs.items():
        value = own.table(need).read([asset.id])[asset.id].value()
        if argument in of_rows:
            value = Value(of_rows[argument].empty_table(), value.files)
        given[argument] = bound.hand_over(argument, value)
    if "source" in bound.arguments:
        from copal.media import Source

        given["source"] = Source(asset.id, media, media.name)
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
