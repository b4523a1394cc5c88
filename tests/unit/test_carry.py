"""Carrying over inside a value: shots that stayed keep their rows, the others are computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from copal.asset import Asset
from copal.binding import Bound
from copal.errors import BrokenContract
from copal.feature import LocalFile, Output, Value
from copal.fingerprint import Digest, UnitId
from copal.graph import Ingredients, Recipe
from copal.plan import Cell, Reason
from copal.registry import FeatureName
from copal.run import Tally, Worker, compute_cells
from copal.store import MemoryStore
from copal.store.base import StoredValue, new_value
from copal.store.memory import MemoryTable
from tests.builders import asset_of, graph_of, recipes_of

GRAPH = graph_of("""
letters: {version: 1, compute: x:Letters, of: text}
shots: {version: 1, compute: x:Shots, needs: {letters: letters}}
looks: {version: 1, compute: x:Looks, needs: {letters: letters, shots: shots}}
stills: {version: 1, compute: x:Stills, needs: {letters: letters, shots: shots}}
""")
FILM = "abcdefghij"
DETECTORS = {
    "old": [(0, 2), (2, 5), (5, 8), (8, 10)],
    "new": [(0, 2), (2, 3), (3, 5), (5, 8), (8, 10)],  # one more cut, in the second shot
    "third": [(0, 2), (2, 3), (3, 5), (5, 10)],
    "none": [(0, 10)],
    "empty": [],
}


@dataclass(frozen=True)
class Letters:
    """What is seen in each frame of a film: its letters."""

    columns: ClassVar[pa.Schema] = pa.schema([("seen", pa.string())])

    def compute(self, source: str) -> pa.Table:
        return pa.table({"seen": [source]}, schema=self.columns)


@dataclass(frozen=True)
class Shots:
    """The shots that a detector finds, and a remark that nobody reads."""

    detector: str = "old"
    remark: str = ""

    columns: ClassVar[pa.Schema] = pa.schema(
        [("shot_index", pa.int32()), ("start", pa.int32()), ("end", pa.int32()),
         ("remark", pa.string())]
    )  # fmt: skip

    def compute(self, letters: pa.Table) -> pa.Table:
        rows = enumerate(DETECTORS[self.detector])
        return pa.Table.from_pylist(
            [{"shot_index": i, "start": a, "end": b, "remark": self.remark} for i, (a, b) in rows],
            self.columns,
        )


@dataclass(frozen=True)
class Looks:
    """Two rows for each shot; remembers which shots it was asked for."""

    asked: list[list[int]] = field(default_factory=list)

    columns: ClassVar[pa.Schema] = pa.schema([("seen", pa.string()), ("shot_index", pa.int32())])
    per_shot: ClassVar[tuple[str, ...]] = ("start", "end")

    def compute(self, letters: pa.Table, shots: pa.Table) -> pa.Table:
        assert shots.column_names == ["shot_index", "start", "end"]
        self.asked.append(shots["shot_index"].to_pylist())
        film = letters["seen"][0].as_py()
        rows = [
            {"shot_index": s["shot_index"], "seen": seen}
            for s in shots.to_pylist()
            for seen in (film[s["start"] : s["end"]], film[s["start"]])
        ]
        return pa.Table.from_pylist(rows, self.columns)


@dataclass(frozen=True)
class Stills:
    """The letters of each shot in a file, and where they are in it."""

    columns: ClassVar[pa.Schema] = pa.schema([("shot_index", pa.int32()), ("at", pa.int32())])
    per_shot: ClassVar[tuple[str, ...]] = ("start", "end")

    def compute(self, letters: pa.Table, shots: pa.Table, workspace: Path) -> Output:
        film, text, rows = letters["seen"][0].as_py(), "", []
        for shot in shots.to_pylist():
            rows.append({"shot_index": shot["shot_index"], "at": len(text)})
            text += film[shot["start"] : shot["end"]] + "."
        (workspace / "pack").write_text(text)
        return Output(pa.Table.from_pylist(rows, self.columns), {"pack": workspace / "pack"})

    def join(self, pieces: Sequence[Value], workspace: Path) -> Output:
        text, rows = "", []
        for piece in pieces:
            pack = piece.files["pack"].path().read_text()
            for row in piece.rows.to_pylist():
                rows.append(row | {"at": len(text)})
                text += pack[row["at"] : pack.index(".", row["at"]) + 1]
        (workspace / "pack").write_text(text)
        return Output(pa.Table.from_pylist(rows, self.columns), {"pack": workspace / "pack"})


@dataclass
class House:
    """A worker over a store in memory, with one film."""

    store: MemoryStore
    looks: Looks = field(default_factory=Looks)
    assets: dict[str, Asset] = field(default_factory=lambda: {"a": asset_of("a", kind="text")})

    def recipes(self, detector: str, remark: str = "") -> dict[FeatureName, Recipe]:
        params = {"detector": detector, "remark": remark}
        return recipes_of(GRAPH, shots=Ingredients(params=params))

    def run(
        self, detector: str, remark: str = "", *, reason: Reason = Reason.INPUT,
        force: Sequence[str] = (),
    ) -> dict[str, Tally]:  # fmt: skip
        features: dict[str, Any] = {
            "letters": Letters(), "shots": Shots(detector, remark), "looks": self.looks,
            "stills": Stills(),
        }  # fmt: skip
        bound = {
            FeatureName(name): Bound(
                GRAPH.declaration(name), each, dict.fromkeys(
                    [n for n in each.compute.__annotations__ if n != "return"], pa.Table
                ),
            )
            for name, each in features.items()
        }  # fmt: skip
        worker = Worker(
            bound, self.recipes(detector, remark), self.store, self.assets, lambda _: FILM
        )
        return {
            name: compute_cells(
                worker, name,
                [Cell(UnitId("a"), Reason.FORCED if name in force else reason, name in force)],
                f"run-{detector}",
            )
            for name in bound
        }  # fmt: skip

    def table(self, feature: str, detector: str, remark: str = "") -> MemoryTable:
        return self.store.table(self.recipes(detector, remark)[FeatureName(feature)])

    def value(self, feature: str, detector: str, remark: str = "") -> StoredValue:
        return self.table(feature, detector, remark).read(["a"])["a"]


@pytest.fixture
def house() -> Iterator[House]:
    store = MemoryStore()
    yield House(store)
    store.close()


@pytest.fixture
def cold() -> Iterator[House]:
    """A house in which nothing was ever computed."""
    store = MemoryStore()
    yield House(store)
    store.close()


def same(one: House, other: House, detector: str, remark: str = "") -> bool:
    """Whether two houses hold the same values under the same recipes."""
    return all(
        one.value(name, detector, remark).value_digest
        == other.value(name, detector, remark).value_digest
        for name in ("shots", "looks", "stills")
    )


def test_only_shots_that_moved_are_computed(house: House, cold: House) -> None:
    """
    A new cut makes two shots of one: these two are computed, the other rows are taken over under
    their new numbers, and rows and files are those of a run in which nothing could be taken over.
    """
    house.run("old")
    tallies = house.run("new")
    assert house.looks.asked == [[0, 1, 2, 3], [1, 2]]
    assert tallies["looks"].outcomes == tallies["stills"].outcomes == {"stored": 1}
    assert tallies["looks"].shots == tallies["stills"].shots == {"computed": 2, "carried": 3}
    assert tallies["shots"].shots == {}
    cold.run("new")
    assert same(house, cold, "new")
    rows = house.value("looks", "new").rows.to_pylist()
    assert [row["shot_index"] for row in rows] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert [row["seen"] for row in rows[::2]] == ["ab", "c", "de", "fgh", "ij"]
    assert house.value("stills", "new").files["pack"].path().read_text() == "ab.c.de.fgh.ij."
    assert house.value("looks", "new").carried_from is None


def test_shots_come_from_any_older_recipe(house: House, cold: House) -> None:
    """
    What the newest older value does not have is looked for in those before it.
    """
    house.run("old")
    house.run("none")
    house.looks.asked.clear()
    house.run("third")
    assert house.looks.asked == [[1, 2, 3]]
    house.run("new")
    assert house.looks.asked == [[1, 2, 3]]  # two shots from 'third', three from 'old'
    cold.run("new")
    assert same(house, cold, "new")


def test_the_attempt_tells_how_many_shots_were_computed(house: House) -> None:
    """
    Shots that the value covers, and those of them that were computed; of a feature that is not
    per shot neither.
    """
    house.run("old")
    house.run("new")
    told = [
        [(each.outcome, each.shots, each.shots_computed) for each in table.attempts()]
        for table in (
            house.table("looks", "old"), house.table("looks", "new"), house.table("shots", "new"),
        )
    ]  # fmt: skip
    assert told == [[("stored", 4, 4)], [("stored", 5, 2)], [("stored", None, None)]]


def test_what_a_feature_does_not_read_of_a_shot_moves_nothing(house: House, cold: House) -> None:
    """
    When other columns of the shots changed nothing is computed: the value counts as carried over,
    with the inputs of today.
    """
    house.run("old")
    tallies = house.run("old", "seen twice")
    assert house.looks.asked == [[0, 1, 2, 3]]
    assert tallies["looks"].outcomes == {"carried": 1}
    assert tallies["looks"].shots == {"computed": 0, "carried": 4}
    value = house.value("looks", "old", "seen twice")
    assert value.carried_from == house.recipes("old")[FeatureName("looks")].id
    cold.run("old", "seen twice")
    assert same(house, cold, "old", "seen twice")
    assert value.inputs_digest == cold.value("looks", "old", "seen twice").inputs_digest


def test_a_whole_value_is_carried_before_its_shots_are_looked_at(house: House) -> None:
    """
    With equal inputs nothing is put together; its shots count as carried over.
    """
    house.run("old")
    DETECTORS["same"] = DETECTORS["old"]
    try:
        tallies = house.run("same")
    finally:
        del DETECTORS["same"]
    assert tallies["looks"].outcomes == {"carried": 1}
    assert tallies["looks"].shots == {"carried": 4, "computed": 0}
    assert house.looks.asked == [[0, 1, 2, 3]]


def test_a_whole_value_that_is_damaged_is_computed_again(house: House, cold: House) -> None:
    """
    With equal inputs, but a file of the older value lost, the cell is computed and no other fails.
    """
    house.run("old")
    house.value("stills", "old").files["pack"].path().unlink()
    DETECTORS["same"] = DETECTORS["old"]
    try:
        tallies = house.run("same")
        cold.run("same")
    finally:
        del DETECTORS["same"]
    assert tallies["looks"].outcomes == {"carried": 1}
    assert tallies["stills"].outcomes == {"stored": 1}
    assert same(house, cold, "same")


def test_another_picture_is_computed_again(house: House) -> None:
    """
    Where another need has another value no shot is taken over, however it lies.
    """
    house.run("old")
    letters = Letters().compute(FILM.upper())
    forced = new_value(UnitId("a"), letters, {}, inputs_digest=Digest("i"), run_id="forced")
    house.table("letters", "old").publish([forced], replace=True)
    house.run("new")
    assert house.looks.asked == [[0, 1, 2, 3], [0, 1, 2, 3, 4]]


def forced_shots(detector: str, house: House) -> StoredValue:
    """The value of shots that another detector finds, with digests of its own."""
    rows = Shots(detector).compute(pa.table({"seen": [FILM]}))
    old = house.value("shots", "old")
    return new_value(UnitId("a"), rows, {}, inputs_digest=old.inputs_digest, run_id="forced")


def test_shots_replaced_since_are_not_believed(house: House) -> None:
    """
    When somebody forced other shots under the older recipe, its rows are nobody's any more.
    """
    house.run("old")
    house.table("shots", "old").publish([forced_shots("third", house)], replace=True)
    house.run("new")
    assert house.looks.asked == [[0, 1, 2, 3], [0, 1, 2, 3, 4]]


def test_a_forced_cell_takes_nothing_over(house: House) -> None:
    """
    Who forces a feature distrusts what is stored.
    """
    house.run("old")
    house.run("new", force=["looks"])
    assert house.looks.asked == [[0, 1, 2, 3], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize("damage", ["rows", "file", "lost file"])
def test_what_is_damaged_is_not_taken_over(house: House, cold: House, damage: str) -> None:
    """
    An older value whose rows or files are not those it was published with is left aside: damage
    must not become part of a new value, with a digest that fits.
    """
    house.run("old")
    cold.run("new")
    feature = "looks" if damage == "rows" else "stills"
    table = house.table(feature, "old")
    value = table.values["a"]
    if damage == "rows":
        first = value.rows.slice(0, 1).set_column(0, "seen", pa.array(["xx"]))
        table.values["a"] = replace(value, rows=pa.concat_tables([first, value.rows.slice(1)]))
    else:
        path = value.files["pack"].path()
        path.chmod(0o644)
        path.unlink() if damage == "lost file" else path.write_text("xx.cde.fgh.ij.")
        table.values["a"] = replace(value, files={"pack": LocalFile(path)})
    tallies = house.run("new")
    assert tallies[feature].shots == {"computed": 5, "carried": 0}
    assert same(house, cold, "new")


@pytest.mark.parametrize("detector", ["none", "empty"])
def test_nothing_in_common_is_a_plain_computation(house: House, cold: House, detector: str) -> None:
    """
    Without a shot that stayed, or without any shots, 'compute' is called as ever.
    """
    house.run("old")
    tallies = house.run(detector)
    assert tallies["looks"].outcomes == {"stored" if detector == "none" else "empty": 1}
    assert house.looks.asked[1:] == [[0] if detector == "none" else []]
    cold.run(detector)
    assert same(house, cold, detector)


def test_rows_of_a_shot_that_was_not_asked_for_are_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A per-shot feature numbers its rows as its shots are numbered, not from 0.
    """
    house.run("old")
    whole = Looks.compute

    def from_zero(self: Looks, letters: pa.Table, shots: pa.Table) -> pa.Table:
        numbers = pa.array(range(len(shots)), pa.int32())
        return whole(self, letters, shots.set_column(0, "shot_index", numbers))

    monkeypatch.setattr(Looks, "compute", from_zero)
    tallies = house.run("new")
    assert tallies["looks"].outcomes == {"failed": 1}
    assert tallies["looks"].errors["a"] == (
        "'looks' is per shot, and asked for 2 shots it gave rows of shot 0. "
        "It must number its rows as 'shots' does."
    )


def test_shots_without_the_columns_a_feature_goes_by() -> None:
    """
    The error names the column, whose it should be, and what there is.
    """
    bare = Bound(GRAPH.declaration("looks"), Looks(), {"shots": pa.Table})
    with pytest.raises(BrokenContract) as error:
        bare.hand_over("shots", Value(pa.table({"shot_index": [0], "begin": [0]})))
    assert str(error.value) == (
        "'looks' goes by the column 'start' of its shots, which 'shots' does not have (it has "
        "shot_index, begin). Change 'per_shot' of x:Looks."
    )
