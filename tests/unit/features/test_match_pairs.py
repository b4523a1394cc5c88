import numpy as np
import pyarrow as pa
import pytest

from copal.feature import Pair
from features.match_pairs import MatchPairs
from tests.unit.features.arrays import itself, shots_of, vectors_of

SYMMETRIC = {"outgoing": ["vector"], "incoming": ["vector"], "weights": [1.0]}


def unit(n, seed, d=16):
    rows = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def asset(n, seed, dropped=(), frames=20):
    """Shots, dedup and vectors of an asset with ``n`` shots."""
    shots = shots_of(*((k * frames, (k + 1) * frames) for k in range(n)))
    dedup = pa.table(
        {"kept": [k not in dropped for k in range(n)]}, pa.schema([("kept", pa.bool_())])
    )
    names = ("vector", "first_vector", "last_vector")
    return shots, dedup, vectors_of({name: unit(n, seed + k) for k, name in enumerate(names)})


def matched(left, right=None, **params):
    pairs = (
        [itself(a) for a in left]
        if right is None
        else [Pair(a, b) for a, b in zip(left, right, strict=True)]
    )
    return MatchPairs(**params).compute(*pairs)


def column(asset, name):
    return np.stack(asset[2][name].to_numpy()).astype(np.float64)


def expected(left, right):
    """Scores of cuts from left to right: (left, right), float64."""
    middle = column(left, "vector") @ column(right, "vector").T
    return 0.5 * middle + 0.5 * column(left, "last_vector") @ column(right, "first_vector").T


def test_a_cut_joins_the_end_of_one_shot_to_the_beginning_of_another():
    """
    Between two assets all cuts compete, both ways, each with its own score.
    """
    left, right = asset(5, 1), asset(7, 50)
    rows = matched(left, right, top_k=1000)
    forth, back = expected(left, right), expected(right, left).T
    assert rows.num_rows == 2 * 5 * 7
    for row in rows.to_pylist():
        table = forth if row["left_first"] else back
        assert row["score"] == pytest.approx(table[row["left_shot"], row["right_shot"]], abs=1e-6)
        assert row["left_start_frame"] == row["left_shot"] * 20
        assert row["right_end_frame"] == row["right_shot"] * 20 + 20
    scores = rows["score"].to_pylist()
    assert scores == sorted(scores, reverse=True)
    assert rows.schema == MatchPairs.columns
    assert matched(left, right, top_k=10).equals(rows.slice(0, 10))


def test_a_symmetric_flavour_names_each_pair_once():
    """
    Where both ways score the same, only the cut from left to right is listed.
    """
    rows = matched(asset(5, 1), asset(7, 50), top_k=1000, **SYMMETRIC)
    assert rows.num_rows == 5 * 7
    assert rows["left_first"].to_pylist() == [True] * 35
    within = matched(asset(6, 1), min_gap_shots=2, **SYMMETRIC)
    assert within.num_rows == 10  # 15 pairs, 5 of them neighbours


def test_within_one_asset_neighbours_are_no_pair():
    """
    A shot is not matched with itself nor with a shot nearer than the gap, and left comes first.
    """
    rows = matched(asset(6, 1), min_gap_shots=3)
    found = {(r["left_shot"], r["right_shot"], r["left_first"]) for r in rows.to_pylist()}
    wanted = {(i, j, way) for i in range(6) for j in range(i + 3, 6) for way in (True, False)}
    assert found == wanted
    table = expected(asset(6, 1), asset(6, 1))
    for row in rows.to_pylist():
        one, other = row["left_shot"], row["right_shot"]
        score = table[one, other] if row["left_first"] else table[other, one]
        assert row["score"] == pytest.approx(score, abs=1e-6)


def test_duplicates_and_short_shots_take_no_part():
    """
    Only shots that dedup kept and that last long enough are matched.
    """
    rows = matched(asset(5, 1, dropped=(0, 3)), asset(4, 9), **SYMMETRIC)
    assert set(rows["left_shot"].to_pylist()) == {1, 2, 4}
    assert matched(asset(5, 1, frames=7), asset(4, 9)).num_rows == 0


def test_equal_scores_come_in_order_of_shots():
    """
    Ties are broken by shot indices, then by the way of the cut.
    """
    shots, dedup, _ = asset(4, 1)
    same = np.repeat(unit(1, 3), 4, axis=0)
    vectors = vectors_of({"vector": same, "first_vector": same, "last_vector": same})
    rows = matched((shots, dedup, vectors), top_k=5).to_pylist()
    assert [(r["left_shot"], r["right_shot"], r["left_first"]) for r in rows] == [
        (0, 2, True), (0, 2, False), (0, 3, True), (0, 3, False), (1, 3, True),
    ]  # fmt: skip


@pytest.mark.parametrize("params", [{}, {"min_gap_shots": 3, "top_k": 7}, SYMMETRIC])
def test_a_batch_of_pairs_gives_each_the_rows_it_has_alone(params):
    """
    Computed together, with shared tables and each asset's own block, no byte differs.
    """
    feature = MatchPairs(**params)
    assets = [asset(n, 7 * n, dropped=(1,), frames=20 - n) for n in (9, 4, 0, 12, 1)]
    names = ("shots", "dedup", "vectors")
    units = []
    for i, left in enumerate(assets):
        for right in assets[i:]:
            given = itself if left is right else Pair
            sides = [(a,) if left is right else (a, b) for a, b in zip(left, right, strict=True)]
            units.append({name: given(*side) for name, side in zip(names, sides, strict=True)})
    together = feature.compute_batch(units)
    assert [rows.num_rows > 0 for rows in together].count(True) > 5
    for unit, rows in zip(units, together, strict=True):
        assert rows.equals(feature.compute(**unit))


def test_the_arithmetic_names_no_tool_since_its_rows_depend_on_none():
    """
    A new NumPy, more threads or a GPU are no reason to compute pairs again.
    """
    assert MatchPairs.tools == ()
    left, right = asset(40, 3), asset(50, 90)
    rows = matched(left, right, device="numpy")
    assert rows.equals(matched(left, right, device="cpu"))


@pytest.mark.parametrize("sizes", [(0, 4), (4, 0), (0, 0)])
def test_no_shots_give_no_rows(sizes):
    """
    Without shots on either side there are no rows, and the columns are right.
    """
    rows = matched(asset(sizes[0], 1), asset(sizes[1], 2))
    assert rows.equals(MatchPairs.columns.empty_table())


@pytest.mark.parametrize(
    "params",
    [{"weights": [1.0]}, {"weights": [1.0, -1.0]}, {"top_k": 0}, {"min_gap_shots": 0},
     {"outgoing": [], "incoming": [], "weights": []}],
)  # fmt: skip
def test_params_that_make_no_sense_are_refused(params):
    """
    A param is refused when the feature is declared.
    """
    with pytest.raises(ValueError, match="need"):
        MatchPairs(**params)


def test_masks_are_compared_by_what_they_share_of_what_either_covers():
    """
    By IoU a small mask inside a large one is less alike than two of one size that half overlap.
    """
    small, large, moved = (np.zeros(16, np.float32) for _ in range(3))
    small[:2], large[:], moved[1:3] = 0.5, 0.25, 0.5
    rows = np.stack([small, large, moved])
    left, right = ((*asset(3, 0)[:2], vectors_of({"vector": rows})) for _ in range(2))
    found = matched(left, right, measure="iou", **SYMMETRIC).to_pylist()
    scores = {(row["left_shot"], row["right_shot"]): row["score"] for row in found}
    assert scores[0, 1] == pytest.approx(2 / 16)
    assert scores[0, 2] == pytest.approx(1 / 3)
    assert scores[1, 1] == 1.0


def test_an_unknown_measure_is_refused():
    """
    A likeness that nobody knows is an error of the registry's author.
    """
    with pytest.raises(ValueError, match="need 'cosine' or 'iou'"):
        MatchPairs(measure="dice")
