"""Garbage: what lies in a store and nobody can ask for, found first and thrown away then."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

import pyarrow.compute as pc
import structlog

from copal.fingerprint import RecipeId
from copal.graph import Recipe
from copal.registry import FeatureName
from copal.store.folder import Folder, Found
from copal.store.lance_store import LanceStore, LanceTable
from copal.store.releases import Releases
from copal.store.snapshots import TAG, Snapshots
from copal.store.tables import plain_errors

log = structlog.get_logger("copal.store")

RECIPE, REST, FILES, RUN, TAGS = "recipe", "rest", "files", "run", "tag"

KEPT_OF_RUNS = ("run.json", "report.json")
UNENDED = timedelta(days=7)
"""A run that never said how it ended may be at work for so long."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """Something in a store that can go."""

    kind: str
    """``recipe``, ``rest`` (of a recipe half removed), ``files``, ``run``, or ``tag``."""
    place: str
    """Where in the store."""
    why: str
    bytes: int
    names: tuple[str, ...] = ()
    """The objects, where not everything at the place goes."""


def find_garbage(
    store: LanceStore, kept: Mapping[FeatureName, Collection[RecipeId]], limit: datetime
) -> Iterator[Garbage]:
    """What can go; nothing that was written since ``limit`` is in it.

    Parameters
    ----------
    kept
        The recipes that stay, of each feature that anything may be removed of.
    """
    snapshots = Snapshots(store).all()
    tags = {snapshot.tag for snapshot in snapshots}
    held = {pinned.recipe for each in snapshots for pinned in each.features.values()}
    for feature in store.folder.names("features"):
        yield from _halves(store.folder, feature, limit)
        for recipe in store.recipes(feature):
            table = store.table(recipe)
            yield from _stray_tags(table, tags, limit)
            staying = {*kept.get(FeatureName(feature), {recipe.id}), *held}
            if recipe.id not in staying and not _named(table):
                yield from _superseded(table, limit)
            else:
                yield from _orphans(table, limit)
    yield from _runs(store.folder, limit)
    yield from _summaries(store.folder, limit)


def throw_away(store: LanceStore, garbage: Garbage, limit: datetime) -> bool:
    """Remove it, in an order that leaves nothing half visible; False when it came to be needed.

    A recipe is invisible without its ``recipe.json``, which goes first; what an interruption
    leaves of it is found as ``rest`` by the next search.
    """
    folder = store.folder
    if garbage.kind in (RECIPE, REST):
        lately = max((found.modified for found in folder.objects(garbage.place)), default=limit)
        if lately > limit:
            return False
        if garbage.kind == RECIPE:
            folder.remove([f"{garbage.place}/recipe.json"])
        folder.remove_folder(garbage.place)
    elif garbage.kind == TAGS:
        _, feature, name = garbage.place.split("/")
        for recipe in store.recipes(feature):
            table = store.table(recipe)
            if table.place.endswith(name):
                for tag in garbage.names:
                    table.values.untag(tag)
    else:
        folder.remove(garbage.names, before=limit)
    log.info("garbage.removed", kind=garbage.kind, place=garbage.place, bytes=garbage.bytes)
    return True


def closure(store: LanceStore, recipes: Collection[tuple[str, RecipeId]]) -> set[RecipeId]:
    """Recipes together with the recipes that they follow from, as far as those are stored."""
    known: dict[RecipeId, Recipe] = {
        recipe.id: recipe
        for feature in store.folder.names("features")
        for recipe in store.recipes(feature)
    }
    found: set[RecipeId] = set()
    waiting = [recipe for _, recipe in recipes]
    while waiting:
        recipe_id = waiting.pop()
        if recipe_id not in found:
            found.add(recipe_id)
            waiting += known[recipe_id].needs.values() if recipe_id in known else ()
    return found


def released_since(folder: Folder, limit: datetime) -> set[tuple[FeatureName, RecipeId]]:
    """What is released, and what was until after the limit: it can be rolled back to."""
    now: dict[FeatureName, RecipeId] = {}
    found: set[tuple[FeatureName, RecipeId]] = set()
    for move in Releases(folder).history():
        for each in move.set:
            if move.at >= limit and each.feature in now:
                found.add((each.feature, now[each.feature]))
            now[each.feature] = each.recipe
    return found | set(now.items())


def named_files(table: LanceTable) -> set[str]:
    """Digests of the files that any value names, now or at a version that has a name."""
    found: set[str] = set()
    versions = {version for version, _ in table.values.tags().values()}
    for version in (None, *sorted(versions)):
        dataset = LanceTable(table.folder, table.place, table.recipe, version).values.open()
        with plain_errors(table.values.uri):
            for batch in dataset.to_batches(columns=["files"]) if dataset is not None else ():
                files = pc.list_flatten(batch["files"])
                found.update(pc.struct_field(files, "digest").unique().to_pylist())
    return found


def _named(table: LanceTable) -> bool:
    return any(tag.startswith(TAG) for tag in table.values.tags())


def _superseded(table: LanceTable, limit: datetime) -> Iterator[Garbage]:
    found = list(table.folder.objects(table.place))
    if found and max(each.modified for each in found) < limit:
        count = table.values.count()
        why = f"superseded; {count:,} values that nobody can ask for"
        yield Garbage(RECIPE, table.place, why, _size(found))


def _halves(folder: Folder, feature: str, limit: datetime) -> Iterator[Garbage]:
    for name in folder.names(f"features/{feature}"):
        place = f"features/{feature}/{name}"
        if folder.get(f"{place}/recipe.json") is None:
            found = list(folder.objects(place))
            if all(each.modified < limit for each in found):
                yield Garbage(REST, place, "what is left of a recipe half removed", _size(found))


def _orphans(table: LanceTable, limit: datetime) -> Iterator[Garbage]:
    # Listed before the names are read: a file that is put there meanwhile is not in the list.
    found = [
        each
        for each in chain(
            table.folder.objects(f"{table.place}/files"),
            (each for each in table.folder.objects(table.place) if each.name.endswith(".part")),
        )
        if each.modified < limit
    ]
    if not found:
        return
    named = named_files(table)
    orphans = {each.name: each for each in found if each.name.rpartition("/")[2] not in named}
    if orphans:
        why = "files that no value names"
        size = _size(orphans.values())
        yield Garbage(FILES, f"{table.place}/files", why, size, tuple(sorted(orphans)))


def _stray_tags(table: LanceTable, known: Collection[str], limit: datetime) -> Iterator[Garbage]:
    stray = tuple(
        tag
        for tag, (_, at) in table.values.tags().items()
        if tag.startswith(TAG) and tag not in known and at is not None and at < limit
    )
    if stray:
        yield Garbage(TAGS, table.place, "names of snapshots that are not there", 0, stray)


def _runs(folder: Folder, limit: datetime) -> Iterator[Garbage]:
    """The chunks of runs that ended; what a run came to stays, since prices are made of it."""
    for run in folder.names("runs"):
        place = f"runs/{run}"
        found = list(folder.objects(place))
        rest = [each for each in found if each.name.rpartition("/")[2] not in KEPT_OF_RUNS]
        lately = max((each.modified for each in found), default=limit)
        ended = any(each.name == f"{place}/report.json" for each in found)
        if rest and lately < (limit if ended else limit - UNENDED):
            names = tuple(each.name for each in rest)
            yield Garbage(RUN, place, "chunks of a run that is over", _size(rest), names)


def _summaries(folder: Folder, limit: datetime) -> Iterator[Garbage]:
    """Answers that nobody asked for since; they are made anew when somebody does."""
    found = [each for each in folder.objects("summaries") if each.modified < limit]
    if found:
        names = tuple(each.name for each in found)
        yield Garbage(FILES, "summaries", "answers of long ago", _size(found), names)


def _size(found: Collection[Found]) -> int:
    return sum(each.bytes for each in found)
