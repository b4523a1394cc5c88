"""The contract of stores, over every store; and what only the lasting one promises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from copal import __version__
from copal.errors import NewerStore, StoreError, StoreUnavailable
from copal.project import Project
from copal.store import LanceStore, MemoryStore, Store
from copal.store.folder import LocalFolder
from copal.store.lance_store import STORE_FORMAT, local_store
from tests.builders import recipe_of, value_of
from tests.contracts import STORE_CONTRACT, StoreClause, rows_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["memory", "lance"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "lance":
        yield local_store(tmp_path / "store")
    else:
        memory = MemoryStore()
        yield memory
        memory.close()


@pytest.mark.parametrize("clause", STORE_CONTRACT, ids=lambda clause: clause.__name__)
def test_store_keeps_its_contract(store: Store, clause: StoreClause, tmp_path: Path) -> None:
    """
    Every store does what its contract says, clause by clause.
    """
    folder = tmp_path / "files"
    folder.mkdir()
    clause(store, folder)


def test_every_features_columns_can_be_stored(store: Store) -> None:
    """
    Whatever a feature of the registry declares as its columns, a value of them reads back.
    """
    project = Project(ROOT, store="unused")
    for name in project.graph.targets():
        columns = project.bound(name).columns
        table = store.table(recipe_of(name))
        table.publish([value_of("a", columns.empty_table())])
        assert table.read(["a"])["a"].rows.schema.equals(columns)


def test_a_lance_store_is_there_for_the_next_process(tmp_path: Path) -> None:
    """
    What one store wrote, another on the same folder reads, values, attempts and recipes.
    """
    recipe = recipe_of(params={"k": 1})
    local_store(tmp_path).table(recipe).publish([value_of("a", rows_of("one"))])
    again = local_store(tmp_path)
    assert again.recipes("shots") == [recipe]
    assert again.table(recipe).read(["a"])["a"].rows["word"].to_pylist() == ["one"]


def test_the_layout_is_as_designed(tmp_path: Path) -> None:
    """
    People find their way by hand: a folder for each recipe, with its parts in recipe.json.
    """
    recipe = recipe_of(version=3)
    store = local_store(tmp_path)
    store.introduce()
    store.table(recipe).publish([value_of("a", rows_of("one"))])
    folder = tmp_path / "features" / "shots" / f"v3-{recipe.id[:16]}"
    assert {path.name for path in folder.iterdir()} == {"recipe.json", "values.lance"}
    assert json.loads((folder / "recipe.json").read_text())["version"] == 3
    mark = {"format": STORE_FORMAT, "copal": __version__}
    assert json.loads((tmp_path / "store.json").read_text()) == mark


def test_a_newer_store_is_refused(tmp_path: Path, snapshot) -> None:
    """
    A store that a later Copal wrote is not read half-way; a damaged mark is told as such.
    """
    mark = tmp_path / "store.json"
    told = []
    for text, kind in (
        ('{"format": 99, "copal": "7.0.0"}', NewerStore),
        ("{}", StoreError),
        ("not json", StoreError),
    ):
        mark.write_text(text)
        with pytest.raises(kind) as caught:
            LanceStore(LocalFolder(tmp_path))
        told.append(str(caught.value).replace(str(tmp_path), "STORE").replace(__version__, "X"))
    snapshot("store_marks", "\n".join(told))


def test_nothing_is_half_written_when_a_file_cannot_be_copied(tmp_path, monkeypatch) -> None:
    """
    A disk that is full while a file is copied is StoreUnavailable, and no part of it is left.
    """
    source = tmp_path / "source"
    source.write_bytes(b"data")

    def full(_from: Path, to: Path) -> None:
        Path(to).write_bytes(b"da")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    folder = LocalFolder(tmp_path / "store")
    with pytest.raises(StoreUnavailable, match="Nothing of this value was published"):
        folder.put_file("files/d1", source)
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []
