"""Neighbours: whether the shots nearest to a shot are the same under two sets of vectors."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

MOST_QUERIES, MOST_VECTORS = 200, 20_000
"""A comparison is a product of (200, d) and (d, 20,000): some 0.1 s."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """How far two sets of vectors agree about who is near whom."""

    overlap: float
    """Mean share of the ``k`` nearest that is the same."""
    k: int
    queries: int
    """Shots whose neighbours were looked at: those that are in both sets."""
    vectors: int
    """Shots among which they were looked for, in the smaller of the two sets."""


def neighbours(
    old: Mapping[Hashable, Floats], new: Mapping[Hashable, Floats], k: int, seed: int
) -> Neighbours | None:
    """Overlap of the ``k`` nearest by product; None when too few shots are in both.

    Parameters
    ----------
    old, new
        Shot → its vector, (d,). The two may differ in length.
    """
    dice = np.random.default_rng(seed)
    shared = [key for key in old if key in new]
    k = min(k, len(old) - 1, len(new) - 1)
    if not shared or k < 1:
        return None
    queries = _some(shared, MOST_QUERIES, dice)
    keep = set(queries)
    found = []
    for vectors in (old, new):
        rest = _some([key for key in vectors if key not in keep], MOST_VECTORS - len(keep), dice)
        found.append(_nearest(vectors, queries, [*queries, *rest], k))
    same = [len(one & other) / k for one, other in zip(*found, strict=True)]
    return Neighbours(float(np.mean(same)), k, len(queries), min(len(old), len(new), MOST_VECTORS))


def _some(keys: Sequence[Hashable], most: int, dice: np.random.Generator) -> list[Hashable]:
    if len(keys) <= most:
        return list(keys)
    return [keys[place] for place in np.sort(dice.choice(len(keys), most, replace=False))]


def _nearest(
    vectors: Mapping[Hashable, Floats],
    queries: Sequence[Hashable],
    among: Sequence[Hashable],
    k: int,
) -> list[set[Hashable]]:
    matrix = np.stack([vectors[key] for key in among])  # (n, d) float32
    scores = np.stack([vectors[key] for key in queries]) @ matrix.T
    scores[np.arange(len(queries)), np.arange(len(queries))] = -np.inf  # queries stand first
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    return [{among[place] for place in row} for row in best.tolist()]
