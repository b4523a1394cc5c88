"""Overlaps: the pairs of masks that have most in common of what either covers, exactly.

Masks are 0 and 1, so what two share is a product of whole numbers, the same in whatever order it is
added: nothing has to be scored again but the division, which is done in float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from copal.matching.bounds import UNIT_ROUNDOFF
from copal.matching.matches import NO_MATCHES, Indices, Matches, Places, Vectors

TILE = 2048  # rows and columns of one product
MOST_CELLS = 2**24  # of a mask, up to which float32 counts exactly

Masks = Sequence[Vectors]
"""For each place of comparison (n, cells) float32, 0 or 1."""
Floats = npt.NDArray[np.float64]


def top_overlaps(
    left: Sequence[Masks],
    right: Sequence[Masks],
    pairs: Sequence[tuple[int, int]],
    k: int,
    *,
    weights: Sequence[float],
    places: Mapping[tuple[int, int], Places] | None = None,
    tile: int = TILE,
) -> list[Matches]:
    """For each pair of a left and a right asset, the ``k`` pairs of rows that overlap most.

    The score is the weighted sum, over the places of comparison, of the cells that both masks
    cover over those that either does (IoU); 0 where neither covers any.

    Parameters
    ----------
    left, right, pairs, places, tile
        As of ``top_blocks``, but that each asset has masks for several places of comparison.
    weights
        Of the places of comparison.

    Raises
    ------
    ValueError
        Two masks have other numbers of cells, or more than 2**24.
    """
    sizes = {tuple(part.shape[1] for part in masks) for masks in (*left, *right)}
    if len(sizes) > 1 or max((cells for size in sizes for cells in size), default=0) > MOST_CELLS:
        raise ValueError(
            f"masks of {sorted(sizes)} cells do not match; {MOST_CELLS:,} are the most"
        )
    covered = {id(masks): _covered(masks) for masks in (*left, *right)}
    found = []
    for a, b in pairs:
        block, ruled = NO_MATCHES, (places or {}).get((a, b))
        counts = covered[id(left[a])], covered[id(right[b])]
        rows, columns = (_parts(masks, tile) for masks in (left[a], right[b]))
        for row in rows if k > 0 else ():
            for column in columns:
                if ruled is None or not ruled.refuses_all(row, column):
                    block = _best_of_tile(left[a], right[b], counts, row, column, weights, ruled,
                                          block, k)  # fmt: skip
        found.append(block)
    return found


def overlaps(
    left: Masks, right: Masks, weights: Sequence[float], i: Indices, j: Indices
) -> Vectors:
    """Scores of named pairs, as ``top_overlaps`` gives them."""
    shared = [
        np.einsum("ij,ij->i", one[i], other[j]) for one, other in zip(left, right, strict=True)
    ]
    ones, others = _covered(left), _covered(right)
    return _scored(shared, [c[i] for c in ones], [c[j] for c in others], weights)


def _best_of_tile(
    left: Masks,
    right: Masks,
    counts: tuple[list[Floats], list[Floats]],
    rows: slice,
    columns: slice,
    weights: Sequence[float],
    places: Places | None,
    block: Matches,
    k: int,
) -> Matches:
    """The best of a block so far with those of one tile."""
    shared = [one[rows] @ other[columns].T for one, other in zip(left, right, strict=True)]
    about = np.zeros_like(shared[0])
    for part, one, other, weight in zip(shared, *counts, weights, strict=True):
        either = np.add.outer(one[rows], other[columns], dtype=np.float32)
        either -= part
        about += np.float32(weight) * part / np.maximum(either, 1)
    if places is not None:
        for row, refused in enumerate(places.spans(rows, columns)):
            about[row, refused] = -np.inf
    flat = about.ravel()
    floor = block.scores[-1] if len(block) == k else np.float32(-1)
    if len(flat) > k:
        floor = max(floor, np.partition(flat, -k)[-k])
    # A rounded count, its share, its weight and their sum are each within u of the true one.
    slack = (4 + len(weights)) * 2 * UNIT_ROUNDOFF * (1 + sum(weights))
    i, j = np.divmod(np.flatnonzero(flat >= max(floor - slack, -1)), about.shape[1])
    scores = _scored(
        [part[i, j] for part in shared],
        [count[rows][i] for count in counts[0]],
        [count[columns][j] for count in counts[1]],
        weights,
    )
    return (block + Matches(i + rows.start, j + columns.start, scores)).best(k)


def _scored(
    shared: Sequence[Vectors], ones: Sequence[Floats], others: Sequence[Floats],
    weights: Sequence[float],
) -> Vectors:  # fmt: skip
    """Weighted IoUs of pairs: float64, added in the order of the places, rounded to float32."""
    total = np.zeros(len(shared[0]))
    for both, one, other, weight in zip(shared, ones, others, weights, strict=True):
        total += weight * both.astype(np.float64) / np.maximum(one + other - both, 1)
    return total.astype(np.float32)


def _covered(masks: Masks) -> list[Floats]:
    """How many cells each mask covers."""
    return [part.sum(1, dtype=np.float64) for part in masks]


def _parts(masks: Masks, tile: int) -> list[slice]:
    count = len(masks[0])
    return [slice(start, min(start + tile, count)) for start in range(0, count, tile)]
