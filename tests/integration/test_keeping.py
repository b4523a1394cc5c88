"""Keeping the store: what verify finds, what compact and gc take away and what they leave."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pytest

from copal.asset import Asset, Title
from copal.cli.command import main
from copal.errors import DamagedTable, RequestError
from copal.feature import LocalFile
from copal.fingerprint import AssetId, RecipeId, TitleId, UnitId, fingerprint
from copal.graph import Recipe
from copal.lake import Lake
from copal.project import Project
from copal.registry import FeatureName
from copal.store import Catalog, LanceStore, open_folder, upkeep
from copal.store.base import new_value
from copal.store.garbage import find_garbage, throw_away
from copal.store.health import Inspection
from copal.store.releases import Released, Releases
from copal.store.snapshots import Snapshots
from copal.store.upkeep import tidy
from tests.integration.repository import Repository, contents


def faults(lake: Lake, files: Any = "quick") -> list[str]:
    """What verify tells, one line each."""
    walk = lake.keeping.verify(files, timedelta(hours=1))
    return [f"{fault.place}: {fault.what}" for fault in walk.faults()]


def place(lake: Lake, feature: str) -> Path:
    """The folder of a feature's table."""
    return Path(lake.project.table(feature).values_uri()).parent


def make_old(*paths: Path, days: float = 60) -> None:
    """As if everything there was written long ago."""
    then = time.time() - days * 86400
    for path in paths:
        for each in [path, *path.rglob("*")]:
            if each.is_file():
                os.utime(each, (then, then))


def flip_a_byte(lake: Lake) -> str:
    file = sorted((place(lake, "levels") / "files").iterdir())[0]
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    return "has other bytes than it was stored with"


def remove_a_file(lake: Lake) -> str:
    sorted((place(lake, "levels") / "files").iterdir())[0].unlink()
    return "is not there"


def shorten_a_file(lake: Lake) -> str:
    file = sorted((place(lake, "levels") / "files").iterdir())[0]
    file.write_bytes(file.read_bytes()[:-1])
    return "bytes, and was stored with"


def truncate_a_table(lake: Lake) -> str:
    data = sorted((place(lake, "spans") / "values.lance" / "data").iterdir())[0]
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    return "spans/v1-"


def truncate_the_attempts(lake: Lake) -> str:
    data = sorted((place(lake, "spans") / "attempts.lance" / "data").iterdir())[0]
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    return "attempts.lance: cannot be read"


def change_a_row(lake: Lake) -> str:
    table = lake.project.table("cuts")
    dataset = lance.dataset(table.values_uri())
    rows = dataset.to_table()
    (longest,) = [i for i, items in enumerate(rows["items"].to_pylist()) if len(items) == 3][:1]
    items = rows["items"].to_pylist()
    name = next(iter(items[longest][0]))
    items[longest][0][name] += 1
    index = rows.schema.get_field_index("items")
    changed = rows.set_column(
        index, rows.schema.field("items"), pa.array(items, rows.schema.field("items").type)
    )
    dataset.merge_insert("unit").when_matched_update_all().execute(changed)
    return f"unit {rows['unit'][longest].as_py()}: its rows have digest"


def repeat_a_row(lake: Lake) -> str:
    table = lake.project.table("cuts")
    rows = lance.dataset(table.values_uri()).to_table(limit=1)
    lance.write_dataset(rows, table.values_uri(), mode="append")
    return f"unit {rows['unit'][0].as_py()} stands twice"


def leave_a_file(lake: Lake) -> str:
    stray = place(lake, "levels") / "files" / ("0" * 32)
    stray.write_bytes(b"nobody's")
    make_old(stray)
    return f"{stray.name}: is named by no value"


def drop_an_asset(lake: Lake) -> str:
    asset = lake.assets()[0]
    lake.project.catalog.table("assets").delete(f"asset_id = '{asset.id}'")
    return f"the catalogue has no asset {asset.id}"


def swap_recipes(lake: Lake) -> str:
    target = place(lake, "cuts") / "recipe.json"
    said = json.loads(target.read_text())
    said["params"]["jump"] = 1.0
    target.write_text(json.dumps(said))
    return "recipe.json: says what belongs into"


def untag(lake: Lake) -> str:
    snapshot = lake.keeping.snapshot("june")
    lake.project.table("cuts").values.untag(snapshot.tag)
    return "snapshots/june.json: version"


def release_what_is_not_there(lake: Lake) -> str:
    gone = Released(FeatureName("cuts"), RecipeId("0" * 32), 1)
    releases = Releases(lake.project.folder)
    assert releases.move([gone], seen=len(releases.history()), kind="promote", by="test")
    return "releases: 'cuts' recipe 00000000 has no table"


DAMAGE = [
    flip_a_byte, remove_a_file, shorten_a_file, truncate_a_table, truncate_the_attempts,
    change_a_row, repeat_a_row, leave_a_file, drop_an_asset, swap_recipes, untag,
    release_what_is_not_there,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_verify_finds_damage(filled: Repository, damage: Callable[[Lake], str]) -> None:
    """
    A sound store has no fault; of a damaged one every fault that is told is the damage.
    """
    lake = filled.lake()
    assert faults(lake, "full") == []
    what = damage(lake)
    found = faults(lake, "full")
    assert found
    assert any(what in fault for fault in found), found
    if damage is flip_a_byte:
        assert faults(lake, "quick") == []


def test_verify_ends_with_1_when_something_is_wrong(filled: Repository) -> None:
    """
    The command counts what it looked at, names each fault on a line, and says it by its exit code.
    """
    sound = filled.copal("verify", "--files", "full")
    assert sound.out.endswith("all sound.\n")
    remove_a_file(filled.lake())
    ran = filled.copal("verify", code=1)
    fault, total = ran.out.splitlines()
    assert "is not there" in fault
    assert total.endswith(": 1 fault.")
    *told, counted = filled.copal("verify", "--json", code=1).objects
    assert counted["faults"] == len(told) == 1


def test_forcing_mends_a_damaged_file(filled: Repository) -> None:
    """
    A file of a value whose bytes changed is written again by a forced run, same size or not.
    """
    lake = filled.lake()
    for damage in (flip_a_byte, shorten_a_file):
        damage(lake)
        assert faults(lake, "full")
        filled.run("--force", "levels")
        assert faults(filled.lake(), "full") == []


@pytest.mark.parametrize(
    ("part", "damage"),
    [  # without its versions a table is one that nothing was written to
        ("data", "shorten"), ("data", "empty"), ("data", "overwrite"), ("data", "remove"),
        ("_versions", "shorten"), ("_versions", "empty"), ("_versions", "overwrite"),
    ],
)  # fmt: skip
def test_a_damaged_table_is_one_line(
    filled: Repository, part: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Who reads a damaged table is told which one and where to look, and 'status' still tells of
    everything else.
    """
    for file in (place(filled.lake(), "cuts") / "values.lance" / part).iterdir():
        if damage == "remove":
            file.unlink()
        else:
            data = file.read_bytes()
            half = len(data) // 2
            file.write_bytes({"shorten": data[:half], "empty": b""}.get(damage, b"x" * len(data)))
    shutil.rmtree(filled.root / ".copal" / "summaries", ignore_errors=True)
    with pytest.raises(DamagedTable) as caught:
        filled.lake().rows("cuts")
    told = str(caught.value)
    assert re.match(r"features/cuts/v1-\w+/values\.lance: damaged or partly missing \(.+\)\.", told)
    assert told.endswith("'copal verify' names what is wrong.")
    assert "\n" not in told
    for arguments in (["show", "cuts"], ["run"], ["plan"]):
        assert main(["--project", str(filled.root), *arguments]) == 1
        assert "damaged or partly missing" in capsys.readouterr().err
    for _ in range(2):  # what is told of damage is not kept
        coverage = {each.feature: each for each in filled.lake().status().coverage}
        assert "damaged or partly missing" in coverage["cuts"].note
        assert coverage["spans"].note == "needs 'cuts'"
        assert (coverage["levels"].stored, coverage["levels"].note) == (4, "")
    assert any("cuts/v1" in fault for fault in faults(filled.lake()))


def test_what_was_never_stored_costs_a_snapshot_and_gc_nothing(
    filled: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Today's recipe of a feature without a table is not asked for (its model's library may take
    half a minute to import), and a name that cannot be is refused before any is.
    """
    text = (filled.root / "registry.yaml").read_text()
    (filled.root / "registry.yaml").write_text(
        f"{text}\n  spare:\n    version: 1\n    compute: quick.features:Levels\n    of: video\n"
        "    params: {side: 4}\n    default: false\n"
    )
    asked: list[str] = []
    recipes = Project.recipes

    def counted(self: Project, features: Iterable[str] = ()) -> dict[FeatureName, Recipe]:
        asked.extend(features := list(features))
        return recipes(self, features)

    monkeypatch.setattr(Project, "recipes", counted)
    lake = filled.lake()
    lake.keeping.snapshot("june")
    list(lake.keeping.garbage())
    assert asked and "spare" not in asked
    asked.clear()
    for name in ("june", "a/b"):
        with pytest.raises(RequestError):
            lake.keeping.snapshot(name)
    assert asked == []


def test_a_young_file_without_a_value_is_no_fault(filled: Repository) -> None:
    """
    Files are stored before the value that names them, so a young one is on its way.
    """
    lake = filled.lake()
    leave_a_file(lake)
    (place(lake, "levels") / "files" / ("0" * 32)).touch()
    assert faults(lake) == []


def test_gc_shows_first_and_leaves_what_is_wanted(filled: Repository) -> None:
    """
    After a new version of a feature was computed, the old recipes of it and of what follows go,
    once they are old; before --yes nothing goes, and what is left is sound.
    """
    lake = filled.lake()
    before = contents(lake)
    filled.edit("jump: 9.0", "jump: 3.0")
    filled.run()
    lake = filled.lake()
    wanted = {key: values for key, values in contents(lake).items() if key not in before}
    wanted |= {key: values for key, values in before.items() if key[0] == "levels"}
    assert len(contents(lake)) == len(before) + 3
    promote_everything(filled)
    assert list(lake.keeping.garbage()) == []  # all of it is young
    make_old(lake.project.folder.root, days=60)
    assert list(lake.keeping.garbage(timedelta(days=400))) == []

    shown = filled.copal("gc", "--json").objects
    recipes = [each for each in shown if each["kind"] == "recipe"]
    assert sorted(each["place"].split("/")[1] for each in recipes) == ["alike", "cuts", "spans"]
    assert not any(each["removed"] for each in shown)
    assert len(contents(filled.lake())) == len(before) + 3

    said = filled.copal("gc", "--yes").out
    assert "superseded; " in said
    assert contents(filled.lake()) == wanted
    assert filled.copal("gc").out == "Nothing to remove.\n"
    assert filled.copal("verify", "--files", "full").out.endswith("all sound.\n")
    assert filled.run()["already_stored"] == sum(map(len, wanted.values()))


def promote_everything(repository: Repository) -> None:
    """Release today's recipes, so that nobody reads the older ones."""
    project = repository.lake().project
    releases = Releases(project.folder)
    moves = releases.history()
    today = [Released(r.feature, r.id, r.version) for r in project.recipes().values()]
    assert releases.move(today, seen=len(moves), kind="promote", by="test")
    # As if it were long ago: what was released until lately stays.
    table = releases._table()
    dataset = lance.dataset(table.uri)
    rows = dataset.to_table()
    then = pa.array([rows["at"][0].as_py() - timedelta(days=90)] * rows.num_rows, rows["at"].type)
    dataset.merge_insert("number").when_matched_update_all().execute(
        rows.set_column(rows.schema.get_field_index("at"), rows.schema.field("at"), then)
    )


def test_gc_leaves_what_a_snapshot_names(filled: Repository) -> None:
    """
    An old recipe stays as long as a snapshot names it, with everything it was made from.
    """
    lake = filled.lake()
    before = contents(lake)
    lake.keeping.snapshot("june")
    filled.edit("jump: 9.0", "jump: 3.0")
    filled.run()
    promote_everything(filled)
    make_old(lake.project.folder.root)
    lake = filled.lake()
    assert "recipe" not in {g.kind for g in lake.keeping.garbage()}
    filled.copal("snapshot", "delete", "june")
    make_old(lake.project.folder.root)
    assert {g.place.split("/")[1] for g in lake.keeping.garbage() if g.kind == "recipe"} == {
        "cuts", "spans", "alike",
    }  # fmt: skip
    assert {key: v for key, v in contents(lake).items() if key in before} == before


def test_an_interrupted_gc_is_finished_by_the_next(
    filled: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Stopped after its first step, gc leaves a recipe that nobody sees, and finds it again.
    """
    lake = filled.lake()
    filled.edit("jump: 9.0", "jump: 3.0")
    filled.run()
    promote_everything(filled)
    make_old(lake.project.folder.root)
    lake = filled.lake()
    (old,) = [g for g in lake.keeping.garbage() if g.kind == "recipe" and "/cuts/" in g.place]
    with monkeypatch.context() as patch:
        patch.setattr("copal.store.folder.shutil.rmtree", lambda path: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            lake.keeping.remove(old)
    assert len(lake.project.store.recipes("cuts")) == 1
    assert any(old.place == fault.place for fault in lake.keeping.verify().faults())
    (rest,) = [g for g in lake.keeping.garbage() if g.place == old.place]
    assert rest.kind == "rest"
    assert lake.keeping.remove(rest)
    assert not (lake.project.folder.root / old.place).exists()


def test_gc_takes_files_that_no_value_names(filled: Repository) -> None:
    """
    A file that lies there for long and belongs to nothing goes; one that is written again
    meanwhile stays, and so do all files of values.
    """
    lake = filled.lake()
    leave_a_file(lake)
    files = place(lake, "levels") / "files"
    before = len(list(files.iterdir()))
    make_old(files)
    (found,) = [g for g in lake.keeping.garbage() if g.kind == "files"]
    assert found.bytes == len(b"nobody's")
    (files / ("0" * 32)).touch()
    lake.keeping.remove(found)
    assert len(list(files.iterdir())) == before
    make_old(files)
    lake.keeping.remove(found)
    assert len(list(files.iterdir())) == before - 1
    assert faults(lake, "full") == []


@pytest.mark.parametrize("verb", ["garbage", "compact"])
def test_the_young_are_left_alone(filled: Repository, verb: str) -> None:
    """
    Nothing of the last hour is taken away, whatever is asked for.
    """
    with pytest.raises(RequestError, match=r"(within|of) the last hour"):
        list(getattr(filled.lake().keeping, verb)(timedelta(minutes=5)))


def test_compact_passes_over_what_is_removed_meanwhile(
    filled: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A table that 'gc' takes away while it is compacted is left out, and all others are done.
    """
    table = filled.lake().project.table("levels")
    place = f"{table.place}/values.lance"
    pieces = upkeep.pieces

    def removing(dataset: Any) -> upkeep.Pieces:
        found = pieces(dataset)
        if str(dataset.uri).endswith(place):
            shutil.rmtree(filled.root / ".copal" / place)
        return found

    monkeypatch.setattr(upkeep, "pieces", removing)
    told = [each.table for each in filled.lake().keeping.compact()]
    assert place not in told
    assert f"{table.place}/attempts.lance" in told


def test_compact_puts_pieces_together_and_lets_old_versions_go(
    filled: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Many small pieces become one and deleted rows go; versions go once they are old and nobody
    named them; what is read stays the same, and a table of few pieces is left as it is.
    """
    lake = filled.lake()
    before = contents(lake)
    table = lake.project.table("levels")
    place = f"{table.place}/values.lance"
    rows = lance.dataset(table.values_uri()).to_table()
    for number in range(12):
        unit = pa.array([f"extra{number}"], pa.string())
        again = rows.slice(0, 1).set_column(0, rows.schema.field(0), unit)
        lance.write_dataset(again, table.values_uri(), mode="append")
    june = lake.keeping.snapshot("june")

    said = {each.table: each for each in lake.keeping.compact()}
    assert said[place].before.pieces > 8
    assert said[place].after.pieces == 1
    assert said[place].freed_bytes == 0  # every version is young
    spans = said[f"{lake.project.table('spans').place}/values.lance"]
    assert spans.before == spans.after

    table.values.delete("unit LIKE 'extra%'")
    monkeypatch.setattr("copal.store.upkeep.SHORTEST", timedelta(0))
    said = {each.table: each for each in lake.keeping.compact(timedelta(0))}
    assert (said[place].before.deleted, said[place].after.deleted) == (12, 0)
    assert said[place].versions_after == 2  # the newest, and June's
    assert said[place].freed_bytes > 0
    assert contents(lake) == before
    pinned = Snapshots(lake.project.store).load("june").table(lake.project.store, "levels")
    assert len(pinned.index().units) == len(rows) + 12
    assert june.features["levels"].version == pinned.version


def test_snapshot_verbs(filled: Repository) -> None:
    """
    Made, listed, deleted; each with its words and as JSON.
    """
    assert "No snapshots." in filled.copal("snapshot", "list").out
    assert filled.copal("snapshot", "create", "june").out.startswith("'june' names 4 features")
    assert "already" in filled.copal("snapshot", "create", "june", code=2).err
    (listed,) = filled.copal("snapshot", "list", "--json").objects
    assert listed["snapshot"] == "june"
    assert set(listed["features"]) == {"levels", "cuts", "spans", "alike"}
    filled.copal("snapshot", "delete", "june")
    assert "no snapshot 'june'" in filled.copal("snapshot", "delete", "june", code=2).err


def test_a_store_in_s3_is_kept_like_a_folder(
    tmp_path: Path, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    In S3, too: verify finds a file that is gone, compact makes one piece, and gc takes a recipe
    that nobody wants with all its objects, and a file of no value.
    """
    store = LanceStore(open_folder(s3["COPAL_STORE"], tmp_path))
    old, new = (Recipe(FeatureName("f"), version, {}, {}, {}, {}) for version in (1, 2))
    path = tmp_path / "data.bin"
    units = [AssetId(f"{number:032x}") for number in range(10)]
    Catalog(store.folder).keep(
        [Asset(unit, "video", TitleId("t"), "x.mp4") for unit in units], [Title(TitleId("t"), "T")]
    )
    for unit in units:
        path.write_bytes(unit.encode())
        value = new_value(
            UnitId(unit), pa.table({"n": [1]}), {"data.bin": LocalFile(path)},
            inputs_digest=fingerprint("inputs"), run_id="run",
        )  # fmt: skip
        store.table(old).publish([value])
        store.table(new).publish([value])
    store.folder.put(f"{store.table(new).place}/files/{'0' * 32}", b"nobody's")
    now = datetime.now(UTC) + timedelta(seconds=5)

    said = {each.table: each for each in tidy(store.folder)}
    mine = said[f"{store.table(new).place}/values.lance"]
    assert (mine.before.pieces, mine.after.pieces) == (10, 1)
    found = {g.kind: g for g in find_garbage(store, {FeatureName("f"): [new.id]}, now)}
    assert set(found) == {"recipe", "files"}
    assert not throw_away(store, found["recipe"], now - timedelta(minutes=5))
    for each in found.values():
        assert throw_away(store, each, now)
    assert store.folder.names("features/f") == [f"v2-{new.id[:16]}"]
    assert list(Inspection(store, now, "full").faults()) == []

    (lost,) = store.table(new).read(units[:1]).values()
    name = f"{store.table(new).place}/files/{lost.file_digests['data.bin']}"
    store.folder.remove([name])
    assert [fault.place for fault in Inspection(store, now).faults()] == [name]
