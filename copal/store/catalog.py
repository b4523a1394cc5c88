"""The Media Table: one row per asset, one per title, one per place where bytes were seen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from copal.asset import Asset, Essence, Place, Title, title_id
from copal.fingerprint import AssetId, TitleId
from copal.store.folder import Folder
from copal.store.tables import Table, is_in, key_field

_ASSETS = pa.schema(
    [
        key_field("asset_id"),
        ("kind", pa.string()),
        ("title_id", pa.string()),
        ("name", pa.string()),
        ("show", pa.string()),
        ("duration_seconds", pa.float64()),
        ("essences", pa.list_(pa.struct([("kind", pa.string()), ("digest", pa.string())]))),
        ("technical", pa.string()),
        ("added_at", pa.timestamp("us", "UTC")),
        ("superseded_by", pa.string()),
    ]
)
_BRIEF = ("asset_id", "kind", "title_id", "name", "show", "duration_seconds")
"""Columns of the assets in the order of the fields of ``Asset``."""
_TITLES = pa.schema(
    [
        key_field("title_id"),
        ("name", pa.string()),
        ("kind", pa.string()),
        ("show", pa.string()),
        ("season", pa.int32()),
        ("episode", pa.int32()),
        ("year", pa.int32()),
    ]
)
_PLACES = pa.schema(
    [
        key_field("locator"),
        ("asset_id", pa.string()),
        ("bytes", pa.int64()),
        ("stamp", pa.string()),
        ("error", pa.string()),
        ("gone_at", pa.timestamp("us", "UTC")),
    ]
)
CatalogTable = Literal["places", "assets", "titles"]
SCHEMAS: dict[CatalogTable, pa.Schema] = {"assets": _ASSETS, "titles": _TITLES, "places": _PLACES}


@dataclass(frozen=True, slots=True)
class Catalog:
    """Assets, titles and places, as they stand now or stood at a snapshot."""

    folder: Folder
    versions: Mapping[str, int] | None = None
    """Table → version to read; None for the newest of each."""

    def table(self, name: CatalogTable) -> Table:
        """One of the three tables."""
        uri = f"{self.folder.uri}/catalog/{name}.lance"
        version = self.versions.get(name, 0) if self.versions is not None else None
        return Table(uri, SCHEMAS[name], self.folder.storage_options, version)

    def assets(
        self, *, technical: bool = False, where: str | None = None, brief: bool = False
    ) -> list[Asset]:
        """Every asset, or those that a Lance filter leaves, by id.

        ``technical`` records are read only when wanted. What is ``brief`` has its id, kind, title,
        name, show and duration, which is all that planning goes by, and nothing else.
        """
        if brief:
            rows = self.table("assets").read(list(_BRIEF), where).sort_by("asset_id")
            return [*map(Asset, *(rows[name].to_pylist() for name in _BRIEF))]
        names = [n for n in _ASSETS.names if technical or n != "technical"]
        rows = self.table("assets").read(names, where).sort_by("asset_id")
        # Column by column, which is twice as quick as a dictionary a row.
        columns = {name: rows[name].to_pylist() for name in names if name != "essences"}
        records = columns.get("technical") or [None] * rows.num_rows
        return [
            Asset(
                id=asset_id, kind=kind, title=title, name=name, show=show,
                duration_seconds=seconds, essences=essences,
                technical=json.loads(record) if record else {},
                added_at=added, superseded_by=superseded or None,
            )
            for asset_id, kind, title, name, show, seconds, essences, record, added, superseded
            in zip(columns["asset_id"], columns["kind"], columns["title_id"], columns["name"],
                   columns["show"], columns["duration_seconds"], _essences(rows["essences"]),
                   records, columns["added_at"], columns["superseded_by"], strict=True)
        ]  # fmt: skip

    def find(self, name: str) -> list[Asset]:
        """The assets that a name means to people, by id.

        Those of the title with this id; else of titles with this name; else of the show; else
        those whose id starts so, from four digits on. Reads short columns, never every asset.
        """
        wanted = title_id(name)
        if found := self.assets(where=is_in("title_id", [wanted])):
            return found
        if re.fullmatch("[0-9a-f]{16,}", name) and (found := self._starting(name)):
            return found
        titles = self.table("titles").read(["title_id", "name"])
        named = zip(titles["title_id"].to_pylist(), titles["name"].to_pylist(), strict=True)
        known = [each for each, text in named if title_id(text) == wanted]
        if known and (found := self.assets(where=is_in("title_id", known))):
            return found
        shows = self.table("assets").read(["show"])["show"].unique().to_pylist()
        known = [show for show in shows if show and title_id(show) == wanted]
        if known:
            return self.assets(where=is_in("show", known))
        if len(name) < 4 or not name.isalnum():
            return []
        return self._starting(name.lower())

    def _starting(self, start: str) -> list[Asset]:
        return self.assets(where=f"starts_with(asset_id, '{start}')")

    def size(self) -> tuple[int, int]:
        """How many assets there are, and of how many titles."""
        rows = self.table("assets").read(["title_id"])
        return rows.num_rows, len(rows["title_id"].unique())

    def refused(self) -> list[Place]:
        """The places whose bytes could not be brought in, by locator."""
        return self.places(where="asset_id IS NULL")

    def titles_of(self, ids: Iterable[TitleId]) -> dict[TitleId, Title]:
        """A few titles by id."""
        found = self.titles(where=is_in("title_id", sorted(set(ids))))
        return {title.id: title for title in found}

    def titles(self, *, where: str | None = None) -> list[Title]:
        """Every title, or those that a Lance filter leaves, by id."""
        rows = self.table("titles").read(where=where).sort_by("title_id").to_pylist()
        return [Title(id=TitleId(row.pop("title_id")), **row) for row in rows]

    def places(self, *, where: str | None = None) -> list[Place]:
        """Every place, or those that a Lance filter leaves, by locator."""
        rows = self.table("places").read(where=where).sort_by("locator").to_pylist()
        return [
            Place(
                locator=row["locator"],
                asset=AssetId(row["asset_id"]) if row["asset_id"] else None,
                bytes=row["bytes"],
                stamp=row["stamp"],
                error=row["error"],
                gone_at=row["gone_at"],
            )
            for row in rows
        ]

    def keep(
        self,
        assets: Iterable[Asset] = (),
        titles: Iterable[Title] = (),
        places: Iterable[Place] = (),
    ) -> None:
        """Write rows, replacing those of the same key; places last, so each finds its asset."""
        self.table("titles").upsert(
            _rows([{"title_id": t.id} | _fields(t, "id") for t in titles], _TITLES),
            key="title_id",
        )
        self.table("assets").upsert(
            _rows([_asset_row(asset) for asset in assets], _ASSETS), key="asset_id"
        )
        self.table("places").upsert(
            _rows([{"asset_id": p.asset} | _fields(p, "asset") for p in places], _PLACES),
            key="locator",
        )

    def forget(self, locators: Sequence[str]) -> None:
        """Remove places; the assets stay."""
        if locators:
            self.table("places").delete(is_in("locator", locators))


def _essences(column: pa.ChunkedArray) -> list[tuple[Essence, ...]]:
    """Essences of each row."""
    found = pc.list_flatten(column)
    kinds = pc.struct_field(found, "kind").to_pylist()
    digests = pc.struct_field(found, "digest").to_pylist()
    ends = accumulate(pc.fill_null(pc.list_value_length(column), 0).to_pylist(), initial=0)
    made = [Essence(kind, digest) for kind, digest in zip(kinds, digests, strict=True)]
    return [tuple(made[start:end]) for start, end in pairwise(ends)]


def _asset_row(asset: Asset) -> dict[str, object]:
    return {
        "asset_id": asset.id,
        "kind": asset.kind,
        "title_id": asset.title,
        "name": asset.name,
        "show": asset.show,
        "duration_seconds": asset.duration_seconds,
        "essences": [{"kind": e.kind, "digest": e.digest} for e in asset.essences],
        "technical": json.dumps(asset.technical, sort_keys=True),
        "added_at": asset.added_at,
        "superseded_by": asset.superseded_by,
    }


def _fields(thing: Title | Place, but: str) -> dict[str, object]:
    return {name: getattr(thing, name) for name in thing.__slots__ if name != but}


def _rows(rows: list[dict[str, object]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema)
