"""What older recipes hold that a cell need not compute: whole values, and shots of values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from copal.errors import BrokenContract, StoreError
from copal.feature import SHOTS, per_shot_of
from copal.fingerprint import Digest, UnitId, file_digest, fingerprint
from copal.graph import Recipe
from copal.run.inputs import Inputs
from copal.run.pieces import Older
from copal.store.base import StoredValue, ValueTable, value_digest

log = structlog.get_logger("copal.run")

Place = tuple[Recipe, ValueTable]
"""An older recipe and its table."""


@dataclass(frozen=True, slots=True)
class Found:
    """Where older values of some units are."""

    whole: Mapping[UnitId, Place] = field(default_factory=dict)
    """Units with a value that was computed from the same inputs."""
    parts: Mapping[UnitId, Sequence[Place]] = field(default_factory=dict)
    """Units with values that were computed from the same inputs, but for the shots."""


class Carrying:
    """The older values of one feature."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.per_shot = bool(per_shot_of(inputs.bound.instance))
        self._older: list[Place] | None = None

    @property
    def older(self) -> list[Place]:
        """Recipes that differ from today's in their needs alone, the newest first."""
        if self._older is None:
            store, today = self.inputs.worker.store, self.inputs.recipe
            mine = fingerprint("parts", **today.parts())
            self._older = [
                (recipe, store.table(recipe))
                for recipe in store.recipes(today.feature)
                if recipe.id != today.id and fingerprint("parts", **recipe.parts()) == mine
            ]
        return self._older

    def find(self, units: Sequence[UnitId], inputs: Mapping[UnitId, Digest | None]) -> Found:
        """Older values of units, of which the inputs digests of today are given."""
        whole: dict[UnitId, Place] = {}
        parts: dict[UnitId, list[Place]] = {}
        wanted = [unit for unit in units if inputs[unit] is not None]
        today = self.inputs.taken(wanted) if self.per_shot and wanted and self.older else {}
        for recipe, table in self.older if wanted else ():
            stored = table.digests(wanted)
            for unit in wanted:
                if unit in stored and stored[unit][0] == inputs[unit]:
                    whole.setdefault(unit, (recipe, table))
            if not self.per_shot:
                continue
            others = [unit for unit in wanted if unit in stored and unit not in whole]
            for unit, taken in self.inputs.taken(others, recipe).items():
                # Its shots are believed only when they lead to the digest that the value was
                # stored with: a need may have been replaced since, by force.
                known = self.inputs.digest(unit, taken) == stored[unit][0]
                if known and _beside(taken) == _beside(today[unit]):
                    parts.setdefault(unit, []).append((recipe, table))
        return Found(whole, {unit: its for unit, its in parts.items() if unit not in whole})

    def whole(self, unit: UnitId, place: Place) -> StoredValue | None:
        """A whole value that was found; None when it is damaged, or was cleaned up meanwhile."""
        recipe, table = place
        value = table.read([unit]).get(unit)
        if value is None:
            return None
        if not _is_whole(value):
            log.warning("older.damaged", feature=recipe.feature, recipe=recipe.id, unit=unit)
            return None
        return replace(value, carried_from=value.carried_from or recipe.id)

    def read(self, unit: UnitId, places: Sequence[Place]) -> Iterator[Older]:
        """Values that were found, each read when it is asked for, and left out when damaged."""
        bound = self.inputs.bound
        for recipe, table in places:
            shots = self.inputs.need_table(SHOTS, recipe)
            held = shots.read([unit]).get(unit) if shots is not None else None
            value = table.read([unit]).get(unit)
            if held is None or value is None or not value.rows.schema.equals(bound.columns):
                continue
            if not _is_whole(value):
                log.warning("older.damaged", feature=recipe.feature, recipe=recipe.id, unit=unit)
                continue
            try:
                seen = bound.hand_over(SHOTS, held.value())
            except BrokenContract:  # the shots of that time had other columns
                continue
            yield Older(recipe.id, seen, value.value())


def _is_whole(value: StoredValue) -> bool:
    """Whether rows and files are those that were published: damage must not get a new digest."""
    if value_digest(value.rows, value.file_digests) != value.value_digest:
        return False
    try:
        found = {name: file_digest(file.path()) for name, file in value.files.items()}
    except (OSError, StoreError):
        return False
    return found == value.file_digests


def _beside(taken: Mapping[str, object]) -> dict[str, object]:
    """All that a value was computed from, but for the shots."""
    return {argument: digests for argument, digests in taken.items() if argument != SHOTS}
