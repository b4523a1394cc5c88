"""The Media Table: one row per asset, one per title, one per place where bytes were seen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from copal.asset import Asset, Essence, Place, Title
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
    ]
)
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
    ]
)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Assets, titles and places, as they stand now."""

    folder: Folder

    def _table(self, name: str, schema: pa.Schema) -> Table:
        uri = f"{self.folder.uri}/catalog/{name}.lance"
        return Table(uri, schema, self.folder.storage_options)

    def assets(self, *, technical: bool = False) -> list[Asset]:
        """Every asset, by id; ``technical`` records are read only when wanted."""
        names = [n for n in _ASSETS.names if technical or n != "technical"]
        rows = self._table("assets", _ASSETS).read(names).sort_by("asset_id").to_pylist()
        return [
            Asset(
                id=AssetId(row["asset_id"]),
                kind=row["kind"],
                title=TitleId(row["title_id"]),
                name=row["name"],
                show=row["show"],
                duration_seconds=row["duration_seconds"],
                essences=tuple(Essence(**each) for each in row["essences"] or ()),
                technical=json.loads(row["technical"]) if technical else {},
            )
            for row in rows
        ]

    def titles(self) -> list[Title]:
        """Every title, by id."""
        rows = self._table("titles", _TITLES).read().sort_by("title_id").to_pylist()
        return [Title(id=TitleId(row.pop("title_id")), **row) for row in rows]

    def places(self) -> list[Place]:
        """Every place, by locator."""
        rows = self._table("places", _PLACES).read().sort_by("locator").to_pylist()
        return [
            Place(
                locator=row["locator"],
                asset=AssetId(row["asset_id"]) if row["asset_id"] else None,
                bytes=row["bytes"],
                stamp=row["stamp"],
                error=row["error"],
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
        self._table("titles", _TITLES).upsert(
            _rows([{"title_id": t.id} | _fields(t, "id") for t in titles], _TITLES),
            key="title_id",
        )
        self._table("assets", _ASSETS).upsert(
            _rows([_asset_row(asset) for asset in assets], _ASSETS), key="asset_id"
        )
        self._table("places", _PLACES).upsert(
            _rows([{"asset_id": p.asset} | _fields(p, "asset") for p in places], _PLACES),
            key="locator",
        )

    def forget(self, locators: Sequence[str]) -> None:
        """Remove places; the assets stay."""
        if locators:
            self._table("places", _PLACES).delete(is_in("locator", locators))


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
    }


def _fields(thing: Title | Place, but: str) -> dict[str, object]:
    return {name: getattr(thing, name) for name in thing.__slots__ if name != but}


def _rows(rows: list[dict[str, object]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema)
