"""Identity: one digest for one value, whatever its layout; another for any other value."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copal.fingerprint import file_digest, fingerprint, pair_assets, pair_unit, rows_digest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def test_the_order_of_names_does_not_matter():
    """
    Parts are named, so the order in which they are written down changes nothing, at any depth.
    """
    one = fingerprint("recipe", version=1, params={"a": 1, "b": {"c": 2, "d": 3}})
    other = fingerprint("recipe", params={"b": {"d": 3, "c": 2}, "a": 1}, version=1)
    assert one == other
    assert len(one) == 32


def test_a_digest_is_the_same_on_every_machine_and_day():
    """
    The canonical encoding is a promise: stores written by older Copals are found by this digest.
    """
    found = fingerprint("recipe", version=3, params={"threshold": 27.0, "name": "Größe"})
    assert found == "7cfd012db8a43519ab14ca17f84d7562"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": "1", "b": "23"}, {"a": "12", "b": "3"}),
        ({"a": "1"}, {"a": 1}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1}, {"a": True}),
        ({"a": None}, {}),
        ({"a": ["x", "y"]}, {"a": ["xy"]}),
        ({"a": ["x", "y"]}, {"a": ["y", "x"]}),
        ({"a": {"b": 1}}, {"a": {"c": 1}}),
        ({"a": ""}, {"b": ""}),
    ],
)
def test_strings_are_never_glued(one, other):
    """
    "1" beside "23" is not "12" beside "3", and a number is not the text that shows it.
    """
    assert fingerprint("x", **one) != fingerprint("x", **other)


def test_the_kind_is_part_of_it():
    """
    Equal parts of two kinds of thing are two things.
    """
    assert fingerprint("recipe", a=1) != fingerprint("inputs", a=1)


@pytest.mark.parametrize("part", [float("nan"), float("inf"), object(), b"bytes", {1, 2}])
def test_what_has_no_encoding_is_refused(part):
    """
    NaN and objects are refused; no stand-in is hashed instead of them.
    """
    with pytest.raises((TypeError, ValueError)):
        fingerprint("x", part=[part])


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=4), st.dictionaries(st.text(), JSON, max_size=4))
def test_digests_are_equal_exactly_when_parts_are(one, other):
    """
    Two JSON values have one digest when, and only when, they are written alike.
    """
    same = _plain(one) == _plain(other)
    assert (fingerprint("x", parts=one) == fingerprint("x", parts=other)) is same


def _plain(value):
    """A value in which 1, 1.0 and True are three things, and -0.0 is not 0.0."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return (type(value).__name__, repr(value))


def test_a_pair_is_the_same_unit_whoever_is_named_first():
    """
    The unit of a pair is sorted, and taken apart in that order; an asset pairs with itself.
    """
    assert pair_unit("b", "a") == pair_unit("a", "b") == "a+b"
    assert pair_assets(pair_unit("b", "a")) == ("a", "b")
    assert pair_assets(pair_unit("a", "a")) == ("a", "a")


def test_a_file_is_known_by_its_bytes(tmp_path):
    """
    Two files of equal bytes have one digest, also beyond one block; one changed byte gives another.
    """
    one, other, third = (tmp_path / name for name in "abc")
    data = bytes(range(256)) * 5000
    one.write_bytes(data)
    other.write_bytes(data)
    third.write_bytes(data[:-1] + b"\0")
    assert file_digest(one) == file_digest(other) != file_digest(third)


# Rows

VECTORS = pa.list_(pa.float32(), 2)
RICH = pa.table(
    {
        "index": pa.array([0, 1, 2, 3], pa.int32()),
        "name": pa.array(["a", None, "", "bc"]),
        "score": pa.array([0.5, None, -0.0, 2.0], pa.float64()),
        "kept": pa.array([True, False, None, True]),
        "vector": pa.array([[1, 0], [0, 1], None, [2, 2]], VECTORS),
        "tags": pa.array([["x"], [], None, ["y", None]], pa.list_(pa.string())),
        "found": pa.array(
            [{"code": "c", "n": 1}, {"code": None, "n": 2}, None, {"code": "d", "n": None}],
            pa.struct([("code", pa.string()), ("n", pa.int64())]),
        ),
        "deep": pa.array(
            [[{"at": [1, 2]}], [{"at": []}, {"at": None}], [], None],
            pa.list_(pa.struct([("at", pa.list_(pa.int64()))])),
        ),
        "raw": pa.array([b"\0", b"", None, b"ab"]),
        "when": pa.array([1, None, 3, 4], pa.timestamp("us", "UTC")),
        "word": pa.array(["a", "b", None, "a"]).dictionary_encode(),
    }
)


def test_rows_digest_does_not_see_chunks_slices_or_offsets():
    """
    The digest is of values: however the table is chunked, sliced or offset, it stays.
    """
    whole = rows_digest(RICH)
    pieces = pa.concat_tables([RICH.slice(0, 1), RICH.slice(1, 0), RICH.slice(1, 3)])
    longer = pa.concat_tables([RICH.slice(2, 2), RICH, RICH.slice(0, 1)])
    assert rows_digest(pieces) == whole
    assert rows_digest(longer.combine_chunks().slice(2, 4)) == whole
    assert rows_digest(RICH.take(pa.array([0, 1, 2, 3]))) == whole


def test_rows_digest_does_not_see_what_lies_under_a_null():
    """
    A null hides whatever bytes are in its place, in plain columns, structs and vectors.
    """

    def under(hidden):
        mask = pa.array([False, True])
        inner = pa.array([1, hidden])
        vectors = pa.array([1.0, 2.0, hidden, hidden], pa.float32())
        return pa.table(
            {
                "plain": pa.Array.from_pandas(np.array([1, hidden]), mask=np.array([False, True])),
                "struct": pa.StructArray.from_arrays([inner], names=["x"], mask=mask),
                "vector": pa.FixedSizeListArray.from_arrays(vectors, 2, mask=mask),
            }
        )

    assert rows_digest(under(7)) == rows_digest(under(99))


def test_rows_digest_does_not_see_the_names_of_list_items():
    """
    Arrow calls the items of a list "item" or "element" as it likes: those are no names of ours.
    """
    for make in (pa.list_, lambda field: pa.list_(field, 1), pa.large_list):
        tables = [
            pa.table({"v": pa.array([[1], [2]], make(pa.field(name, pa.int32())))})
            for name in ("item", "element")
        ]
        assert rows_digest(tables[0]) == rows_digest(tables[1])


def test_rows_digest_does_not_see_metadata():
    """
    Notes that a library leaves on a schema are not rows.
    """
    noted = RICH.replace_schema_metadata({"pandas": "{}"})
    assert rows_digest(noted) == rows_digest(RICH)


def _one(values, kind=None, name="x"):
    return rows_digest(pa.table({name: pa.array(values, kind)}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (_one([1, 2]), _one([1, 3])),
        (_one([1, 2]), _one([2, 1])),
        (_one([1, 2]), _one([1, 2], pa.int32())),
        (_one([0, 0]), _one([0, None])),
        (_one([None, 0]), _one([0, None])),
        (_one([False]), _one([None], pa.bool_())),
        (_one(["", ""]), _one(["", None])),
        (_one(["ab", "c"]), _one(["a", "bc"])),
        (_one([[1], [2]]), _one([[1, 2], []])),
        (_one([[], None], pa.list_(pa.int64())), _one([None, []], pa.list_(pa.int64()))),
        (_one([[1.0, 0.0]], VECTORS), _one([[1.0, 0.0]], pa.list_(pa.float32()))),
        (_one([{"a": 1}]), _one([{"b": 1}])),
        (_one([{"a": 1}]), _one([{"a": None}], pa.struct([("a", pa.int64())]))),
        (_one([{"a": None}], pa.struct([("a", pa.int64())])),
         _one([None], pa.struct([("a", pa.int64())]))),
        (_one([1], name="x"), _one([1], name="y")),
        (_one([], pa.int64()), _one([], pa.int32())),
        (_one([None], pa.int64()), _one([], pa.int64())),
        (_one([1], pa.timestamp("us")), _one([1], pa.timestamp("ms"))),
    ],
)  # fmt: skip
def test_rows_digest_sees_every_difference(one, other):
    """
    Another value, type, order, name, length, or a null instead of nothing: another digest.
    """
    assert one != other


def test_the_order_of_columns_is_a_difference():
    """
    Columns come in the order that the feature promised.
    """
    table = pa.table({"a": [1], "b": [1]})
    assert rows_digest(table) != rows_digest(table.select(["b", "a"]))


@pytest.mark.parametrize(
    "values",
    [
        pa.array([Decimal("1.5")], pa.decimal128(5, 2)),
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int32())),
        pa.array(["a"], pa.string_view()),
    ],
    ids=["decimal", "map", "string_view"],
)
def test_rows_without_an_encoding_are_refused(values):
    """
    A type that Arrow gives out as Python objects is refused: their addresses are no values.
    """
    with pytest.raises(TypeError, match="no canonical encoding"):
        rows_digest(pa.table({"x": values}))


ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**31), 2**31 - 1),
        st.none() | st.text(max_size=4),
        st.none() | st.lists(st.none() | st.floats(width=32, allow_nan=False), max_size=3),
    ),
    max_size=8,
)


@settings(max_examples=80, deadline=None)
@given(ROWS, ROWS, st.integers(0, 8))
def test_rows_digests_are_equal_exactly_when_rows_are(one, other, cut):
    """
    For any two tables: cutting one up keeps its digest, and only equal tables share one.
    """
    first, second = _table(one), _table(other)
    pieces = pa.concat_tables([first.slice(0, cut), first.slice(cut)])
    assert rows_digest(pieces) == rows_digest(first)
    same = repr(first.to_pylist()) == repr(second.to_pylist())
    assert (rows_digest(first) == rows_digest(second)) is same


def _table(rows):
    kinds = {"n": pa.int64(), "text": pa.string(), "list": pa.list_(pa.float32())}
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    return pa.table(
        {name: pa.array(list(values), kind)
         for (name, kind), values in zip(kinds.items(), columns, strict=True)}
    )  # fmt: skip
