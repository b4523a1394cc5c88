import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copal.matching import (
    Places,
    earliest_kept,
    nearest_earlier,
    overlaps,
    rescored,
    side_by_side,
    top_blocks,
    top_overlaps,
    top_pairs,
)
from copal.matching.bounds import crookedness, find_basis, sketch_slack, sketched


def brute_force(left, right, k, places=None):
    """The same by every product at once, in the order that is promised."""
    i, j = (a.ravel() for a in np.indices((len(left), len(right))))
    if places is not None:
        allowed = ~places.refused(slice(None), slice(None)).ravel()
        i, j = i[allowed], j[allowed]
    return rescored(left, right, i, j).best(k)


def made(kind, n, d, seed):
    """Rows of unit length of many shapes, friendly and not."""
    rng = np.random.default_rng(seed)
    if kind == "random":
        rows = rng.standard_normal((n, d))
    elif kind == "few directions":  # what bounds in few dimensions live on
        rows = rng.standard_normal((n, 3)) @ rng.standard_normal((3, d))
        rows += 0.05 * rng.standard_normal((n, d))
    elif kind == "clustered":  # products differ by less than float32 resolves
        rows = rng.standard_normal((1, d)) + 1e-6 * rng.standard_normal((n, d))
    elif kind == "duplicated":
        rows = rng.standard_normal((max(1, n // 4), d))[rng.integers(0, max(1, n // 4), n)]
    elif kind == "equal":
        rows = np.repeat(rng.standard_normal((1, d)), n, axis=0)
    elif kind == "orthogonal":  # nearly all products are 0, many are 1
        rows = np.eye(d)[rng.integers(0, d, n)]
    else:  # cancelling: large terms, small sums
        rows = rng.standard_normal((n, d)) * 10.0 ** rng.integers(-6, 6, (n, d))
    rows = rows.astype(np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-6))
    return rows


def stretched(rows, lengths, seed):
    """The same directions with other lengths."""
    rng = np.random.default_rng(seed)
    factors = {
        "one": np.ones(len(rows)),
        "mixed": 10.0 ** rng.integers(-8, 8, len(rows)),
        "huge": np.full(len(rows), 5e14),
        "tiny": np.full(len(rows), 1e-25),
        "some zero": rng.integers(0, 2, len(rows)),
    }[lengths]
    return rows * factors[:, None].astype(np.float32)


KINDS = st.sampled_from(
    ["random", "few directions", "clustered", "duplicated", "equal", "orthogonal", "cancelling"]
)
LENGTHS = st.sampled_from(["one", "mixed", "huge", "tiny", "some zero"])


def same(found, wanted):
    """Whether two answers hold the same bytes."""
    return (
        found.left.tolist() == wanted.left.tolist()
        and found.right.tolist() == wanted.right.tolist()
        and found.scores.tobytes() == wanted.scores.tobytes()
    )


@settings(max_examples=150, deadline=None)
@given(
    KINDS,
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 70),
    st.integers(1, 200),
    st.integers(1, 50),
    st.integers(0, 2**32 - 1),
)
def test_top_pairs_are_exactly_those_of_brute_force(kind, n, m, d, k, block, seed):
    """
    At every block size the pairs, their order and the bytes of their scores are brute force's.
    """
    rows = made(kind, n + m, d, seed)
    left, right = rows[:n], rows[n:]
    found, wanted = top_pairs(left, right, k, tile=block), brute_force(left, right, k)
    assert same(found, wanted)


@settings(max_examples=150, deadline=None)
@given(
    KINDS,
    LENGTHS,
    st.lists(st.integers(0, 30), min_size=1, max_size=5),
    st.integers(1, 70),
    st.integers(1, 120),
    st.integers(1, 40),
    st.sampled_from(["numpy", "cpu"]),
    st.integers(0, 2**32 - 1),
)
def test_many_blocks_at_once_are_exactly_those_of_brute_force(
    kind, lengths, sizes, d, k, tile, device, seed
):
    """
    With bounds and without, in few bits and in float32, in any tiles, each block is brute force's.
    """
    assets = [stretched(made(kind, n, d, seed + i), lengths, i) for i, n in enumerate(sizes)]
    pairs = [(a, b) for a in range(len(assets)) for b in range(a, len(assets))]
    index = {a: np.arange(n, dtype=np.int64) for a, n in enumerate(sizes)}
    places = {(a, a): Places(index[a], index[a], 2, ordered=True) for a in index}
    for prune in (False, True):
        found = top_blocks(
            assets, assets, pairs, k, places=places, prune=prune, device=device, tile=tile
        )
        for (a, b), block in zip(pairs, found, strict=True):
            assert same(block, brute_force(assets[a], assets[b], k, places.get((a, b))))


@pytest.mark.parametrize("device", ["numpy", "cpu"])
@pytest.mark.parametrize("kind", ["few directions", "random", "orthogonal", "clustered", "equal"])
def test_large_blocks_are_the_same_however_they_are_found(kind, device):
    """
    At a size where bounds do skip, crowds do form and floors do rise, the bytes stay the same.
    """
    assets = [made(kind, n, 64, 3 * i) for i, n in enumerate((300, 170, 260))]
    pairs = [(0, 1), (2, 0), (1, 1)]
    plain = [brute_force(assets[a], assets[b], 50) for a, b in pairs]
    for prune in (True, False):
        found = top_blocks(assets, assets, pairs, 50, prune=prune, device=device, tile=128)
        assert all(map(same, found, plain))


@settings(max_examples=150, deadline=None)
@given(KINDS, LENGTHS, st.integers(24, 70), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_a_sketch_is_never_below_the_product(kind, lengths, d, p, seed):
    """
    Whatever the basis, a sketch's product and its slack are at least the true product.
    """
    rows = stretched(made(kind, 40, d, seed), lengths, seed)
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, min(p, d))))[0]
    basis = basis.astype(np.float32)
    small = sketched(rows, basis, crookedness(basis))
    longest = float(np.linalg.norm(rows.astype(np.float64), axis=1).max()) * (1 + 1e-12)
    true = rows.astype(np.float64) @ rows.T.astype(np.float64)
    slack = sketch_slack(*basis.shape, crookedness(basis), longest, longest)
    assert ((small @ small.T).astype(np.float64) + slack >= true).all()


def test_bounds_are_used_only_where_they_pay():
    """
    Vectors with a few strong directions get a basis; vectors without any get none.
    """
    some = [made("few directions", 800, 128, i) for i in range(2)]
    none = [made("random", 800, 128, i) for i in range(2)]
    assert find_basis(some, some, 1e-4) is not None
    assert find_basis(none, none, 1e-4) is None


def test_masses_of_equal_vectors_take_no_longer_than_others(monkeypatch):
    """
    A tile of equal vectors scores each kind of pair once, not every pair.
    """
    rows = made("random", 3, 32, 1)[np.random.default_rng(2).integers(0, 3, 400)]
    counted = []

    def counting(left, right, i, j):
        counted.append(len(i))
        return rescored(left, right, i, j)

    monkeypatch.setattr("copal.matching.crowd.rescored", counting)
    monkeypatch.setattr("copal.matching.spots.rescored", counting)
    found = top_pairs(rows, rows, 100)
    assert sum(counted) <= 9
    assert same(found, brute_force(rows, rows, 100))


@settings(max_examples=80, deadline=None)
@given(
    KINDS,
    st.integers(1, 50),
    st.integers(1, 60),
    st.integers(1, 5),
    st.booleans(),
    st.integers(1, 20),
    st.integers(0, 2**32 - 1),
)
def test_places_rule_pairs_out_and_nothing_else(kind, n, k, gap, ordered, block, seed):
    """
    Within one sequence only pairs that are far enough apart, and in order, are found.
    """
    rows = made(kind, n, 24, seed)
    index = np.cumsum(np.random.default_rng(seed).integers(1, 3, n))
    places = Places(index, index, gap, ordered)
    found = top_pairs(rows, rows, k, places=places, tile=block)
    wanted = brute_force(rows, rows, k, places)
    assert found.left.tolist() == wanted.left.tolist()
    assert found.right.tolist() == wanted.right.tolist()
    apart = index[found.right] - index[found.left]
    assert ((apart if ordered else np.abs(apart)) >= gap).all()


def test_scores_are_float64_products_rounded_once():
    """
    A score is the true product to float32's precision, where float32 arithmetic is not.
    """
    left = np.array([[1e8, 1.0, -1e8]], np.float32)
    right = np.ones((1, 3), np.float32)
    assert top_pairs(left, right, 1).scores.tolist() == [1.0]


def test_more_pairs_than_are_scored_at_once_stay_exact():
    """
    Thousands of equal products keep the pairs with the lowest indices.
    """
    rows = np.repeat(made("random", 1, 8, 0), 150, axis=0)
    found = top_pairs(rows, rows, 200, tile=64)
    assert found.left.tolist() == [0] * 150 + [1] * 50
    assert found.right.tolist() == [*range(150), *range(50)]


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), "3 and 4 dimensions"),
        (np.ones((2, 3)), np.full((2, 3), np.nan), "no finite numbers"),
        (np.full((2, 3), 1e30), np.ones((2, 3)), "overflow"),
    ],
)
def test_vectors_that_have_no_products_are_refused(left, right, words):
    """
    Wrong dimensions, NaN and overflow are errors, never a wrong order.
    """
    with pytest.raises(ValueError, match=words):
        top_pairs(left.astype(np.float32), right.astype(np.float32), 5)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 30), st.integers(1, 3), st.integers(1, 5), st.integers(1, 9), st.integers(0, 99)
)
def test_nearest_earlier_looks_back_only(n, parts, count, block, seed):
    """
    Each item's nearest come before it, best first, judged by their best pair of vectors.
    """
    rows = made("random", n * parts, 8, seed).reshape(n, parts, 8)
    found, scores = nearest_earlier(rows, count, block=block)
    table = np.einsum("iad,jbd->ijab", rows, rows).max((2, 3))
    for item in range(n):
        known = found[item][found[item] >= 0]
        assert len(known) == min(count, item)
        wanted = np.sort(table[item, :item])[::-1][:count]
        assert np.allclose(scores[item][: len(known)], wanted, atol=1e-6)
        assert np.allclose(table[item, known], wanted, atol=1e-6)


def test_a_chain_of_likeness_is_not_one_group():
    """
    1 is like 0, and 2 is like 1 only: 2 stays, since what it is like was dropped.
    """
    assert earliest_kept(3, [(0, 1), (1, 2)]).tolist() == [-1, 0, -1]
    assert earliest_kept(4, [(3, 1), (0, 3), (1, 2)]).tolist() == [-1, -1, 1, 0]
    assert earliest_kept(0, []).tolist() == []


def masks_of(n, cells, seed):
    """Masks of many sizes for two places of comparison: empty, full, equal and others."""
    rng = np.random.default_rng(seed)
    share = rng.choice([0.0, 0.1, 0.5, 1.0], (2, n, 1))
    masks = (rng.random((2, n, cells)) < share).astype(np.float32)
    return list(masks[:, rng.integers(0, max(n, 1), n)])


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(1, 40),
    st.integers(1, 300),
    st.integers(1, 12),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_overlaps_are_exactly_those_of_counting_cells(n, m, cells, k, tile, itself, seed):
    """
    The best pairs of masks of any sizes are those whose cells, counted one by one, overlap most.
    """
    left, right = masks_of(n, cells, seed), masks_of(m, cells, seed + 1)
    right = left if itself else right
    index = np.arange(n, dtype=np.int64)
    places = Places(index, index, 2, ordered=True) if itself else None
    weights = (0.25, 0.75)
    (found,) = top_overlaps(
        [left], [right], [(0, 0)], k, weights=weights, tile=tile,
        places={} if places is None else {(0, 0): places},
    )  # fmt: skip
    wanted = []
    for i in range(n):
        for j in range(len(right[0])):
            if places is not None and j - i < 2:
                continue
            score = 0.0
            for one, other, weight in zip(left, right, weights, strict=True):
                both = sum(a and b for a, b in zip(one[i].tolist(), other[j].tolist(), strict=True))
                either = sum(
                    a or b for a, b in zip(one[i].tolist(), other[j].tolist(), strict=True)
                )
                score += weight * both / max(either, 1)
            wanted.append((-float(np.float32(score)), i, j))
    wanted = sorted(wanted)[:k]
    assert [(-float(s), i, j) for s, i, j in
            zip(found.scores, found.left, found.right, strict=True)] == wanted  # fmt: skip
    again = overlaps(left, right, weights, found.left, found.right)
    assert again.tobytes() == found.scores.tobytes()


def test_masks_of_other_sizes_are_refused():
    """
    Masks with other numbers of cells are an error, never an overlap.
    """
    one, other = masks_of(3, 4, 0), masks_of(3, 5, 0)
    with pytest.raises(ValueError, match="do not match"):
        top_overlaps([one], [other], [(0, 0)], 5, weights=(0.5, 0.5))


@settings(max_examples=60, deadline=None)
@given(
    KINDS,
    st.lists(st.integers(0, 30), min_size=1, max_size=4),
    st.integers(1, 60),
    st.integers(1, 40),
    st.sampled_from(["numpy", "cpu"]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_columns_side_by_side_are_never_told_from_their_copy(
    kind, sizes, k, tile, device, prune, seed
):
    """
    Columns that are joined where they are looked at give the bytes of columns joined beforehand.
    """
    joined = [
        side_by_side([made(kind, n, d, seed + d + i) for d in (30, 12)], (0.25, 0.75))
        for i, n in enumerate(sizes)
    ]
    copies = [each[:] for each in joined]
    pairs = [(a, b) for a in range(len(sizes)) for b in range(a, len(sizes))]
    given = {"prune": prune, "device": device, "tile": tile}
    found = top_blocks(joined, joined, pairs, k, **given)
    for block, wanted, (a, b) in zip(
        found, top_blocks(copies, copies, pairs, k, **given), pairs, strict=True
    ):
        assert same(block, wanted)
        assert same(block, brute_force(copies[a], copies[b], k))
    products = copies[0].astype(np.float64) @ copies[-1].T
    parts = [one.parts for one in (joined[0], joined[-1])]
    weighted = sum(
        w * (a.astype(np.float64) @ b.T) for w, a, b in zip((0.25, 0.75), *parts, strict=True)
    )
    assert np.allclose(products, weighted, atol=1e-5)
