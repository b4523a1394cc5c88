"""A small honest store for tests: the same promises, in dictionaries."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from copal.errors import StoreError
from copal.feature import LocalFile
from copal.fingerprint import Digest
from copal.graph import Recipe
from copal.store.base import Attempt, Publication, StoredValue, TableIndex
from copal.store.folder import LocalFolder


@dataclass(slots=True)
class MemoryTable:
    """Values and attempts of one recipe."""

    files: LocalFolder
    values: dict[str, StoredValue] = field(default_factory=dict)
    log: list[Attempt] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def index(self, units: Sequence[str] | None = None) -> TableIndex:
        """Which units have a value."""
        held = self.values if units is None else self.read(units)
        empty = frozenset(u for u, value in held.items() if value.state == "empty")
        return TableIndex(frozenset(held), empty)

    def read(self, units: Sequence[str]) -> dict[str, StoredValue]:
        """Values by unit."""
        return {unit: self.values[unit] for unit in units if unit in self.values}

    def digests(self, units: Sequence[str]) -> dict[str, tuple[Digest, Digest]]:
        """Inputs digest and value digest by unit."""
        found = self.read(units)
        return {unit: (v.inputs_digest, v.value_digest) for unit, v in found.items()}

    def publish(self, values: Sequence[StoredValue], *, replace: bool = False) -> Publication:
        """The first writer of a unit wins, unless it is replaced."""
        if len({value.unit for value in values}) != len(values):
            raise StoreError("a unit stands twice in one publication.")
        kept = [self._keep_files(value, again=replace) for value in values]
        with self.lock:
            won = {v.unit for v in kept if replace or v.unit not in self.values}
            self.values |= {value.unit: value for value in kept if value.unit in won}
        return Publication(frozenset(won), frozenset(v.unit for v in kept) - won)

    def _keep_files(self, value: StoredValue, *, again: bool) -> StoredValue:
        for name, file in value.files.items():
            self.files.put_file(value.file_digests[name], file.path(), again=again)
        handles = {n: LocalFile(self.files.root / d) for n, d in value.file_digests.items()}
        return replace(value, files=handles)

    def record(self, attempts: Sequence[Attempt]) -> None:
        """Append attempts."""
        self.log.extend(attempts)

    def attempts(
        self, outcomes: Sequence[str] = (), units: Sequence[str] | None = None
    ) -> list[Attempt]:
        """Attempts in the order of their time."""
        wanted = [
            each
            for each in self.log
            if (not outcomes or each.outcome in outcomes) and (units is None or each.unit in units)
        ]
        return sorted(wanted, key=lambda attempt: attempt.at)

    def last_attempts(self, count: int) -> list[Attempt]:
        """The attempts that were noted last, in the order of their time."""
        return sorted(self.log[-count:], key=lambda attempt: attempt.at)


class MemoryStore:
    """A store that is gone with its process; files lie in a temporary folder."""

    def __init__(self) -> None:
        self._holder = tempfile.TemporaryDirectory(prefix="copal-memory-")
        self._files = LocalFolder(Path(self._holder.name))
        self._tables: dict[tuple[str, str], tuple[Recipe, MemoryTable]] = {}
        self._documents: dict[str, bytes] = {}

    def table(self, recipe: Recipe) -> MemoryTable:
        """The table of a recipe."""
        key = (recipe.feature, recipe.id)
        return self._tables.setdefault(key, (recipe, MemoryTable(self._files)))[1]

    def recipes(self, feature: str) -> list[Recipe]:
        """Every recipe of a feature that something was written to, the newest first."""
        used = [r for r, table in self._tables.values() if table.values or table.log]
        return [recipe for recipe in reversed(used) if recipe.feature == feature]

    def save(self, name: str, data: bytes) -> None:
        """Keep a small document under a name."""
        self._documents[name] = data

    def load(self, name: str) -> bytes | None:
        """The document of that name, or None."""
        return self._documents.get(name)

    def close(self) -> None:
        """Remove the temporary folder."""
        self._holder.cleanup()
