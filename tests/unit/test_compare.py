"""What differs between two tables of rows: by what the rows say, not by where they stand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from copal.compare.differences import Boundaries, boundaries, gone_and_new, pairs, row_keys
from copal.compare.neighbours import neighbours


def shots(*cuts: int) -> pa.Table:
    """Shots that tile the frames between the first and the last number."""
    starts, ends = list(cuts[:-1]), list(cuts[1:])
    index = pa.array(range(len(starts)), pa.int32())
    return pa.table({"shot_index": index, "start_frame": starts, "end_frame": ends})


def differing(old: pa.Table, new: pa.Table, *ranges: object) -> tuple[int, int]:
    one, other = ranges or (None, None)
    return gone_and_new(row_keys(old, one), row_keys(new, other))  # type: ignore[arg-type]


def test_a_shot_found_anew_renumbers_none():
    """
    One shot cut in two is one row gone and two new, though all after it have other indices.
    """
    assert differing(shots(0, 10, 20, 30, 40), shots(0, 10, 15, 20, 30, 40)) == (1, 2)
    assert differing(shots(0, 10), shots(0, 10)) == (0, 0)
    assert differing(shots(0, 10), shots(0, 10).slice(0, 0)) == (1, 0)


def test_rows_of_shots_are_known_by_their_frames():
    """
    A row that names its shot by index is compared by the frames of that shot.
    """
    vector = pa.FixedSizeListArray.from_arrays(pa.array([1.0, 0.0, 0.0, 1.0], pa.float32()), 2)
    old = pa.table({"shot_index": [0, 1], "vector": vector})
    new = old.set_column(0, "shot_index", pa.array([0, 2]))
    assert differing(old, new) == (1, 1)
    frames = {0: (0, 10), 1: (20, 30)}, {0: (0, 10), 1: (10, 20), 2: (20, 30)}
    assert differing(old, new, *frames) == (0, 0)
    repeats = pa.table({"shot_index": [0, 1], "duplicate_of": pa.array([None, 0], pa.int32())})
    assert differing(repeats, repeats, *frames) == (1, 1)


def test_every_kind_of_column_is_compared():
    """
    Texts, lists, nulls and structs count as numbers do.
    """
    rows = [{"a": "x", "b": [1, 2], "c": None, "d": {"e": 1}, "f": True}]
    old = pa.Table.from_pylist(rows * 2)
    assert differing(old, old.slice(1)) == (1, 0)
    for name, other in (("a", "y"), ("b", [1]), ("c", 1), ("d", {"e": 2}), ("f", False)):
        assert differing(old.slice(1), pa.Table.from_pylist([rows[0] | {name: other}])) == (1, 1)


def test_boundaries_are_matched_once():
    """
    F1 of cuts, each matched to one other within the tolerance; the film's ends are no cuts.
    """
    old, new = shots(0, 10, 20, 30, 40), shots(0, 10, 21, 22, 40)
    exact = boundaries(old, new, 0)
    assert exact == Boundaries(1, 3, 3)
    near = boundaries(old, new, 2)
    assert (near.matched, near.f1) == (2, pytest.approx(2 / 3))
    whole = boundaries(shots(0, 40), shots(0, 40), 0)
    assert (whole.f1, whole.precision, whole.recall) == (1.0, 1.0, 1.0)
    missed = boundaries(old, shots(0, 40), 0)
    assert (missed.precision, missed.recall, missed.f1) == (1.0, 0.0, 0.0)
    assert (exact.times(2) + near).old == 9


def test_pairs_are_known_by_frames():
    """
    Blocks agree on the pairs whose shots have the same frames, however they are numbered.
    """
    names = ("left_start_frame", "left_end_frame", "right_start_frame", "right_end_frame")

    def block(*rows: tuple[int, int, float], first: int = 0) -> pa.Table:
        made = [
            {"left_shot": first + n, "right_shot": n, "score": score, "left_first": True}
            | dict(zip(names, (left, left + 9, right, right + 9), strict=True))
            for n, (left, right, score) in enumerate(rows)
        ]
        return pa.Table.from_pylist(made)

    old = block((0, 50, 0.9), (10, 60, 0.8), (20, 70, 0.7))
    new = block((0, 50, 0.85), (30, 60, 0.8), (20, 70, 0.75), first=4)
    found = pairs(old, new, 3)
    assert (found.overlap, found.common) == (pytest.approx(2 / 3), 2)
    assert found.total_drift == pytest.approx(0.1)
    assert found.largest_drift == pytest.approx(0.05)
    assert pairs(old.slice(0, 0), new.slice(0, 0), 3).overlap == 1.0


def test_neighbours_that_stay():
    """
    Turned vectors keep their neighbours, whatever their length; mixed ones lose them.
    """
    dice = np.random.default_rng(0)
    rows = dice.normal(size=(300, 8)).astype(np.float32)
    turn, _ = np.linalg.qr(dice.normal(size=(8, 8)))
    old = dict(enumerate(rows))
    turned = dict(enumerate((rows @ turn).astype(np.float32)))
    found = neighbours(old, turned, 10, 0)
    assert found is not None
    assert found.overlap > 0.99
    assert (found.k, found.queries, found.vectors) == (10, 200, 300)
    mixed = dict(enumerate(rows[dice.permutation(300)]))
    lost = neighbours(old, mixed, 10, 0)
    assert lost is not None
    assert lost.overlap < 0.2
    assert neighbours({1: rows[0]}, {1: rows[0]}, 10, 0) is None
    assert neighbours(old, {1000: rows[0], 1001: rows[1]}, 10, 0) is None
