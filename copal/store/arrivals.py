"""The book of arrivals: one row for each time that something was told of a place."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa

from copal.fingerprint import AssetId
from copal.store.folder import Folder
from copal.store.tables import Table, is_in

_ARRIVALS = pa.schema(
    [
        ("arrival_id", pa.string()),
        ("at", pa.timestamp("us", "UTC")),
        ("source", pa.string()),
        ("locator", pa.string()),
        ("decision", pa.string()),
        ("asset_id", pa.string()),
        ("earlier_id", pa.string()),
        ("title", pa.string()),
        ("note", pa.string()),
        ("message_id", pa.string()),
        ("run_id", pa.string()),
        ("seconds", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class ArrivalRow:
    """What was told, what was decided, and which run was to follow."""

    source: str
    """``add``, ``folder``, ``sqs`` or ``sweep``."""
    locator: str
    """The place; of a message that names none, the queue."""
    decision: str
    asset: AssetId | None = None
    earlier: AssetId | None = None
    """The asset that was at the place before; given when it is another one."""
    title: str | None = None
    note: str = ""
    message_id: str | None = None
    """Of the queue's message; one that came twice has two rows."""
    run_id: str | None = None
    """The run that a watcher was about to start for it; it is told before the run starts, so one
    that was killed in between leaves an id without a run, and its successor's run does the work."""
    seconds: float = 0.0
    """What deciding took."""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    arrival_id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Every arrival, in the order of their time; rows are added and never changed."""

    folder: Folder

    @property
    def table(self) -> Table:
        """The table itself."""
        uri = f"{self.folder.uri}/catalog/arrivals.lance"
        return Table(uri, _ARRIVALS, self.folder.storage_options)

    def record(self, rows: Sequence[ArrivalRow]) -> None:
        """Append, in one commit."""
        found = [dataclasses.asdict(row) for row in rows]
        for row in found:
            row["asset_id"], row["earlier_id"] = row.pop("asset"), row.pop("earlier")
        self.table.append(pa.Table.from_pylist(found, schema=_ARRIVALS))

    def rows(
        self, *, decisions: Sequence[str] = (), locators: Sequence[str] = ()
    ) -> list[ArrivalRow]:
        """Arrivals, all or of some decisions or places."""
        asked = {"decision": decisions, "locator": locators}
        where = " AND ".join(is_in(name, chosen) for name, chosen in asked.items() if chosen)
        found = self.table.read(where=where or None).sort_by("at").to_pylist()
        for row in found:
            row["asset"], row["earlier"] = row.pop("asset_id"), row.pop("earlier_id")
        return [ArrivalRow(**row) for row in found]
