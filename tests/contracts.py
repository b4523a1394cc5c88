"""What every store must do, as functions of a fresh store and a folder for files."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from copal.errors import StoreError
from copal.fingerprint import RecipeId, file_digest, rows_digest
from copal.store import Store, ValueTable
from tests.builders import attempt_of, recipe_of, value_of

StoreClause = Callable[[Store, Path], None]
STORE_CONTRACT: list[StoreClause] = []

COLUMNS = pa.schema([("shot_index", pa.int32()), ("word", pa.string())])


def clause(function: StoreClause) -> StoreClause:
    """One clause of the contract that every store keeps."""
    STORE_CONTRACT.append(function)
    return function


def rows_of(*words: str) -> pa.Table:
    """One row a word."""
    return pa.table({"shot_index": range(len(words)), "word": list(words)}).cast(COLUMNS)


def assert_reads_back(table: ValueTable, unit: str, rows: pa.Table) -> None:
    """Publish rows and read them: the same schema, values and digest."""
    value = value_of(unit, rows)
    assert table.publish([value]).won == {unit}
    found = table.read([unit])[unit]
    assert found.rows.schema.equals(rows.schema)
    assert found.rows.to_pylist() == rows.to_pylist()
    assert rows_digest(found.rows) == rows_digest(rows)
    assert (found.value_digest, found.inputs_digest) == (value.value_digest, value.inputs_digest)


@clause
def an_empty_store_holds_nothing(store: Store, folder: Path) -> None:
    """
    What was never written reads as empty, and asking for it writes nothing.
    """
    table = store.table(recipe_of())
    assert table.index().units == table.index().empty == frozenset()
    assert table.read(["a"]) == table.digests(["a"]) == {}
    assert table.attempts() == table.attempts(["failed"]) == []
    assert store.recipes("shots") == []
    assert store.load("runs/1.json") is None


@clause
def a_value_reads_back_as_it_was_published(store: Store, folder: Path) -> None:
    """
    Rows, digests, run and time come back; units without a value are left out.
    """
    table = store.table(recipe_of())
    value = value_of("a", rows_of("one", "two"))
    when = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    value = replace(value, published_at=when, carried_from=RecipeId("r0"))
    published = table.publish([value])
    assert (published.won, published.lost) == ({"a"}, frozenset())
    found = table.read(["a", "b"])
    assert set(found) == {"a"}
    read = found["a"]
    assert read.rows.equals(value.rows)
    assert (read.unit, read.state, read.run_id) == ("a", "ok", "run-1")
    assert (read.published_at, read.carried_from) == (when, "r0")
    assert (read.inputs_digest, read.value_digest) == (value.inputs_digest, value.value_digest)
    assert table.digests(["b", "a"]) == {"a": (value.inputs_digest, value.value_digest)}


@clause
def a_unit_is_published_once(store: Store, folder: Path) -> None:
    """
    The first value of a unit stays; a later one is told that it lost, beside others that won.
    """
    table = store.table(recipe_of())
    table.publish([value_of("a", rows_of("first"))])
    published = table.publish([value_of("a", rows_of("second")), value_of("b", rows_of("third"))])
    assert (published.won, published.lost) == ({"b"}, {"a"})
    found = table.read(["a", "b"])
    assert found["a"].rows["word"].to_pylist() == ["first"]
    assert found["b"].rows["word"].to_pylist() == ["third"]
    assert table.index().units == {"a", "b"}


@clause
def a_value_is_replaced_only_when_asked(store: Store, folder: Path) -> None:
    """
    ``replace`` puts a new value where one was, and one where none was; there is still one of each.
    """
    table = store.table(recipe_of())
    table.publish([value_of("a", rows_of("old")), value_of("c", rows_of("other"))])
    published = table.publish(
        [value_of("a", rows_of(), run="run-2"), value_of("b", rows_of("new"))], replace=True
    )
    assert (published.won, published.lost) == ({"a", "b"}, frozenset())
    found = table.read(["a", "b", "c"])
    assert (found["a"].state, found["a"].run_id) == ("empty", "run-2")
    assert found["b"].rows["word"].to_pylist() == ["new"]
    assert found["c"].rows["word"].to_pylist() == ["other"]
    assert (table.index().units, table.index().empty) == ({"a", "b", "c"}, {"a"})


@clause
def a_unit_is_named_once_in_a_publication(store: Store, folder: Path) -> None:
    """
    Two values of one unit in one publication are our own mistake, and neither is stored.
    """
    table = store.table(recipe_of())
    with pytest.raises(StoreError, match="twice in one publication"):
        table.publish([value_of("a", rows_of("one")), value_of("a", rows_of("two"))])
    assert table.index().units == frozenset()


@clause
def no_rows_are_a_value(store: Store, folder: Path) -> None:
    """
    A value without rows is stored, as empty, with its columns; among others or alone.
    """
    table = store.table(recipe_of())
    assert_reads_back(table, "a", COLUMNS.empty_table())
    table.publish([value_of("b", rows_of()), value_of("c", rows_of("x")), value_of("d", rows_of())])
    assert table.index().empty == {"a", "b", "d"}
    found = table.read(["a", "b", "c", "d"])
    assert {unit: value.rows.num_rows for unit, value in found.items()} == {
        "a": 0, "b": 0, "c": 1, "d": 0,
    }  # fmt: skip


@clause
def publishing_nothing_is_nothing(store: Store, folder: Path) -> None:
    """
    An empty publication is no error and leaves no trace.
    """
    table = store.table(recipe_of())
    for replacing in (False, True):
        published = table.publish([], replace=replacing)
        assert published.won == published.lost == frozenset()
    table.record([])
    assert store.recipes("shots") == []


@clause
def vectors_read_back(store: Store, folder: Path) -> None:
    """
    Vectors of 512 numbers come back bit for bit, for many shots, and nulls among them.
    """
    numbers = np.random.default_rng(7).standard_normal((40, 512)).astype(np.float32)
    kind = pa.list_(pa.float32(), 512)
    column = pa.FixedSizeListArray.from_arrays(numbers.ravel(), 512).cast(kind)
    table = store.table(recipe_of())
    assert_reads_back(table, "a", pa.table({"vector": column}))
    assert_reads_back(table, "b", pa.table({"vector": pa.array([None, numbers[0]], kind)}))
    read = table.read(["a"])["a"].rows["vector"].combine_chunks()
    assert np.array_equal(np.asarray(read.flatten()).reshape(-1, 512), numbers)


@clause
def nested_rows_read_back(store: Store, folder: Path) -> None:
    """
    Lists of structs, lists of lists, and every kind of nothing come back as they were.
    """
    finding = pa.struct([("code", pa.string()), ("at", pa.list_(pa.int64()))])
    schema = pa.schema([("findings", pa.list_(finding)), ("grid", pa.list_(pa.list_(pa.int32())))])
    rows = pa.table(
        {
            "findings": [
                [{"code": "a", "at": [1, 2]}, {"code": None, "at": None}], [], None,
                [{"code": "", "at": []}],
            ],
            "grid": [[[1], []], [], [None, [None, 3]], None],
        },
        schema=schema,
    )  # fmt: skip
    assert_reads_back(store.table(recipe_of()), "a", rows)
    assert_reads_back(store.table(recipe_of()), "b", rows.slice(1, 2))


@clause
def plain_columns_read_back(store: Store, folder: Path) -> None:
    """
    Numbers, truth, text of any script, bytes and times keep their types, values and nulls.
    """
    rows = pa.table(
        {
            "int64": pa.array([2**62, None, -1]),
            "int32": pa.array([1, None, -(2**31)], pa.int32()),
            "float32": pa.array([0.1, None, -0.0], pa.float32()),
            "float64": pa.array([0.1, None, 1e300]),
            "truth": pa.array([True, None, False]),
            "text": pa.array(["七人の侍 'quoted'", None, ""]),
            "bytes": pa.array([b"\0\xff", None, b""]),
            "when": pa.array([1, None, 2**40], pa.timestamp("us", "UTC")),
        }
    )
    assert_reads_back(store.table(recipe_of()), "a", rows)


@clause
def chunks_and_slices_read_back(store: Store, folder: Path) -> None:
    """
    How a table lies in memory does not matter to the store.
    """
    pieces = pa.concat_tables([rows_of("a", "b"), rows_of(), rows_of("c")])
    table = store.table(recipe_of())
    assert_reads_back(table, "a", pieces)
    assert_reads_back(table, "b", pieces.combine_chunks().slice(1, 1))


@clause
def values_of_one_publication_do_not_mix(store: Store, folder: Path) -> None:
    """
    Many units in one commit each read back with their own rows, more than one filter's worth.
    """
    table = store.table(recipe_of())
    units = [f"{n:04d}" for n in range(300)]
    published = table.publish([value_of(u, rows_of(*[u] * (int(u) % 4))) for u in units])
    assert published.won == set(units)
    found = table.read(units)
    assert all(v.rows["word"].to_pylist() == [u] * (int(u) % 4) for u, v in found.items())
    assert set(found) == set(table.digests(units)) == set(units)
    assert table.index().empty == {u for u in units if int(u) % 4 == 0}


@clause
def few_and_many_of_the_values_are_read_alike(store: Store, folder: Path) -> None:
    """
    However large a part of a table is asked for, exactly those values come that there are.
    """
    table = store.table(recipe_of())
    units = [f"unit-{n}" for n in range(20)]
    for some in (units[:9], units[9:]):
        table.publish([value_of(unit, rows_of(*[unit] * (n % 3))) for n, unit in enumerate(some)])
    for wanted in (units[3:5], units[4:16], units, units[::-1], [*units, "nobody"]):
        found = table.read(wanted)
        assert set(found) == set(wanted) - {"nobody"}
        assert all(set(v.rows["word"].to_pylist()) <= {unit} for unit, v in found.items())


@clause
def units_are_data(store: Store, folder: Path) -> None:
    """
    Quotes and operators in a unit's name are letters of it, nothing more.
    """
    table = store.table(recipe_of())
    strange = ["a+b", "it's", "') OR true --", "%", "七"]
    table.publish([value_of(unit, rows_of(unit)) for unit in strange])
    for unit in strange:
        assert table.read([unit])[unit].rows["word"].to_pylist() == [unit]
        assert set(table.digests([unit])) == {unit}


@clause
def files_are_kept_by_content(store: Store, folder: Path) -> None:
    """
    A file is the store's own once it is published: its source may go, its bytes read by range.
    """
    video, sound = folder / "work.mp4", folder / "work.flac"
    video.write_bytes(bytes(range(256)) * 40)
    sound.write_bytes(b"sound")
    digest = file_digest(video)
    table = store.table(recipe_of())
    value = value_of("a", rows_of("one"), {"video.mp4": video, "audio.flac": sound})
    table.publish([value, value_of("b", rows_of("one"), {"same.mp4": video})])
    video.unlink()
    sound.unlink()
    found = table.read(["a", "b"])
    files = found["a"].files
    assert set(files) == {"video.mp4", "audio.flac"}
    assert found["a"].file_digests == value.file_digests
    assert found["a"].value_digest == value.value_digest
    assert files["video.mp4"].size_bytes == 256 * 40
    assert files["video.mp4"].read(250, 10) == bytes([250, 251, 252, 253, 254, 255, 0, 1, 2, 3])
    assert file_digest(files["video.mp4"].path()) == digest
    assert found["b"].files["same.mp4"].path().read_bytes() == bytes(range(256)) * 40
    with pytest.raises(OSError):
        files["audio.flac"].read(3, 10)


@clause
def files_alone_are_no_empty_value(store: Store, folder: Path) -> None:
    """
    A value that is only files is found, not empty; another file is another value.
    """
    path = folder / "pack"
    path.write_bytes(b"stills")
    table = store.table(recipe_of())
    one = value_of("a", rows_of(), {"stills.pack": path})
    path.write_bytes(b"others")
    assert value_of("a", rows_of(), {"stills.pack": path}).value_digest != one.value_digest
    table.publish([value_of("a", rows_of(), {"stills.pack": path})])
    assert table.index().empty == frozenset()
    assert table.read(["a"])["a"].state == "ok"


@clause
def attempts_are_told_in_the_order_of_their_time(store: Store, folder: Path) -> None:
    """
    Everything that was noted comes back, oldest first, or only the outcomes asked for.
    """
    table = store.table(recipe_of())
    failed = attempt_of(
        "a", "failed", 30, seconds=1.5, cpu_seconds=2.5, media_seconds=60.0, bytes=7,
        error_class="UnreadableMedia", error="a.mov: it's damaged.", retryable=True,
        machine="host", code_digest="c0de",
    )  # fmt: skip
    table.record([failed, attempt_of("b", "stored", 10)])
    table.record([attempt_of("a", "released", 40), attempt_of("c", "stored", 20)])
    assert [each.unit for each in table.attempts()] == ["b", "c", "a", "a"]
    assert table.attempts(["failed"]) == [failed]
    assert [e.outcome for e in table.attempts(["released", "failed"])] == ["failed", "released"]
    assert table.attempts(["carried"]) == []
    assert [each.unit for each in table.attempts(units=["b", "x"])] == ["b"]
    assert table.attempts(["failed"], ["b"]) == []
    assert [each.unit for each in table.last_attempts(2)] == ["c", "a"]


@clause
def attempts_are_no_values(store: Store, folder: Path) -> None:
    """
    A cell that failed has no value, and a value no attempt unless it is noted.
    """
    table = store.table(recipe_of())
    table.record([attempt_of("a", "failed")])
    table.publish([value_of("b", rows_of("x"))])
    assert table.index().units == {"b"}
    assert [each.unit for each in table.attempts()] == ["a"]


@clause
def recipes_are_told_newest_first(store: Store, folder: Path) -> None:
    """
    Each recipe that something was written under is known again, with all its parts.
    """
    first = recipe_of(params={"k": [1, 2], "f": 0.5}, weights={"m": "d"}, tools={"ffmpeg": "7"})
    second = recipe_of(version=2, needs={"encode": RecipeId("r")})
    third = recipe_of(version=2, needs={"encode": RecipeId("s")})
    store.table(first).publish([value_of("a", rows_of("x"))])
    store.table(second).record([attempt_of("a", "failed")])
    store.table(third).publish([value_of("a", rows_of("x"))])
    store.table(first).publish([value_of("b", rows_of("x"))])
    store.table(recipe_of("dedup")).publish([value_of("a", rows_of("x"))])
    store.table(recipe_of(version=9))  # nothing is written
    assert store.recipes("shots") == [third, second, first]
    assert [recipe.id for recipe in store.recipes("shots")] == [third.id, second.id, first.id]
    assert store.recipes("shot") == []


@clause
def recipes_do_not_mix(store: Store, folder: Path) -> None:
    """
    Two recipes of a feature, and one recipe of two features, are tables of their own.
    """
    tables = [
        store.table(recipe)
        for recipe in (recipe_of(), recipe_of(params={"k": 1}), recipe_of("dedup"))
    ]
    for index, table in enumerate(tables):
        table.publish([value_of("a", rows_of(str(index)))])
        table.record([attempt_of(str(index), "stored")])
    for index, table in enumerate(tables):
        assert table.read(["a"])["a"].rows["word"].to_pylist() == [str(index)]
        assert [each.unit for each in table.attempts()] == [str(index)]


@clause
def documents_are_replaced_whole(store: Store, folder: Path) -> None:
    """
    A document reads as it was last written.
    """
    store.save("runs/1/work.json", b"\0first, and longer")
    store.save("runs/1/work.json", b"second")
    store.save("runs/10/work.json", b"")
    assert store.load("runs/1/work.json") == b"second"
    assert store.load("runs/10/work.json") == b""
    assert store.load("runs/2/work.json") is None


@clause
def of_writers_at_once_one_wins_each_unit(store: Store, folder: Path) -> None:
    """
    Threads that publish the same units together leave one value of each, and agree on whose it is.
    """
    units = [f"{n}" for n in range(6)]
    ready = threading.Barrier(3)
    won: dict[str, frozenset[str]] = {}

    def write(name: str) -> None:
        values = [value_of(unit, rows_of(name), run=name) for unit in units]
        ready.wait()
        published = store.table(recipe_of()).publish(values)
        assert published.won | published.lost == set(units)
        won[name] = published.won

    threads = [threading.Thread(target=write, args=(f"run-{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 3
    assert sorted(unit for each in won.values() for unit in each) == units
    found = store.table(recipe_of()).read(units)
    assert all(unit in won[value.run_id] for unit, value in found.items())
    assert store.table(recipe_of()).index().units == set(units)
