"""Units: a set of them that is a column answers as a set of Python's does."""

from __future__ import annotations

import pyarrow as pa
import pytest

from copal.units import Units, absent

PLAIN = frozenset({"a", "c", "d+e"})


@pytest.fixture(params=["array", "chunks", "empty chunks"])
def units(request: pytest.FixtureRequest) -> Units:
    column = {
        "array": pa.array(["c", "a", "d+e"]),
        "chunks": pa.chunked_array([["c"], ["a", "d+e"]]),
        "empty chunks": pa.chunked_array([[], ["c", "a", "d+e"], []], pa.string()),
    }
    return Units(column[request.param])


def test_a_column_is_a_set(units: Units) -> None:
    """
    It compares, counts and combines with other sets as if it were one of Python's.
    """
    assert units == PLAIN
    assert len(units) == 3
    assert sorted(units) == sorted(PLAIN)
    assert "a" in units
    assert "b" not in units
    assert units & {"a", "b"} == {"a"}
    assert {"a", "b"} - units == {"b"}
    assert units >= {"d+e"}
    assert not Units(pa.array([], pa.string()))


def test_what_is_absent_is_told_in_order(units: Units) -> None:
    """
    Of units asked for, those that a column does not hold are told in the order they were given.
    """
    asked = ["z", "a", "b", "d+e", "e", "c"]
    assert absent(asked, units) == absent(asked, PLAIN) == ["z", "b", "e"]
    assert absent([], units) == []
    assert absent(["a"], Units(pa.array([], pa.string()))) == ["a"]
