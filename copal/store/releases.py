"""Releases: which recipe of each feature readers see, as an append-only list of moves."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from copal.fingerprint import RecipeId
from copal.registry import FeatureName
from copal.store.folder import Folder
from copal.store.tables import Table, key_field

PROMOTE, ROLLBACK, AUTOMATIC = "promote", "rollback", "automatic"

_SET = pa.struct([("feature", pa.string()), ("recipe", pa.string()), ("version", pa.int32())])
_MOVES = pa.schema(
    [
        key_field("number"),
        pa.field("move_id", pa.string(), nullable=False),
        ("at", pa.timestamp("us", "UTC")),
        ("by", pa.string()),
        ("kind", pa.string()),
        ("why", pa.string()),
        ("set", pa.list_(_SET)),
    ]
)


@dataclass(frozen=True, slots=True)
class Released:
    """One feature and the recipe that readers see of it."""

    feature: FeatureName
    recipe: RecipeId
    version: int


@dataclass(frozen=True, slots=True)
class Move:
    """Some features released together: readers see all of the set or nothing of it."""

    number: int
    """Place in the list, counted from 1."""
    at: datetime
    by: str
    """Who: a person's name, or the run that ended."""
    kind: str
    """``promote``, ``rollback``, or ``automatic``."""
    why: str
    set: tuple[Released, ...]


@dataclass(frozen=True, slots=True)
class Releases:
    """The list of moves in a store.

    A move's number is the table's key and is inserted once, so that two who move at the same time
    are one after the other, and the second looks again at what it decided on.
    """

    folder: Folder

    def history(self) -> list[Move]:
        """Every move, the oldest first."""
        rows = self._table().read([n for n in _MOVES.names if n != "move_id"]).to_pylist()
        moves = [
            Move(
                number=int(row["number"]),
                at=row["at"],
                by=row["by"],
                kind=row["kind"],
                why=row["why"],
                set=tuple(
                    Released(FeatureName(e["feature"]), RecipeId(e["recipe"]), e["version"])
                    for e in row["set"]
                ),
            )
            for row in rows
        ]
        return sorted(moves, key=lambda move: move.number)

    def current(self) -> dict[FeatureName, RecipeId]:
        """The recipe that readers see of each feature that was ever released."""
        return {name: each.recipe for name, each in after(self.history()).items()}

    def move(
        self, released: Iterable[Released], *, seen: int, kind: str, by: str, why: str = ""
    ) -> bool:
        """Release a set in one commit; False when somebody moved since move ``seen``.

        Parameters
        ----------
        seen
            Number of the last move that the decision was made on; 0 when there was none.
        """
        mine = uuid.uuid4().hex
        number = f"{seen + 1:08d}"
        row = {
            "number": number,
            "move_id": mine,
            "at": datetime.now(UTC),
            "by": by,
            "kind": kind,
            "why": why,
            "set": [
                {"feature": each.feature, "recipe": each.recipe, "version": each.version}
                for each in released
            ],
        }
        made = self._table().insert(
            pa.Table.from_pylist([row], schema=_MOVES), key="number", mark="move_id"
        )
        return number in made.won

    def _table(self) -> Table:
        uri = f"{self.folder.uri}/releases/releases.lance"
        return Table(uri, _MOVES, self.folder.storage_options)


def after(moves: Sequence[Move]) -> dict[FeatureName, Released]:
    """What is released once these moves were made, one after the other."""
    return {each.feature: each for move in moves for each in move.set}


def earlier(moves: Sequence[Move], feature: str) -> list[Released]:
    """What was released of a feature, the newest first, without repeats in a row."""
    found: list[Released] = []
    for move in moves:
        for each in move.set:
            if each.feature == feature and (not found or found[-1].recipe != each.recipe):
                found.append(each)
    return found[::-1]


def left(moves: Sequence[Move], feature: str) -> frozenset[RecipeId]:
    """Recipes that people moved a feature away from: nothing but a person releases them again."""
    gone: set[RecipeId] = set()
    now: RecipeId | None = None
    for move in moves:
        for each in move.set:
            if each.feature != feature:
                continue
            if move.kind != AUTOMATIC and now is not None:
                gone.add(now)
            gone.discard(each.recipe)
            now = each.recipe
    return frozenset(gone)


__all__: Sequence[str] = ["Move", "Released", "Releases", "after", "earlier", "left"]
