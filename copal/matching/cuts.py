"""Cuts: the best pairs of shots both ways, where what a cut leaves is not what it goes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from copal.matching.blocks import Pair, top_blocks
from copal.matching.matches import Indices, Matches, Places, Vectors


@dataclass(frozen=True, slots=True)
class Cuts:
    """Pairs of a left and a right row, best first; equal scores by left, right, left first."""

    left: Indices
    right: Indices
    left_first: npt.NDArray[np.bool_]
    """Whether the cut goes from left to right."""
    scores: Vectors


def top_cuts(
    outgoing: Sequence[Vectors],
    incoming: Sequence[Vectors],
    pairs: Sequence[Pair],
    k: int,
    *,
    index: Sequence[npt.NDArray[np.int32]],
    min_gap: int,
    device: str = "numpy",
) -> list[Cuts]:
    """For each pair of assets the ``k`` best cuts between their shots, all pairs at once.

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
    places = {}
    for a in {a for a, b in pairs if a == b}:
        where = index[a].astype(np.int64)
        places[a, a] = Places(where, where, min_gap, ordered=True)
    if all(one is other for one, other in zip(outgoing, incoming, strict=True)):
        found = top_blocks(outgoing, incoming, pairs, k, places=places, device=device)
        return [_best(one, None, k) for one in found]
    count = len(outgoing)
    ways = [*pairs, *((a + count, b + count) for a, b in pairs)]
    places |= {(a + count, b + count): each for (a, b), each in places.items()}
    found = top_blocks(
        [*outgoing, *incoming], [*incoming, *outgoing], ways, k, places=places, device=device
    )
    forth, back = found[: len(pairs)], found[len(pairs) :]
    return [_best(one, other, k) for one, other in zip(forth, back, strict=True)]


def _best(forth: Matches, back: Matches | None, k: int) -> Cuts:
    both = forth if back is None else forth + back
    first = np.arange(len(both)) < len(forth)
    order = np.lexsort((~first, both.right, both.left, -both.scores))[:k]
    return Cuts(both.left[order], both.right[order], first[order], both.scores[order])
