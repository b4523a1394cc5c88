"""What every store does: keep each value once, say what it holds, remember attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import pyarrow as pa

from copal.feature import File, Value
from copal.fingerprint import Digest, RecipeId, UnitId, file_digest, fingerprint, rows_digest
from copal.graph import Recipe


@dataclass(frozen=True, slots=True)
class StoredValue:
    """One value as it is published and read: rows, files, and where they came from."""

    unit: UnitId
    rows: pa.Table
    inputs_digest: Digest
    value_digest: Digest
    run_id: str
    published_at: datetime
    files: Mapping[str, File] = field(default_factory=dict)
    file_digests: Mapping[str, Digest] = field(default_factory=dict)
    carried_from: RecipeId | None = None
    """The older recipe that the value was taken from; None when it was computed."""

    @property
    def state(self) -> str:
        """``ok``, or ``empty`` when the computation ran and found nothing."""
        return "ok" if self.rows.num_rows or self.files else "empty"

    def value(self) -> Value:
        """The part that features see."""
        return Value(self.rows, self.files)


def new_value(
    unit: UnitId,
    rows: pa.Table,
    files: Mapping[str, File],
    *,
    inputs_digest: Digest,
    run_id: str,
) -> StoredValue:
    """A value just computed, with its digests taken."""
    digests = {name: file_digest(file.path()) for name, file in sorted(files.items())}
    return StoredValue(
        unit=unit,
        rows=rows,
        files=files,
        file_digests=digests,
        inputs_digest=inputs_digest,
        value_digest=value_digest(rows, digests),
        run_id=run_id,
        published_at=datetime.now(UTC),
    )


def value_digest(rows: pa.Table, file_digests: Mapping[str, Digest]) -> Digest:
    """Digest of what a value holds: its rows, and its files by their names and digests."""
    return fingerprint("value", rows=rows_digest(rows), files=dict(file_digests))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one cell, its cost and how it ended."""

    unit: str
    outcome: str
    """``stored``, ``empty``, ``carried``, ``failed``, ``skipped``, or ``released`` by a person."""
    run_id: str
    at: datetime
    seconds: float = 0.0
    """Wall time."""
    cpu_seconds: float = 0.0
    """Processor time of the worker and of the programs it ran."""
    media_seconds: float = 0.0
    """Duration of the media that the cell covers."""
    bytes: int = 0
    """Size of the files that the value holds."""
    error_class: str = ""
    error: str = ""
    retryable: bool = False
    machine: str = ""
    code_digest: str = ""
    shots: int | None = None
    """Shots that the value covers, of a per-shot feature."""
    shots_computed: int | None = None
    """Those of them that were computed; the rows of the others were carried over."""


@dataclass(frozen=True, slots=True)
class Publication:
    """Which of the values offered were published, and which another writer had published first."""

    won: frozenset[str]
    lost: frozenset[str]


@dataclass(frozen=True, slots=True)
class TableIndex:
    """The units that a table holds, without their rows."""

    units: frozenset[str]
    empty: frozenset[str]
    """Those of the units whose value has no rows."""


class ValueTable(Protocol):
    """The values of one recipe of one feature."""

    def index(self, units: Sequence[str] | None = None) -> TableIndex:
        """Which units have a value; only of these when any are given."""

    def read(self, units: Sequence[str]) -> dict[str, StoredValue]:
        """Values by unit; units without one are left out."""

    def digests(self, units: Sequence[str]) -> dict[str, tuple[Digest, Digest]]:
        """Inputs digest and value digest by unit; units without a value are left out."""

    def publish(self, values: Sequence[StoredValue], *, replace: bool = False) -> Publication:
        """Store values, each exactly once whoever else is publishing.

        A unit that has a value already keeps it, unless ``replace`` is given.
        """

    def record(self, attempts: Sequence[Attempt]) -> None:
        """Append attempts."""

    def attempts(
        self, outcomes: Sequence[str] = (), units: Sequence[str] | None = None
    ) -> list[Attempt]:
        """Attempts in the order of their time; only of outcomes and units that are given."""

    def last_attempts(self, count: int) -> list[Attempt]:
        """The attempts that were noted last, at most so many, in the order of their time."""


class Store(Protocol):
    """A place for values of features."""

    def table(self, recipe: Recipe) -> ValueTable:
        """The table of a recipe; made when something is first written to it."""

    def recipes(self, feature: str) -> list[Recipe]:
        """Every recipe of a feature that has a table, the newest first."""

    def save(self, name: str, data: bytes) -> None:
        """Keep a small document, such as a run's, under a name; it replaces an older one."""

    def load(self, name: str) -> bytes | None:
        """The document of that name, or None."""
