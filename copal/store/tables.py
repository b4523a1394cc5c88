"""Lance, wrapped once: creating, reading, appending, and inserting by key exactly once.

Every call into ``lance`` for writing is here, since its interface moves monthly.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from copal.errors import StoreError, StoreUnavailable, WriteConflict
from copal.store.base import Publication

KEY_METADATA = {b"lance-schema:unenforced-primary-key": b"true"}
"""Without it, concurrent inserts of one key were each measured to succeed."""

TRIES = 20
FORMAT: Literal["2.2"] = "2.2"
os.environ.setdefault("LANCE_LOG", "error")


def key_field(name: str) -> pa.Field:
    """A text column that identifies a row."""
    return pa.field(name, pa.string(), nullable=False, metadata=KEY_METADATA)


@dataclass(frozen=True, slots=True)
class Table:
    """One Lance table that may not exist yet; an absent one reads as empty."""

    uri: str
    schema: pa.Schema
    storage_options: Mapping[str, str] | None = None

    def open(self) -> Any | None:
        """The dataset at its newest version, or None while nothing was written."""
        import lance

        with _plain_errors(self.uri):
            try:
                return lance.dataset(self.uri, storage_options=self._options())
            except (ValueError, FileNotFoundError, OSError) as exc:
                if _says_absent(exc):
                    return None
                raise

    def read(self, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """Rows, or the empty table of the wanted columns."""
        dataset = self.open()
        names = list(columns) if columns is not None else self.schema.names
        if dataset is None:
            return pa.schema([self.schema.field(name) for name in names]).empty_table()
        with _plain_errors(self.uri):
            return dataset.to_table(columns=names, filter=where)

    def append(self, rows: pa.Table) -> None:
        """Add rows; never loses or repeats one, whoever else appends."""
        import lance

        if rows.num_rows == 0:
            return
        self._create()
        with _plain_errors(self.uri):
            lance.write_dataset(rows, self.uri, mode="append", storage_options=self._options())

    def insert(self, rows: pa.Table, *, key: str, mark: str) -> Publication:
        """Insert rows whose key nobody has inserted; each key is won by exactly one writer.

        ``mark`` names a column that is unique to this call. It is read back, since a commit
        whose answer was lost looks like somebody else's.
        """
        keys = rows[key].to_pylist()
        if len(keys) != len(set(keys)):
            raise StoreError(f"{self.uri}: a key stands twice in one publication: {keys[:5]}…")
        own = rows[mark][0].as_py() if rows.num_rows else None
        self._create()
        import pyarrow.compute as pc

        for attempt in range(TRIES):
            owners = self._owners(keys, key, mark)
            todo = [each for each in keys if each not in owners]
            if not todo:
                return Publication(
                    won=frozenset(k for k in keys if owners[k] == own),
                    lost=frozenset(k for k in keys if owners[k] != own),
                )
            missing = rows.filter(pc.is_in(rows[key], value_set=pa.array(todo)))
            self._merge(missing, key, attempt, replace=False)
        raise WriteConflict(f"{self.uri}: other writers kept winning for {TRIES} tries.")

    def upsert(self, rows: pa.Table, *, key: str) -> None:
        """Insert rows, replacing those whose key is there."""
        if rows.num_rows == 0:
            return
        self._create()
        for attempt in range(TRIES):
            if self._merge(rows, key, attempt, replace=True):
                return
        raise WriteConflict(f"{self.uri}: other writers kept winning for {TRIES} tries.")

    def delete(self, where: str) -> None:
        """Remove rows."""
        dataset = self.open()
        if dataset is not None:
            with _plain_errors(self.uri):
                dataset.delete(where)

    def _merge(self, rows: pa.Table, key: str, attempt: int, *, replace: bool) -> bool:
        """One commit; False when it met another writer and should be tried again."""
        import lance

        # use_index(False): a scalar index on the key was measured to let duplicates through.
        with _plain_errors(self.uri):
            builder = lance.dataset(self.uri, storage_options=self._options()).merge_insert(key)
            builder = builder.when_matched_update_all() if replace else builder.when_matched_fail()
            builder = (
                builder.when_not_matched_insert_all()
                .use_index(False)
                .conflict_retries(50)
                .retry_timeout(timedelta(minutes=5))
            )
            try:
                builder.execute(rows)
            except OSError as exc:
                text = str(exc)
                if "found matching row" in text:
                    return False
                if "commit conflict" in text.lower() or "Too many concurrent" in text:
                    time.sleep(random.random() * (1 + attempt) * 0.2)
                    return False
                raise
        return True

    def _owners(self, keys: Sequence[str], key: str, mark: str) -> dict[str, str]:
        found = self.read([key, mark], where=is_in(key, keys))
        return dict(zip(found[key].to_pylist(), found[mark].to_pylist(), strict=True))

    def _create(self) -> None:
        """Make the table if it is not there; exactly one of those who try at once does."""
        import lance
        from lance.fragment import write_fragments

        if self.open() is not None:
            return
        # write_dataset(mode="create") overwrites a table that came to be since it looked: of four
        # processes each creating and then appending, 16 of 60 tries lost rows. Version 1 with no
        # retry can only be the first: 0 of 200 on disk, 0 of 40 in S3.
        with _plain_errors(self.uri):
            try:
                first = write_fragments(
                    self.schema.empty_table(),
                    self.uri,
                    self.schema,
                    mode="create",
                    data_storage_version=FORMAT,
                    return_transaction=True,
                    storage_options=self._options(),
                )
                lance.LanceDataset.commit(
                    self.uri, first, max_retries=0, storage_options=self._options()
                )
            except OSError:
                if self.open() is None:  # otherwise somebody else was first
                    raise

    def _options(self) -> dict[str, str] | None:
        return dict(self.storage_options) if self.storage_options is not None else None


def is_in(column: str, values: Sequence[str]) -> str:
    """A Lance filter on exact texts; the one place where values enter a filter."""
    quoted = ",".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{column} IN ({quoted})" if values else "false"


def _says_absent(exc: Exception) -> bool:
    return bool(re.match(r"Dataset at path .* was not found", str(exc)))


@contextmanager
def _plain_errors(uri: str) -> Iterator[None]:
    """Lance's errors about the disk and the network, in our words; all others pass."""
    try:
        yield
    except (OSError, ValueError) as exc:
        text = str(exc)
        for sign in ("No space left", "os error 28", "os error 122", "File too large",
                     "Read-only file system", "Permission denied"):  # fmt: skip
            if sign in text:
                raise StoreUnavailable(
                    f"{Path(uri).name if '://' not in uri else uri}: {sign.lower()}. "
                    "Nothing of this value was published; make room and run again."
                ) from exc
        if "Generic S3 error" in text or "HTTP error" in text or "dns error" in text:
            store = re.split(r"/(?:catalog|features)/", uri)[0]
            reason = text.removeprefix("LanceError(IO): ").partition(", /")[0]
            if "NoSuchBucket" in text:
                reason = "there is no such bucket"
            raise StoreUnavailable(f"{store}: cannot be reached: {reason}") from exc
        raise
