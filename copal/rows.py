"""Rows: the values of a feature that one question reads, of many units as one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from copal.errors import MissingValue
from copal.feature import Value
from copal.fingerprint import UnitId, is_within, pair_assets, pair_unit
from copal.project import Project
from copal.reading import parted

if TYPE_CHECKING:
    import lancedb


def rows(project: Project, feature: str, titles: Sequence[str] = ()) -> pa.Table:
    """All rows of a feature, of titles or of everything; see ``copal.Lake.rows``."""
    project, name = _seen(project, feature)
    paired = project.graph.declaration(name).unit == "pair"
    keys = ("left_asset_id", "right_asset_id") if paired else ("asset_id",)
    table = project.table(name)
    chosen = {asset.id for asset in project.select(titles)}
    units = sorted(unit for unit in table.index().units if is_within(unit, chosen))
    found = table.read(units)
    parts = []
    for unit in units:
        part = found[unit].rows
        for place, (key, asset) in enumerate(zip(keys, pair_assets(unit), strict=False)):
            part = part.add_column(place, key, pa.array([asset] * part.num_rows, pa.string()))
        parts.append(part)
    if parts:
        return pa.concat_tables(parts)
    columns = project.bound(name).columns
    return pa.schema([*((key, pa.string()) for key in keys), *columns]).empty_table()


def lance_table(project: Project, feature: str) -> lancedb.table.Table:
    """The table of a feature as LanceDB opens it.

    Raises
    ------
    MissingValue
        Nothing was stored yet.
    """
    import lancedb

    project, name = _seen(project, feature)
    values = project.table(name)
    folder = values.values_uri().rpartition("/")[0]
    database = lancedb.connect(folder, storage_options=project.folder.storage_options)
    try:
        found = database.open_table("values")
    except (ValueError, FileNotFoundError) as exc:
        raise MissingValue(f"'{name}': nothing was stored yet. 'copal run' does it.") from exc
    if values.version is not None:
        found.checkout(values.version)
    return found


def value(project: Project, asset: str, feature: str, other: str | None = None) -> Value | None:
    """The value of a feature on an asset, or on two; None where there is none."""
    project, name = _seen(project, feature)
    one = project.asset(asset).id
    unit = UnitId(one)
    if project.graph.declaration(name).unit == "pair":
        unit = pair_unit(one, project.asset(other).id if other else one)
    found = project.table(name).read([unit])
    return found[unit].value() if unit in found else None


def _seen(project: Project, feature: str) -> tuple[Project, str]:
    """The project as a question about one feature sees it, and the feature's name."""
    return project.at("", feature), parted(feature)[0]
