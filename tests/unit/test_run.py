"""Computing: one cell at a time, each with its own luck."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from copal.asset import Asset, Essence
from copal.binding import Bound
from copal.errors import (
    BrokenContract,
    ComputeFailed,
    MissingValue,
    StoreUnavailable,
    UnsupportedMedia,
    WriteConflict,
)
from copal.feature import Output, Pair, Value
from copal.fingerprint import pair_unit
from copal.graph import Graph, Ingredients
from copal.plan import Cell, Reason
from copal.run import Tally, Worker, check_rows, compute_cells, inputs
from copal.run import chunk as run
from copal.store import MemoryStore
from copal.store.memory import MemoryTable
from tests.builders import asset_of, graph_of, recipes_of

ROWS = pa.schema([("word", pa.string())])
COUNTS = pa.schema([("count", pa.int32())])


@dataclass(frozen=True)
class Words:
    """The words of a script: what the test's ``source`` is."""

    columns: ClassVar[pa.Schema] = ROWS

    def compute(self, source: str) -> pa.Table:
        return pa.table({"word": source.split()}, schema=ROWS)


@dataclass(frozen=True)
class Counts:
    """How many words there are; no rows for none."""

    columns: ClassVar[pa.Schema] = COUNTS

    def compute(self, words: pa.Table) -> pa.Table:
        return pa.table({"count": [words.num_rows] if words.num_rows else []}, schema=COUNTS)


@dataclass(frozen=True)
class Shared:
    """How many words two scripts share."""

    columns: ClassVar[pa.Schema] = COUNTS

    def compute(self, words: Pair[pa.Table]) -> pa.Table:
        left, right = (set(side["word"].to_pylist()) for side in (words.left, words.right))
        return pa.table({"count": [len(left & right) if not words.itself else -1]}, schema=COUNTS)


GRAPH = graph_of("""
words: {version: 1, compute: x:Words, of: text}
counts: {version: 1, compute: x:Counts, needs: {words: words}}
shared: {version: 1, compute: x:Shared, unit: pair, needs: {words: words}}
""")
SCRIPTS = {"a": "one two", "b": "two three four", "c": ""}


@dataclass
class House:
    """A worker over a store in memory, with scripts for media."""

    store: MemoryStore
    scripts: dict[str, str] = field(default_factory=lambda: dict(SCRIPTS))
    features: dict[str, Any] = field(
        default_factory=lambda: {"words": Words(), "counts": Counts(), "shared": Shared()}
    )
    graph: Graph = GRAPH
    assets: dict[str, Asset] = field(
        default_factory=lambda: {name: asset_of(name, kind="text") for name in SCRIPTS}
    )
    opened: list[str] = field(default_factory=list)

    def worker(self, **ingredients: Ingredients) -> Worker:
        def open_source(asset: Asset) -> str:
            self.opened.append(asset.id)
            return self.scripts[asset.id]

        bound = {}
        for name, instance in self.features.items():
            hints = instance.compute.__annotations__
            arguments = {
                argument: {
                    "Pair[pa.Table]": Pair[pa.Table],
                    "Pair[Value]": Pair[Value],
                }.get(hint, pa.Table)
                for argument, hint in hints.items()
                if argument != "return"
            }
            bound[name] = Bound(self.graph.declaration(name), instance, arguments)
        return Worker(
            bound=bound,
            recipes=recipes_of(self.graph, **ingredients),
            store=self.store,
            assets=self.assets,
            open_source=open_source,
        )

    def compute(
        self, feature: str, *units: str, run_id: str = "run-1", reason: Reason = Reason.NEW_ASSET,
        force: bool = False, **ingredients: Ingredients,
    ) -> Tally:  # fmt: skip
        cells = [Cell(unit, reason, replace=force) for unit in units or tuple(self.assets)]
        return compute_cells(self.worker(**ingredients), feature, cells, run_id)

    def table(self, feature: str, **ingredients: Ingredients) -> MemoryTable:
        return self.store.table(recipes_of(self.graph, **ingredients)[feature])

    def rows(self, feature: str, **ingredients: Ingredients) -> Mapping[str, list[Any]]:
        table = self.table(feature, **ingredients)
        found = table.read(sorted(table.index().units))
        return {unit: value.rows[0].to_pylist() for unit, value in found.items()}


@pytest.fixture
def house() -> Iterator[House]:
    store = MemoryStore()
    yield House(store)
    store.close()


# What is computed


def test_cells_are_computed_from_media_needs_and_pairs(house):
    """
    A feature gets its source, a need's rows, or a need of both assets; an asset with itself is one.
    """
    assert house.compute("words").outcomes == {"stored": 2, "empty": 1}
    assert house.compute("counts").outcomes == {"stored": 2, "empty": 1}
    assert house.compute("shared", "a+a", "a+b", "a+c").outcomes == {"stored": 3}
    assert house.rows("words") == {"a": ["one", "two"], "b": ["two", "three", "four"], "c": []}
    assert house.rows("counts") == {"a": [2], "b": [3], "c": []}
    assert house.rows("shared") == {"a+a": [-1], "a+b": [1], "a+c": [0]}


@dataclass(frozen=True)
class Itself:
    """Whether a pair is of one asset with itself."""

    columns: ClassVar[pa.Schema] = COUNTS

    def compute(self, words: Pair[Value]) -> pa.Table:
        return pa.table({"count": [int(words.itself)]}, schema=COUNTS)


def test_an_asset_with_itself_is_one_object(house):
    """
    A pair feature can tell that both sides are one asset, however its needs are handed over.
    """
    house.compute("words")
    house.features["shared"] = Itself()
    house.compute("shared", "a+a", "a+b", "c+c")
    assert house.rows("shared") == {"a+a": [1], "a+b": [0], "c+c": [1]}


def test_no_rows_are_a_value(house):
    """
    A computation that found nothing is stored as empty, and is not missing.
    """
    house.compute("words")
    assert house.table("words").index().empty == {"c"}
    assert house.table("words").index().units == {"a", "b", "c"}


def test_one_bad_unit_never_stops_another(house):
    """
    An error of one cell stays its own: all others are computed, before it and after it.
    """
    house.scripts["b"] = None  # type: ignore[assignment]  # None has no words
    tally = house.compute("words")
    assert tally.outcomes == {"stored": 1, "empty": 1, "failed": 1}
    assert set(house.rows("words")) == {"a", "c"}
    assert set(tally.errors) == {"b"}


def test_a_features_own_exception_is_told_in_the_attempt(house):
    """
    The words of the exception survive, with its class, and it is not tried again by itself.
    """
    house.scripts["b"] = None  # type: ignore[assignment]
    house.compute("words")
    (attempt,) = house.table("words").attempts(["failed"])
    assert attempt.unit == "b"
    assert (
        attempt.error == "'words' on b: AttributeError: 'NoneType' object has no attribute 'split'"
    )
    assert (attempt.error_class, attempt.retryable, attempt.run_id) == (
        "AttributeError", False, "run-1",
    )  # fmt: skip


@dataclass(frozen=True)
class Raising:
    """Raises what it is made with."""

    error: Exception
    columns: ClassVar[pa.Schema] = ROWS

    def compute(self, source: str) -> pa.Table:
        raise self.error


def test_a_features_own_exception_is_wrapped_once(house, monkeypatch):
    """
    It becomes a ComputeFailed whose cause it is; nothing wraps that again.
    """
    seen: list[Any] = []
    inner = run._Chunk.failed

    def failed(self: Any, cell: Cell, error: Exception, *rest: float) -> None:
        seen.append(error)
        inner(self, cell, error, *rest)

    monkeypatch.setattr(run._Chunk, "failed", failed)
    house.features["words"] = Raising(own := KeyError("gone"))
    house.compute("words", "a")
    (error,) = seen
    assert type(error) is ComputeFailed
    assert error.__cause__ is own


@pytest.mark.parametrize(
    "error",
    [
        UnsupportedMedia("a.srt: no pictures."),
        MissingValue("'words' has no value for a any more."),
        WriteConflict("values: other writers kept winning."),
        StoreUnavailable("values: no space left."),
    ],
)
def test_a_copal_error_passes_untouched(house, error):
    """
    Our own errors keep their words, their class, and whether they may pass.
    """
    house.features["words"] = Raising(error)
    assert house.compute("words", "a").errors == {"a": str(error)}
    (attempt,) = house.table("words").attempts(["failed"])
    assert (attempt.error, attempt.error_class, attempt.retryable) == (
        str(error), type(error).__name__, error.retryable,
    )  # fmt: skip


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_a_stop_stops(house, error):
    """
    Whoever stops the process is not an error of the cell.
    """
    house.features["words"] = Raising(error)
    with pytest.raises(type(error)):
        house.compute("words", "a")
    assert house.table("words").attempts() == []


def test_a_cell_whose_need_is_missing_is_blocked(house):
    """
    Without a need's value the cell is not tried, and no attempt is held against it.
    """
    house.compute("words", "a")
    tally = house.compute("counts", "a", "b")
    assert tally.outcomes == {"stored": 1, "blocked": 1}
    assert [attempt.unit for attempt in house.table("counts").attempts()] == ["a"]
    assert house.compute("shared", "a+b").outcomes == {"blocked": 1}


# What is not computed


def test_what_is_stored_is_kept(house):
    """
    When another run was quicker, its value stays and compute is not called.
    """
    house.compute("words", "a")
    house.opened.clear()
    assert house.compute("words", "a", "b", run_id="run-2").outcomes == {"kept": 1, "stored": 1}
    assert house.opened == ["b"]
    assert house.table("words").read(["a"])["a"].run_id == "run-1"


def test_forcing_computes_again(house):
    """
    A forced cell is computed although it is stored, and its new value replaces the old one.
    """
    house.compute("words")
    house.scripts["a"] = "other"
    tally = house.compute("words", "a", run_id="run-2", reason=Reason.FORCED, force=True)
    assert tally.outcomes == {"stored": 1}
    assert house.rows("words")["a"] == ["other"]
    assert house.table("words").read(["a"])["a"].run_id == "run-2"


def test_what_follows_a_forced_feature_is_computed_only_where_it_differs(house):
    """
    If the forced value came out as before, its followers are kept; otherwise they are computed.
    """
    house.compute("words")
    house.compute("counts")
    house.scripts["a"] = "now three words"
    house.compute("words", "a", "b", reason=Reason.FORCED, force=True)
    tally = house.compute("counts", "a", "b", reason=Reason.INPUT, force=True)
    assert tally.outcomes == {"stored": 1, "kept": 1}
    assert house.rows("counts") == {"a": [3], "b": [3], "c": []}


def test_equal_inputs_under_an_older_recipe_are_carried_over(house):
    """
    A new version of a need that gives the same rows costs nothing downstream.
    """
    house.compute("words")
    house.compute("counts")
    old = recipes_of(GRAPH)["counts"].id
    new = {"words": Ingredients(tools={"speller": "2"})}
    house.scripts["b"] = "two three"
    house.compute("words", **new)
    tally = house.compute("counts", run_id="run-2", **new)
    assert tally.outcomes == {"carried": 2, "stored": 1}
    assert house.rows("counts", **new) == {"a": [2], "b": [2], "c": []}
    found = house.table("counts", **new).read(["a", "b"])
    assert (found["a"].carried_from, found["a"].run_id) == (old, "run-2")
    assert found["b"].carried_from is None


def test_a_value_carried_twice_names_its_first_recipe(house):
    """
    ``carried_from`` is where the value was computed, not the last place it lay.
    """
    first = recipes_of(GRAPH)["counts"].id
    for number in ("1", "2", "3"):
        new = {"words": Ingredients(tools={"speller": number})} if number != "1" else {}
        house.compute("words", **new)
        house.compute("counts", **new)
    last = {"words": Ingredients(tools={"speller": "3"})}
    assert house.table("counts", **last).read(["a"])["a"].carried_from == first


def test_an_own_change_is_never_carried_over(house):
    """
    A raised version, other params or tools of the feature itself mean computing, not carrying.
    """
    house.compute("words")
    house.compute("counts")
    new = {"counts": Ingredients(params={"k": 1})}
    assert house.compute("counts", **new).outcomes == {"stored": 2, "empty": 1}


def test_the_essence_is_an_input(house):
    """
    Another essence under the same unit is another input; streams that are not read are none.
    """
    house.compute("words", "a")
    inputs = house.table("words").read(["a"])["a"].inputs_digest
    redubbed = replace(
        house.assets["a"], essences=(Essence("text", "ess1:a"), Essence("audio", "ess1:other"))
    )

    def digest(instance: Any, asset: Asset) -> str:
        house.features["words"] = instance
        house.assets["a"] = asset
        house.compute("words", "a", reason=Reason.FORCED, force=True)
        return house.table("words").read(["a"])["a"].inputs_digest

    class TextOnly(Words):
        reads = ("text",)

    asset = house.assets["a"]
    assert digest(Words(), asset) == inputs
    assert digest(Words(), redubbed) != inputs
    assert digest(TextOnly(), redubbed) == digest(TextOnly(), asset)


# Many at once


@dataclass(frozen=True)
class Batched(Words):
    """Words of many scripts in one call; one of None spoils the call."""

    calls: list[int] = field(default_factory=list)
    lost: int = 0
    """How many tables are left out of every answer."""

    def compute_batch(self, units: list[dict[str, Any]]) -> list[pa.Table]:
        self.calls.append(len(units))
        tables = [self.compute(**each) for each in units]
        return tables[self.lost :]


def many(house: House, count: int) -> None:
    house.assets = {f"{n:04d}": asset_of(f"{n:04d}", kind="text") for n in range(count)}
    house.scripts = {name: f"the {name}" for name in house.assets}


@dataclass(frozen=True)
class BatchedShared(Shared):
    """Shared words of many pairs in one call."""

    def compute_batch(self, units: list[dict[str, Any]]) -> list[pa.Table]:
        sides = {id(side) for each in units for side in (each["words"].left, each["words"].right)}
        assert len(sides) == 12, "each asset's rows are one object in all its pairs"
        return [self.compute(**each) for each in units]


def test_a_batch_larger_than_the_memory_is_read_once(house, monkeypatch):
    """
    What a batch of pairs needs is read in one scan and kept until it is used, however much it is.
    """
    many(house, 12)
    house.compute("words")
    house.features["shared"] = BatchedShared()
    monkeypatch.setattr(inputs, "KEPT_VALUES", 4)
    table, reads = house.table("words"), []
    plain = type(table).read
    monkeypatch.setattr(
        type(table), "read", lambda self, units: reads.append(len(units)) or plain(self, units)
    )
    units = [pair_unit(a, b) for a in house.assets for b in house.assets if a <= b]
    assert house.compute("shared", *units).outcomes == {"stored": 78}
    digests_of_words, digests_of_pairs, values_of_words = 12, 78, 12
    assert reads == [digests_of_words, digests_of_pairs, values_of_words]


def test_a_batch_gives_what_one_by_one_gives(house):
    """
    A feature that takes many units at once is called once, and stores the same values.
    """
    many(house, 9)
    house.compute("words")
    expected = house.table("words").digests(sorted(house.assets))
    house.features["words"] = batched = Batched()
    new = {"words": Ingredients(tools={"t": "2"})}
    assert house.compute("words", **new).outcomes == {"stored": 9}
    assert batched.calls == [9]
    found = house.table("words", **new).digests(sorted(house.assets))
    assert {u: value for u, (_, value) in found.items()} == {
        u: value for u, (_, value) in expected.items()
    }


def test_a_bad_unit_of_a_batch_fails_alone(house):
    """
    When a call fails, halves are tried: the cells at fault fail, with their own words.
    """
    many(house, 9)
    house.scripts["0003"] = house.scripts["0008"] = None  # type: ignore[assignment]
    house.features["words"] = Batched()
    tally = house.compute("words")
    assert tally.outcomes == {"stored": 7, "failed": 2}
    assert set(tally.errors) == {"0003", "0008"}
    assert "AttributeError: 'NoneType'" in tally.errors["0003"]
    assert set(house.rows("words")) == set(house.assets) - {"0003", "0008"}


def test_a_batch_that_answers_too_little_breaks_its_contract(house):
    """
    Tables are matched to units by place, so one too few is refused.
    """
    house.features["words"] = Batched(lost=1)
    tally = house.compute("words", "a")
    assert tally.errors == {"a": "'words': compute_batch gave 0 tables for 1 units."}


def test_a_batch_leaves_out_what_is_stored(house):
    """
    Only cells that are missing are in the call.
    """
    house.compute("words", "a")
    house.features["words"] = batched = Batched()
    assert house.compute("words").outcomes == {"kept": 1, "stored": 1, "empty": 1}
    assert batched.calls == [2]


# Promises of rows


def broken(make: Callable[[], Any], columns: pa.Schema = ROWS) -> str:
    with pytest.raises(BrokenContract) as caught:
        check_rows(make(), columns, "'words' on 7f3a9c21")
    return str(caught.value)


def test_rows_are_as_promised_or_refused(snapshot):
    """
    Rows that are no table, of other columns, or with NaN are a BrokenContract that says which.
    """
    two = pa.schema([("a", pa.int32()), ("b", pa.float32())])
    nested = pa.schema([("s", pa.list_(pa.struct([("x", pa.float64())])))])
    vector = pa.schema([("v", pa.list_(pa.float32(), 2))])
    strict = pa.schema([pa.field("word", pa.string(), nullable=False)])
    told = {
        "a list": broken(lambda: ["one"]),
        "nothing": broken(lambda: None),
        "a batch": broken(lambda: pa.record_batch({"word": ["a"]})),
        "another type": broken(lambda: pa.table({"word": [1]})),
        "another name": broken(lambda: pa.table({"wort": ["a"]})),
        "a column too many": broken(lambda: pa.table({"word": ["a"], "n": [1]})),
        "another order": broken(
            lambda: pa.table({"b": pa.array([1.0], pa.float32()), "a": pa.array([1], pa.int32())}),
            two,
        ),
        "nulls may come": broken(lambda: pa.table({"word": ["a"]}), strict),
        "NaN": broken(lambda: pa.table({"a": [1], "b": [np.nan]}, schema=two), two),
        "infinity": broken(lambda: pa.table({"a": [1], "b": [np.inf]}, schema=two), two),
        "NaN in a vector": broken(lambda: pa.table({"v": [[1.0, np.nan]]}, schema=vector), vector),
        "NaN deep inside": broken(
            lambda: pa.table({"s": [[{"x": np.nan}]]}, schema=nested), nested
        ),
    }
    snapshot("broken_rows", "\n".join(f"{case}\n    {words}\n" for case, words in told.items()))


def test_good_rows_pass():
    """
    Nulls are not NaN, metadata is no column, and no rows are rows.
    """
    columns = pa.schema([("b", pa.float32()), ("v", pa.list_(pa.float32(), 2))])
    rows = pa.table({"b": [None, 1.0], "v": [None, [1.0, 0.0]]}, schema=columns)
    check_rows(rows, columns, "here")
    check_rows(rows.replace_schema_metadata({"a": "b"}), columns, "here")
    check_rows(columns.empty_table(), columns, "here")


def test_broken_rows_fail_the_cell(house):
    """
    A value that breaks its promise is not stored; the feature's author reads why.
    """

    @dataclass(frozen=True)
    class Wrong(Words):
        def compute(self, source: str) -> pa.Table:
            return pa.table({"word": [1]})

    house.features["words"] = Wrong()
    tally = house.compute("words", "a")
    expected = "'words' on a: column 'word' is int64, but the feature declares string."
    assert tally.errors == {"a": expected}
    assert house.table("words").index().units == frozenset()
    (attempt,) = house.table("words").attempts()
    assert attempt.error_class == "BrokenContract"


# Files and workspaces


@dataclass(frozen=True)
class Filing:
    """Writes its source to a file, and fails on an empty one after it wrote."""

    columns: ClassVar[pa.Schema] = ROWS

    def compute(self, source: str, workspace: Path) -> Output:
        path = workspace / "script.txt"
        path.write_text(source)
        if not source:
            raise ValueError("nothing to file")
        return Output(ROWS.empty_table(), {"script.txt": path})


def test_files_are_kept_and_workspaces_removed(house, tmp_path, monkeypatch):
    """
    What a feature files is stored by content; its workspace is gone, also after an error.
    """
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    house.features["words"] = Filing()
    assert house.compute("words").outcomes == {"stored": 2, "failed": 1}
    value = house.table("words").read(["a"])["a"]
    assert value.state == "ok"
    assert value.files["script.txt"].read(0, 3) == b"one"
    assert list(tmp_path.iterdir()) == []


def test_workspaces_are_removed_when_the_store_fails(house, tmp_path, monkeypatch):
    """
    A full disk ends the chunk, and leaves nothing in the temporary folder.
    """

    def full(*_args: Any, **_more: Any) -> None:
        raise StoreUnavailable("values: no space left.")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(MemoryTable, "publish", full)
    house.features["words"] = Filing()
    with pytest.raises(StoreUnavailable):
        house.compute("words", "a")
    assert list(tmp_path.iterdir()) == []


# Publishing


def test_values_are_published_in_batches(house, monkeypatch):
    """
    One commit for many cells, and never more than a batch waits for it.
    """
    sizes: list[int] = []
    publish = MemoryTable.publish

    def counting(self: MemoryTable, values: Any, **more: Any) -> Any:
        sizes.append(len(values))
        return publish(self, values, **more)

    monkeypatch.setattr(MemoryTable, "publish", counting)
    house.assets = {f"{n:04d}": asset_of(f"{n:04d}", kind="text") for n in range(150)}
    house.scripts = dict.fromkeys(house.assets, "a")
    assert house.compute("words").outcomes == {"stored": 150}
    assert sorted(size for size in sizes if size) == [150 - 2 * run.FLUSH_UNITS, 64, 64]
    assert len(house.table("words").attempts(["stored"])) == 150


def test_a_value_that_another_run_published_first_is_lost(house, monkeypatch):
    """
    Two runs that compute one cell together end with one value, and the later one says so.
    """
    digests = MemoryTable.digests
    house.compute("words", "a")
    monkeypatch.setattr(MemoryTable, "digests", lambda self, units: {})  # as if it looked before
    tally = house.compute("words", "a", "b", run_id="run-2")
    monkeypatch.setattr(MemoryTable, "digests", digests)
    assert tally.outcomes["lost"] == 1
    assert house.table("words").read(["a"])["a"].run_id == "run-1"
    assert house.table("words").read(["b"])["b"].run_id == "run-2"


def test_attempts_tell_what_a_cell_cost(house):
    """
    Each try is remembered with its outcome, its media and its machine.
    """
    house.compute("words", "a")
    (attempt,) = house.table("words").attempts()
    assert (attempt.outcome, attempt.media_seconds) == ("stored", 60.0)
    assert attempt.seconds >= 0 and attempt.machine
    assert len(attempt.code_digest) == 32
