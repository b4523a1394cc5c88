"""Summaries: an answer that took a whole store to find, kept while the store is the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import structlog

from copal import __version__
from copal.errors import StoreUnavailable
from copal.fingerprint import Digest, Json, fingerprint
from copal.graph import Recipe
from copal.store.lance_store import LanceStore
from copal.store.tables import Table

log = structlog.get_logger("copal.store")

AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Summaries:
    """Small documents about a store, each with what it was read from.

    One is used only while every table it was read from is at the version that it was read at, so
    it is never older than the store; whoever finds it outdated looks anew and keeps that.
    """

    store: LanceStore

    def versions(self, recipes: Iterable[Recipe], **question: Json) -> Digest:
        """What an answer hangs on: the question, and the versions of the tables it reads.

        Taken before the tables are read, so that an answer kept under it is at worst younger.
        """
        places = ["catalog/assets.lance", "catalog/titles.lance"]
        for recipe in recipes:
            place = self.store.table(recipe).place
            places += [f"{place}/values.lance", f"{place}/attempts.lance"]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            newest = list(pool.map(self.newest, places))
        tables = dict(zip(places, newest, strict=True))
        return fingerprint("summary", copal=__version__, question=question, tables=tables)

    def newest(self, place: str) -> str:
        """What tells a table's newest version, by one listing and without opening it.

        Empty for a table that is not there. Lance names manifests by 2⁶⁴ − 1 − version, so that
        the newest is listed first. The time tells two tables apart that were at one place, one
        after the other.
        """
        folder = self.store.folder
        found = folder.first(f"{place}/_versions")
        if found is None:
            return ""
        name = found.name.rpartition("/")[2]
        if not re.fullmatch(r"\d{20}\.manifest", name):
            uri = f"{folder.uri}/{place}"
            name = str(Table(uri, pa.schema([]), folder.storage_options).newest())
        return f"{name} {found.modified.isoformat()}"

    def load(self, name: str) -> bytes | None:
        """The document kept under a name."""
        return self.store.folder.get(f"summaries/{name}")

    def keep(self, name: str, data: bytes) -> None:
        """Keep a document; a store that is only read keeps none."""
        try:
            self.store.folder.put(f"summaries/{name}", data)
        except (StoreUnavailable, PermissionError) as exc:
            log.debug("summary.not_kept", name=name, why=str(exc))
