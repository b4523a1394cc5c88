"""Keeping a project's store: snapshots of it, upkeep, health, and what may go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from copal.errors import FeatureError, MissingValue, RequestError
from copal.fingerprint import RecipeId
from copal.graph import Recipe
from copal.project import Project
from copal.registry import FeatureName
from copal.store.garbage import RECIPE, Garbage, closure, find_garbage, released_since, throw_away
from copal.store.health import Depth, Inspection
from copal.store.snapshots import Snapshot, Snapshots
from copal.store.upkeep import KEPT, SHORTEST, Tidied, tidy

GARBAGE_AGE = timedelta(days=30)
"""What was written or released since stays, whoever does not want it."""
STRAY_AGE = timedelta(days=1)
"""A file waits for its value for minutes; one that waited for a day waits for none."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """What keeps a store small, quick and sound; readers and writers may go on meanwhile."""

    project: Project

    def snapshot(self, name: str) -> Snapshot:
        """Name what readers see now: the released recipes (else today's), at their newest values.

        Raises
        ------
        RequestError
            The name is taken, or cannot be one.
        """
        snapshots = Snapshots(self.project.store)
        snapshots.check_name(name)
        reading = self.project.at("release").reading
        recipes: dict[FeatureName, Recipe] = {}
        for feature in self.project.graph.order:
            if not self.project.store.recipes(feature):
                continue  # to tell today's recipe would import its model's library for nothing
            try:
                recipes[feature] = reading.recipe(feature)
            except (MissingValue, FeatureError):  # nothing is stored, and nobody computes it here
                continue
        return snapshots.create(name, recipes)

    def snapshots(self) -> list[Snapshot]:
        """Every snapshot, by name."""
        return Snapshots(self.project.store).all()

    def forget(self, name: str) -> None:
        """Delete a snapshot; what only it names may be cleaned up from now on."""
        Snapshots(self.project.store).delete(name)

    def compact(self, older_than: timedelta = KEPT) -> Iterator[Tidied]:
        """Put small pieces of tables together and let old versions go, table by table."""
        return tidy(self.project.folder, older_than)

    def verify(self, files: Depth = "quick", stray_after: timedelta = STRAY_AGE) -> Inspection:
        """A walk through the store; its ``faults()`` are what is not as it was stored."""
        return Inspection(self.project.store, datetime.now(UTC) - stray_after, files)

    def garbage(self, older_than: timedelta = GARBAGE_AGE) -> Iterator[Garbage]:
        """What nobody can ask for any more, and was not written since; nothing is removed.

        What stays: today's recipes, released ones and those released within the time, what
        snapshots name, and everything that these follow from. Of a feature that this registry
        does not declare, or cannot tell today's recipe of, everything stays.
        """
        limit = _limit(older_than)
        return find_garbage(self.project.store, _kept(self.project, limit), limit)

    def remove(self, found: Garbage, older_than: timedelta = GARBAGE_AGE) -> bool:
        """Throw it away; False when it came to be needed meanwhile, and stays."""
        limit = _limit(older_than)
        if found.kind == RECIPE:
            feature = FeatureName(found.place.split("/")[1])
            kept = _kept(self.project, limit).get(feature, frozenset())
            if any(f"-{recipe[:16]}" in found.place for recipe in kept):
                return False
        return throw_away(self.project.store, found, limit)


def _limit(older_than: timedelta) -> datetime:
    if older_than < SHORTEST:
        raise RequestError(
            "what was written within the last hour stays: somebody may be at work on it. "
            "Give --older-than 0.05 (days) or more."
        )
    return datetime.now(UTC) - older_than


def _kept(project: Project, limit: datetime) -> dict[FeatureName, frozenset[RecipeId]]:
    """The recipes that stay, of each feature that something may go of."""
    today: dict[FeatureName, RecipeId] = {}
    for feature in project.graph.order:
        if not project.store.recipes(feature):
            continue  # nothing of it can go
        try:
            today[feature] = project.recipes([feature])[feature].id
        except FeatureError:  # its recipe cannot be told here, so nobody says which one is old
            continue
    wanted = set(today.items()) | released_since(project.folder, limit)
    wanted |= {
        (feature, pinned.recipe)
        for snapshot in Snapshots(project.store).all()
        for feature, pinned in snapshot.features.items()
    }
    for feature in today:
        # A backfill that has not begun starts from what the newest recipe holds.
        stored = project.store.recipes(feature)
        held = [each for each in stored if project.store.table(each).values.count()]
        wanted |= {(feature, each.id) for each in held[:1]}
    kept = frozenset(closure(project.store, wanted))
    return dict.fromkeys(today, kept)
