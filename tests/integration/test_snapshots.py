"""Snapshots: what a name stands for stays as it was, whatever happens to the store."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from copal.asset import Asset, Title
from copal.errors import MissingValue, RequestError, StoreError
from copal.fingerprint import AssetId, TitleId, UnitId, fingerprint
from copal.graph import Recipe
from copal.registry import FeatureName
from copal.store import Catalog, LanceStore, StoredValue, open_folder
from copal.store.base import new_value
from copal.store.lance_store import local_store
from copal.store.snapshots import Snapshots

SHOTS = Recipe(FeatureName("shots"), 1, {}, {}, {}, {})
VECTORS = Recipe(FeatureName("vectors"), 1, {}, {}, {}, {"shots": SHOTS.id})
RECIPES = {SHOTS.feature: SHOTS, VECTORS.feature: VECTORS}


def value(number: int) -> StoredValue:
    rows = pa.table({"n": pa.array(range(number), pa.int32())})
    digest = fingerprint("inputs", number=number)
    return new_value(UnitId(f"unit{number}"), rows, {}, inputs_digest=digest, run_id="run")


def publish(store: LanceStore, *numbers: int) -> None:
    for number in numbers:
        for recipe in RECIPES.values():
            store.table(recipe).publish([value(number)])


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LanceStore:
    if request.param == "folder":
        return local_store(tmp_path / "store")
    location = request.getfixturevalue("s3")["COPAL_STORE"]
    return LanceStore(open_folder(location, tmp_path))


def test_a_snapshot_reads_the_same_after_publishing_compaction_and_clean_up(
    store: LanceStore,
) -> None:
    """
    What a snapshot names is read as it was; what came later is not seen, and what nobody named is
    gone once it was cleaned up.
    """
    catalog = Catalog(store.folder)
    catalog.keep([Asset(AssetId("a"), "video", TitleId("t"), "a.mp4")], [Title(TitleId("t"), "T")])
    publish(store, 1, 2)
    before = store.table(VECTORS).values.newest()
    publish(store, 3)
    taken = Snapshots(store).create("june", RECIPES)
    publish(store, 4, 5)
    catalog.keep([Asset(AssetId("b"), "video", TitleId("t"), "b.mp4")])
    for recipe in RECIPES.values():
        dataset = store.table(recipe).values.open()
        assert dataset is not None
        dataset.optimize.compact_files()
        dataset.cleanup_old_versions(
            older_than=timedelta(0), error_if_tagged_old_versions=False, delete_unverified=True
        )

    snapshot = Snapshots(store).load("june")
    assert snapshot == taken
    for recipe in RECIPES.values():
        table = snapshot.table(store, recipe.feature)
        units = ["unit1", "unit2", "unit3"]
        assert sorted(table.index().units) == units
        assert {u: v.value_digest for u, v in table.read(units).items()} == {
            u: value(n).value_digest for n, u in enumerate(units, 1)
        }
        assert len(store.table(recipe).index().units) == 5
    assert [asset.id for asset in snapshot.assets(store.folder).assets()] == ["a"]
    with pytest.raises(MissingValue, match="is not there any more"):
        store.table(VECTORS, before).index()


def test_a_snapshot_is_made_once(store: LanceStore) -> None:
    """
    A name that is taken is refused and stands for what it stood for; deleted, it is free again,
    and no tag of it stays behind.
    """
    publish(store, 1)
    first = Snapshots(store).create("june", RECIPES)
    publish(store, 2)
    with pytest.raises(RequestError, match="there is a snapshot 'june' already"):
        Snapshots(store).create("june", RECIPES)
    assert Snapshots(store).all() == [first]
    assert set(store.table(SHOTS).values.tags()) == {first.tag}
    Snapshots(store).delete("june")
    assert Snapshots(store).names() == []
    assert store.table(SHOTS).values.tags() == {}
    Snapshots(store).create("june", RECIPES)
    assert len(Snapshots(store).load("june").table(store, "shots").index().units) == 2


def test_a_snapshot_of_what_was_never_stored_holds_nothing(tmp_path: Path) -> None:
    """
    A feature without a table is not in the snapshot, also when it gets one later.
    """
    store = local_store(tmp_path)
    store.table(SHOTS).publish([value(1)])
    snapshot = Snapshots(store).create("early", RECIPES)
    publish(store, 2)
    assert snapshot.assets(store.folder).assets() == []
    with pytest.raises(MissingValue, match="does not hold 'vectors'"):
        snapshot.table(store, "vectors")


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "release", "v3", "today", "x" * 65])
def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path, name: str) -> None:
    """
    Names are file names, and never words that mean something after an @.
    """
    store = local_store(tmp_path)
    with pytest.raises(RequestError, match="cannot be the name of a snapshot"):
        Snapshots(store).create(name, RECIPES)
    with pytest.raises(RequestError, match="no snapshot"):
        Snapshots(store).load(name)


def test_a_damaged_snapshot_is_told_as_such(tmp_path: Path) -> None:
    """
    A document that a hand has been in is a StoreError that names it.
    """
    store = local_store(tmp_path)
    store.folder.put("snapshots/june.json", b'{"name": "june"}')
    with pytest.raises(StoreError, match=r"june\.json is damaged"):
        Snapshots(store).load("june")


def test_a_pinned_table_is_never_written(tmp_path: Path) -> None:
    """
    A table read at a version refuses to be published to.
    """
    store = local_store(tmp_path)
    publish(store, 1)
    with pytest.raises(StoreError, match="read, never written"):
        store.table(SHOTS, 1).publish([value(2)])
