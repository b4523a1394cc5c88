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
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from copal.errors import DamagedTable, MissingValue, StoreError, StoreUnavailable, WriteConflict
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
    version: int | None = None
    """The version to read; None for the newest, 0 for the time before anything was written."""

    def open(self) -> Any | None:
        """The dataset, or None while nothing was written.

        Raises
        ------
        MissingValue
            The version asked for was cleaned up, or never was.
        """
        import lance

        if self.version == 0:
            return None
        with plain_errors(self.uri):
            try:
                return lance.dataset(
                    self.uri, version=self.version, storage_options=self._options()
                )
            except (ValueError, FileNotFoundError, OSError) as exc:
                if not _says_absent(exc):
                    raise
                if self.version is None:
                    return None
                raise MissingValue(
                    f"{self.uri}: version {self.version} is not there any more. "
                    "A snapshot keeps the versions that it names."
                ) from exc

    def at(self, version: int | None) -> Table:
        """The same table at a version."""
        return replace(self, version=version)

    def newest(self) -> int:
        """The number of the newest version; 0 while nothing was written."""
        dataset = self.at(None).open()
        return 0 if dataset is None else int(dataset.version)

    def count(self) -> int:
        """How many rows there are; from the manifest alone."""
        dataset = self.open()
        with plain_errors(self.uri):
            return 0 if dataset is None else int(dataset.count_rows())

    def tag(self, name: str, version: int) -> None:
        """Name a version, so that no clean-up takes it; naming it twice is naming it once."""
        dataset = self.at(None).open()
        if dataset is None:
            raise MissingValue(f"{self.uri}: there is no table to name a version of.")
        with plain_errors(self.uri):
            if _tags(dataset).get(name, {}).get("version") != version:
                dataset.tags.create(name, version)

    def untag(self, name: str) -> None:
        """Forget a name; one that is not there is no error."""
        dataset = self.at(None).open()
        if dataset is not None and name in _tags(dataset):
            with plain_errors(self.uri):
                dataset.tags.delete(name)

    def tags(self) -> dict[str, tuple[int, datetime | None]]:
        """Names of versions: the version, and when it was named."""
        dataset = self.at(None).open()
        found = _tags(dataset) if dataset is not None else {}
        return {name: (int(tag["version"]), tag.get("created_at")) for name, tag in found.items()}

    def read(self, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """Rows, or the empty table of the wanted columns."""
        dataset = self.open()
        names = list(columns) if columns is not None else self.schema.names
        if dataset is None:
            return pa.schema([self.schema.field(name) for name in names]).empty_table()
        late = [n for n in names if n in self.schema.names and n not in dataset.schema.names]
        with plain_errors(self.uri):
            found = dataset.to_table(columns=[n for n in names if n not in late], filter=where)
        for name in late:  # the table is older than the column
            field = self.schema.field(name)
            found = found.append_column(field, pa.nulls(found.num_rows, field.type))
        return found.select(names) if late else found

    def read_last(self, count: int) -> pa.Table:
        """The rows that were written last, at most so many, without reading the others."""
        dataset = self.open()
        if dataset is None:
            return self.schema.empty_table()
        with plain_errors(self.uri):
            skipped = max(dataset.count_rows() - count, 0)
            names = [name for name in self.schema.names if name in dataset.schema.names]
            return dataset.to_table(columns=names, offset=skipped, limit=count)

    def append(self, rows: pa.Table) -> None:
        """Add rows; never loses or repeats one, whoever else appends."""
        import lance

        if rows.num_rows == 0:
            return
        self._create()
        with plain_errors(self.uri):
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
            self._merge(missing, key, attempt, update=False)
        raise WriteConflict(f"{self.uri}: other writers kept winning for {TRIES} tries.")

    def upsert(self, rows: pa.Table, *, key: str) -> None:
        """Insert rows, replacing those whose key is there."""
        if rows.num_rows == 0:
            return
        self._create()
        for attempt in range(TRIES):
            if self._merge(rows, key, attempt, update=True):
                return
        raise WriteConflict(f"{self.uri}: other writers kept winning for {TRIES} tries.")

    def delete(self, where: str) -> None:
        """Remove rows."""
        for attempt in range(TRIES):
            dataset = self.open()
            if dataset is None:
                return
            try:
                with plain_errors(self.uri):
                    dataset.delete(where)
                return
            except OSError as exc:
                if not meeting_others(exc):
                    raise
                time.sleep(random.random() * (1 + attempt) * 0.2)
        raise WriteConflict(f"{self.uri}: other writers kept winning for {TRIES} tries.")

    def _merge(self, rows: pa.Table, key: str, attempt: int, *, update: bool) -> bool:
        """One commit; False when it met another writer and should be tried again."""
        import lance

        # use_index(False): a scalar index on the key was measured to let duplicates through.
        with plain_errors(self.uri):
            builder = lance.dataset(self.uri, storage_options=self._options()).merge_insert(key)
            builder = builder.when_matched_update_all() if update else builder.when_matched_fail()
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
                if meeting_others(exc):
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

        if self.version is not None:
            raise StoreError(f"{self.uri}: version {self.version} is read, never written.")
        dataset = self.open()
        if dataset is not None:
            self._widen(dataset)
            return
        # write_dataset(mode="create") overwrites a table that came to be since it looked: of four
        # processes each creating and then appending, 16 of 60 tries lost rows. Version 1 with no
        # retry can only be the first: 0 of 200 on disk, 0 of 40 in S3.
        with plain_errors(self.uri):
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

    def _widen(self, dataset: Any) -> None:
        """Add the columns that the schema has gained since the table was made; they are null."""
        late = [field for field in self.schema if field.name not in dataset.schema.names]
        if not late:
            return
        with plain_errors(self.uri):
            try:
                dataset.add_columns(pa.schema(late))
            except OSError:
                now = self.open()
                if now is None or {field.name for field in late} - set(now.schema.names):
                    raise  # otherwise somebody else was first

    def _options(self) -> dict[str, str] | None:
        return dict(self.storage_options) if self.storage_options is not None else None


def _tags(dataset: Any) -> dict[str, Any]:
    """A dataset's tags; Lance lists them and then opens each, and one may go between."""
    for attempt in range(TRIES):
        try:
            found: dict[str, Any] = dataset.tags.list()
        except (OSError, ValueError) as exc:
            if "Not found" not in str(exc) or attempt == TRIES - 1:
                raise
        else:
            return found
    return {}


def is_in(column: str, values: Sequence[str]) -> str:
    """A Lance filter on exact texts; the one place where values enter a filter."""
    quoted = ",".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{column} IN ({quoted})" if values else "false"


def meeting_others(exc: Exception) -> bool:
    """Whether a commit failed only because others committed at the same time."""
    text = str(exc).lower()
    return "commit conflict" in text or "too many concurrent" in text or "preempted" in text


def _says_absent(exc: Exception) -> bool:
    return bool(re.match(r"Dataset at path .* was not found", str(exc)))


@contextmanager
def plain_errors(uri: str) -> Iterator[None]:
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
        if not meeting_others(exc) and _says_damaged(text):
            table = re.sub(r"^.*/(?=(?:catalog|features)/)", "", uri)
            raise DamagedTable(
                f"{table}: damaged or partly missing ({_reason(text)}). "
                "'copal verify' names what is wrong."
            ) from exc
        raise


def _says_damaged(text: str) -> bool:
    """Whether Lance read bytes that it never wrote, or missed some."""
    if re.search(r"os error (?!2\b)", text):
        return False
    return text.startswith(("LanceError(IO)", "External error")) or "Not found: " in text


def _reason(text: str) -> str:
    """Lance's own words, on one line, without where in its source they stand."""
    text = " ".join(text.split()).partition(", /")[0]
    for said in ("External error: ", "LanceError(IO): "):
        text = text.removeprefix(said)
    found = re.search(r"Not found: (\S+)", text)
    return f"no file {found[1].rpartition('/')[2]}" if found else text[:200]
