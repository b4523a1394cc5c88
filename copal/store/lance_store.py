"""The store that lasts: one Lance table per recipe, files by content, everything readable by hand.

::

    <store>/store.json
    <store>/features/<feature>/v<version>-<recipe>/
        recipe.json        the named parts of the recipe; never changes
        values.lance       one row per unit; inserted once
        attempts.lance     append-only
        files/             derivatives too large for a row, named by digest
    <store>/releases/      which recipe readers see; <store>/snapshots/ names sets of versions
    <store>/summaries/     answers that hold while the tables are at the same versions
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from copal import __version__
from copal.errors import MissingValue, NewerStore, StoreError
from copal.feature import File
from copal.fingerprint import Digest, RecipeId, UnitId
from copal.graph import Recipe
from copal.store.base import Attempt, Publication, StoredValue, TableIndex
from copal.store.folder import Folder
from copal.store.tables import Table, is_in, key_field, plain_errors

STORE_FORMAT = 1
"""Raised when a store written by this Copal cannot be read by an older one."""

READ_AT_ONCE = 256
"""Units per filter: longer lists make slow filters."""
SCAN_AT_ONCE = 8
"""Values of a batch where most of a table is read."""

_FILE = pa.struct([("name", pa.string()), ("digest", pa.string()), ("bytes", pa.int64())])
_ATTEMPTS = pa.schema(
    [
        pa.field("unit", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        ("run_id", pa.string()),
        ("at", pa.timestamp("us", "UTC")),
        ("seconds", pa.float64()),
        ("cpu_seconds", pa.float64()),
        ("media_seconds", pa.float64()),
        ("bytes", pa.int64()),
        ("error_class", pa.string()),
        ("error", pa.string()),
        ("retryable", pa.bool_()),
        ("machine", pa.string()),
        ("code_digest", pa.string()),
        ("shots", pa.int32()),
        ("shots_computed", pa.int32()),
    ]
)


def _values_schema(columns: pa.Schema) -> pa.Schema:
    plain = pa.struct([field.remove_metadata() for field in columns])
    return pa.schema(
        [
            key_field("unit"),
            pa.field("publication_id", pa.string(), nullable=False),
            pa.field("state", pa.string(), nullable=False),
            ("inputs_digest", pa.string()),
            ("value_digest", pa.string()),
            ("run_id", pa.string()),
            ("published_at", pa.timestamp("us", "UTC")),
            ("carried_from", pa.string()),
            ("items", pa.list_(plain)),
            ("files", pa.list_(_FILE)),
        ]
    )


@dataclass(frozen=True, slots=True)
class LanceTable:
    """Values and attempts of one recipe."""

    folder: Folder
    place: str
    """Name of the table's folder inside the store."""
    recipe: Recipe
    version: int | None = None
    """The version of the values table that is read; None for the newest, 0 for an empty one."""

    def index(self, units: Sequence[str] | None = None) -> TableIndex:
        """Which units have a value, of all or of these; reads two short columns."""
        where = is_in("unit", units) if units is not None else None
        found = self._values(None).read(["unit", "state"], where)
        empty = found.filter(pc.equal(found["state"], "empty"))
        return TableIndex(
            frozenset(found["unit"].to_pylist()), frozenset(empty["unit"].to_pylist())
        )

    def read(self, units: Sequence[str]) -> dict[str, StoredValue]:
        """Values by unit."""
        found: dict[str, StoredValue] = {}
        table = self._values(None)
        dataset = table.open()
        if dataset is None:
            return found
        with plain_errors(table.uri):
            if 2 * len(units) > dataset.count_rows():  # a filter takes as long again as reading
                wanted = frozenset(units)
                for batch in dataset.to_batches(batch_size=SCAN_AT_ONCE):
                    self._add_rows(found, pa.Table.from_batches([batch]), wanted)
                return found
            for start in range(0, len(units), READ_AT_ONCE):
                part = dataset.to_table(filter=is_in("unit", units[start : start + READ_AT_ONCE]))
                self._add_rows(found, part, None)
        return found

    def _add_rows(
        self, found: dict[str, StoredValue], part: pa.Table, wanted: frozenset[str] | None
    ) -> None:
        for index, unit in enumerate(part["unit"].to_pylist()):
            if wanted is None or unit in wanted:
                found[unit] = self._from_row(part, index)

    def digests(self, units: Sequence[str]) -> dict[str, tuple[Digest, Digest]]:
        """Inputs digest and value digest by unit."""
        found: dict[str, tuple[Digest, Digest]] = {}
        for start in range(0, len(units), READ_AT_ONCE):
            part = self._values(None).read(
                ["unit", "inputs_digest", "value_digest"],
                where=is_in("unit", units[start : start + READ_AT_ONCE]),
            )
            columns = (part[name].to_pylist() for name in part.column_names)
            found |= {u: (Digest(i), Digest(v)) for u, i, v in zip(*columns, strict=True)}
        return found

    @property
    def values(self) -> Table:
        """The Lance table of the values."""
        return self._values(None)

    @property
    def attempt_rows(self) -> Table:
        """The Lance table of the attempts."""
        return self._attempts()

    def scan(self, at_once: int) -> Iterator[tuple[StoredValue, Mapping[str, int]]]:
        """Every value with the sizes of its files in bytes, so many read at a time."""
        dataset = self.values.open()
        if dataset is None:
            return
        for batch in dataset.to_batches(batch_size=at_once):
            part = pa.Table.from_batches([batch])
            for index, files in enumerate(part["files"].to_pylist()):
                sizes = {each["name"]: each["bytes"] for each in files or ()}
                yield self._from_row(part, index), sizes

    def publish(self, values: Sequence[StoredValue], *, replace: bool = False) -> Publication:
        """Files first, then one commit of all rows."""
        if not values:
            return Publication(frozenset(), frozenset())
        self._introduce()
        for value in values:
            for name, file in value.files.items():
                self.folder.put_file(
                    self._file_name(value.file_digests[name]), file.path(), again=replace
                )
        rows = self._to_rows(values)
        table = self._values(values[0].rows.schema)
        if replace:
            table.upsert(rows, key="unit")
            return Publication(frozenset(value.unit for value in values), frozenset())
        return table.insert(rows, key="unit", mark="publication_id")

    def record(self, attempts: Sequence[Attempt]) -> None:
        """Append attempts."""
        if attempts:
            self._introduce()
            rows = [dataclasses.asdict(attempt) for attempt in attempts]
            self._attempts().append(pa.Table.from_pylist(rows, schema=_ATTEMPTS))

    def attempts(
        self, outcomes: Sequence[str] = (), units: Sequence[str] | None = None
    ) -> list[Attempt]:
        """Attempts in the order of their time."""
        return [Attempt(**row) for row in self.attempt_table(outcomes, units).to_pylist()]

    def attempt_table(
        self, outcomes: Sequence[str] = (), units: Sequence[str] | None = None
    ) -> pa.Table:
        """The same as Arrow."""
        wanted = {"outcome": outcomes or None, "unit": units}
        where = " AND ".join(is_in(n, v) for n, v in wanted.items() if v is not None) or None
        return self._attempts().read(where=where).sort_by("at")

    def last_attempts(self, count: int) -> list[Attempt]:
        """The attempts that were noted last, at most so many, in the order of their time."""
        rows = self._attempts().read_last(count).sort_by("at").to_pylist()
        return [Attempt(**row) for row in rows]

    def values_uri(self) -> str:
        """Where the values table is, for those who open it with Lance themselves."""
        return f"{self.folder.uri}/{self.place}/values.lance"

    def _introduce(self) -> None:
        name = f"{self.place}/recipe.json"
        if self.folder.get(name) is None:
            parts = self.recipe.to_json() | {"created_at": datetime.now(UTC).isoformat()}
            self.folder.put(name, (json.dumps(parts, indent=1, sort_keys=True) + "\n").encode())

    def _values(self, columns: pa.Schema | None) -> Table:
        schema = _values_schema(columns if columns is not None else pa.schema([]))
        return Table(self.values_uri(), schema, self.folder.storage_options, self.version)

    def _attempts(self) -> Table:
        uri = f"{self.folder.uri}/{self.place}/attempts.lance"
        return Table(uri, _ATTEMPTS, self.folder.storage_options)

    def _file_name(self, digest: str) -> str:
        return f"{self.place}/files/{digest}"

    def _to_rows(self, values: Sequence[StoredValue]) -> pa.Table:
        columns = values[0].rows.schema
        schema = _values_schema(columns)
        offsets = [0]
        for value in values:
            offsets.append(offsets[-1] + value.rows.num_rows)
        joined = pa.concat_tables([value.rows for value in values]).combine_chunks()
        plain = schema.field("items").type.value_type
        parts = [
            column.chunk(0) if column.num_chunks else pa.array([], column.type)
            for column in joined.columns
        ]
        structs = pa.StructArray.from_arrays(parts, fields=list(plain))
        publication = uuid.uuid4().hex
        count = len(values)
        return pa.Table.from_arrays(
            [
                pa.array([value.unit for value in values]),
                pa.array([publication] * count),
                pa.array([value.state for value in values]),
                pa.array([value.inputs_digest for value in values]),
                pa.array([value.value_digest for value in values]),
                pa.array([value.run_id for value in values]),
                pa.array([value.published_at for value in values], pa.timestamp("us", "UTC")),
                pa.array([value.carried_from for value in values], pa.string()),
                pa.ListArray.from_arrays(
                    pa.array(offsets, pa.int32()), structs, type=schema.field("items").type
                ),
                pa.array([self._file_rows(value) for value in values], pa.list_(_FILE)),
            ],
            schema=schema,
        )

    @staticmethod
    def _file_rows(value: StoredValue) -> list[dict[str, object]]:
        return [
            {"name": name, "digest": value.file_digests[name], "bytes": file.size_bytes}
            for name, file in sorted(value.files.items())
        ]

    def _from_row(self, part: pa.Table, index: int) -> StoredValue:
        row = part.slice(index, 1)
        # One row is in one chunk, and ``combine_chunks`` would copy it.
        structs = next(chunk for chunk in row["items"].chunks if len(chunk)).flatten()
        fields = list(structs.type)
        rows = pa.Table.from_arrays(
            structs.flatten(),
            schema=pa.schema(fields),
        )
        files = row["files"][0].as_py() or []
        one = {name: row[name][0].as_py() for name in _SCALARS}
        handles: dict[str, File] = {
            each["name"]: self.folder.file(self._file_name(each["digest"])) for each in files
        }
        return StoredValue(
            unit=UnitId(one["unit"]),
            rows=rows,
            files=handles,
            file_digests={each["name"]: Digest(each["digest"]) for each in files},
            inputs_digest=Digest(one["inputs_digest"]),
            value_digest=Digest(one["value_digest"]),
            run_id=one["run_id"],
            published_at=one["published_at"],
            carried_from=RecipeId(one["carried_from"]) if one["carried_from"] else None,
        )


_SCALARS = ("unit", "inputs_digest", "value_digest", "run_id", "published_at", "carried_from")


class LanceStore:
    """A store in a folder, on this machine or in S3."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._check_format()

    def _check_format(self) -> None:
        data = self.folder.get("store.json")
        if data is None:
            return
        try:
            found = json.loads(data)
            number, writer = int(found["format"]), found.get("copal", "of another version")
        except (ValueError, KeyError, TypeError) as exc:
            raise StoreError(f"{self.folder.uri}/store.json is damaged: {exc}.") from exc
        if number > STORE_FORMAT:
            raise NewerStore(
                f"{self.folder.uri}: this store was written by Copal {writer} (format {number}); "
                f"Copal {__version__} reads up to format {STORE_FORMAT}. Upgrade Copal."
            )

    def introduce(self) -> None:
        """Write the store's own mark, if it has none."""
        if self.folder.get("store.json") is None:
            mark = {"format": STORE_FORMAT, "copal": __version__}
            self.folder.put("store.json", (json.dumps(mark) + "\n").encode())

    def table(self, recipe: Recipe, version: int | None = None) -> LanceTable:
        """The table of a recipe, as it is now or as it was at a version."""
        place = f"features/{recipe.feature}/v{recipe.version}-{recipe.id[:16]}"
        return LanceTable(self.folder, place, recipe, version)

    def recipes(self, feature: str) -> list[Recipe]:
        """Every recipe of a feature that has a table, the newest first."""
        return self._recipes(feature, but="")

    def others(self, recipe: Recipe) -> list[Recipe]:
        """Every recipe of a feature that has a table, but this one, the newest first."""
        return self._recipes(recipe.feature, but=self.table(recipe).place)

    def _recipes(self, feature: str, but: str) -> list[Recipe]:
        found = []
        for name in self.folder.names(f"features/{feature}"):
            if f"features/{feature}/{name}" == but:
                continue
            data = self.folder.get(f"features/{feature}/{name}/recipe.json")
            if data is None:  # its first writer was stopped before it wrote anything
                continue
            parts = json.loads(data)
            created = parts.pop("created_at", "")
            found.append((created, name, Recipe.from_json(parts)))
        return [recipe for *_, recipe in sorted(found, key=lambda each: each[:2], reverse=True)]

    def find(self, feature: str, recipe_id: str) -> Recipe:
        """The stored recipe of a feature with this id.

        Raises
        ------
        MissingValue
            Its table was removed, or never was.
        """
        for recipe in self.recipes(feature):
            if recipe.id == recipe_id:
                return recipe
        raise MissingValue(
            f"{self.folder.uri}: '{feature}' has no table of recipe {recipe_id[:8]} any more."
        )

    def save(self, name: str, data: bytes) -> None:
        """Keep a small document under a name."""
        self.folder.put(name, data)

    def load(self, name: str) -> bytes | None:
        """The document of that name, or None."""
        return self.folder.get(name)


def local_store(path: Path) -> LanceStore:
    """A store in a directory, made when it is first written to."""
    from copal.store.folder import LocalFolder

    return LanceStore(LocalFolder(path))
