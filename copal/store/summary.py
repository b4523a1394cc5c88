"""Summaries: an answer that took a whole store to find, kept while the store is the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

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
    """Small answers about a store, each with what it was read from.

    One is used only while every table it was read from is at the version that it was read at, so
    it is never older than the store; whoever finds it outdated answers anew and keeps that.
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
            newest = list(pool.map(self._newest, places))
        tables = dict(zip(places, newest, strict=True))
        return fingerprint("summary", copal=__version__, question=question, tables=tables)

    def _newest(self, place: str) -> str | int:
        """What tells a table's newest version, by one listing and without opening it.

        Lance names manifests by 2⁶⁴ − 1 − version, so that the newest is listed first.
        """
        folder = self.store.folder
        name = folder.first(f"{place}/_versions")
        if name is None or re.fullmatch(r"\d{20}\.manifest", name):
            return name or "absent"
        uri = f"{folder.uri}/{place}"
        return Table(uri, pa.schema([]), folder.storage_options).newest()

    def load(self, name: str, versions: Digest) -> Mapping[str, Any] | None:
        """The answer kept under a name, if it is of these versions."""
        data = self.store.folder.get(_document(name))
        try:
            found = json.loads(data or b"{}")
            return found["answer"] if found["versions"] == versions else None
        except (ValueError, KeyError, TypeError):  # damaged, or of a format of before
            return None

    def keep(self, name: str, versions: Digest, answer: Mapping[str, Json]) -> None:
        """Keep an answer; a store that is only read keeps none."""
        text = json.dumps({"versions": versions, "answer": answer}, separators=(",", ":"))
        try:
            self.store.folder.put(_document(name), text.encode())
        except (StoreUnavailable, PermissionError) as exc:
            log.debug("summary.not_kept", name=name, why=str(exc))


def _document(name: str) -> str:
    return f"summaries/{name}.json"
