"""Upkeep: tables whose rows lie in many small pieces are put together, and old versions let go."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import structlog

from copal.errors import RequestError
from copal.store.folder import Folder
from copal.store.tables import Table, meeting_others, plain_errors

log = structlog.get_logger("copal.store")

FULL_BYTES = 256 << 20
"""A piece of this size is left as it is, so that no upkeep writes a large table anew."""
FULL_ROWS = 1 << 20
SMALL_PIECES = 8
"""Fewer small pieces than this cost a reader less than putting them together."""
DELETED_SHARE = 0.1
AT_ONCE_BYTES = 64 << 20
OLD_VERSIONS = 8
KEPT = timedelta(days=7)
"""How long a version that nobody named can be read."""
SHORTEST = timedelta(hours=1)
"""Readers hold a version for as long as they read: nothing younger than this is ever cleaned up."""
TRIES = 10


@dataclass(frozen=True, slots=True)
class Pieces:
    """How the rows of a table lie."""

    rows: int
    pieces: int
    small: int
    """Pieces far from full."""
    deleted: int
    """Rows that are in the pieces and no longer in the table."""
    bytes: int
    """Size of the pieces; old versions are not in it."""

    @property
    def full_rows(self) -> int:
        """Rows in a full piece."""
        return min(FULL_ROWS, max(1024, FULL_BYTES * max(self.rows, 1) // max(self.bytes, 1)))

    @property
    def scattered(self) -> bool:
        """Whether putting pieces together is worth it."""
        return self.small >= SMALL_PIECES or self.deleted > DELETED_SHARE * (
            self.rows + self.deleted
        )


@dataclass(frozen=True, slots=True)
class Tidied:
    """What upkeep did to one table."""

    table: str
    """Its place in the store."""
    before: Pieces
    after: Pieces
    versions_before: int
    versions_after: int
    freed_bytes: int


def lance_tables(folder: Folder, prefix: str = "", depth: int = 3) -> Iterator[str]:
    """Places of all Lance tables of a store; half-removed recipes are left out."""
    for name in folder.names(prefix):
        place = f"{prefix}/{name}".lstrip("/")
        if name.endswith(".lance"):
            yield place
        elif depth:
            if place.startswith("features/") and place.count("/") == 2:
                if folder.get(f"{place}/recipe.json") is None:
                    continue
            elif name == "files" or place == "runs":
                continue
            yield from lance_tables(folder, place, depth - 1)


def tidy(folder: Folder, older_than: timedelta = KEPT) -> Iterator[Tidied]:
    """Put small pieces together and let old versions go, table by table.

    Readers and writers may go on meanwhile. Versions that a snapshot names stay.

    Parameters
    ----------
    older_than
        Versions that were the newest within this time stay as well.

    Raises
    ------
    RequestError
        The time is so short that readers would lose what they are reading.
    """
    if older_than < SHORTEST:
        raise RequestError(
            "versions of the last hour stay: somebody may be reading them. "
            "Give --older-than 0.05 (days) or more."
        )
    for place in lance_tables(folder):
        table = Table(f"{folder.uri}/{place}", pa.schema([]), folder.storage_options)
        dataset = table.open()
        if dataset is None:
            continue
        before = pieces(dataset)
        old, versions = _versions(folder, place, datetime.now(UTC) - older_than)
        if before.scattered:
            _put_together(table, before)
        freed = _let_go(table, older_than) if old >= OLD_VERSIONS else 0
        if (dataset := table.open()) is None:  # clean-up took it away meanwhile
            continue
        after = pieces(dataset)
        log.info(
            "table.tidied", table=place, pieces=after.pieces, before=before.pieces, bytes=freed
        )
        yield Tidied(place, before, after, versions, _versions(folder, place)[1], freed)


def pieces(dataset: Any) -> Pieces:
    """How the rows of a dataset lie, from its manifest alone."""
    found = [fragment.metadata for fragment in dataset.get_fragments()]
    stored = sum(each.physical_rows for each in found)
    deleted = sum(each.num_deletions for each in found)
    size = sum(file.file_size_bytes or 0 for each in found for file in each.files)
    whole = Pieces(stored - deleted, len(found), 0, deleted, size)
    small = sum(each.physical_rows < whole.full_rows // 2 for each in found)
    return Pieces(whole.rows, whole.pieces, small, deleted, size)


def _put_together(table: Table, before: Pieces) -> None:
    """One compaction; a writer that met it goes first."""
    row_bytes = max(1, before.bytes // max(before.rows, 1))
    for attempt in range(TRIES):
        try:
            with plain_errors(table.uri):
                if (found := table.open()) is None:
                    return
                found.optimize.compact_files(
                    target_rows_per_fragment=before.full_rows,
                    batch_size=max(1, min(8192, AT_ONCE_BYTES // row_bytes)),
                    num_threads=2,
                )
            return
        except OSError as exc:
            if not meeting_others(exc):
                raise
            time.sleep(random.random() * (1 + attempt) * 0.2)
    log.warning("table.busy", table=table.uri)


def _let_go(table: Table, older_than: timedelta) -> int:
    if (dataset := table.open()) is None:
        return 0
    with plain_errors(table.uri):
        done = dataset.cleanup_old_versions(
            older_than=older_than, error_if_tagged_old_versions=False
        )
    return int(done.bytes_removed)


def _versions(folder: Folder, place: str, before: datetime | None = None) -> tuple[int, int]:
    """How many versions a table has that were written before a time, and in all."""
    times = [
        found.modified
        for found in folder.objects(f"{place}/_versions")
        if found.name.endswith(".manifest")
    ]
    return sum(before is not None and time < before for time in times), len(times)
