"""Cuts: the best pairs of shots both ways, where what a cut leaves is not what it goes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from copal.matching.blocks import Pair, top_blocks
from copal.matching.matches import Indices, Matches, Places, Rows, Vectors
from copal.matching.overlaps import Masks, top_overlaps


@dataclass(frozen=True, slots=True)
class Cuts:
    """Pairs of a left and a right row, best first; equal scores by left, right, left first."""

    left: Indices
    right: Indices
    left_first: npt.NDArray[np.bool_]
    """Whether the cut goes from left to right."""
    scores: Vectors


class _Best(Protocol):
    """What finds the best pairs of blocks: ``top_blocks`` or ``top_overlaps``."""

    def __call__(
        self, left: Sequence[Any], right: Sequence[Any], pairs: Sequence[Pair], k: int, /,
        *, places: Mapping[Pair, Places],
    ) -> list[Matches]: ...  # fmt: skip


def top_cuts(
    outgoing: Sequence[Rows],
    incoming: Sequence[Rows],
    pairs: Sequence[Pair],
    k: int,
    *,
    index: Sequence[npt.NDArray[np.int32]],
    min_gap: int,
    device: str = "numpy",
) -> list[Cuts]:
    """For each pair of assets the ``k`` best cuts between their shots, by their products.

    Parameters
    ----------
    outgoing, incoming
        Of each asset (n, d) float32: what a cut leaves, and what it goes to. Where both are the
        same arrays every pair scores the same both ways, and only the cut from left is told.
    pairs, device
        As of ``top_blocks``. Of an asset with itself left comes before right.
    index
        Of each asset the places of its shots in its sequence, ascending.
    min_gap
        Shots of one asset whose places are nearer than this are no pair.
    """
    return _both_ways(
        partial(top_blocks, device=device), outgoing, incoming, pairs, k, index, min_gap
    )


def top_mask_cuts(
    outgoing: Sequence[Masks],
    incoming: Sequence[Masks],
    pairs: Sequence[Pair],
    k: int,
    *,
    weights: Sequence[float],
    index: Sequence[npt.NDArray[np.int32]],
    min_gap: int,
) -> list[Cuts]:
    """The same where masks are compared, by the weighted overlap of each with its counterpart."""
    best = partial(top_overlaps, weights=weights)
    return _both_ways(best, outgoing, incoming, pairs, k, index, min_gap)


def _both_ways(
    best: _Best,
    outgoing: Sequence[Any],
    incoming: Sequence[Any],
    pairs: Sequence[Pair],
    k: int,
    index: Sequence[npt.NDArray[np.int32]],
    min_gap: int,
) -> list[Cuts]:
    places = {}
    for a in {a for a, b in pairs if a == b}:
        where = index[a].astype(np.int64)
        places[a, a] = Places(where, where, min_gap, ordered=True)
    if all(one is other for one, other in zip(outgoing, incoming, strict=True)):
        return [_best(one, None, k) for one in best(outgoing, incoming, pairs, k, places=places)]
    count = len(outgoing)
    ways = [*pairs, *((a + count, b + count) for a, b in pairs)]
    places |= {(a + count, b + count): each for (a, b), each in places.items()}
    found = best([*outgoing, *incoming], [*incoming, *outgoing], ways, k, places=places)
    forth, back = found[: len(pairs)], found[len(pairs) :]
    return [_best(one, other, k) for one, other in zip(forth, back, strict=True)]


def _best(forth: Matches, back: Matches | None, k: int) -> Cuts:
    both = forth if back is None else forth + back
    first = np.arange(len(both)) < len(forth)
    order = np.lexsort((~first, both.right, both.left, -both.scores))[:k]
    return Cuts(both.left[order], both.right[order], first[order], both.scores[order])
