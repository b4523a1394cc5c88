"""Coverage of a catalogue: the answer that was kept is the answer that would be given."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

import copal
from copal.asset import Place
from copal.fingerprint import UnitId, fingerprint
from copal.lake import Lake
from copal.status import Status
from copal.store.summary import Summaries
from copal.store.tables import Table
from tests.integration.repository import Repository


def anew(repository: Repository) -> Status:
    """What status says when nothing was kept."""
    lake = repository.lake()
    lake.project.folder.remove_folder("summaries")
    return lake.status()


def counted(status: Status) -> dict[str, tuple[int, int, int, int]]:
    """Stored, empty, quarantined and missing, by feature."""
    return {c.feature: (c.stored, c.empty, c.quarantined, c.missing) for c in status.coverage}


def test_status_is_read_where_nothing_changed(
    filled: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Asked again, status reads no unit and no attempt, and says the same, in words and as JSON.
    """
    first = anew(filled)
    words = filled.copal("status").out
    with monkeypatch.context() as patch:
        for name in ("index", "attempts", "attempt_table", "read"):
            patch.setattr(f"copal.store.lance_store.LanceTable.{name}", lambda *_: 1 / 0)
        patch.setattr("copal.store.inventory.Inventories.of", lambda *_: 1 / 0)
        patch.setattr("copal.store.catalog.Catalog.assets", lambda *_: 1 / 0)
        assert filled.lake().status() == first
    assert filled.copal("status").out == words
    assert counted(first)["levels"] == (4, 0, 0, 0)


def test_status_never_tells_what_was(filled: Repository) -> None:
    """
    Whatever changes (a value, an attempt, an asset, a title, a place, the registry), status tells
    it as if nothing had been kept.
    """
    lake = filled.lake()
    before = lake.status()
    table = lake.project.table("spans")
    (unit, *_) = sorted(table.index().units)

    table.values.delete(f"unit = '{unit}'")
    now = filled.lake().status()
    assert counted(now)["spans"][3] == 1
    assert now == anew(filled)

    lake.project.catalog.keep(places=[Place("file:/bad.mp4", None, 1, "s", "bad.mp4: no media")])
    now = filled.lake().status()
    assert [place.error for place in now.refused] == ["bad.mp4: no media"]
    assert now == anew(filled)

    asset = lake.assets()[0]
    lake.project.catalog.table("assets").delete(f"asset_id = '{asset.id}'")
    now = filled.lake().status()
    assert now.assets == before.assets - 1
    assert now == anew(filled)

    filled.edit("jump: 9.0", "jump: 3.0")
    now = filled.lake().status()
    assert counted(now)["cuts"] == (0, 0, 0, 3)
    assert now == anew(filled)


def test_a_failure_is_told_at_once(filled: Repository) -> None:
    """
    An attempt that failed changes no value, and is told all the same.
    """
    from datetime import UTC, datetime

    from copal.store.base import Attempt

    lake = filled.lake()
    table = lake.project.table("cuts")
    (unit, *_) = sorted(table.index().units)
    table.values.delete(f"unit = '{unit}'")
    lake.status()
    table.record([Attempt(unit, "failed", "run", datetime.now(UTC), error="it broke")])
    now = filled.lake().status()
    assert [problem.error for problem in now.problems] == ["it broke"]
    assert now == anew(filled)


def test_a_damaged_summary_is_made_anew(filled: Repository) -> None:
    """
    What cannot be read is as if it were not there.
    """
    first = anew(filled)
    folder = filled.lake().project.folder.root / "summaries"
    (kept,) = folder.glob("*.json")
    for text in ("", "[]", "{", json.dumps({"versions": "x"})):
        kept.write_text(text)
        assert filled.lake().status() == first
    inventories = {path: path.read_bytes() for path in folder.glob("*.arrow")}
    assert len(inventories) == len(first.coverage)
    for cut in (0, 3, 100, -9):
        kept.unlink()
        for path, whole in inventories.items():
            path.write_bytes(whole[:cut])
        assert filled.lake().status() == first
        assert {path: path.read_bytes() for path in inventories} == inventories


def test_only_tables_that_moved_are_read_again(
    filled: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    After one publication, status and plan read the units of that feature, and of no other.
    """
    lake = filled.lake()
    lake.status()
    table = lake.project.table("spans")
    (unit, *_) = sorted(table.index().units)
    table.values.delete(f"unit = '{unit}'")
    read = Table.read
    asked: list[str] = []

    def noted(self: Table, columns: object = None, where: str | None = None) -> pa.Table:
        asked.append(self.uri)
        return read(self, columns, where)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr("copal.store.tables.Table.read", noted)
    now = filled.lake()
    assert counted(now.status())["spans"][3] == 1
    assert {uri for uri in asked if "/features/" in uri} == {
        f"{table.folder.uri}/{table.place}/{name}.lance" for name in ("values", "attempts")
    }
    asked.clear()
    assert [cell.unit for cell in now.plan().feature("spans").cells] == [unit]
    assert not [uri for uri in asked if "/features/" in uri]
    assert now.status() == anew(filled)


def test_features_of_one_recipe_are_counted_apart(tmp_path: Path) -> None:
    """
    Two features that take the same parts have the same recipe id, and each its own inventory, also
    when one of them has older recipes.
    """
    from copal.graph import Recipe
    from copal.store.base import new_value
    from copal.store.inventory import Inventories
    from copal.store.lance_store import local_store

    store = local_store(tmp_path / "lake")
    one, other = (Recipe(name, 1, {}, {}, {}, {}) for name in ("one", "other"))
    assert one.id == other.id
    rows = pa.table({"x": pa.array([1], pa.int32())})
    for recipe, units in ((one, "ab"), (other, "bcd")):
        digest = fingerprint("inputs")
        values = [new_value(UnitId(u), rows, {}, inputs_digest=digest, run_id="r") for u in units]
        store.table(recipe).publish(values)
    bare = local_store(shutil.copytree(tmp_path / "lake", tmp_path / "bare"))
    for _ in ("read", "kept"):
        found = Inventories(store).of([one, other])
        assert [sorted(each.units) for each in found] == [["a", "b"], ["b", "c", "d"]]
    kept, read = (Inventories(each).of([one], units=["a", "z"]) for each in (store, bare))
    assert [*kept[0].units] == [*read[0].units] == ["a"]


def test_a_table_made_anew_is_not_taken_for_the_old_one(filled: Repository) -> None:
    """
    A recipe that was removed and published again, in as many commits, is counted anew.
    """
    lake = filled.lake()
    lake.status()
    table = lake.project.table("spans")
    values = list(table.read(sorted(table.index().units)).values())
    commits = table.values.newest()
    table.folder.remove_folder(f"{table.place}/values.lance")
    for value in values[: commits - 1]:
        table.publish([value])
    while table.values.newest() < commits:
        table.publish([values[0]], replace=True)
    assert table.values.newest() == commits
    now = filled.lake().status()
    assert counted(now)["spans"][0] == len(table.index().units) < len(values)
    assert now == anew(filled)


def test_a_store_that_is_only_read_keeps_no_summary(
    filled: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Status needs no right to write.
    """
    first = anew(filled)
    lake = filled.lake()
    lake.project.folder.remove_folder("summaries")

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("copal.store.folder.LocalFolder.put", refused)
    assert lake.status() == first
    assert Summaries(lake.project.store).load("x") is None


def test_one_cell_is_explained_without_reading_the_others(
    filled: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    ``why`` on one asset reads that asset and its own units, never the list of all of them.
    """
    lake = filled.lake()
    asset = lake.assets()[0]
    lake.project.table("cuts").values.delete(f"unit = '{asset.id}'")
    read = Table.read
    asked: list[str] = []

    def noted(self: Table, columns: object = None, where: str | None = None) -> pa.Table:
        assert where is not None or self.uri.endswith(("titles.lance", "releases.lance")), self.uri
        asked.append(self.uri)
        return read(self, columns, where)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr("copal.store.tables.Table.read", noted)
    assert "missing" in lake.why(asset.id, "cuts")[0]
    assert asked


@pytest.mark.parametrize("how", ["id", "start", "title id", "title name", "show"])
def test_an_asset_is_found_by_what_people_call_it(tmp_path: Path, how: str) -> None:
    """
    By id or its start, by its title's id or name, by its show; and nothing else is found.
    """
    from copal.asset import Asset, Title
    from copal.fingerprint import AssetId, TitleId
    from copal.store import Catalog
    from copal.store.folder import LocalFolder

    catalog = Catalog(LocalFolder(tmp_path))
    ids = [AssetId(f"{n}a" * 16) for n in range(1, 4)]
    titles = [TitleId("heist-s01e01"), TitleId("heist-s01e02"), TitleId("its-a-film")]
    catalog.keep(
        [Asset(a, "video", t, "x.mp4", show="The Heist" if n < 2 else None)
         for n, (a, t) in enumerate(zip(ids, titles, strict=True))],
        [Title(titles[0], "Pilot"), Title(titles[1], "The Vault"), Title(titles[2], "It's a film")],
    )  # fmt: skip
    name, expected = {
        "id": (ids[1], ids[1:2]),
        "start": ("2A2a", ids[1:2]),
        "title id": ("heist-s01e02", ids[1:2]),
        "title name": ("it's  A FILM", ids[2:]),
        "show": ("the heist", ids[:2]),
    }[how]
    assert [asset.id for asset in catalog.find(name)] == expected
    assert catalog.find("2a") == []
    assert catalog.find("nobody's 'film'") == []
    assert catalog.find("' OR true OR '") == []


def test_a_store_that_was_named_and_is_not_there_is_told(filled: Repository) -> None:
    """
    A wrong --store or $COPAL_STORE is an error of whoever typed it; a new project has none yet.
    """
    there = str(filled.root / ".copal")
    assert "4 assets" in filled.copal("--store", there, "status").out
    for verb in (["status"], ["show", "cuts"], ["match"], ["why", "calm", "cuts"], ["verify"]):
        err = filled.copal("--store", "nowhere", *verb, code=2).err
        assert err == "copal: no store at nowhere. 'copal add' makes it.\n"
    assert not (filled.root / "nowhere").exists()
    (filled.root / ".copal").rename(filled.root / "elsewhere")
    assert "0 assets" in filled.copal("status").out
    assert isinstance(copal.open(filled.root), Lake)
